"""An answer in a terminal as it happens: what is finished is printed for good, what still changes is drawn below it."""

import contextlib
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from millstream.cli.pieces import Piece, Pieces
from millstream.cli.tail import Tail
from millstream.cli.terminal import call, cited_source, harmless
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
    ToolFinished,
    ToolStarted,
)
from millstream.wire.encoder import MarkedText

# Between two drawings. One that takes long is followed by a pause of so many times its length: however long a block
# becomes, drawing takes a small part of the time.
PAUSE_S = 0.05
PAUSE_TIMES = 4
# Of the model's thoughts the last lines are shown, and no more characters are kept for that than this.
REASONING_LINES = 3
REASONING_CHARACTERS = 4000


class AnswerView:
    """Use as `with AnswerView(console) as view`, and `show` every event of one run in its order.

    An event is drawn soon after, by a thread of the view: Ctrl-C in the caller's leaves nothing half drawn.
    """

    def __init__(self, console: Console) -> None:
        self._tail = Tail(console)
        self._coming: deque[AnyEvent] = deque()
        self._drawing = threading.Lock()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep_drawing, name="millstream-view", daemon=True)
        self._terminal = contextlib.ExitStack()
        self._console = console
        self._seen = 0
        self._finished: list[RenderableType] = []  # and not yet printed
        self._steps: dict[str, _Waiting] = {}  # and tool calls
        self._reasoning = ""
        self._unread: list[str] = []  # what has come of the text, and is not in `_pieces` yet
        self._pieces = Pieces()
        self._below_text = False
        self._marked = MarkedText(lambda n: f" [{n}]")
        self._sources: dict[int, Source] = {}
        self._cited: dict[int, set[int | None]] = {}  # n → the pages that its citations name

    def __enter__(self) -> Self:
        self._terminal.enter_context(_without_echo())
        self._console.show_cursor(False)
        self._terminal.callback(self._console.show_cursor)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._terminal:
            self._left.set()
            self._thread.join()
            self._take_all()
            self._finish_text()
            self._steps.clear()
            self._draw()

    def show(self, event: AnyEvent) -> None:
        self._coming.append(event)

    def seen(self) -> int:
        """Draws all that has come. Returns how many code points of the answer's Markdown are on the screen."""
        self._draw()
        return self._seen

    def _keep_drawing(self) -> None:
        pause = PAUSE_S
        while not self._left.wait(pause):
            begun = time.monotonic()
            if self._coming or self._steps:
                self._draw()
            pause = max(PAUSE_S, PAUSE_TIMES * (time.monotonic() - begun))

    def _draw(self) -> None:
        with self._drawing:
            self._take_all()
            self._read()
            finished, self._finished = self._finished, []
            thoughts = [_LastLines(self._reasoning)] if self._reasoning else []
            self._tail.draw(finished, [*self._steps.values(), *thoughts, *self._pieces.rest()])

    def _take_all(self) -> None:
        while self._coming:
            self._take(self._coming.popleft())

    def _take(self, event: AnyEvent) -> None:
        match event:
            case TextDelta():
                self._reasoning = ""
                self._seen += len(event.text)
                self._unread.append(self._marked.text(event.text))
            case Citation():
                self._cited.setdefault(event.n, set()).add(event.page)
                self._unread.append(self._marked.citation(event))
            case ReasoningDelta():
                self._reasoning += harmless(event.text)
                if len(self._reasoning) > 2 * REASONING_CHARACTERS:
                    self._reasoning = self._reasoning[-REASONING_CHARACTERS:]
            case StepStarted():
                self._steps[event.step_id] = _Waiting(harmless(event.label))
            case StepFinished():
                self._steps.pop(event.step_id, None)
                self._note(f"✓ {event.label} ({event.elapsed_ms} ms)")
            case ToolStarted():
                self._steps[event.tool_id] = _Waiting(harmless(call(event)))
            case ToolFinished() if waiting := self._steps.pop(event.tool_id, None):
                self._note(f"✓ {waiting.label}" if event.error is None else f"✗ {waiting.label}: {event.error}")
            case Source():
                self._sources[event.n] = event
            case TextFinished():
                self._finish_text()
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
                self._finish_text()
                self._note("Stopped.")
            case RunFailed():
                self._finish_text()
                self._note(event.message, "red")
            case RunFinished():
                self._finish_text()

    def _read(self) -> None:
        """Once for all that has come, since the open block is parsed each time."""
        self._print(self._pieces.add(harmless("".join(self._unread))))
        self._unread.clear()

    def _finish_text(self) -> None:
        self._reasoning = ""
        self._read()
        self._print(self._pieces.rest())
        self._pieces = Pieces()

    def _print(self, pieces: list[Piece]) -> None:
        self._finished += pieces
        self._below_text = self._below_text or bool(pieces)

    def _note(self, text: str, style: str = "dim") -> None:
        self._read()
        if self._below_text:
            self._finished.append(Text())
        self._finished.append(Text(harmless(text), style))
        self._below_text = False


class _Waiting:
    """What has begun and not ended, with the seconds that it takes."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._begun = time.monotonic()
        self._spinner = Spinner("dots", Text(label, "dim"))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = self._spinner.render(console.get_time())
        assert isinstance(shown, Text)
        yield shown.append(f" {time.monotonic() - self._begun:.0f} s", "dim")


class _LastLines:
    def __init__(self, thoughts: str) -> None:
        self._thoughts = Text(thoughts.rstrip(), "dim italic")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in console.render_lines(self._thoughts, options, pad=False)[-REASONING_LINES:]:
            yield from line
            yield Segment.line()


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
