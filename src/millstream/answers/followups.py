"""What to ask next: questions that a model suggests, or that the documents themselves raise."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec

from millstream.search import Passage
from millstream.search.query import query_terms, stem

MOST = 3
MAX_CHARACTERS = 200

_JSON_LIST = re.compile(r"\[.*\]", re.DOTALL)
_MARKED_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(?P<words>.+?)[ \t#]*\Z")
_HEADING_WORDS = range(1, 8)
_NO_HEADING = re.compile(r"[.,;:!|•\d©]")
_SHORT = 0.6  # of the longest line: prose that was set in lines fills them


def parse_followups(words: str) -> list[str]:
    """At most three questions from a model's words: a JSON list, wherever it stands in them; else none."""
    match = _JSON_LIST.search(words)
    if match is None:
        return []
    try:
        found = msgspec.json.decode(match[0])
    except msgspec.DecodeError:
        return []
    questions = [" ".join(entry.split()) for entry in found if isinstance(entry, str)]
    return [question for question in questions if 0 < len(question) <= MAX_CHARACTERS][:MOST]


def followups_from(passages: Iterable[Passage], asked: Sequence[str]) -> list[str]:
    """At most three questions about headings that stand in the passages, none about what was `asked` already."""
    known = [frozenset(map(stem, query_terms(question))) for question in asked]
    questions: list[str] = []
    for passage in passages:
        for heading in headings(passage.text):
            topic = frozenset(map(stem, query_terms(heading)))
            title = frozenset(map(stem, query_terms(passage.title)))
            if topic and not topic <= title and not any(topic <= other or topic == other for other in known):
                known.append(topic)
                questions.append(heading if heading.endswith("?") else f"What do the documents say about “{heading}”?")
                if len(questions) == MOST:
                    return questions
    return questions


def headings(text: str) -> Iterator[str]:
    """Headings of a text: marked ones of Markdown, and short lines without a full stop above a paragraph."""
    lines = text.splitlines()
    longest = max(map(len, lines), default=0)
    for line, following in pairwise(lines):
        marked = _MARKED_HEADING.match(line)
        words = marked["words"] if marked else line.strip()
        if marked or _is_heading(words, following.strip(), longest):
            words = words.strip("*_ ")
            if len(words.split()) in _HEADING_WORDS:
                yield words


def _is_heading(line: str, following: str, longest: int) -> bool:
    return bool(
        line[:1].isupper()
        and len(line) <= _SHORT * longest
        and not _NO_HEADING.search(line)
        and following[:1].isupper()
        and len(following) > _SHORT * longest
    )
