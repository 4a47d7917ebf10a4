import pytest
from hypothesis import given
from hypothesis import strategies as st
from pdf_files import make_drawn_pdf, make_pdf, pdf_of, words

from millstream.documents import Document, Source, UnreadableDocument, formats
from millstream.documents.readers.furniture import Page, without_furniture

PICTURE = "q 500 0 0 700 50 50 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \x7f EI Q\n"
PARTS = ["Leave", "Pay", "Health", "Travel", "Safety", "Training"]
ROMAN = ["i", "ii", "iii", "iv", "v", "vi"]


def trimmed(*pages: list[str]) -> list[list[str]]:
    return without_furniture([Page(lines) for lines in pages])


def read(data: bytes) -> Document:
    return formats.read_document(Source(data, "a.pdf"))[0]


@pytest.mark.parametrize(
    "foot",
    [
        lambda n: "Staff Handbook",
        lambda n: f"{n}",
        lambda n: f"- {n + 12} -",
        lambda n: f"Page {n} of 6",
        lambda n: f"Seite {n} von 6",
        lambda n: f"Page {n + 344}",
        lambda n: f"Edition 2024 | {n}",
        lambda n: f"{n} Staff Handbook",
        lambda n: ROMAN[n - 1],
        lambda n: ROMAN[n - 1].upper(),
        lambda n: ROMAN[n - 1] if n <= 3 else str(n - 3),
    ],
)
def test_what_recurs_or_counts_along_is_left_out(foot) -> None:  # type: ignore[no-untyped-def]
    bodies = [[f"About {part}.", "It is so.", f"More of {part}."] for part in PARTS]
    assert trimmed(*([*body, foot(n)] for n, body in enumerate(bodies, 1))) == bodies
    assert trimmed(*([foot(n), *body] for n, body in enumerate(bodies, 1))) == bodies


@pytest.mark.parametrize(
    "line",
    [
        lambda n: f"Invoice {999 + n}",
        lambda n: f"Invoice {999 + 7 * n}",
        lambda n: f"Total due: {450 + 25 * n}.00 EUR",
        lambda n: str(n * n),
        lambda n: f"{n * 3} pieces",
        lambda n: f"Score: {70 + n} points",
        lambda n: "mild" if n % 2 else "civil",
    ],
)
def test_numbers_that_tell_pages_apart_stay(line) -> None:  # type: ignore[no-untyped-def]
    pages = [[line(n), f"About {part}.", "It is so.", line(n)] for n, part in enumerate(PARTS, 1)]
    assert trimmed(*pages) == pages


def test_what_says_which_page_of_how_many_it_is_needs_no_others() -> None:
    assert trimmed(["About leave.", "Page 1 of 2"], ["2 / 2", "About pay."]) == [["About leave."], ["About pay."]]
    assert trimmed(["About leave.", "1"], ["2", "About pay."]) == [["About leave.", "1"], ["2", "About pay."]]


def test_pages_without_text_do_not_count() -> None:
    pages = [["Staff Handbook", f"About {part}."] for part in PARTS]
    assert trimmed(*pages, *[[]] * 20) == [[f"About {part}."] for part in PARTS] + [[]] * 20


def test_a_page_keeps_its_words_when_there_are_no_others() -> None:
    tickets = [["Concert hall", "Admits one"]] * 6
    assert trimmed(*tickets) == tickets


def test_the_stamp_of_a_picture_is_no_text() -> None:
    stamped = [Page(["Confidential", f"ACME {7000 + n}"], is_picture=True) for n in range(6)]
    assert without_furniture(stamped) == [[]] * 6


@given(
    st.lists(
        st.lists(st.sampled_from(["Total: 450", "Hall 1", "Hall 2", "12", "iv", "Words."]), max_size=6), max_size=8
    )
)
def test_only_ends_are_cut_and_never_all(pages: list[list[str]]) -> None:
    for before, after in zip(pages, trimmed(*pages), strict=True):
        start = next((i for i in range(3) if before[i : i + len(after)] == after), None)
        assert start is not None
        assert len(before) - len(after) <= 4
        assert after or all(line in ("12", "iv") for line in before)


def test_numbered_pictures_are_reported_as_such() -> None:
    for stamp in ("Page {} of 6", "{}", "Confidential"):
        pages = [PICTURE + words(300, 30, stamp.format(n)) for n in range(1, 7)]
        with pytest.raises(UnreadableDocument, match="OCR"):
            read(make_drawn_pdf(*pages))


def test_a_picture_between_words_is_a_page_without_text() -> None:
    document = read(make_drawn_pdf(words(50, 700, "About leave."), PICTURE, words(50, 700, "About pay."), ""))
    assert document.text == "About leave.\nAbout pay."
    assert document.pages == (0, 13, 13, 23)
    assert document.remark == "1 of its 4 pages has no text, only pictures."


def test_pages_of_two_lines_stay() -> None:
    text = read(make_pdf([[f"Certificate no. {4000 + n}", f"Score: {70 + n} points"] for n in range(6)])).text
    assert "Certificate no. 4003" in text
    assert "Score: 75 points" in text


def test_a_page_that_cannot_be_read_does_not_keep_the_others_away() -> None:
    def with_second_page(second: bytes, third: bytes) -> bytes:
        stream = words(50, 700, "About leave.").encode()
        page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R "
        page += b"/Resources << /Font << /F 6 0 R >> >> >>"
        return pdf_of(
            [
                b"<< /Type /Catalog /Pages 2 0 R >>",
                b"<< /Type /Pages /Kids [%s] /Count 3 >>" % b" ".join((b"3 0 R", second, third)),
                page,
                page,
                b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
                b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            ]
        )

    document = read(with_second_page(b"99 0 R", b"4 0 R"))
    assert document.text == "About leave.\nAbout leave."
    assert len(document.pages) == 3
    assert document.remark == "1 of its 3 pages is damaged and could not be read."
