"""Recorded runs: native frames, as the log holds them, played again at their original pace."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.resources import files
from pathlib import Path

import msgspec

from millstream.errors import InputError, NotFound
from millstream.events import AnyEvent, Data, RunStarted, decode
from millstream.run import Run


class Recording(msgspec.Struct, frozen=True):
    """A run log shipped with the package. `question` is what was asked."""

    name: str
    title: str
    question: str


# Each is a file NAME.ndjson beside this module.
SHIPPED = (Recording("tour", "A tour of one streamed answer", "What happens to my answer when I reload the page?"),)


def read_recording(source: Path) -> list[AnyEvent | None]:
    """The events of a file of native frames. Raises InputError that names the line."""
    return parse_recording(source.read_bytes(), source.name)


def parse_recording(data: bytes, name: str) -> list[AnyEvent | None]:
    """The events in native frames, one a line; None for an unknown type. Raises InputError that names the line."""
    events: list[AnyEvent | None] = []
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                events.append(decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise InputError(f"{name}, line {number}: not an event of a run ({error}).") from error
    if not events or not isinstance(events[0], RunStarted):
        raise InputError(f"{name} is not the log of a run: it must begin with run.started.")
    return events


def shipped(name: str) -> list[AnyEvent | None]:
    """The events of a shipped recording. Raises NotFound."""
    if not any(recording.name == name for recording in SHIPPED):
        raise NotFound(f"There is no recording named {name!r}.", code="no-recording")
    return parse_recording(files(__name__).joinpath(f"{name}.ndjson").read_bytes(), name)


async def paced(
    events: list[AnyEvent | None], speed: float = 1.0, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> AsyncIterator[AnyEvent]:
    """The events, each at its recorded time divided by `speed`; `speed` 0 means without pauses."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for event in _known(events):
        if speed > 0:
            wait = event.at / 1000 / speed - (loop.time() - begun)
            if wait > 0:
                await sleep(wait)
        yield event


def _known(events: list[AnyEvent | None]) -> Iterator[AnyEvent]:
    return (event for event in events if event is not None)


async def recording_answer(run: Run) -> None:
    """The answer `recording`: plays the shipped recording that `options.recording` names, labelled as one."""
    name = run.options.recording or SHIPPED[0].name
    events = shipped(name)
    started = events[0]
    assert isinstance(started, RunStarted)
    run.play(Data(name="recording", data={"name": name, "model": started.model, "created": started.created}))
    async for event in paced(events):
        run.play(event)
