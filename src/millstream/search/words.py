"""The words of a text, in any script: what is looked for, and what the index is given to be found by.

Chinese, Japanese, Korean, Thai and their like do not put spaces between words. A run of theirs counts as all the pairs
of its neighbouring characters (threes, where there are few letters): whoever asks for a word asks for its pairs.
"""

import re
import unicodedata
from collections.abc import Iterator

# Han with its marks, kana, Bopomofo and Hangul
_PAIRS = (
    r"\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u3131-\u318e\u31a0-\u31bf"
    r"\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
# Thai, Lao, Burmese and Khmer
_THREES = r"\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ebd\u0ec0-\u0ecd\u0edc-\u0edf\u1000-\u103f\u1050-\u108f\u1780-\u17d3"
_WORD = re.compile(rf"([{_PAIRS}]+)|([{_THREES}]+)|[a-z]+n['’]t\b|[^\W{_PAIRS}{_THREES}]+")
_UNSPACED = re.compile(rf"([{_PAIRS}]+)|([{_THREES}]+)")


def words(text: str) -> list[str]:
    """All words in small letters, in order; of a run without spaces its pairs or threes, or it when it is shorter.

    "won't" is one word, so that who asks who won is not told of it.
    """
    found: list[str] = []
    for match in _WORD.finditer(text.lower()):
        run, size = _run(match)
        found += [run[i : i + size] for i in range(max(1, len(run) - size + 1))] if size else [run]
    return list(filter(None, found))


def indexed(text: str) -> str:
    """The text as the index is given it: the same but for runs without spaces, in whose place are their pieces.

    The ends of a run are pieces too, so that any part of it is the beginning of one.
    """
    if text.isascii():  # told at once; looking for a run costs a fifth of what indexing does
        return text
    return _UNSPACED.sub(lambda match: f" {' '.join(_pieces(match))} ", text)


def is_beginning(word: str) -> bool:
    """It is shorter than the pieces of its script, so that it is found as the beginning of one."""
    match = _UNSPACED.fullmatch(word)
    return match is not None and len(word) < _run(match)[1]


def _pieces(match: re.Match[str]) -> Iterator[str]:
    run, size = _run(match)
    return (run[i : i + size] for i in range(len(run)))


def _run(match: re.Match[str]) -> tuple[str, int]:
    """What was matched and the size of its pieces, 0 for a word; without vowel marks, at which the index would cut."""
    if match[1]:
        return match[1], 2
    if match[2]:
        return "".join(sign for sign in match[2] if unicodedata.category(sign)[0] != "M"), 3
    return match[0], 0
