"""Which encoding of one byte a text is in: the one in which its letters beyond ASCII are those of one language.

Naive Bayes over single letters. A letter's probability in its language follows from its rank (Zipf's law): letters are
listed by how often they occur. https://en.wikipedia.org/wiki/Letter_frequency
"""

import math
from collections import Counter
from collections.abc import Iterator

_LANGUAGES = {
    "en": "éïèçñöêâôüàáíó",
    "fr": "éàèêçôîûùâïëœüæÿ",
    "it": "àèùòìéîó",
    "pt": "ãáçéóíêõâàúôü",
    "es": "óíáéñúü",
    "de": "üäößéè",
    "nl": "ëéïèöüê",
    "sv": "äåöéü",
    "da": "åøæéöäü",
    "fi": "äöåéš",
    "is": "ðáíéþæöóúý",
    "ca": "óàéèíçòúïü",
    "pl": "łęąóżśćńź",
    "cs": "íáéěýřžčšůúňóťď",
    "sk": "áíéýčšžúľťňôóďäŕĺ",
    "hu": "áéöóőüíúű",
    "hr": "čšžćđ",
    "sl": "čšžćđ",
    "ro": "ăîţâşé",
    "tr": "ıışğüçöİâîû",
    "lt": "ėųšžįąčūę",
    "lv": "āīēšūņļžķģč",
    "et": "äõüö",
    "ru": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "uk": "оанивіертслкудмпязьбгйчхцжїшюєщфґ",
    "bg": "аоеинтрсвлдкпмзъгубчяжщцйшхюьф",
    "sr": "аоиенрјтсувкдмплгзбшчцхћжњљђфџ",
    "el": "ατοιεςνσηρκπυμλίόάγέδήωχθύφώβξζψϊϋΐΰ",
    "he": "יוהלאתבמרשנדעםחקכפטגסןזךצףץ",
    "ar": "اليمونرتبةعدسفكهحقجشصطزخضذثغءىظأإآئؤ",
}
_WESTERN, _CENTRAL, _CYRILLIC = "en fr it pt es de nl sv da fi is ca", "pl cs sk hu hr sl ro de", "ru uk bg sr"
_ENCODINGS = (
    ("cp1252", _WESTERN),
    ("iso8859_15", _WESTERN),
    ("cp1250", _CENTRAL),
    ("iso8859_2", _CENTRAL),
    ("cp1251", _CYRILLIC),
    ("koi8_u", "ru uk"),
    ("iso8859_5", _CYRILLIC),
    ("cp1253", "el"),
    ("iso8859_7", "el"),
    ("cp1254", "tr"),
    ("cp1255", "he"),
    ("cp1256", "ar"),
    ("iso8859_6", "ar"),
    ("cp1257", "lt lv et"),
)
_SIGNS = frozenset("€£§°©®™«»‹›„“”‚‘’–—…•·¿¡º²³½¼×±÷µ†‰\xa0\xad")
_INSIDE = "’·\xad"  # signs that may stand inside a word
_SIGN = math.log(0.03)
_STRANGE = math.log(0.0005)
_RARER = {"cp1252": 0.0, "iso8859": 2.0}  # by so much (natural logarithm) another encoding must be likelier
_OTHERS_RARER = 1.0
_APART = -1.0  # a letter of a Latin alphabet that touches none of ASCII
_LETTERS = 4_000  # beyond ASCII, that it is told by


def _ranked(letters: str) -> dict[str, float]:
    """Letter → natural logarithm of its probability among those of its language that are not of ASCII."""
    total = sum(1 / rank for rank in range(1, len(letters) + 1))
    return {letter: -math.log(rank * total) for rank, letter in enumerate(letters, 1)}


_RANKED = {language: _ranked(letters) for language, letters in _LANGUAGES.items()}
_LATIN = frozenset(language for language, letters in _LANGUAGES.items() if max(letters) < "\u0370")


def likeliest_encoding(data: bytes) -> tuple[str, float]:
    """With the natural logarithm of how probable the mean letter beyond ASCII is in it; near -8 it is none of them."""
    best, best_score, mean = "cp1252", -math.inf, 0.0
    for encoding, languages in _ENCODINGS:
        try:
            found = Counter(_found(data.decode(encoding)))
        except UnicodeDecodeError:
            continue
        scores = (
            sum(times * _likelihood(language, *letter) for letter, times in found.items())
            for language in languages.split()
        )
        likelihood = max(scores)
        score = likelihood - _RARER.get(encoding.partition("_")[0], _OTHERS_RARER)
        if score > best_score:
            best, best_score, mean = encoding, score, likelihood / max(1, found.total())
    return best, mean


def _found(text: str) -> Iterator[tuple[str, bool, bool]]:
    """Each character beyond ASCII in small letters, whether it is out of place, whether it touches an ASCII letter."""
    seen = 0
    before = " "
    for here, after in zip(text, f"{text[1:]} ", strict=True):
        if here > "\x7f":
            seen += 1
            if here.isalpha():
                is_odd = before.isdigit() or after.isdigit() or (here.isupper() and before.islower())
            else:
                is_odd = before.isalpha() and after.isalpha() and here not in _INSIDE
            yield here.lower() if here != "İ" else here, is_odd, _is_ascii_letter(before) or _is_ascii_letter(after)
        if seen == _LETTERS:
            return
        before = here


def _is_ascii_letter(character: str) -> bool:
    return character.isascii() and character.isalpha()


def _likelihood(language: str, letter: str, is_odd: bool, touches_ascii: bool) -> float:
    if is_odd:
        return _STRANGE
    if letter in _SIGNS:
        return _SIGN
    is_latin = language in _LATIN
    if touches_ascii and not is_latin:
        return _STRANGE
    return _RANKED[language].get(letter, _STRANGE) + (_APART if is_latin and not touches_ascii else 0)
