"""Example questions from the documents, without a model: what they ask themselves, else what their headings say."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest

from millstream.documents.catalogue import Beginning, Catalogue

EXAMPLES = 4
DOCUMENTS = 20  # looked into
CHARACTERS = 20_000  # of each

_MARKUP = re.compile(r"^[\s>]*(?:#{1,6}\s+|[-*+•]\s+|\d{1,3}[.)]\s+|Q:\s*)?")
_EMPHASIS = re.compile(r"[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}|\s*#+\s*$")
_QUESTION = re.compile(r"[^?？؟]{10,118}[?？؟]")
_HEADING = re.compile(r"^ {0,3}#{1,4}\s+(.+)", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(```|~~~).*?(?:^ {0,3}\1|\Z)", re.DOTALL | re.MULTILINE)
# Headings that say nothing of what stands below them.
_EMPTY = frozenset(
    """introduction overview contents summary conclusion appendix references index notes example examples usage
    unreleased added changed fixed removed""".split()  # noqa: SIM905
)


async def example_questions(catalogue: Catalogue, owner: str) -> list[str]:
    """Up to four questions that the owner's documents may answer, of as many documents as can be."""
    return examples_in(await catalogue.beginnings(owner, DOCUMENTS, CHARACTERS))


def examples_in(beginnings: Sequence[Beginning]) -> list[str]:
    """The documents take turns; what they ask themselves comes before what is made of their headings and titles."""
    asked = _in_turns([list(islice(_asked(each), EXAMPLES)) for each in beginnings])
    made = _in_turns([list(islice(_made(each), EXAMPLES)) for each in beginnings])
    return list(dict.fromkeys([*asked, *made]))[:EXAMPLES]


def _in_turns(of_documents: Sequence[Sequence[str]]) -> list[str]:
    return [question for turn in zip_longest(*of_documents) for question in turn if question is not None]


def _asked(document: Beginning) -> Iterator[str]:
    for line in _FENCE.sub("", document.text).splitlines():
        words = _plain(line)
        # A line that begins in the middle of a sentence was wrapped there.
        if _QUESTION.fullmatch(words) and len(words.split()) > 2 and not words[0].islower():
            yield words


def _made(document: Beginning) -> Iterator[str]:
    title = " ".join(document.title.split())
    for match in _HEADING.finditer(_FENCE.sub("", document.text)):
        heading = _plain(match[1])
        is_telling = any(map(str.isalpha, heading)) and not heading.endswith(("?", "？", "؟"))
        if 4 <= len(heading) <= 60 and is_telling and heading.casefold() not in {*_EMPTY, title.casefold()}:
            yield f"What does “{title}” say about “{heading}”?"
    yield f"What is “{title}” about?"


def _plain(line: str) -> str:
    return " ".join(_EMPHASIS.sub("", _MARKUP.sub("", line)).split())
