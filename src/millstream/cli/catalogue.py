"""`millstream documents`: what is in the index, without a server."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from millstream.cli.index import OWNER, DataOption
from millstream.cli.terminal import harmless
from millstream.documents.catalogue import Catalogue, Listed, Opened, cursor_of
from millstream.documents.folders import path_of
from millstream.documents.library import remove as remove_document
from millstream.documents.uploads import Uploads
from millstream.errors import NotFound
from millstream.folder import DataFolder
from millstream.search.sqlite import SqliteIndex
from millstream.server.settings import load_settings

documents_group = typer.Typer(
    name="documents", help="List, show and remove the documents of the index.", no_args_is_help=True
)


@documents_group.command("list")
def list_documents(
    failed: Annotated[bool, typer.Option("--failed", help="Only files that cannot be read, and why.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    data: DataOption = None,
) -> None:
    """List all documents, and the files that could not become one."""
    catalogue = _catalogue(data)
    count = 0
    after: str | None = None
    while found := asyncio.run(catalogue.documents(OWNER, after=after)):
        for document in found:
            if not failed or document.reason:
                count += 1
                typer.echo(msgspec.json.encode(document).decode() if json else _line(document))
        after = cursor_of(found[-1])
    if not count:
        typer.echo("No file has failed." if failed else "There are no documents yet.", err=True)


@documents_group.command()
def show(
    document: Annotated[str, typer.Argument(help="Its id, or the end of its uri, such as handbook.pdf.")],
    passage: Annotated[int | None, typer.Option(help="Only this passage, counted from 0.", min=0)] = None,
    page: Annotated[int | None, typer.Option(help="Only this page.", min=1)] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object with the passages' places.")] = False,
    data: DataOption = None,
) -> None:
    """Show a document's text as it is indexed and cited."""
    catalogue = _catalogue(data)
    listed = asyncio.run(_find(catalogue, document))
    opened = asyncio.run(_open(catalogue, listed.document_id, passage, page))
    if json:
        typer.echo(msgspec.json.encode(opened).decode())
    else:
        typer.echo(_line(listed), err=True)
        typer.echo(harmless(opened.text))


@documents_group.command()
def remove(
    documents: Annotated[list[str], typer.Argument(metavar="DOCUMENT…", help="Ids, or ends of uris.")],
    data: DataOption = None,
) -> None:
    """Take documents out of the index.

    Files in folders are not deleted, and stay out until they are named themselves: millstream sync FILE.
    """
    index = _open_index(data)
    catalogue = Catalogue(index.path)
    uploads = Uploads(index.path.parent)
    try:
        for document in documents:
            listed = asyncio.run(_find(catalogue, document))
            place = asyncio.run(catalogue.place(listed.document_id, OWNER))
            with index.writer() as writer:
                remove_document(writer, uploads, OWNER, listed.document_id, path_of(place.location))
            typer.echo(f"removed: {listed.uri}")
    finally:
        asyncio.run(index.close())


def _open_index(data: Path | None) -> SqliteIndex:
    """By words alone: no embedder is needed to look."""
    return SqliteIndex(DataFolder(load_settings(data=data).data).path / "index.db")


def _catalogue(data: Path | None) -> Catalogue:
    index = _open_index(data)
    asyncio.run(index.close())
    return Catalogue(index.path)


async def _find(catalogue: Catalogue, name: str) -> Listed:
    """By id, else by the end of the uri when that is one document's only."""
    try:
        return await catalogue.get(name, OWNER)
    except NotFound:
        found = await catalogue.ending(name, OWNER)
    if not found:
        raise NotFound(f"There is no document {name!r}. See: millstream documents list", code="no-document")
    if len(found) > 1:
        names = "\n".join(f"  {document.document_id}  {document.uri}" for document in found)
        raise NotFound(f"Several documents end with {name!r}; give one's id:\n{names}", code="no-document")
    return found[0]


async def _open(catalogue: Catalogue, document_id: str, passage: int | None, page: int | None) -> Opened:
    if passage is not None:
        span = await catalogue.passage(document_id, OWNER, passage)
        return await catalogue.open(document_id, OWNER, span.start, span.end)
    opened = await catalogue.open(document_id, OWNER)
    if page is None:
        return opened
    if page > len(opened.pages):
        raise NotFound(f"This document has {len(opened.pages) or 'no'} pages.", code="no-document")
    end = opened.pages[page] if page < len(opened.pages) else opened.length
    return await catalogue.open(document_id, OWNER, opened.pages[page - 1], end)


def _line(document: Listed) -> str:
    facts = [f"{document.pages} pages"] if document.pages else []
    facts += [f"{document.passages} passages"] if document.state == "ready" else []
    facts += [document.remark] if document.remark else []
    facts += [f"failed: {document.reason}"] if document.reason else []
    return f"{document.document_id}  {document.uri}  ({', '.join(facts)})"
