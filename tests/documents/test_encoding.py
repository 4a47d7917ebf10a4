from operator import ne

import pytest
from language_samples import SAMPLES, WESTERN, samples

from millstream.documents import UnreadableDocument
from millstream.documents.encoding import decode_text, is_text

TEXTS = {
    "cp1252": "Grüße, “quoted” – €5. Le café est très agréable.",
    "cp1250": "Zaměstnanci mají nárok na dvacet dnů dovolené za rok. Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "cp1251": "Сотрудники получают двадцать дней отпуска в год.",
    "koi8_r": "Сотрудники получают двадцать дней отпуска в год. Зарплата выплачивается ежемесячно.",
    "cp1253": "Οι εργαζόμενοι δικαιούνται είκοσι ημέρες άδειας το χρόνο.",
    "shift_jis": "従業員には年間二十日間の有給休暇が与えられます。給与は毎月支払われます。",
    "euc_jp": "従業員には年間二十日間の有給休暇が与えられます。給与は毎月支払われます。",
    "gb18030": "员工每年有二十天的带薪假期。工资按月支付。",
    "euc_kr": "직원은 매년 이십 일의 유급 휴가를 받습니다. 급여는 매월 지급됩니다.",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_an_encoding_is_guessed(encoding: str) -> None:
    assert decode_text(TEXTS[encoding].encode(encoding)) == TEXTS[encoding]


@pytest.mark.parametrize(("language", "encoding"), [(name, each) for name in SAMPLES for each in SAMPLES[name][0]])
def test_an_encoding_is_guessed_by_its_language(language: str, encoding: str) -> None:
    text = " ".join(SAMPLES[language][1])
    data = text.encode(encoding, "ignore")
    assert sum(map(ne, decode_text(data), data.decode(encoding))) <= 1  # two encodings may differ in one rare letter


def test_most_single_sentences_are_enough() -> None:
    wrong = [(language, encoding, text) for language, encoding, text in samples()
             if decode_text(text.encode(encoding)) != text]  # fmt: skip
    assert len(wrong) < 0.05 * len(samples()), wrong


def test_no_western_sentence_is_mistaken() -> None:
    western = [(text, encoding) for _, encoding, text in samples() if encoding in WESTERN]
    assert all(decode_text(text.encode(encoding)) == text for text, encoding in western)


@pytest.mark.parametrize(
    "text", ["été, é, é", "Zoë says: 5 µm", "20 °C – 25 °C", "£5", "naïve", "“a”", "1½ cups", "x² ± 3"]
)
def test_a_few_western_letters_are_western(text: str) -> None:
    assert decode_text(text.encode("cp1252")) == text


@pytest.mark.parametrize("bad", [b"\xff", b"\xe9", b"\xc3", b"\xe2\x82"])
@pytest.mark.parametrize(
    "text", ["Größe, Maß und Straße.", "Отпуск", "従業員には年間二十日間の有給休暇", "“Quoted” – so"]
)
def test_a_broken_byte_does_not_spoil_the_rest(text: str, bad: bytes) -> None:
    before, after = text.encode(), f" {text} {text}".encode()
    assert decode_text(before + bad + after) == f"{text}\ufffd {text} {text}"


def test_a_control_character_does_not_make_a_file_binary() -> None:
    text = "A bell \x07 rings in a line of the log, which is otherwise as plain as any that you have ever read."
    assert is_text(text.encode())
    assert decode_text(text.encode()) == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", TEXTS.values())
def test_unicode_is_known_for_sure(encoding: str, text: str) -> None:
    assert decode_text(text.encode(encoding)) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_recognised_without_a_mark(encoding: str) -> None:
    assert decode_text("Plain words, fünf of them.".encode(encoding)) == "Plain words, fünf of them."


@pytest.mark.parametrize("text", ["naïve", "An English line of a report.\n" * 5000 + "naïve"])
def test_a_few_odd_letters_are_western(text: str) -> None:
    assert decode_text(text.encode("cp1252")) == text


def test_what_a_file_says_of_itself_is_believed() -> None:
    assert decode_text("Привет".encode("cp1251"), "windows-1251") == "Привет"
    assert decode_text("über".encode("cp1252"), "nonsense") == "über"


@pytest.mark.parametrize("data", [b"\0\1\2", bytes(range(256)) * 10, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_bytes_of_no_text_are_refused(data: bytes) -> None:
    assert not is_text(data)
    with pytest.raises(UnreadableDocument, match="not text"):
        decode_text(data)


def test_line_ends_become_newlines() -> None:
    assert decode_text(b"one\r\ntwo\rthree\n") == "one\ntwo\nthree\n"
