"""Documents over HTTP: upload, list, open at a passage, see the original, read again, remove."""

import asyncio
from collections.abc import AsyncIterator
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from millstream.documents.catalogue import MAX_LISTED, Listed, cursor_of
from millstream.documents.encoding import SAMPLE, is_utf8
from millstream.documents.formats import FORMATS
from millstream.documents.library import Library
from millstream.documents.worker import open_at_once
from millstream.errors import Conflict, InputError
from millstream.events import encode_json
from millstream.server.app_of import millstream_of
from millstream.server.identity import owner_of
from millstream.server.uploading import (
    MAX_WAIT_S,
    Kept,
    check_room,
    check_space,
    keep,
    keep_files,
    received_form,
    state_of,
    too_large,
    upload_bytes,
)

if TYPE_CHECKING:
    from millstream.server.app import Millstream

# A browser shows these as what they are; all others it is told to save. Never HTML or SVG, which could run.
_SHOWN = frozenset(
    {"application/pdf", "text/plain", "text/markdown", "text/csv", "application/json", "application/x-ndjson"}
)
_ORIGINAL_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}
_NOTHING = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"


async def list_documents(request: Request) -> Response:
    _, library, owner = await _asked(request)
    limit = _number(request, "limit", 1, MAX_LISTED, MAX_LISTED)
    after = request.query_params.get("after")
    found = await library.catalogue.documents(owner, after=after, limit=limit)
    listed = {document.document_id for document in found}
    waiting = [
        Listed(document_id, uri, uri.rpartition("/")[2], "waiting")
        for (whose, document_id), uri in library.waiting.items()
        if whose == owner and document_id not in listed and not after
    ]
    progress = await library.progress(owner)
    body = {"documents": [*waiting, *found], "indexing": progress}
    if len(found) == limit:
        body["next"] = cursor_of(found[-1])
    return _json(body)


async def open_document(request: Request) -> Response:
    _, library, owner = await _asked(request)
    document_id = request.path_params["document_id"]
    if (owner, document_id) in library.waiting:
        uri = library.waiting[owner, document_id]
        return _json(Listed(document_id, uri, uri.rpartition("/")[2], "waiting"))
    listed = await library.catalogue.get(document_id, owner)
    if listed.state != "ready":
        return _json(listed)
    start = _number(request, "start", 0, None, 0)
    end = _number(request, "end", 0, None, -1)
    opened = await library.catalogue.open(document_id, owner, start, None if end < 0 else end)
    body: dict[str, Any] = msgspec.to_builtins(opened)
    markdown = opened.document.format in FORMATS and FORMATS[opened.document.format].markdown
    return _json({**body.pop("document"), **body, "markdown": markdown})


async def original(request: Request) -> Response:
    _, library, owner = await _asked(request)
    place = await library.catalogue.place(request.path_params["document_id"], owner)
    path = await library.original(place)
    media_type = FORMATS[place.format].media_type if place.format in FORMATS else "application/octet-stream"
    is_shown = media_type in _SHOWN
    if is_shown and media_type != "application/pdf":
        media_type = "text/plain"
    # A sandbox keeps Chrome from showing a PDF at all; a PDF's own scripts never reach the page.
    policy = _NOTHING if media_type == "application/pdf" else f"{_NOTHING}; sandbox"
    name = place.uri.rpartition("/")[2]
    disposition = f"{'inline' if is_shown else 'attachment'}; filename*=UTF-8''{quote(name, safe='')}"
    headers = {**_ORIGINAL_HEADERS, "Content-Security-Policy": policy, "Content-Disposition": disposition}
    if media_type.startswith("text/"):  # a browser guesses other encodings, if it is told none
        headers["Content-Type"] = (
            f"{media_type}; charset=utf-8" if await asyncio.to_thread(_is_utf8, path) else media_type
        )
    return FileResponse(path, headers=headers, media_type=media_type)


def _is_utf8(path: Path) -> bool:
    try:
        with open(path, "rb", opener=open_at_once) as stream:
            return is_utf8(stream.read(SAMPLE))
    except OSError:
        return False  # the response will say what is wrong


async def read_again(request: Request) -> Response:
    _, library, owner = await _asked(request)
    document_id = request.path_params["document_id"]
    await library.read_again(document_id, owner)
    return _json(await library.catalogue.get(document_id, owner))


async def remove_document(request: Request) -> Response:
    _, library, owner = await _asked(request)
    document_id = request.path_params["document_id"]
    if (owner, document_id) in library.waiting:
        raise Conflict("This document is just being read: remove it when it has been.", code="still-reading")
    await library.remove(document_id, owner)
    return Response(status_code=204)


async def upload(request: Request) -> Response:
    """A form with files, or one file as the body and its name in `?name=` or Content-Disposition."""
    millstream, library, owner = await _asked(request)
    wait_s = _number(request, "wait", 0, int(MAX_WAIT_S), 0)
    await check_space(request, millstream, library)
    is_form = request.headers.get("content-type", "").startswith("multipart/form-data")
    try:
        kept = await (_from_form if is_form else _from_body)(request, millstream, library, owner)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    if wait_s:
        await asyncio.wait([each.read for each in kept], timeout=wait_s)
    documents = [await state_of(library, owner, each) for each in kept]
    return _json({"documents": documents}, 202 if any(one.state == "waiting" for one in documents) else 200)


async def _from_body(request: Request, millstream: "Millstream", library: Library, owner: str) -> list[Kept]:
    name = request.query_params.get("name") or _disposition_name(request.headers.get("content-disposition", ""))
    check_room(millstream, library, owner, [name])

    async def pieces() -> AsyncIterator[bytes]:
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > upload_bytes(millstream):
                raise too_large(millstream)
            yield piece

    return [await keep(millstream, library, owner, name, pieces())]


async def _from_form(request: Request, millstream: "Millstream", library: Library, owner: str) -> list[Kept]:
    async with received_form(request, millstream) as form:
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile) and part.filename]
        if not files:
            raise InputError("There is no file in this form.", code="no-name")
        return await keep_files(millstream, library, owner, [(file.filename or "", file) for file in files])


def _disposition_name(header: str) -> str:
    message = Message()
    message["Content-Disposition"] = header
    return message.get_filename("") or ""


def _number(request: Request, name: str, least: int, most: int | None, otherwise: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) <= 12) or int(text) < least:
        raise InputError(f"`{name}` must be a whole number, {least} or more.")
    return int(text) if most is None else min(int(text), most)


async def _asked(request: Request) -> tuple["Millstream", Library, str]:
    millstream = millstream_of(request)
    assert millstream.library is not None
    return millstream, millstream.library, await owner_of(request, millstream.identify)


def _json(body: Any, status: int = 200) -> Response:
    return Response(encode_json(body), status, {"Cache-Control": "no-store"}, "application/json")


routes: list[BaseRoute] = [
    Route("/api/documents", list_documents, methods=["GET"]),
    Route("/api/documents", upload, methods=["POST"]),
    Route("/api/documents/{document_id}", open_document, methods=["GET"]),
    Route("/api/documents/{document_id}", remove_document, methods=["DELETE"]),
    Route("/api/documents/{document_id}/original", original, methods=["GET"]),
    Route("/api/documents/{document_id}/read", read_again, methods=["POST"]),
]
