"""`millstream ask`: one question, answered in the terminal."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from millstream.cli.reach import reachable
from millstream.cli.terminal import Printer, without_followups
from millstream.client import RunStream
from millstream.errors import InputError, MillstreamError, RunError
from millstream.events import encode, encode_json
from millstream.snapshot import Snapshot


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
    fields: dict[str, Any] = {} if answer is None else {"answer": answer}
    if not json:
        fields |= without_followups(sys.stderr)
    with reachable(url, data=data, model=model, quote_pace=None if stream else 0) as server:
        run = server.client.run(question, **fields)
        try:
            snapshot = _show(run, as_json=json, stream=stream)
        except (KeyboardInterrupt, BrokenPipeError):
            with contextlib.suppress(MillstreamError):
                run.stop()
            raise
    error = snapshot.message.error
    if error is not None:
        raise RunError(error.message, code=error.code, retryable=error.retryable)
    if snapshot.state != "finished":
        raise typer.Exit(1)


def _show(run: RunStream, *, as_json: bool, stream: bool) -> Snapshot:
    """Prints the answer, streamed or whole, and returns it."""
    printer = Printer(sys.stdout, sys.stderr)
    if stream:
        for event in run:
            if as_json:
                sys.stdout.buffer.write(encode(event))
                sys.stdout.flush()
            else:
                printer.show(event)
    snapshot = run.final()
    if not stream and as_json:
        sys.stdout.buffer.write(encode_json(snapshot) + b"\n")
    elif not stream:
        printer.show_whole(snapshot)
    return snapshot
