"""The lexical half of a search: FTS5 with BM25, terms stemmed and OR-ed.

BM25's statistics are those of the whole file, so that owners share an idea of which words are rare, and nothing else.
"""

import math
import sqlite3
from collections.abc import Sequence

from millstream.search import EVERYTHING, Filter
from millstream.search.filters import condition
from millstream.search.words import is_beginning

TITLE_WEIGHT = 1.0  # of a term in the title against one in the text
_AHEAD = 4  # times as many as wanted are ranked before their owners are looked up

_RANKED = f"""
SELECT rowid, -bm25(terms, {TITLE_WEIGHT}, 1.0) AS score FROM terms WHERE terms MATCH ?
ORDER BY score DESC, rowid LIMIT ?
"""
# CROSS JOIN keeps SQLite to the order that is written: it would begin with the documents and look at all of them.
_RANKED_AMONG = f"""
SELECT p.id, -bm25(terms, {TITLE_WEIGHT}, 1.0) AS score
FROM terms CROSS JOIN passages AS p ON p.id = terms.rowid CROSS JOIN documents AS d ON d.id = p.document
WHERE terms MATCH ? AND {{condition}}
ORDER BY score DESC, p.id LIMIT ?
"""


def best_matches(
    connection: sqlite3.Connection, terms: Sequence[str], owner: str, where: Filter, limit: int
) -> list[tuple[int, float]]:
    """(passage, BM25) of the `limit` best among the documents that match, best first."""
    if not terms:
        return []
    query = " OR ".join(map(_quoted, terms))
    if where == EVERYTHING:
        # Looking up the document of each passage that has one of the terms costs more than the ranking itself. So the
        # best of all are ranked first; only where too few of them are this owner's is every match looked up.
        ahead = limit * _AHEAD
        ranked = connection.execute(_RANKED, (query, ahead)).fetchall()
        allowed = _allowed(connection, [passage for passage, _ in ranked], owner, where)
        found = [(passage, score) for passage, score in ranked if passage in allowed]
        if len(found) >= limit or len(ranked) < ahead:
            return found[:limit]
    sql, values = condition(owner, where)
    return connection.execute(_RANKED_AMONG.format(condition=sql), (query, *values, limit)).fetchall()


def _allowed(connection: sqlite3.Connection, passages: Sequence[int], owner: str, where: Filter) -> set[int]:
    if not passages:
        return set()
    sql, values = condition(owner, where)
    rows = connection.execute(
        "SELECT p.id FROM passages AS p CROSS JOIN documents AS d ON d.id = p.document "
        f"WHERE p.id IN ({','.join('?' * len(passages))}) AND {sql}",
        (*passages, *values),
    )
    return {passage for (passage,) in rows}


def coverage(connection: sqlite3.Connection, terms: Sequence[str], passages: Sequence[int]) -> dict[int, float]:
    """Of each passage, the part of the terms' whole weight (inverse document frequency) that it contains."""
    if not passages:
        return {}
    total: int = connection.execute("SELECT count(*) FROM passages").fetchone()[0]
    found = dict.fromkeys(passages, 0.0)
    weight = 0.0
    among = f"SELECT rowid FROM terms WHERE terms MATCH ? AND rowid IN ({','.join('?' * len(passages))})"
    for term in terms:
        holders: int = connection.execute(
            "SELECT count(*) FROM terms WHERE terms MATCH ?", (_quoted(term),)
        ).fetchone()[0]
        rarity = math.log(1 + (total - holders + 0.5) / (holders + 0.5))
        weight += rarity
        for (passage,) in connection.execute(among, (_quoted(term), *passages)):
            found[passage] += rarity
    return {passage: min(1.0, covered / weight) if weight else 0.0 for passage, covered in found.items()}


def _quoted(term: str) -> str:
    """As an FTS5 string (https://sqlite.org/fts5.html#fts5_strings); inside, nothing has a meaning of its own."""
    return '"' + term.replace('"', '""') + ('"*' if is_beginning(term) else '"')
