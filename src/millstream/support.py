"""Whether what an answer says stands in its sources: its numbers, its quotations, and the words that tell.

Nothing here understands a language: it compares words, without their endings, and so only judges what is certain. A
source in another language than the statement is recognised by its function words, and judged by its numbers alone.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from millstream.events import Unsupported
from millstream.search import Passage
from millstream.search.query import STOP_WORDS, stem
from millstream.sentences import statements

# Of a statement's telling words, the part that a source holds. Sentences of reference answers over handbooks measured
# 0.83 on average against the pages that they were written from (a tenth below 0.55), 0.38 against another page of the
# same document (a tenth above 0.62), and 0.27 against another document.
CERTAIN = 0.85  # enough to cite a source that the model did not
GOOD = 0.6
POOR = 0.35  # a mark is wrong when another source is good and certainly better
NONE = 0.15  # …or no word of the statement is there
FEWEST_WORDS = 4  # telling words of a statement, below which words alone prove nothing
ENGLISH_WORDS = 4  # distinct function words that make a source English
QUOTED_WORDS = 3  # shorter quotations are terms, not evidence

_WORD = re.compile(r"[^\W\d_]+")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_QUOTATION = re.compile(r"“([^“”\n]+)”|«([^«»\n]+)»|„([^„“”\n]+)[“”]|\"([^\"\n]+)\"")
_ELLIPSIS = re.compile(r"\[?(?:…|\.\.\.)\]?")
# Sentences about the sources rather than from them.
_ABOUT_SOURCES = re.compile(
    r"\b(?:sources?|documents?|passages?|information|context|mention(?:s|ed)?|provided|sorry|I)\b", re.IGNORECASE
)
# Without those that are words of other languages too.
_AMBIGUOUS = frozenset(
    re.findall(r"\w+", "a am an as at be do don for has her his i if in is it may me no on or s so t was we will")
)
_ENGLISH = STOP_WORDS - _AMBIGUOUS
_BELOW_20 = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred")
_NUMBER_WORDS = {word: 10 * n for n, word in enumerate(_TENS, 1)} | {word: n for n, word in enumerate(_BELOW_20, 1)}


class Cited(msgspec.Struct, frozen=True, gc=False):
    """The statement [start, end) of the answer rests on source `n`."""

    n: int
    start: int
    end: int


class Review(msgspec.Struct, frozen=True):
    """What a whole answer lacks: citations that are certain, and statements that no source supports."""

    added: Sequence[Cited]
    unsupported: Sequence[Unsupported]


class Support:
    """Judges statements by the sources, numbered from 1. What the `question` says needs no source."""

    def __init__(self, question: str, passages: Sequence[Passage] = ()) -> None:
        self._question = _Evidence(question)
        self._sources: list[_Evidence] = []
        self.add(passages)

    def add(self, passages: Sequence[Passage]) -> None:
        """More sources, numbered on from those that are there."""
        self._sources += [_Evidence(f"{passage.title}\n{passage.header}\n{passage.text}") for passage in passages]

    def corrected(self, n: int, statement: str) -> int | None:
        """The source that a mark of source `n` should name: `n`, another one that certainly fits better, or none."""
        said = _Said(statement)
        cited = self._sources[n - 1]
        if len(said.words) < FEWEST_WORDS or not said.comparable_with(cited):
            return n
        words, lacks = said.part_in([cited]), self._missing(said, [cited])
        if words >= POOR and not lacks:
            return n
        best = max(range(len(self._sources)), key=lambda i: said.part_in([self._sources[i]]))
        better = said.part_in([self._sources[best]])
        if better >= max(GOOD, words + 0.1) and not self._missing(said, [self._sources[best]]):
            return best + 1
        return None if words < NONE else n

    def review(self, text: str, citations: Sequence[Cited], offset: int = 0) -> Review:
        """Of the part `text` of an answer that begins at its character `offset`, and whose `citations` are right."""
        added: list[Cited] = []
        unsupported: list[Unsupported] = []
        answer = _Said(text)
        for start, end in ((start + offset, end + offset) for start, end in statements(text)):
            said = _Said(text[start - offset : end - offset])
            numbers = {cited.n for cited in citations if cited.start < end and start < cited.end}
            if not numbers and (n := self._certain(said)):
                added.append(Cited(n, start, end))
                continue
            sources = [self._sources[n - 1] for n in sorted(numbers)] or self._sources
            missing = self._missing(said, sources)
            if missing or not self._speak_of(said, answer, sources):
                unsupported.append(Unsupported(start, end, tuple(missing)))
        return Review(added, unsupported)

    def holds(self, statement: str, numbers: Sequence[int]) -> bool:
        """Whether most of what the statement says stands in these sources (in all, where none is named)."""
        said = _Said(statement)
        sources = [self._sources[n - 1] for n in numbers] or self._sources
        enough = len(said.words) < FEWEST_WORDS or said.part_in([*sources, self._question]) >= GOOD
        return enough and not self._missing(said, sources)

    def _certain(self, said: "_Said") -> int | None:
        if len(said.words) < FEWEST_WORDS or said.asks:
            return None
        parts = [said.part_in([source]) for source in self._sources]
        best = max(range(len(parts)), key=parts.__getitem__, default=None)
        if best is None or parts[best] < CERTAIN or self._missing(said, [self._sources[best]]):
            return None
        return best + 1

    def _missing(self, said: "_Said", sources: Sequence["_Evidence"]) -> list[str]:
        """Numbers and quotations of the statement that neither these sources nor the question hold."""
        among = (*sources, self._question)
        numbers = [n for n in said.numbers if not any(readings(n) & source.numbers for source in among)]
        quotations = [q for q in said.quotations if not any(source.holds(q) for source in among)]
        return [*numbers, *quotations]

    def _speak_of(self, said: "_Said", answer: "_Said", sources: Sequence["_Evidence"]) -> bool:
        """False only when the sources are certainly about something else than this statement of the answer."""
        if len(said.words) < FEWEST_WORDS or said.asks or _ABOUT_SOURCES.search(said.text):
            return True
        if not any(said.comparable_with(source, answer) for source in sources):
            return True
        return said.part_in([*sources, self._question]) >= POOR


class _Evidence:
    """What a source says, ready to be compared with."""

    def __init__(self, text: str) -> None:
        words = _WORD.findall(text.lower())
        self.words = frozenset(words)
        self.is_english = len(self.words & _ENGLISH) >= ENGLISH_WORDS
        self.stems = frozenset(map(stem, words))
        self.numbers = frozenset(reading for n in NUMBER.findall(text) for reading in readings(n))
        self.numbers |= {str(_NUMBER_WORDS[word]) for word in self.words if word in _NUMBER_WORDS}
        self._plain = _plain(text)

    def holds(self, quotation: str) -> bool:
        """All parts of the quotation stand here word for word."""
        return all(_plain(part) in self._plain for part in _ELLIPSIS.split(quotation))


class _Said:
    """A statement of the answer."""

    def __init__(self, text: str) -> None:
        words = _WORD.findall(text.lower())
        self.text = text
        self.words = frozenset(stem(word) for word in words if not _is_function_word(word))
        self.numbers = list(dict.fromkeys(NUMBER.findall(text)))
        self.quotations = list(_quotations(text))
        self.asks = text.rstrip("*_ ").endswith(("?", ":"))
        self._function_words = frozenset(filter(_is_function_word, words))

    def part_in(self, sources: Iterable[_Evidence]) -> float:
        """The part of the telling words that these sources hold together."""
        stems = frozenset[str]().union(*(source.stems for source in sources))
        return len(self.words & stems) / len(self.words) if self.words else 0.0

    def comparable_with(self, source: _Evidence, answer: "_Said | None" = None) -> bool:
        """Both are in one language: they share function words, as any two texts of some length do.

        Of a statement with few of them, one is enough where the whole `answer` is in the language of the source.
        """
        if source.is_english and len(self._function_words & _ENGLISH) >= 2:
            return True
        shared = len(self._function_words & source.words)
        if shared >= 2 and shared >= 0.4 * len(self._function_words):
            return True
        return answer is not None and self._tells_of(source, 1, 1 / 3) and answer._tells_of(source, 4, 0.6)

    def _tells_of(self, source: _Evidence, fewest: int, part: float) -> bool:
        """So many of the function words, and such a part of them, are of the source's language and hardly of others."""
        telling = self._function_words - _AMBIGUOUS
        known = telling & (source.words | (_ENGLISH if source.is_english else frozenset()))
        return len(known) >= fewest and len(known) >= part * len(telling)


def _is_function_word(word: str) -> bool:
    return word in STOP_WORDS or len(word) <= 3


def readings(number: str) -> frozenset[str]:
    """What a number may mean: "1,000" is a thousand or one, as "1.000" is, and "20.50" is also "20.5"."""
    as_english = number.replace(",", "")
    as_continental = number.replace(".", "").replace(",", ".")
    return frozenset(_shortest(reading) for reading in (as_english, as_continental) if reading.count(".") <= 1) | {
        number
    }


def _shortest(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number


def _quotations(text: str) -> Iterator[str]:
    for match in _QUOTATION.finditer(text):
        quotation = next(filter(None, match.groups()))
        if len(quotation.split()) >= QUOTED_WORDS:
            yield quotation


def _plain(text: str) -> str:
    """Words and numbers alone, in small letters: quotations may differ from their source in all else."""
    return " ".join(re.findall(r"\w+", text.lower()))
