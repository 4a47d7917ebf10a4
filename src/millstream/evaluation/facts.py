"""The facts of a reference answer that can be looked for without understanding: its numbers and its names."""

import re

from millstream.sentences import sentences
from millstream.support import NUMBER, readings

_REFERENCE = re.compile(r"\[[^\]\n]*\]")
_NAME = re.compile(r"(?<=[\w,;] )[A-Z][\w-]*[a-zA-Z]")


def facts(truth: str, question: str) -> list[str]:
    """Numbers and capitalised words of `truth` (not those at the beginning of a sentence) that the question lacks."""
    truth = _REFERENCE.sub("", truth)
    found = NUMBER.findall(truth)
    for start, end in sentences(truth):
        found += _NAME.findall(truth[start:end])
    return [fact for fact in dict.fromkeys(found) if not holds(question, fact)]


def holds(answer: str, fact: str) -> bool:
    """Whether the answer has the fact: a number in any form, a name in any case."""
    if NUMBER.fullmatch(fact):
        return any(readings(fact) & readings(number) for number in NUMBER.findall(answer))
    return re.search(rf"\b{re.escape(fact)}\b", answer, re.IGNORECASE) is not None
