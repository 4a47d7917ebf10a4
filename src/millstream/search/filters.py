"""A `Filter` as a condition on the table `documents`."""

import sqlite3

import msgspec

from millstream.search import Filter


def condition(owner: str, where: Filter) -> tuple[str, tuple[object, ...]]:
    """A condition on `documents AS d`, and its values: what `owner` may see and `where` asks for."""
    parts, values = ["d.owner = ? AND d.state = 'ready'"], [owner]
    numbers: list[object] = []
    if where.within:
        parts.append(f"({' OR '.join(['(d.uri = ? OR (d.uri > ? AND d.uri < ?))'] * len(where.within))})")
        for uri in where.within:
            folder = uri.rstrip("/")
            # All below a folder lies between "folder/" and "folder0", "0" being the character after "/".
            values += [folder, f"{folder}/", f"{folder}0"]
    if where.formats:
        parts.append(f"d.format IN ({','.join('?' * len(where.formats))})")
        values += [name.lower() for name in where.formats]
    if where.documents:
        parts.append("d.document_id IN (SELECT value FROM json_each(?))")  # there may be more than variables in a query
        values.append(msgspec.json.encode(where.documents).decode())
    if where.modified_from is not None:
        parts.append("d.modified >= ?")
        numbers.append(where.modified_from)
    if where.modified_before is not None:
        parts.append("d.modified < ?")
        numbers.append(where.modified_before)
    return " AND ".join(parts), (*values, *numbers)


def documents_matching(connection: sqlite3.Connection, owner: str, where: Filter) -> list[int]:
    """The row numbers of the documents."""
    sql, values = condition(owner, where)
    return [row for (row,) in connection.execute(f"SELECT d.id FROM documents AS d WHERE {sql}", values)]
