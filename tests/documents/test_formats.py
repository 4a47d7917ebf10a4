import pytest
from pdf_files import make_encrypted_pdf, make_pdf

from millstream.documents import Document, Source, UnreadableDocument, formats


def read_document(data: bytes, name: str) -> Document:
    return formats.read_document(Source(data, name))[0]


LONG = "This line is as wide as the paragraphs of the page are, all of it."


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("intro\n\n## The *real* [title](x.md) #\n\n# Later", "The real title"),
        ("```sh\n# a comment\n```\n# Title", "Title"),
        ("---\nname: x # y\n---\n# Title", "Title"),
        ("no heading", "staff handbook"),
    ],
)
def test_markdown_is_titled_by_its_first_heading(source: str, title: str) -> None:
    document = read_document(source.encode(), "staff_handbook.md")
    assert (document.title, document.text) == (title, source)


def test_a_picture_written_out_in_markdown_is_no_text() -> None:
    picture = f"data:image/png;charset=x;base64,{'QUJD' * 2000}=="
    document = read_document(f"# Plan\n\n![a lamp]({picture}) and\n\n[lamp]: <{picture}>\nwords".encode(), "a.md")
    assert document.text == "# Plan\n\n![a lamp](data:,) and\n\n[lamp]: <data:,>\nwords"
    example = "Write `data:image/png;base64,QUJD`."
    assert read_document(example.encode(), "a.md").text == example


def test_a_pdf_keeps_its_pages() -> None:
    document = read_document(make_pdf([["First page."], [], ["Third page, grün."]]), "Some_File.pdf")
    assert document.title == "Some File"
    assert document.text == "First page.\n\nThird page, grün."
    assert document.pages == (0, 13, 13)


def test_paragraphs_headings_and_items_of_a_pdf_are_told_apart() -> None:
    lines = [
        "Paid Leave",
        LONG,
        LONG[:-1],
        "and it goes on here.",
        "Rules:",
        "• One",
        "• Two",
        "Last Part",
        LONG,
    ]
    text = read_document(make_pdf([lines]), "a.pdf").text
    assert text.split("\n\n") == [
        "Paid Leave", f"{LONG}\n{LONG[:-1]}\nand it goes on here.", "Rules:", "• One", "• Two", "Last Part", LONG,
    ]  # fmt: skip


def test_a_sentence_goes_on_over_a_page_break() -> None:
    document = read_document(make_pdf([[LONG, LONG[:-1]], ["and ends here.", LONG]]), "a.pdf")
    assert f"{LONG[:-1]}\nand ends here." in document.text
    assert document.text[document.pages[1] :].startswith("and ends here.")


def test_running_heads_and_page_numbers_are_left_out() -> None:
    pages = [["Staff Handbook 2024", f"Text of part {'abcde'[n]}. {LONG}", f"Page {n + 1} of 5"] for n in range(5)]
    text = read_document(make_pdf(pages), "a.pdf").text
    assert "Text of part c." in text
    assert "Handbook" not in text
    assert "Page" not in text


@pytest.mark.parametrize(
    ("data", "name", "reason"),
    [
        (make_encrypted_pdf(), "a.pdf", "encrypted"),
        (make_pdf([[], []]), "a.pdf", "OCR"),
        (b"%PDF-1.7 nonsense", "a.pdf", "damaged"),
        (b"", "a.pdf", "empty"),
        (b"\0\1 binary", "a.pdf", "not a PDF"),
        (b"  \n", "a.txt", "no text"),
        (b"\0\1\2", "a.md", "not text"),
        (b"\0\1", "a.png", "not supported"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, name: str, reason: str) -> None:
    with pytest.raises(UnreadableDocument, match=reason):
        read_document(data, name)
