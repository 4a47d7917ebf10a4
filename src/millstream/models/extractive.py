"""A model that needs no model: it quotes what of the passages fits the question best, each piece with its mark.

Where the passages hardly speak of what was asked, it says so instead and names them; where nothing was searched, it
says that a language model is needed. See `quotable` for what is quoted.
"""

import asyncio
import difflib
import math
import re
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from itertools import groupby

from millstream.models import Finish, ModelOptions, ModelOutput, Prompt, Text
from millstream.models.quotable import Quotable, negates, quotables, refers_back, stems
from millstream.search import Passage
from millstream.search.fuse import in_turn
from millstream.search.parts import question_parts
from millstream.search.query import STOP_WORDS, is_telling, query_terms, stem

WORDS_PER_SECOND = 30.0  # a comfortable reading pace for words that appear
MAX_QUOTES = 5
MAX_PER_DOCUMENT = 4
MAX_SOURCES = 3
MAX_NEAREST = 3  # passages that are offered when nothing fits

# Below this the best passage is about something else. Questions about the documents' subject measured 0.29 to 1.0 in
# 49 of 50 cases, unrelated ones 0 to 0.32, and 0.46 for one that shared a single word.
WEAK_COVERAGE = 0.28
WEAK_COVERAGE_OF_ONE_TERM = 0.5
# Where meanings were compared: the part of the question that the best piece holds, and the best passage's cosine,
# together. See docs/retrieval.md for what it was chosen on.
WEAK_TOGETHER = 0.7
# Of the best piece's score, a piece must have this much to stand beside it.
GOOD_ENOUGH = 0.6
RANK = 0.2  # the scores of the nth nearest passage are divided by 1 + RANK · (n − 1)
IN_TITLE = 0.3  # of a term's weight is left when it names a document rather than what is asked about it
IN_CONTEXT = 0.4  # …when it stands only in the heading above, unless the question holds all of that heading
LATER = 0.15  # the scores of the nth piece below such a heading are divided by 1 + LATER · (n − 1)
OTHER_DOCUMENT = 0.6  # of a score is left for a document whose title the question names less than another's
DANGLING = 0.8  # …for a sentence that begins by referring to the one before
OPPOSITE = 0.5  # …for what is said to be where it is asked what is not, and the other way round
NUMBER_BONUS = 1.5  # for a number where one was asked for
ADDRESS_BONUS = 1.5  # …for an address or a telephone number
DEFINITION_BONUS = 1.5  # …for "A deductible is …"
LONG = 1000  # characters at which a sentence's score is halved: long ones hold many words by chance
SIMILAR = 0.8  # letters that a misspelt word shares with the one that is meant (difflib's ratio)

NOT_FOUND = (
    "I found nothing in your documents that answers this. "
    "Try other words, ideally ones that the documents use themselves."
)

NO_MODEL = """This needs a language model, and there is none: without one I can only quote documents.

To add one, set `MILLSTREAM_MODEL` (for example to `openai/gpt-4o-mini`, with `OPENAI_API_KEY`) and start again."""

_STOPS = frozenset(map(stem, STOP_WORDS))
_BRACKETED_NUMBER = re.compile(r"\[(?=[\d ,]+\])")
_ASKS_FOR_ADDRESS = re.compile(r"\b(?:e-?mail|phone|telephone|call|website|contact|reach)\b")
_ADDRESS = re.compile(r"\w@\w|https?://|www\.|\+?\d[\d() -]{6,}\d")
_ASKS_FOR_DEFINITION = re.compile(
    r"\s*(?:what (?:is|are|does)|define|explain)\s+(?:an?\s|the\s)?\s*"
    r"(?P<what>[\w-]+(?: [\w-]+){0,2}?)(?: mean)?[\s?]*\Z",
    re.IGNORECASE,
)
_PIECE = re.compile(r"\s*\S+\s*")
_ASKS_FOR_NUMBER = re.compile(
    r"\b(?:how (?:many|much|long|often|old|far|large|big)|when|what (?:year|date|percentage|time))\b"
)
_ASKS_FOR_COUNT = re.compile(r"\b(?:how (?:many|old)|what (?:year|percentage|time)|(?:phone|telephone) number)\b")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NUMBER_WORD = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|"
    r"hundred|thousand|once|twice|no|none)\b",
    re.IGNORECASE,
)
_ASKS_WHETHER = re.compile(
    r"\s*(?:am|are|can|could|did|do|does|had|has|have|is|may|must|should|was|were|will|would)\b", re.IGNORECASE
)


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
        answer = NO_MODEL if prompt.passages is None else quote(prompt.question, prompt.passages)
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
    """Markdown: what fits `question` best, by document, each piece with its ` [n]`; or that nothing does."""
    pieces = list({piece.text.lower(): piece for piece in reversed(list(quotables(passages)))}.values())[::-1]
    by_part = [_fitting(part, pieces, passages) for part in question_parts(question)] if pieces else []
    chosen: list[Quotable] = []
    for group in in_turn(by_part):
        if len(chosen) < MAX_QUOTES:
            chosen += [piece for piece in group if _adds_to(chosen, piece, passages)]
    if not chosen:
        return _not_found(passages)
    leads = " ".join(piece.lead for piece in chosen)
    chosen = [piece for piece in chosen if piece.kind != "sentence" or piece.text not in leads]
    return "\n\n".join(_paragraphs(chosen, passages))


def _not_found(passages: Sequence[Passage]) -> str:
    """Says so, and where the nearest passages stand."""
    places = list(dict.fromkeys(_place(passage) for passage in passages))[:MAX_NEAREST]
    if not places:
        return NOT_FOUND
    return f"{NOT_FOUND}\n\nThe nearest passages:\n\n" + "\n".join(f"- {place}" for place in places)


def _place(passage: Passage) -> str:
    title = f"**{_escaped(passage.title)}**"
    if passage.page_start is None:
        return title
    if passage.page_end in (None, passage.page_start):
        return f"{title}, page {passage.page_start}"
    return f"{title}, pages {passage.page_start}–{passage.page_end}"


def _meant(terms: Sequence[str], pieces: Sequence[Quotable]) -> list[str]:
    """The terms, a misspelt one replaced by the word of the passages that is most like it."""
    known = sorted(frozenset[str]().union(*(piece.stems | piece.context for piece in pieces)))
    meant = []
    for term in terms:
        if term not in known and len(term) > 3 and term.isalpha():
            meant += difflib.get_close_matches(term, known, 1, SIMILAR) or [term]
        else:
            meant.append(term)
    return list(dict.fromkeys(meant))


def _weights(terms: Sequence[str], pieces: Sequence[Quotable]) -> dict[str, float]:
    """The rarer among the pieces, the more a term tells."""
    holders = Counter(term for piece in pieces for term in piece.stems.intersection(terms))
    return {term: math.log(1 + len(pieces) / (1 + holders[term])) for term in terms}


def _is_weak(terms: Sequence[str], pieces: Sequence[Quotable], passages: Sequence[Passage]) -> bool:
    if not terms:
        return True
    cosine = max((passage.semantic.score for passage in passages if passage.semantic), default=None)
    if cosine is not None:
        weights = _weights(terms, pieces)
        held = max(sum(weights[term] for term in piece.stems.intersection(terms)) for piece in pieces)
        return held / sum(weights.values()) + cosine < WEAK_TOGETHER
    coverage = max((passage.coverage for passage in passages if passage.coverage is not None), default=1.0)
    most = max(len(stems(f"{passage.title} {passage.text}").intersection(terms)) for passage in passages)
    return coverage < (WEAK_COVERAGE if most > 1 else WEAK_COVERAGE_OF_ONE_TERM)


def _lacks_number(question: str, terms: Sequence[str], pieces: Sequence[Quotable], passages: Sequence[Passage]) -> bool:
    """A number of the question is nowhere in the passages, or one is asked for and no piece about it holds one."""
    text = " ".join(passage.text for passage in passages)
    if any(number not in text for number in _NUMBER.findall(question)):
        return True
    if not _ASKS_FOR_COUNT.search(question.lower()):
        return False
    weights = _weights(terms, pieces)
    telling = sum(weights.values()) / 3
    return not any(
        _NUMBER_WORD.search(piece.text)
        and sum(weights[term] for term in (piece.stems | piece.context).intersection(terms)) >= telling
        for piece in pieces
    )


def _fitting(question: str, pieces: Sequence[Quotable], passages: Sequence[Passage]) -> list[list[Quotable]]:
    """The pieces that fit a question, the best first, each behind the sentence that it refers to; or none."""
    terms = _meant([stem(term) for term in query_terms(question) if is_telling(term)], pieces)
    if _is_weak(terms, pieces, passages) or _lacks_number(question, terms, pieces, passages):
        return []
    scores = _scores(pieces, terms, question, passages)
    at = {(piece.n, piece.start): piece for piece in pieces}
    fitting = []
    for i in sorted(range(len(pieces)), key=lambda i: -scores[i]):
        if scores[i] < GOOD_ENOUGH * max(scores) or scores[i] <= 0:
            break
        piece = pieces[i]
        before = at.get((piece.n, piece.previous)) if piece.previous is not None and _dangles(piece) else None
        fitting.append([piece] if before is None else [before, piece])
    return fitting


def _adds_to(chosen: Sequence[Quotable], piece: Quotable, passages: Sequence[Passage]) -> bool:
    """Not said yet, from one of a few sources, and not too much of one document."""
    if any(_says_the_same(piece, other) for other in chosen):
        return False
    if len({other.n for other in chosen} | {piece.n}) > MAX_SOURCES:
        return False
    document = passages[piece.n - 1].document_id
    return sum(passages[other.n - 1].document_id == document for other in chosen) < MAX_PER_DOCUMENT


def _scores(
    pieces: Sequence[Quotable], terms: Sequence[str], question: str, passages: Sequence[Passage]
) -> list[float]:
    """How well each piece fits: the rarity of the question's terms in it, and how well its passage fits."""
    titles = [stems(passage.title).intersection(terms) for passage in passages]
    naming = frozenset[str]().union(*titles)
    named = max(map(len, titles), default=0)
    weights = {t: weight * (IN_TITLE if t in naming else 1) for t, weight in _weights(terms, pieces).items()}
    bonuses = list(_bonuses(question))
    before = _nearer(passages)
    asked = frozenset(terms)
    below = Counter[tuple[int, frozenset[str]]]()
    scores = []
    for piece in pieces:
        is_opposite = _is_opposite(piece, question)
        is_section = not asked.isdisjoint(piece.context) and piece.context <= asked | _STOPS and not is_opposite
        in_context = sum(weights[term] for term in (piece.context - piece.stems).intersection(terms))
        score = sum(weights[term] for term in piece.stems.intersection(terms))
        score += in_context * (1 if is_section else IN_CONTEXT)
        for pattern, bonus in bonuses:
            score *= bonus if pattern.search(piece.text) else 1
        score /= 1 + RANK * before[piece.n - 1]
        if len(titles[piece.n - 1]) < named:
            score *= OTHER_DOCUMENT
        if _dangles(piece):
            score *= DANGLING
        if is_opposite:
            score *= OPPOSITE
        if is_section:
            score /= 1 + LATER * below[piece.n, piece.context]
            below[piece.n, piece.context] += 1
        scores.append(score / (1 + len(piece.text) / LONG))
    return scores


def _nearer(passages: Sequence[Passage]) -> list[int]:
    """For each passage, how many are nearer to the question: by coverage and cosine together, as where nothing is near.

    The order of a search is made of ranks, which do not tell how much nearer one is than the next. It stands where a
    reranker made it, and where no meanings were compared. One without a cosine counts as the lowest.
    """
    cosines = [passage.semantic.score for passage in passages if passage.semantic]
    if not cosines or any(passage.reranked is not None for passage in passages):
        return list(range(len(passages)))
    nearness = [
        (passage.coverage or 0.0) + (passage.semantic.score if passage.semantic else min(cosines))
        for passage in passages
    ]
    order = sorted(range(len(passages)), key=lambda i: -nearness[i])
    return [order.index(i) for i in range(len(passages))]


def _bonuses(question: str) -> Iterator[tuple[re.Pattern[str], float]]:
    """What the form of the question lets expect of an answer, and how much that counts."""
    if _ASKS_FOR_NUMBER.search(question.lower()):
        yield _NUMBER_WORD, NUMBER_BONUS
    if _ASKS_FOR_ADDRESS.search(question.lower()):
        yield _ADDRESS, ADDRESS_BONUS
    if definition := _ASKS_FOR_DEFINITION.match(question):
        what = re.escape(definition["what"])
        yield (
            re.compile(rf"(?:an?\s|the\s)?{what}s?\b[^.]{{0,40}}?\b(?:is|are|means?)\b|{what}:", re.IGNORECASE),
            DEFINITION_BONUS,
        )


def _dangles(piece: Quotable) -> bool:
    return piece.kind == "sentence" and refers_back(piece.text)


def _is_opposite(piece: Quotable, question: str) -> bool:
    """It is about what is where the question is about what is not, or the other way round. "Is it?" may be denied."""
    if negates(question):
        return not piece.in_negation and not negates(piece.text)
    return piece.in_negation and _ASKS_WHETHER.match(question) is None


def _says_the_same(one: Quotable, other: Quotable) -> bool:
    if one.kind != other.kind or one.kind in ("row", "record"):
        return one.text == other.text
    if set(_NUMBER.findall(one.text)) != set(_NUMBER.findall(other.text)):
        return False  # a rule and another version of it
    mine, theirs = stems(one.text), stems(other.text)
    return len(mine & theirs) >= 0.8 * min(len(mine), len(theirs))


def _paragraphs(chosen: Sequence[Quotable], passages: Sequence[Passage]) -> Iterator[str]:
    """For each document a line that names it, and its pieces as one quotation, in the order of the document."""
    by_document: dict[str, list[Quotable]] = {}
    for piece in chosen:
        by_document.setdefault(passages[piece.n - 1].document_id, []).append(piece)
    for pieces in by_document.values():
        yield f"From **{_escaped(passages[pieces[0].n - 1].title)}**:"
        pieces.sort(key=lambda piece: (passages[piece.n - 1].start or 0) + piece.start)
        parts = [
            _rendered(kind, lead, header, list(group))
            for (kind, lead, header), group in groupby(pieces, lambda piece: (piece.kind, piece.lead, piece.header))
        ]
        yield "\n".join(f"> {line}".rstrip() for line in "\n\n".join(parts).split("\n"))


def _rendered(kind: str, lead: str, header: str, pieces: Sequence[Quotable]) -> str:
    quoted = [f"{_escaped(piece.text)} [{piece.n}]" for piece in pieces]
    if kind in ("item", "record"):
        body = "\n".join(f"- {piece}" for piece in quoted)
    elif kind == "row":
        rows = (f"{_escaped(piece.text).rstrip('| ')} [{piece.n}] |" for piece in pieces)
        body = "\n".join([header, *rows])
    else:
        body = " ".join(quoted)
    return f"{_escaped(lead)}\n\n{body}" if lead else body


def _escaped(text: str) -> str:
    """So that a document's own "[3]" is not taken for a mark, nor a single backtick for the beginning of code."""
    text = _BRACKETED_NUMBER.sub(r"\\[", text)
    return text.replace("`", "\\`") if text.count("`") % 2 else text
