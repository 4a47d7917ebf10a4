"""Files that come with a request: received within the limits, and kept as documents of their owner."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message

from millstream.documents.catalogue import Listed
from millstream.documents.folders import location_of
from millstream.documents.library import Library
from millstream.documents.uploads import too_many_uploads
from millstream.errors import InputError, TooLarge, Unavailable

if TYPE_CHECKING:
    from millstream.server.app import Millstream

MAX_FILES = 100  # in one form
MAX_WAIT_S = 60.0
_WRITE_BYTES = 1 << 20
_SPARE_BYTES = 100_000_000  # left free on the disk: the index and the log need it


class Kept(NamedTuple):
    """A file that is kept, whether or not it has been `read` yet."""

    document_id: str
    uri: str
    read: "asyncio.Future[None]"


async def check_space(request: Request, millstream: "Millstream", library: Library) -> None:
    """Before anything is received. Raises TooLarge, and Unavailable when the disk is nearly full."""
    limit = upload_bytes(millstream)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large(millstream)
    if await asyncio.to_thread(library.uploads.free_bytes) < limit + _SPARE_BYTES:
        raise Unavailable("The server's disk is nearly full: free some of it.", code="disk-full")


@contextlib.asynccontextmanager
async def received_form(
    request: Request, millstream: "Millstream", *, max_part_bytes: int = 1 << 20
) -> AsyncIterator[FormData]:
    """The form in the request's body; its files are there until the end. Raises TooLarge, InputError.

    `max_part_bytes` is what a part that is no file may have.
    """
    limit = upload_bytes(millstream)
    size = 0

    async def receive() -> Message:
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise too_large(millstream)
        return message

    # With "app" in its scope, Starlette would turn its errors into refusals of its own.
    scope = {name: value for name, value in request.scope.items() if name != "app"}
    try:
        received = await Request(scope, receive).form(
            max_files=MAX_FILES, max_fields=MAX_FILES, max_part_size=max_part_bytes
        )
    except MultiPartException as error:
        if "maximum size" in error.message:  # of a part that is no file
            raise TooLarge(f"A part of the form that is no file may have {max_part_bytes} bytes at most.") from error
        raise InputError(f"The form cannot be read: {error.message}") from error
    try:
        yield received
    finally:
        await received.close()


async def keep_files(
    millstream: "Millstream", library: Library, owner: str, files: Iterable[tuple[str, UploadFile]]
) -> list[Kept]:
    """Keeps files of a form under these names. Raises Conflict, InputError."""
    named = list(files)
    check_room(millstream, library, owner, [name for name, _ in named])
    return [await keep(millstream, library, owner, name, _pieces_of(file)) for name, file in named]


async def keep(millstream: "Millstream", library: Library, owner: str, name: str, pieces: AsyncIterator[bytes]) -> Kept:
    """Keeps one file; the same name is the same document. Raises Conflict, InputError."""
    uploads = library.uploads
    path = uploads.path(owner, name)
    with uploads.receiving(owner) as (received, stream):
        await _write(stream, pieces)
        await asyncio.to_thread(uploads.keep, received, owner, name, millstream.settings.uploads)
    document_id = await library.catalogue.document_id(owner, location_of(path))
    return Kept(document_id, f"uploads/{path.name}", library.read_upload(path, owner, document_id))


async def state_of(library: Library, owner: str, kept: Kept) -> Listed:
    """The document as it is at this instant."""
    if (owner, kept.document_id) in library.waiting:
        return Listed(kept.document_id, kept.uri, kept.uri.rpartition("/")[2], "waiting")
    return await library.catalogue.get(kept.document_id, owner)


def check_room(millstream: "Millstream", library: Library, owner: str, names: Iterable[str]) -> None:
    """Raises Conflict when these files would be more than an owner may have.

    Before anything is received; `Uploads.keep` sees to uploads that come at the same time.
    """
    new = {path for name in names if not (path := library.uploads.path(owner, name)).exists()}
    if library.uploads.count(owner) + len(new) > millstream.settings.uploads:
        raise too_many_uploads(millstream.settings.uploads)


def upload_bytes(millstream: "Millstream") -> int:
    return int(millstream.settings.upload_mb * 1e6)


def too_large(millstream: "Millstream") -> TooLarge:
    return TooLarge(f"An upload may be {millstream.settings.upload_mb:g} MB at most (MILLSTREAM_UPLOAD_MB).")


async def _pieces_of(file: UploadFile) -> AsyncIterator[bytes]:
    while piece := await file.read(_WRITE_BYTES):
        yield piece


async def _write(stream: BinaryIO, pieces: AsyncIterator[bytes]) -> None:
    """In pieces large enough that a thread for each costs nothing; the disk is never waited for in the loop."""
    waiting = bytearray()
    async for piece in pieces:
        waiting += piece
        if len(waiting) >= _WRITE_BYTES:
            await asyncio.to_thread(stream.write, bytes(waiting))
            waiting.clear()
    await asyncio.to_thread(stream.write, bytes(waiting))
    await asyncio.to_thread(stream.flush)
