"""`millstream ask`: one question, answered in the terminal."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

import typer

from millstream.cli.terminal import Printer
from millstream.client import AsyncClient
from millstream.errors import InputError, RunError
from millstream.events import AnyEvent, decode, encode, encode_json
from millstream.folder import serving
from millstream.server.settings import Settings, load_settings
from millstream.snapshot import Fold, Snapshot


def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    json: Annotated[
        bool, typer.Option("--json", help="Print events as JSON lines (with --no-stream: the answer).")
    ] = False,
    stream: Annotated[
        bool, typer.Option("--stream/--no-stream", help="Print words as they come, or all at the end.")
    ] = True,
    url: Annotated[
        str | None, typer.Option(help="A server to ask; by default the one that serves the data folder.")
    ] = None,
    answer: Annotated[str | None, typer.Option(help="Which answer: rag, chat, or a name of yours.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for runs, conversations and the index.")] = None,
    model: Annotated[str | None, typer.Option(help="The language model; see MILLSTREAM_MODEL.")] = None,
) -> None:
    """Ask one question. The exit code is 0 when the answer is complete."""
    try:
        question.encode()
    except UnicodeEncodeError:
        raise InputError("The question is not UTF-8 text. Check the encoding of the terminal.") from None
    settings = load_settings(data=data, model=model)
    request: dict[str, Any] = {"question": question}
    if answer is not None:
        request["answer"] = answer
    if url is None:
        server = serving(settings.data)
        url = server.url if server is not None else None
    snapshot = asyncio.run(_ask(request, settings, url, as_json=json, stream=stream))
    if snapshot.state != "finished":
        raise typer.Exit(1)


async def _ask(
    request: dict[str, Any], settings: Settings, url: str | None, *, as_json: bool, stream: bool
) -> Snapshot:
    printer = Printer(sys.stdout, sys.stderr)
    fold = Fold()
    events = _remote(request, url) if url is not None else _local(request, settings, paced=stream)
    async with aclosing(events):
        async for event in events:
            fold.add(event)
            if stream and as_json:
                sys.stdout.write(encode(event).decode())
                sys.stdout.flush()
            elif stream:
                printer.show(event)
    snapshot = fold.snapshot()
    if not stream and as_json:
        sys.stdout.write(encode_json(snapshot).decode() + "\n")
    elif not stream:
        printer.show_whole(snapshot)
    error = snapshot.message.error
    if error is not None:
        raise RunError(error.message, code=error.code, retryable=error.retryable)
    return snapshot


async def _remote(request: dict[str, Any], url: str) -> AsyncGenerator[AnyEvent, None]:
    """The events from a server. Interrupting the command stops the run there."""
    async with AsyncClient(url) as client, client.run(**request) as run:
        try:
            async for event in run:
                yield event
        except asyncio.CancelledError:
            await run.stop()
            raise


async def _local(request: dict[str, Any], settings: Settings, *, paced: bool) -> AsyncGenerator[AnyEvent, None]:
    """The events of a run in this process."""
    # Here, so that asking a server does not wait for the server's own modules.
    from millstream.request import request_from
    from millstream.server.app import Millstream

    millstream = Millstream(settings)
    async with millstream.lifespan():
        supervisor = millstream.supervisor
        run_id, _ = await supervisor.start(request_from(request), "local", when_unread="stop", paced=paced)
        async with supervisor.follow(run_id, "local") as follower:
            while (frames := await follower.read()) is not None:
                for frame in frames.splitlines():
                    event = decode(frame)
                    if event is not None:
                        yield event
