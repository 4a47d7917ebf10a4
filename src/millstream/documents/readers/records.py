"""JSON and JSON Lines: a block for each record, a line for each value with the path to it, numbers as written."""

import json
from collections.abc import Iterator

from millstream.documents import Document, Source, UnreadableDocument
from millstream.documents.encoding import decode_text

_Json = dict[str, "_Json"] | list["_Json"] | str | bool | None

_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
_TITLES = ("title", "name")


def read_json(source: Source) -> Document:
    text = decode_text(source.data)
    value = _parse(text, "It")
    records = value if isinstance(value, list) else [value]
    title = next((str(value[key]) for key in _TITLES if value.get(key)), "") if isinstance(value, dict) else ""
    return Document(title if len(title) <= 200 else "", "\n\n".join(filter(None, map(_block, records))))


def read_json_lines(source: Source) -> Document:
    """A few lines may be no JSON. Raises UnreadableDocument when more of them are not than are."""
    blocks: list[str] = []
    refused: list[UnreadableDocument] = []
    for n, line in enumerate(decode_text(source.data).split("\n"), 1):
        if line.strip():
            try:
                blocks.append(_block(_parse(line, f"Line {n}")))
            except UnreadableDocument as error:
                refused.append(error)
    if len(refused) > len(blocks):
        raise refused[0]
    remark = (
        f"{len(refused)} of its {len(blocks) + len(refused)} lines could not be read. {refused[0]}" if refused else ""
    )
    return Document("", "\n\n".join(filter(None, blocks)), remark=remark)


def _parse(text: str, place: str) -> _Json:
    try:
        value: _Json = _DECODER.decode(text.strip())
    except json.JSONDecodeError as error:
        raise UnreadableDocument(
            f"{place} is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from None
    except RecursionError:
        raise UnreadableDocument(f"{place} is nested too deeply to be read.") from None
    return value


def _block(record: _Json) -> str:
    return "\n".join(f"{path}: {value}" if path else value for path, value in _values(record, ""))


def _values(value: _Json, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _values(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        if all(isinstance(inner, str) for inner in value):
            value = ", ".join(str(inner) for inner in value)
            if value:
                yield path, value
        else:
            for n, inner in enumerate(value, 1):
                yield from _values(inner, f"{path}.{n}" if path else str(n))
    elif isinstance(value, bool):
        yield path, "true" if value else "false"
    elif value:
        yield path, value.strip()
