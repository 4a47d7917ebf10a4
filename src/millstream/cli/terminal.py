"""A run in a terminal: steps and sources dimmed on standard error, words with `[n]` marks on standard output."""

import re
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console

from millstream.conversations.export import cited_pages
from millstream.events import (
    AnyEvent,
    Citation,
    Followups,
    ReasoningDelta,
    RunFailed,
    RunStopped,
    Source,
    StepFinished,
    StepStarted,
    TextDelta,
    TextFinished,
    ToolFinished,
    ToolStarted,
    encode_json,
)
from millstream.snapshot import Snapshot, SourceState

_COMMAND = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

CALL_CHARACTERS = 80  # of a tool call's arguments


def harmless(text: str) -> str:
    """Without what commands a terminal (control characters, turns of the writing direction), which documents and
    models may say; line ends and tabs stay.
    """
    return _COMMAND.sub("", text)


def cited_source(source: Source | SourceState, pages: Iterable[int | None] = ()) -> str:
    """One line that names a source; `pages` are those that its citations name."""
    return f"[{source.n}] {source.title} ({source.uri}{cited_pages(source, pages)})"


def call(tool: ToolStarted) -> str:
    """A tool call in one line, cut where it becomes long."""
    arguments = ", ".join(f"{name}={encode_json(value).decode()}" for name, value in tool.arguments.items())
    return f"{tool.name}({arguments if len(arguments) <= CALL_CHARACTERS else arguments[: CALL_CHARACTERS - 1] + '…'})"


def without_followups(err: TextIO) -> dict[str, Any]:
    """The options of a run whose next questions nobody would be told: `Printer` tells them on a terminal only."""
    return {} if err.isatty() else {"options": {"followups": False}}


class Printer:
    """Plain text when the output is piped; what is not the answer goes to `err`, and only to a terminal."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._console = Console(file=err, highlight=False)
        self._talkative = err.isatty()
        self._sources: dict[int, Source | SourceState] = {}
        self._cited: dict[int, set[int | None]] = {}  # n → the pages that its citations name
        self._words = False

    def show(self, event: AnyEvent) -> None:
        match event:
            case TextDelta():
                self._write(event.text)
            case Citation():
                self._cite(event.n, event.page)
            case StepStarted():
                self._note(event.label)
            case StepFinished():
                self._note(f"{event.label} ({event.elapsed_ms} ms)")
            case ToolStarted():
                self._note(call(event))
            case ToolFinished() if event.error is not None:
                self._note(event.error)
            case Source():
                self._sources[event.n] = event
            case ReasoningDelta() if self._talkative:
                self._console.print(harmless(event.text), style="dim italic", end="", markup=False)
            case TextFinished():
                self._write_sources()
            case Followups():
                for question in event.questions:
                    self._note(f"→ {question}")
            case RunStopped():
                self._write("\n")
                self._note("Stopped.")
            case RunFailed():
                self._write("\n")

    def show_whole(self, snapshot: Snapshot) -> None:
        message = snapshot.message
        self._sources = {source.n: source for source in message.sources}
        position = 0
        for citation in sorted(message.citations, key=lambda citation: citation.end):
            self._write(message.content[position : citation.end])
            self._cite(citation.n, citation.page)
            position = citation.end
        self._write(message.content[position:])
        self._write_sources()

    def _write(self, text: str) -> None:
        if text and not self._words and self._talkative:
            self._console.print()
        self._words = self._words or bool(text)
        self._out.write(harmless(text))
        self._out.flush()

    def _cite(self, n: int, page: int | None) -> None:
        self._cited.setdefault(n, set()).add(page)
        self._write(f" [{n}]")

    def _write_sources(self) -> None:
        self._write("\n")
        cited = [self._sources[n] for n in sorted(self._cited) if n in self._sources]
        if cited:
            self._write("\n")
        for source in cited:
            self._write(f"{cited_source(source, self._cited[source.n])}\n")

    def _note(self, text: str) -> None:
        if self._talkative:
            self._console.print(harmless(text), style="dim", markup=False)
