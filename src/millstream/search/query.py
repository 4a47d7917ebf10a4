"""From a person's question to the terms that are looked for."""

import re

from millstream.search.words import words

MAX_TERMS = 64  # a pasted page is a question too; beyond this a lexical query only gets slower

# Function words of English questions. Dropping them more than halves the time of a search at equal quality.
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a about above after again against all also am an and any are as at be because been before being below between
        both but by can could did do does doing don down during each few for from further get give had has have having
        he her here hers him his how i if in into is it its itself just ll many may me might more most much must my no
        nor not now of off on once only or other our ours out over own please re s same say says shall she should so
        some such t tell than that the their theirs them then there these they this those through to too under until
        up us ve very was we were what when where which while who whom whose why will with would you your yours""",
    )
)
# Pairs of characters that ask or join, in Chinese and Japanese, and characters that make a pair one that joins.
_STOP_PAIRS = frozenset(
    re.findall(
        r"\w+",
        """什么 怎么 多少 多久 哪里 哪些 如何 是否 几个 请问 可以
        です ます ませ せん した して する され いつ とは には では から まで なに なん どこ いく くら らで すか""",
    )
)
_STOPS = STOP_WORDS | _STOP_PAIRS
_STOP_CHARACTERS = frozenset("的了吗呢吧么をはがの")


def query_terms(question: str) -> list[str]:
    """The distinct words of `question` in small letters, in order, without stop words unless there is nothing else."""
    distinct = list(dict.fromkeys(words(question)))
    return (list(filter(is_telling, distinct)) or distinct)[:MAX_TERMS]


def is_telling(word: str) -> bool:
    """It says what a question is about, as a stop word does not."""
    is_negation = word.endswith(("n't", "n’t"))
    return not is_negation and word not in _STOPS and _STOP_CHARACTERS.isdisjoint(word)


def stem(word: str) -> str:
    """The word without its commonest English endings: rough, but the same for a word and its inflections.

    For comparing words outside of an index; the index has the Porter stemmer of SQLite.
    """
    for ending, replacement, shortest in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= shortest:
            word = word[: -len(ending)] + replacement
            break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


# (ending, what takes its place, letters that must be left)
_ENDINGS = (
    ("ies", "y", 2), ("sses", "ss", 2), ("ations", "at", 3), ("ation", "at", 3), ("ness", "", 3), ("ments", "ment", 3),
    ("ings", "", 3), ("ing", "", 3), ("edly", "", 3), ("ied", "y", 2), ("ed", "", 3), ("ly", "", 3), ("ss", "ss", 1),
    ("us", "us", 1), ("es", "e", 2), ("s", "", 2),
)  # fmt: skip
