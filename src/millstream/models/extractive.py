"""A model that needs no model: it quotes the sentences of the passages that fit the question best, each with its mark.

Sentences are whole and verbatim (line breaks aside); headings, table rows and list items without a full stop are never
quoted. Where the passages hardly speak of what was asked, it says so instead.
"""

import asyncio
import math
import re
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence

import msgspec

from millstream.models import Finish, ModelOptions, ModelOutput, Prompt, Text
from millstream.search import Passage
from millstream.search.query import query_terms, stem
from millstream.sentences import sentences

WORDS_PER_SECOND = 30.0  # a comfortable reading pace for words that appear
MAX_SENTENCES = 5
MAX_PER_DOCUMENT = 3

# Below this the best passage is about something else. Questions about the documents' subject measured 0.29 to 1.0 in
# 49 of 50 cases, unrelated ones 0 to 0.32, and 0.46 for one that shared a single word.
WEAK_COVERAGE = 0.28
WEAK_COVERAGE_OF_ONE_TERM = 0.5
# Of the best sentence's score, a sentence must have this much to stand beside it.
GOOD_ENOUGH = 0.55
PASSAGE = 0.5  # of a sentence's score depends on its passage's
NUMBER_BONUS = 1.25  # for a number where one was asked for
LONG = 1000  # characters at which a sentence's score is halved: long ones hold many words by chance

NOT_FOUND = (
    "I found nothing in your documents that answers this. "
    "Try other words, ideally ones that the documents use themselves."
)

_BLOCK_BREAK = re.compile(r"\n[ \t]*\n|\n(?=[ \t]*(?:[-*+•◦▪●–][ \t]|\d{1,3}[.)][ \t]|#{1,6}[ \t]|\|))")
# What stands before a block's sentences: a heading's line, or the marker of a list item.
_LEAD = re.compile(r"\s*(?:#[^\n]*|(?:[-*+•◦▪●–>]|\d{1,3}[.)])[ \t]+)")
_FENCED_CODE = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[^\n]*|\Z)", re.DOTALL | re.MULTILINE)
_WHOLE = re.compile(r"[\"'“‘«(*_]*[^\W_a-z].*[.!?。！？][\"'”’»)*_]*\Z", re.DOTALL)
_WORD = re.compile(r"\w+")
_BRACKETED_NUMBER = re.compile(r"\[(?=[\d ,]+\])")
_PIECE = re.compile(r"\s*\S+\s*")
_ASKS_FOR_NUMBER = re.compile(
    r"\b(?:how (?:many|much|long|often|old|far|large|big)|when|what (?:year|date|percentage))\b"
)


class _Quote(msgspec.Struct, frozen=True):
    """A sentence of passage n (from 1), at its place in that passage."""

    n: int
    start: int
    text: str
    stems: frozenset[str]


class ExtractiveModel:
    """A `ChatModel` that quotes `prompt.passages`. `words_per_second` is its pace, 0 for everything at once."""

    name = "extractive"
    quotes = True

    def __init__(
        self,
        words_per_second: float = WORDS_PER_SECOND,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._pause = 1 / words_per_second if words_per_second > 0 else 0.0
        self._sleep = sleep

    async def stream(self, prompt: Prompt, options: ModelOptions) -> AsyncGenerator[ModelOutput, None]:
        """See `ChatModel.stream`."""
        answer = quote(prompt.question, prompt.passages)
        if self._pause and options.paced:
            for number, piece in enumerate(_PIECE.findall(answer)):
                if number:
                    await self._sleep(self._pause)
                yield Text(piece)
        else:
            yield Text(answer)
        yield Finish("stop")

    async def close(self) -> None:
        """Nothing to release."""


def quote(question: str, passages: Sequence[Passage]) -> str:
    """Markdown: the sentences that fit `question` best, by document, each with its ` [n]`; or that there are none."""
    terms = [stem(term) for term in query_terms(question)]
    if _is_weak(terms, passages):
        return NOT_FOUND
    chosen = _best(list(_quotes(passages)), terms, question, passages)
    if not chosen:
        return NOT_FOUND
    return "\n\n".join(_paragraphs(chosen, passages))


def _is_weak(terms: Sequence[str], passages: Sequence[Passage]) -> bool:
    if not passages or not terms:
        return True
    coverage = max((passage.coverage for passage in passages if passage.coverage is not None), default=1.0)
    most = max(len(_stems(f"{passage.title} {passage.text}").intersection(terms)) for passage in passages)
    return coverage < (WEAK_COVERAGE if most > 1 else WEAK_COVERAGE_OF_ONE_TERM)


def _quotes(passages: Sequence[Passage]) -> Iterator[_Quote]:
    for n, passage in enumerate(passages, 1):
        text = _FENCED_CODE.sub(lambda code: "\n" * len(code[0]), passage.text)
        start = 0
        for end in (*(block.start() for block in _BLOCK_BREAK.finditer(text)), len(text)):
            block = text[start:end]
            before = _LEAD.match(block)
            lead = before.end() if before else 0
            if not block.lstrip().startswith("|"):
                for sentence_start, sentence_end in sentences(block[lead:]):
                    sentence = " ".join(block[lead + sentence_start : lead + sentence_end].split())
                    if _is_quotable(sentence):
                        yield _Quote(n, start + lead + sentence_start, sentence, frozenset(_stems(sentence)))
            start = end


def _is_quotable(sentence: str) -> bool:
    return bool(20 <= len(sentence) <= 700 and len(_WORD.findall(sentence)) >= 4 and _WHOLE.match(sentence))


def _stems(text: str) -> set[str]:
    return {stem(word) for word in _WORD.findall(text.lower())}


def _best(quotes: Sequence[_Quote], terms: Sequence[str], question: str, passages: Sequence[Passage]) -> list[_Quote]:
    """The sentences to quote, in the order of the passages and of their text."""
    distinct = list({quote.text.lower(): quote for quote in reversed(quotes)}.values())[::-1]  # passages overlap
    scores = _scores(distinct, terms, question, passages)
    ranked = sorted(range(len(distinct)), key=lambda i: -scores[i])
    chosen: list[_Quote] = []
    for i in ranked:
        if scores[i] < GOOD_ENOUGH * scores[ranked[0]] or scores[i] <= 0 or len(chosen) == MAX_SENTENCES:
            break
        if not any(_says_the_same(distinct[i], other) for other in chosen):
            chosen.append(distinct[i])
    return sorted(chosen, key=lambda quote: (quote.n, quote.start))


def _scores(quotes: Sequence[_Quote], terms: Sequence[str], question: str, passages: Sequence[Passage]) -> list[float]:
    """How well each sentence fits: the rarity of the question's terms in it, and how well its passage fits."""
    holders = Counter(term for quote in quotes for term in quote.stems.intersection(terms))
    weights = {term: math.log(1 + len(quotes) / (1 + holders[term])) for term in terms}
    best_passage = max((passage.score or 0.0 for passage in passages), default=0.0)
    asks_for_number = bool(_ASKS_FOR_NUMBER.search(question.lower()))
    scores = []
    for quote in quotes:
        score = sum(weights[term] for term in quote.stems.intersection(terms))
        if asks_for_number and any(character.isdigit() for character in quote.text):
            score *= NUMBER_BONUS
        if best_passage:
            score *= 1 - PASSAGE + PASSAGE * (passages[quote.n - 1].score or 0.0) / best_passage
        scores.append(score / (1 + len(quote.text) / LONG))
    return scores


def _says_the_same(one: _Quote, other: _Quote) -> bool:
    shared = len(one.stems & other.stems)
    return shared >= 0.8 * min(len(one.stems), len(other.stems))


def _paragraphs(chosen: Sequence[_Quote], passages: Sequence[Passage]) -> Iterator[str]:
    """For each document a line that names it, and its sentences as one quotation."""
    by_document: dict[str, list[_Quote]] = {}
    for quote in chosen:
        by_document.setdefault(passages[quote.n - 1].document_id, []).append(quote)
    for quotes in by_document.values():
        first = passages[quotes[0].n - 1]
        yield f"From **{_escaped(first.title)}**:"
        in_order = sorted(quotes[:MAX_PER_DOCUMENT], key=lambda quote: (passages[quote.n - 1].start or 0) + quote.start)
        yield "> " + " ".join(f"{_escaped(quote.text)} [{quote.n}]" for quote in in_order)


def _escaped(text: str) -> str:
    """So that a document's own "[3]" is not taken for a mark, nor a single backtick for the beginning of code."""
    text = _BRACKETED_NUMBER.sub(r"\\[", text)
    return text.replace("`", "\\`") if text.count("`") % 2 else text
