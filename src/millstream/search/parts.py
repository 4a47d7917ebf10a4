"""A question that asks several things at once, as the questions that it is made of: each is answered somewhere else."""

import re

from millstream.search.query import STOP_WORDS, is_telling, query_terms

LONGEST = 2000  # characters of a question that is looked at: a longer one is a pasted page
MOST = 3  # parts; what else is asked stays with the last
FEWEST_TERMS = 2  # that tell, in a part that can be looked for by itself

_ASKS = r"(?:what|how|which|who|whom|whose|when|where|why)\b"
_ASKS_WHETHER = (
    r"(?:can|could|do|does|did|is|are|was|were|has|have|will|would|should|must|may)"
    r"\s+(?:I|we|you|they|the|there|my|our|an?|any)\b"
)
_BEGINS = rf"(?:(?:in|for|from|by|with|at|to)\s+)?{_ASKS}|{_ASKS_WHETHER}"
_BETWEEN = re.compile(rf"\?+\s+(?:and\s+|also,?\s+)*(?=\S)|[,;]?\s+and\s+(?:also\s+)?(?={_BEGINS})", re.IGNORECASE)
_ENDS_ASKING = re.compile(rf"\b{_ASKS}\Z", re.IGNORECASE)  # "when and how it will stop" is one thing
_NAME = re.compile(r"(?<=[\w,;:'\"“”’)] )[\"'“(]*([A-Z0-9]\w*)")


def question_parts(question: str) -> list[str]:
    """The parts of `question` in their order; it alone when it asks one thing.

    "How many days of leave are there, and who approves them?" has two. One that names nothing is given the names
    (capitalised words, numbers) of the part before: "…what does the plan cover?" speaks of the plan that was named.
    """
    if len(question) > LONGEST:
        return [question]
    parts: list[str] = []
    start = 0
    for between in _BETWEEN.finditer(question):
        if len(parts) == MOST - 1:
            break
        part, rest = question[start : between.start()], question[between.end() :]
        if _tells(part) and _tells(rest) and not _ENDS_ASKING.search(part):
            parts.append(part)
            start = between.end()
    parts.append(question[start:])
    if len(parts) == 1:
        return [question]
    return _with_names(parts)


def _with_names(parts: list[str]) -> list[str]:
    named: list[str] = []
    full = []
    for part in parts:
        part = part.strip(" ?.,;")
        names = [name for name in _NAME.findall(part) if name.lower() not in STOP_WORDS]
        full.append(part if names or not named else f"{part} ({' '.join(named)})")
        named = names or named
    return full


def _tells(part: str) -> bool:
    return sum(map(is_telling, query_terms(part))) >= FEWEST_TERMS
