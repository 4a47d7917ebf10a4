"""Citation marks: `[n]` in a model's words becomes a span over the statement that it supports.

    marks = CitationMarks(sources=3)
    marks.feed("Staff get 20 days [")    → ["Staff get 20 days"]
    marks.feed("1]. More")               → [Mark(n=1, start=0, end=17), ". More"]

Citations are the application's business, not the model's: a mark is taken out of the text together with the
blanks before it, whether or not such a source exists. Inside code and links (`[1](…)`, `[text][1]`, `[1]:
…` at the start of a line) brackets mean something else and pass through untouched, as does everything that
is not a mark.

Any chunking of the same text gives the same text and the same marks: every decision looks only at the
cleaned text so far (its last `WINDOW` characters) and at the few characters held back.
"""

import re
from itertools import groupby

import msgspec

from millstream.sentences import sentence_ends

WINDOW = 2000  # characters looked back at; no statement is taken to be longer
MAX_BLANKS = 16  # blanks before a mark that go with it; longer runs of blanks lose only their end
MAX_MARK = 40  # characters from "[" to "]"; longer ones are text

_MARK = re.compile(r"\[ ?\d{1,3}(?: ?, ?\d{1,3})* ?\]")  # four digits are a year, not a source
_BEGINNING_OF_MARK = re.compile(r"\[ ?(?:\d{1,3} ?, ?)*(?:\d{1,3} ?)?\Z")
_EVENT = re.compile(r"[\[`~]")
_NUMBER = re.compile(r"\d+")

_LINE_PREFIX = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?[ \t]*\Z")
_LINK_DESTINATION = re.compile(r"\]\((?:[^()\n]|\([^()\n]*\))*\Z")
_BACKSLASHES = re.compile(r"\\+\Z")
_NEXT_BLOCK = re.compile(r"\n[ \t]*(?:\n|[-*+>#|]|\d{1,9}[.)][ \t]|```|~~~)")

_BLOCK_MARKER = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+|#{1,6}[ \t]+)?")
_OWN_BLOCK = re.compile(r"[ \t>]*(?:#{1,6}[ \t]|```|~~~|\|)")
_STARTS_BLOCK = re.compile(r"[ \t]*(?:[-*+>][ \t]|\d{1,9}[.)][ \t]|#{1,6}[ \t]|\|)")
_WORD = re.compile(r"\w")


class Mark(msgspec.Struct, frozen=True, gc=False):
    """The statement [start, end) of the cleaned text, in Unicode code points, rests on source `n`.

    `start == end` when the mark stands before any statement. The text up to `end` was given out before the
    mark.
    """

    n: int
    start: int
    end: int


class CitationMarks:
    """Takes the marks out of a stream of text. `sources` is how many there are; with 0 everything is text."""

    def __init__(self, sources: int) -> None:
        self._sources = sources
        self._held = ""  # text not decided yet: blanks, the beginning of a mark, or a mark without its next character
        self._recent: list[str] = []  # the cleaned text's end, at least WINDOW characters of it
        self._length = 0  # of the cleaned text
        self._marked_at = -1  # length of the cleaned text at the last mark
        self._statement = (0, 0)  # of the last mark
        self._numbers: set[int] = set()  # cited for that statement
        self._code = _Code()

    def feed(self, text: str) -> list[str | Mark]:
        """What is decided once `text` has arrived: cleaned text and marks, in their order."""
        if not text:
            return []
        if not self._sources:
            return [text]
        if (
            not self._held
            and not self._code.run
            and self._marked_at != self._length
            and "[" not in text
            and "`" not in text
            and "~" not in text
            and text[-1] not in " \t"
        ):
            self._remember(text)
            return [text]
        return _joined(self._decide(self._held + text, final=False))

    def flush(self) -> list[str | Mark]:
        """What was held back, now that no more text will come."""
        return _joined(self._decide(self._held, final=True)) if self._held else []

    def _decide(self, text: str, final: bool) -> list[str | Mark]:
        self._held = ""
        out: list[str | Mark] = []
        given = 0  # text[:given] is in `out`, or removed
        at = 0
        while True:
            if self._code.run:
                at = self._read_run(text, at)
                given = self._give(out, text, given, at)
                if at == len(text):
                    return out
                self._code.end_run(text[at], self._length)
            at = _next_event(text, at)
            if at == len(text):
                break
            if text[at] != "[":
                given = self._give(out, text, given, at)
                self._begin_run(text[at])
                continue
            lead = self._lead(text, given, at)
            given = self._give(out, text, given, lead)
            mark = _MARK.match(text, at, at + MAX_MARK)
            undecided = mark.end() == len(text) if mark else _may_become_mark(text, at)
            if undecided and not final and not self._in_code():
                self._held = text[given:]
                return out
            if mark and self._is_mark(text[given:at], text[mark.end() : mark.end() + 1]):
                out.extend(self._cite(mark[0]))
                given = mark.end()
                at = given
            else:
                at += 1
        held_from = len(text) if final else self._lead(text, given, len(text))
        self._give(out, text, given, held_from)
        self._held = text[held_from:]
        return out

    def _give(self, out: list[str | Mark], text: str, start: int, end: int) -> int:
        if end > start:
            piece = text[start:end]
            out.append(piece)
            self._remember(piece)
        return end

    def _remember(self, piece: str) -> None:
        self._recent.append(piece)
        self._length += len(piece)
        if len(self._recent) > 500:
            self._window()

    def _window(self) -> str:
        """The last WINDOW characters of the cleaned text."""
        window = "".join(self._recent)[-WINDOW:]
        self._recent = [window]
        return window

    def _lead(self, text: str, given: int, at: int) -> int:
        """Where that begins which goes with a mark at `at`: blanks, and the comma between two marks."""
        lead = at
        while lead > given and at - lead < MAX_BLANKS and text[lead - 1] in " \t":
            lead -= 1
        if lead - 1 == given and text[given] in ",;" and self._marked_at == self._length:
            lead = given
        return lead

    # Code: a run of backticks or tildes may open or close it; what it does is known one character later.

    def _begin_run(self, character: str) -> None:
        window = self._window()
        self._code.settle(window, self._length)
        line = window[window.rfind("\n") + 1 :]
        self._code.begin_run(character, bool(_LINE_PREFIX.match(line)), _is_escaped(window))

    def _read_run(self, text: str, at: int) -> int:
        end = at
        while end < len(text) and text[end] == self._code.run:
            end += 1
        self._code.run_length += end - at
        return end

    # Marks.

    def _in_code(self) -> bool:
        self._code.settle(self._window(), self._length)
        return self._code.inside

    def _is_mark(self, blanks: str, following: str) -> bool:
        if following == "(" or self._in_code():
            return False
        window = self._window()
        line = window[window.rfind("\n") + 1 :] + blanks
        if following == ":" and not line.strip(" \t>"):
            return False
        if not blanks and self._marked_at != self._length and (window.endswith("]") or _is_escaped(window)):
            return False
        return not _LINK_DESTINATION.search(line)

    def _cite(self, mark: str) -> list[Mark]:
        statement = self._find_statement()
        if statement != self._statement or self._marked_at < 0:
            self._numbers = set()
        self._statement = statement
        self._marked_at = self._length
        marks = []
        for number in map(int, _NUMBER.findall(mark)):
            if 1 <= number <= self._sources and number not in self._numbers:
                self._numbers.add(number)
                marks.append(Mark(number, *statement))
        return marks

    def _find_statement(self) -> tuple[int, int]:
        window = self._window()
        offset = self._length - len(window)
        if self._marked_at >= 0:
            since = window[max(0, self._marked_at - offset) :] if self._marked_at < self._length else ""
            if not _WORD.search(since) and "\n" not in since.rstrip():
                return self._statement
        body = window.rstrip()
        start = max(_block_start(body), self._statement[1] - offset if self._marked_at >= 0 else 0)
        start += max((end for end in sentence_ends(body[start:]) if start + end < len(body)), default=0)
        while start < len(body) and body[start] in " \t\n\r\f,;:.)":
            start += 1
        if not _WORD.search(body, start):
            return self._length, self._length
        return offset + start, offset + len(body)


class _Code:
    """Whether the text is inside code, from the runs of backticks and tildes in it (CommonMark 0.31, 4.5,
    6.1).

    A run that is never closed is not code: inline code ends with its block. A fence may turn out to be
    inline code as long as its first line lasts.
    """

    def __init__(self) -> None:
        self.inside = False
        self.run = ""  # the character of a run whose end has not been seen
        self.run_length = 0
        self._run_begins_line = False
        self._run_is_escaped = False
        self._fence = ""  # character of the fence that we are inside of
        self._length = 0  # of the run that opened the code
        self._opened_at = 0
        self._may_be_fence = False

    def settle(self, window: str, length: int) -> None:
        """Takes note of what the text since the opening run means: `window` is its end."""
        if not self.inside or self._fence or length == self._opened_at:
            return
        since = window[self._opened_at - length :]
        if self._may_be_fence:
            if "\n" in since:
                self._fence = "`"
        elif _NEXT_BLOCK.search(since):
            self.inside = False

    def begin_run(self, character: str, begins_line: bool, escaped: bool) -> None:
        self.run = character
        self.run_length = 0
        self._run_begins_line = begins_line
        self._run_is_escaped = escaped

    def end_run(self, following: str, length: int) -> None:
        """The run is complete: `following` is the character behind it, `length` the text's up to there."""
        run, run_length = self.run, self.run_length
        self.run = ""
        if self._fence:
            closes = run == self._fence and run_length >= self._length and following in " \t\r\n"
            if closes and self._run_begins_line:
                self.inside, self._fence = False, ""
        elif self.inside:
            if run == "`":
                self.inside = run_length != self._length
                self._may_be_fence = False
        elif run == "`":
            self._length = run_length - self._run_is_escaped
            self.inside = self._length > 0
            self._opened_at = length
            self._may_be_fence = self._length >= 3 and self._run_begins_line
        elif run_length >= 3 and self._run_begins_line:
            self.inside, self._fence, self._length = True, run, run_length


def _joined(out: list[str | Mark]) -> list[str | Mark]:
    """Neighbouring pieces of text as one."""
    joined: list[str | Mark] = []
    for is_text, pieces in groupby(out, lambda piece: isinstance(piece, str)):
        together = list(pieces)
        joined += ["".join(together)] if is_text else together  # type: ignore[arg-type]
    return joined


def _next_event(text: str, at: int) -> int:
    match = _EVENT.search(text, at)
    return match.start() if match else len(text)


def _may_become_mark(text: str, at: int) -> bool:
    return len(text) - at < MAX_MARK and _BEGINNING_OF_MARK.match(text, at) is not None


def _is_escaped(before: str) -> bool:
    backslashes = _BACKSLASHES.search(before)
    return backslashes is not None and len(backslashes[0]) % 2 == 1


def _block_start(body: str) -> int:
    """Where the last paragraph, list item, table cell or heading of `body` begins, behind its marker."""
    start = body.rfind("\n") + 1
    while start and not _STARTS_BLOCK.match(body, start):
        previous = body.rfind("\n", 0, start - 1) + 1
        if not body[previous:start].strip(" \t\r\n>") or _OWN_BLOCK.match(body, previous):
            break
        start = previous
    if body.startswith("|", start):
        return body.rfind("|", start, len(body)) + 1
    marker = _BLOCK_MARKER.match(body, start)
    return marker.end() if marker else start
