import io

from millstream.cli.terminal import Printer
from millstream.events import Citation, Source, TextDelta, TextFinished


def source(n: int, uri: str, first: int | None = None, last: int | None = None) -> Source:
    return Source(
        n=n, source_id=uri, document_id=uri, version="v", title=f"T{n}", uri=uri, snippet="",
        page_start=first, page_end=last,
    )  # fmt: skip


def test_a_source_is_shown_with_the_pages_that_are_cited() -> None:
    out = io.StringIO()
    printer = Printer(out, io.StringIO())
    for event in (source(1, "a.pdf", 7, 8), source(2, "b.pdf", 7, 8), source(3, "c.md"), TextDelta(text="So.")):
        printer.show(event)
    for n, page in ((1, 8), (2, None), (2, 8), (3, None)):
        printer.show(Citation(n=n, start=0, end=3, page=page))
    printer.show(TextFinished(reason="stop"))
    assert out.getvalue().splitlines()[2:] == [
        "[1] T1 (a.pdf, page 8)",
        "[2] T2 (b.pdf, pages 7 and 8)",
        "[3] T3 (c.md)",
    ]
