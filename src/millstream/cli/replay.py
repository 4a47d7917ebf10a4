"""`millstream replay`: a run from the log or a file, at its original pace."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from millstream.cli.terminal import Printer
from millstream.errors import NotFound
from millstream.events import AnyEvent, RunFailed, Terminal, decode_all, encode
from millstream.recordings import SHIPPED, paced, read_recording, shipped
from millstream.server.settings import load_settings


def replay(
    source: Annotated[
        str, typer.Argument(metavar="RUN|FILE", help="A run's id, a file of events, or a shipped recording.")
    ],
    speed: Annotated[float, typer.Option(help="2 is twice as fast; 0 means without pauses.", min=0)] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print the events as JSON lines.")] = False,
    data: Annotated[Path | None, typer.Option(help="Folder for runs, conversations and the index.")] = None,
) -> None:
    """Play a recorded run again."""
    path = Path(source)
    if path.is_file():
        events = read_recording(path)
    elif any(recording.name == source for recording in SHIPPED):
        events = shipped(source)
    else:
        events = asyncio.run(_logged(source, load_settings(data=data).data))
    asyncio.run(_play(events, speed, json))
    if not any(isinstance(event, Terminal) for event in events):
        typer.echo("The recording ends here; the answer went on.", err=True)
        raise typer.Exit(1)


async def _logged(run_id: str, folder: Path) -> list[AnyEvent | None]:
    """The events of a run in the data folder's log. Raises NotFound."""
    from millstream.database import Database
    from millstream.follower import READ_BYTES
    from millstream.logs.sqlite import SqliteLog
    from millstream.server.app import MIGRATIONS

    path = folder / "millstream.db"
    if not path.is_file() or not run_id.isascii():
        raise NotFound(f"There is no file and no run {run_id!r} ({folder} holds no runs).", code="no-run")
    database = Database(path, MIGRATIONS)
    log = SqliteLog(database)
    events: list[AnyEvent | None] = []
    try:
        seq = 0
        while frames := await log.read(run_id, seq, READ_BYTES):
            events += decode_all(frames)
            seq += frames.count(b"\n")
    finally:
        await database.close()
    if not events:
        raise NotFound(f"There is no file and no run {run_id!r}, or its events are no longer kept.", code="no-run")
    return events


async def _play(events: list[AnyEvent | None], speed: float, as_json: bool) -> None:
    printer = Printer(sys.stdout, sys.stderr)
    async for event in paced(events, speed):
        if as_json:
            sys.stdout.buffer.write(encode(event))
            sys.stdout.flush()
        else:
            printer.show(event)
            if isinstance(event, RunFailed):
                typer.echo(f"The recorded answer failed here: {event.message}", err=True)
