"""An answer in a terminal as it happens: what is finished is printed for good, what is still open is redrawn below it.

Markdown is parsed once per finished block: of a growing answer only the last block is open.
"""

import contextlib
import sys
import termios
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from millstream.cli.terminal import cited_source, harmless
from millstream.events import (
    AnyEvent,
    Citation,
    Followups,
    ReasoningDelta,
    RunFailed,
    RunFinished,
    RunStopped,
    Source,
    StepFinished,
    StepStarted,
    TextDelta,
    TextFinished,
)
from millstream.wire.encoder import MarkedText

REDRAWN_PER_SECOND = 12
# Lines of the model's reasoning that are shown while it thinks.
REASONING_LINES = 3

# HTML is shown as it is written, for rich leaves it out: `List<String>` is text.
_blocks = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


class AnswerView:
    """Use as `with AnswerView(console) as view`, and `show` every event of one run in its order."""

    def __init__(self, console: Console) -> None:
        self.seen = 0  # code points of the answer's Markdown that are on the screen
        self._console = console
        # Not redrawn by rich's own thread: between a print and what it moves from `_open`, the screen would be wrong.
        self._live = Live(self, console=console, auto_refresh=False, transient=True, vertical_overflow="visible")
        self._lock = threading.RLock()  # held by whoever changes what is shown or draws it
        self._left = threading.Event()
        self._ticking = threading.Thread(target=self._tick, name="millstream-view", daemon=True)
        self._quiet = contextlib.ExitStack()
        self._steps: dict[str, tuple[Spinner, float]] = {}
        self._reasoning = ""
        self._open = ""  # the Markdown that is not printed yet
        self._marked = MarkedText(lambda n: f" [{n}]")
        self._sources: dict[int, Source] = {}
        self._cited: dict[int, set[int | None]] = {}  # n → the pages that its citations name

    def __enter__(self) -> Self:
        self._quiet.enter_context(_without_echo())
        self._live.start()
        self._ticking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            with self._lock:
                self._left.set()
                self._steps.clear()
                self._reasoning = ""
                self._print_rest()
                self._live.stop()
            self._ticking.join()
        finally:
            self._quiet.close()

    def show(self, event: AnyEvent) -> None:
        with self._lock:
            self._show(event)
            self._live.refresh()

    def _tick(self) -> None:
        """Turns the spinners and counts the seconds until the view is left."""
        while not self._left.wait(1 / REDRAWN_PER_SECOND):
            with self._lock:
                if not self._left.is_set():
                    self._live.refresh()

    def _show(self, event: AnyEvent) -> None:
        match event:
            case TextDelta():
                self._reasoning = ""
                self.seen += len(event.text)
                self._add(self._marked.text(event.text))
            case Citation():
                self._cited.setdefault(event.n, set()).add(event.page)
                self._add(self._marked.citation(event))
            case ReasoningDelta():
                self._reasoning += harmless(event.text)
            case StepStarted():
                self._steps[event.step_id] = (Spinner("dots", Text(harmless(event.label), "dim")), time.monotonic())
            case StepFinished():
                self._steps.pop(event.step_id, None)
                self._note(f"✓ {event.label} ({event.elapsed_ms} ms)")
            case Source():
                self._sources[event.n] = event
            case TextFinished():
                self._print_rest()
                for n in sorted(self._cited.keys() & self._sources.keys()):
                    self._note(cited_source(self._sources[n], self._cited[n]))
                if event.reason == "length":
                    self._note("The answer reached its length limit.")
                elif event.reason == "content_filter":
                    self._note("The provider's content filter ended the answer.")
            case Followups():
                for question in event.questions:
                    self._note(f"→ {question}")
            case RunStopped():
                self._print_rest()
                self._note("Stopped.")
            case RunFailed():
                self._print_rest()
                self._console.print(Text(harmless(event.message), "red"))
            case RunFinished():
                self._print_rest()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What is open, as far as it fits: its last lines."""
        now = time.monotonic()
        lines = []
        for spinner, begun in self._steps.values():
            lines += console.render_lines(spinner, options, pad=False)
            lines[-1] = [*lines[-1], Segment(f" {now - begun:.0f} s", console.get_style("dim"))]
        if self._reasoning:
            thoughts = console.render_lines(Text(self._reasoning, "dim italic"), options, pad=False)
            lines += thoughts[-REASONING_LINES:]
        if self._open.strip():
            lines += console.render_lines(markdown(self._open), options, pad=False)
        for line in lines[-max(1, console.height - 2) :]:
            yield from line
            yield Segment.line()

    def _add(self, text: str) -> None:
        self._open += harmless(text)
        if "\n" not in text:
            return
        finished = _finished(self._open)
        if finished:
            block, self._open = self._open[:finished], self._open[finished:]
            self._print_block(block)

    def _print_rest(self) -> None:
        rest, self._open = self._open, ""  # first, else it is drawn once more below what is printed
        if rest.strip():
            self._print_block(rest)

    def _print_block(self, block: str) -> None:
        self._console.print(markdown(block))
        self._console.print()

    def _note(self, text: str) -> None:
        self._console.print(Text(harmless(text), "dim"))


def markdown(text: str) -> Markdown:
    """As a terminal shows it: addresses in full, not hidden behind a name that the model has chosen; HTML as text."""
    shown = Markdown(text, hyperlinks=False)
    shown.parsed = _blocks.parse(text)
    return shown


@contextlib.contextmanager
def _without_echo() -> Iterator[None]:
    """Keys typed meanwhile are kept for the next prompt and not shown: they would shift the lines that are redrawn."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    silent = termios.tcgetattr(terminal)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _finished(text: str) -> int:
    """The length of the text before the last block, 0 when there is only one."""
    starts = [token.map[0] for token in _blocks.parse(text) if token.level == 0 and token.map and token.nesting >= 0]
    if len(starts) < 2:
        return 0
    return sum(len(line) + 1 for line in text.split("\n")[: starts[-1]])
