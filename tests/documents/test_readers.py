import datetime

import pytest
from office_files import make_bomb, make_docx, make_docx_of, make_pptx, make_xlsx
from pdf_files import line, make_drawn_pdf, make_pdf, words

from millstream.documents import Document, Source, UnreadableDocument, UnsupportedDocument, formats
from millstream.documents.limits import Limits
from millstream.documents.readers.rows import records
from millstream.documents.readers.workbook import shown
from millstream.documents.split import split

DEFAULTS = Limits()


def read(data: bytes | str, name: str, limits: Limits = DEFAULTS) -> Document:
    return formats.read_document(Source(data.encode() if isinstance(data, str) else data, name, limits))[0]


def format_of(data: bytes, name: str) -> str:
    return formats.read_document(Source(data, name))[1].name


class TestPdfTables:
    GRID = "".join(
        [*(line(50, y, 350, y) for y in (700, 680, 660, 640)), *(line(x, 640, x, 700) for x in (50, 200, 350))]
    )
    CELLS = "".join(
        words(x, y, text)
        for x, y, text in [
            (55, 686, "Plan"), (205, 686, "Monthly cost"), (55, 666, "Basic"), (205, 666, "12.50"),
            (55, 646, "Plus"), (205, 646, "30"),
        ]
    )  # fmt: skip
    ROWS = "| Plan | Monthly cost |\n| Basic | 12.50 |\n| Plus | 30 |"

    def test_a_ruled_table_becomes_rows(self) -> None:
        page = (
            words(50, 750, "The plans cost this much.") + self.GRID + self.CELLS + words(50, 600, "Prices may change.")
        )
        text = read(make_drawn_pdf(page), "a.pdf").text
        assert text == f"The plans cost this much.\n\n{self.ROWS}\n\nPrices may change."

    def test_the_order_of_drawing_does_not_matter(self) -> None:
        columns_first = "".join(sorted(self.CELLS.splitlines(keepends=True), key=lambda cell: cell.split()[3]))
        assert self.ROWS in read(make_drawn_pdf(self.GRID + columns_first), "a.pdf").text

    def test_lines_may_be_thin_rectangles_or_one_path(self) -> None:
        bars = "".join(
            [
                *(f"50 {y} 300 0.5 re f\n" for y in (700, 680, 660, 640)),
                *(f"{x} 640 0.5 60 re f\n" for x in (50, 200, 350)),
            ]
        )
        path = self.GRID.replace(" l S", " l") + "S\n"
        boxes = "".join(f"{x} {y} 150 20 re S\n" for x in (50, 200) for y in (640, 660, 680))
        for drawn in (bars, path, boxes):
            assert read(make_drawn_pdf(drawn + self.CELLS), "a.pdf").text == self.ROWS

    def test_merged_cells_are_one(self) -> None:
        grid = "".join(
            [*(line(50, y, 350, y) for y in (700, 680, 640)), line(200, 660, 350, 660),
             line(50, 640, 50, 700), line(350, 640, 350, 700), line(200, 640, 200, 680)]
        )  # fmt: skip
        cells = (
            words(55, 686, "Costs of all plans")
            + words(55, 656, "Basic")
            + words(205, 666, "12")
            + words(205, 646, "x 2")
        )
        text = read(make_drawn_pdf(grid + cells), "a.pdf").text
        assert text == "| Costs of all plans |\n| Basic | 12 |\n| Basic | x 2 |"

    def test_what_stands_beside_a_table_is_not_lost(self) -> None:
        text = read(make_drawn_pdf(self.GRID + self.CELLS + words(400, 666, "A note beside it.")), "a.pdf").text
        assert self.ROWS in text
        assert "A note beside it." in text

    def test_the_grid_of_a_chart_is_no_table(self) -> None:
        grid = "".join([*(line(50, 600 + 10 * n, 350, 600 + 10 * n) for n in range(10)),
                        *(line(50 + 30 * n, 600, 50 + 30 * n, 690) for n in range(11))])  # fmt: skip
        text = read(make_drawn_pdf(grid + words(55, 603, "Sales in 2024")), "a.pdf").text
        assert text == "Sales in 2024"

    def test_the_rows_of_a_table_stay_whole_in_passages(self) -> None:
        document = read(make_drawn_pdf(self.GRID + self.CELLS), "a.pdf")
        (chunk,) = split(document)
        assert document.text[chunk.start : chunk.end] == self.ROWS


class TestWord:
    def test_headings_items_and_tables_keep_their_order(self) -> None:
        data = make_docx(
            [("Title", "Staff handbook"), ("Heading 1", "Leave"), ("Normal", "Staff get twenty days."),
             ("List Bullet", "Sick days"), ("List Number", "Parental leave")],
            [["Plan", "Cost"], ["Basic", "12.50"]],
        )  # fmt: skip
        document = read(data, "a.docx")
        assert document.title == "Staff handbook"
        assert document.text == (
            "# Staff handbook\n\n# Leave\n\nStaff get twenty days.\n\n- Sick days\n\n- Parental leave\n\n"
            "| Plan | Cost |\n| Basic | 12.50 |"
        )

    def test_merged_cells_belong_to_each_row(self) -> None:
        import docx
        from office_files import saved

        word = docx.Document()
        table = word.add_table(3, 2)
        table.cell(0, 0).merge(table.cell(0, 1)).text = "Both"
        table.cell(1, 0).merge(table.cell(2, 0)).text = "left"
        table.cell(1, 1).text, table.cell(2, 1).text = "upper", "lower"
        assert read(saved(word), "a.docx").text == "Both\n| left | upper |\n| left | lower |"

    def test_content_controls_are_read_in_their_place(self) -> None:
        def control(content: str, properties: str = "") -> str:
            return f"<w:sdt><w:sdtPr>{properties}</w:sdtPr><w:sdtContent>{content}</w:sdtContent></w:sdt>"

        def paragraph(words: str) -> str:
            return f"<w:p>{run(words)}</w:p>"

        def run(words: str) -> str:
            return f"<w:r><w:t>{words}</w:t></w:r>"

        def cell(content: str, properties: str = "") -> str:
            return f"<w:tc><w:tcPr>{properties}</w:tcPr>{content}</w:tc>"

        down, on = '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
        contents = '<w:docPartObj><w:docPartGallery w:val="Table of Contents"/></w:docPartObj>'
        data = make_docx_of(
            paragraph("First.")
            + control(paragraph("Contents ... 1"), contents)
            + control(paragraph("Second.") + control(f"<w:p>{run('Third, ')}{control(run('inline.'))}</w:p>"))
            + "<w:tbl><w:tblPr/><w:tblGrid><w:gridCol/><w:gridCol/></w:tblGrid>"
            + f"<w:tr>{cell(paragraph('Plan'))}{control(cell(paragraph('Cost')))}</w:tr>"
            + control(
                f"<w:tr>{cell(paragraph('Basic'), down)}{cell(control(paragraph('12')))}</w:tr>"
                f"<w:tr>{control(cell(paragraph(''), on))}{cell(paragraph('30'))}</w:tr>"
            )
            + "</w:tbl>"
            + control("<w:tbl><w:tr>" + cell(paragraph("Last.")) + "</w:tr></w:tbl>")
        )
        assert read(data, "a.docx").text == (
            "First.\n\nSecond.\n\nThird, inline.\n\n| Plan | Cost |\n| Basic | 12 |\n| Basic | 30 |\n\nLast."
        )

    def test_a_cell_that_spans_columns_is_one(self) -> None:
        import docx
        from office_files import saved

        word = docx.Document()
        table = word.add_table(3, 3)
        for column, letter in enumerate("abc"):
            table.cell(0, column).text = letter
        table.cell(1, 0).merge(table.cell(2, 1)).text = "square"
        table.cell(1, 2).text, table.cell(2, 2).text = "d", "e"
        assert read(saved(word), "a.docx").text == "| a | b | c |\n| square | d |\n| square | e |"


class TestSlides:
    def test_slides_are_pages_with_tables_and_notes(self) -> None:
        data = make_pptx(
            [("Leave", "Twenty days", "Mention the carry-over."), ("Pay", "Monthly", "")],
            [["Plan", "Cost"], ["A", "1"]],
        )
        document = read(data, "a.pptx")
        assert document.title == "Leave"
        first, second = (
            document.text[start:end] for start, end in zip(document.pages, [*document.pages[1:], None], strict=True)
        )
        assert first.strip() == "# Leave\n\nTwenty days\n\nNotes: Mention the carry-over."
        assert second.strip() == "# Pay\n\nMonthly\n\n| Plan | Cost |\n| A | 1 |"
        assert [chunk.page_end for chunk in split(document)] == [2]

    def test_a_slide_without_text_still_counts(self) -> None:
        assert read(make_pptx([("", "", ""), ("Second", "x", "")]), "a.pptx").pages == (0, 0)


class TestWorkbook:
    def test_each_row_has_its_headers_and_each_sheet_is_a_page(self) -> None:
        document = read(
            make_xlsx(
                {"Prices": [["Product", "Price"], ["Lamp", 1500], ["Desk", 2.5]], "Empty": [], "Staff": [["Ann"]]}
            ),
            "a.xlsx",
        )
        assert document.text == (
            "# Prices\n\nProduct: Lamp; Price: 1500\n\nProduct: Desk; Price: 2.5\n\n# Staff\n\nAnn"
        )
        assert len(document.pages) == 3

    @pytest.mark.parametrize(
        ("value", "number_format", "text"),
        [
            (1500.0, "General", "1500"),
            (0.25, "0%", "25%"),
            (0.125, "0.0%", "12.5%"),
            (1234.5, "#,##0.00", "1,234.50"),
            (1234.5, '"$"#,##0.00', "$1,234.50"),
            (99.9, "#,##0.00 [$€-407]", "99.90 €"),
            (3.14159, "0.00", "3.14"),
            (0.1 + 0.2, "General", "0.3"),
            (True, "General", "TRUE"),
            (datetime.datetime(2024, 5, 1), "dd/mm/yyyy", "2024-05-01"),
            (datetime.datetime(2024, 5, 1, 9, 30), "General", "2024-05-01 09:30"),
            (12345678901234567890, "General", "1.23456789012346e+19"),
            (1.5, "0." + "0" * 1000, "1.5"),
        ],
    )
    def test_cells_are_written_as_the_sheet_shows_them(self, value: object, number_format: str, text: str) -> None:
        assert shown(value, number_format) == text

    def test_number_formats_of_a_file_are_used(self) -> None:
        data = make_xlsx({"S": [["Name", "Share"], ["A", 0.25]]}, {"B2": "0%"})
        assert "Name: A; Share: 25%" in read(data, "a.xlsx").text


class TestDelimited:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_rows_have_their_headers_and_values_stay_as_written(self, delimiter: str) -> None:
        rows = [["Name", "Salary", "Note"], ["Ann", "1500.0", "to, from; here"], ["Bob", "007", ""]]
        data = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
        assert read(data, "a.csv").text == "Name: Ann; Salary: 1500.0; Note: to, from; here\n\nName: Bob; Salary: 007"

    def test_a_value_may_go_over_lines(self) -> None:
        assert read('Name,Text\nAnn,"one\ntwo"\n', "a.csv").text == "Name: Ann; Text: one two"

    def test_numbers_are_no_header(self) -> None:
        assert read("1,2\n3,4\n", "a.csv").text == "1; 2\n\n3; 4"

    @pytest.mark.parametrize(
        "names", ["Q1,Q2,Q3", "FY2023,FY2024,H1", "2023,2024,2025", "2022/23,18-24,65+", "A,B,A", "1st,2nd,3D"]
    )
    def test_names_of_columns_may_have_digits_and_may_repeat(self, names: str) -> None:
        one, two, three = names.split(",")
        assert read(f"Plan,{names}\nBasic,5,6,7\n", "a.csv").text == f"Plan: Basic; {one}: 5; {two}: 6; {three}: 7"

    @pytest.mark.parametrize(
        "value",
        ["7", "-1.5", "1,234.50", "1 234,50 €", "$12", "(12)", "12 %", "1e9", "2024-05-01", "01.05.2024", "5/1/24",
         "2024-05-01T09:30:00Z", "2024-05-01 09:30", "9:30", "+49 30 1234", "10.0.0.1"],
    )  # fmt: skip
    def test_a_row_with_a_number_is_no_header(self, value: str) -> None:
        assert list(records([["Ann", value], ["Bob", value]])) == [f"Ann; {value}", f"Bob; {value}"]

    def test_a_title_above_the_table_is_kept(self) -> None:
        assert read("Prices 2024,\n\nPlan,Cost\nBasic,12\n", "a.csv").text == "Prices 2024\n\nPlan: Basic; Cost: 12"

    def test_each_row_is_a_unit_of_the_splitter(self) -> None:
        rows = "".join(f"Person {n},{'word ' * 30}{n}\n" for n in range(50))
        document = read(f"Name,Words\n{rows}", "a.csv")
        for chunk in split(document):
            text = document.text[chunk.start : chunk.end]
            assert text.startswith("Name: Person")
            assert text[-1].isdigit()


class TestHtml:
    def test_only_the_content_is_read(self) -> None:
        page = """<!doctype html><html><head><title>Leave &amp; pay</title><style>p {color: red}</style></head><body>
          <header><a href=/>Home</a></header><nav><ul><li>Menu</li></ul></nav><script>alert("x")</script>
          <h1>Leave</h1><p>Staff get <b>twenty</b>
          days.<br>Per year.</p><ul><li>Sick <i>days</i></li><li>Other</li></ul>
          <table><tr><th>Plan<th>Cost</tr><tr><td>Basic<td>12.50</tr></table><pre>a\n  b</pre>
          <div hidden>secret</div><footer>Imprint</footer></body></html>"""
        document = read(page, "a.html")
        assert document.title == "Leave & pay"
        assert document.text == (
            "# Leave\n\nStaff get twenty days.\nPer year.\n\n- Sick days\n\n- Other\n\n"
            "| Plan | Cost |\n| Basic | 12.50 |\n\n```\na\n  b\n```"
        )

    def test_a_cell_that_spans_rows_belongs_to_each(self) -> None:
        page = """<html><body><table>
          <thead><tr><th rowspan=9>Plan<th colspan=2>Cost<th rowspan="2">Note</tr><tr><th>Adult<th>Child</tr></thead>
          <tbody><tr><td rowspan=2>Basic<td>1<td>2<td>a</tr><tr><td>3<td>4<td rowspan=x>b</tr>
          <tr><td>Plus<td rowspan=0>5<td>6<td rowspan=2>c</tr><tr><td>Max</tr>
          <tr><td rowspan=2 colspan=2>Pro<td rowspan=2>7<td>d</tr><tr><td>e</tr></tbody></table></body></html>"""
        assert read(page, "a.html").text.split("\n") == [
            "| Plan | Cost | Note |",
            "| Plan | Adult | Child | Note |",
            "| Basic | 1 | 2 | a |",
            "| Basic | 3 | 4 | b |",
            "| Plus | 5 | 6 | c |",
            "| Max | c |",
            "| Pro | 7 | d |",
            "| Pro | 7 | e |",
        ]

    def test_the_main_part_is_enough(self) -> None:
        assert read("<html><body><div>Menu</div><main><p>Words</p></main></body></html>", "a.html").text == "Words"

    def test_the_encoding_that_a_page_names_is_used(self) -> None:
        page = "<html><head><meta charset='windows-1251'></head><body>Привет</body></html>"
        assert read(page.encode("cp1251"), "a.html").text == "Привет"

    def test_deep_nesting_is_read(self) -> None:
        page = "<html><body>" + "<div>" * 30_000 + "deep" + "</div>" * 30_000 + "</body></html>"
        assert read(page, "a.html").text == "deep"


class TestJson:
    def test_records_are_blocks_and_numbers_stay_as_written(self) -> None:
        data = (
            '[{"name": "Ann", "pay": 1500.0, "tags": ["a", "b"], "at": {"city": "Bonn"}, "x": null}, {"name": "Bob"}]'
        )
        assert read(data, "a.json").text == "name: Ann\npay: 1500.0\ntags: a, b\nat.city: Bonn\n\nname: Bob"

    def test_an_object_is_titled_by_its_title(self) -> None:
        assert read('{"title": "Leave", "days": 20}', "a.json").title == "Leave"

    def test_each_line_of_json_lines_is_a_record(self) -> None:
        assert read('{"a": 1}\n\n{"a": 2}\n', "a.jsonl").text == "a: 1\n\na: 2"

    def test_a_bad_line_does_not_keep_the_others_away(self) -> None:
        document = read('{"a": 1}\n{"a"\n\n{"a": 2}\n{\n{"a": 3}', "a.jsonl")
        assert document.text == "a: 1\n\na: 2\n\na: 3"
        assert document.remark.startswith("2 of its 5 lines could not be read. Line 2 is not JSON: ")

    @pytest.mark.parametrize(
        ("data", "name", "reason"),
        [
            ('{"a": ', "a.json", "line 1, column"),
            ('{\n"a": 1\n}', "a.jsonl", "Line 1 is not JSON"),
            ("[" * 100_000 + "]" * 100_000, "a.json", "nested too deeply"),
        ],
    )
    def test_what_is_not_json_says_where(self, data: str, name: str, reason: str) -> None:
        with pytest.raises(UnreadableDocument, match=reason):
            read(data, name)


class TestFormats:
    @pytest.mark.parametrize(
        ("data", "name", "found"),
        [
            (make_pdf([["Words"]]), "a.txt", "pdf"),
            (make_docx([("Normal", "Words")]), "a.pdf", "docx"),
            (make_xlsx({"S": [["Words"]]}), "a.docx", "xlsx"),
            (make_pptx([("Words", "x", "")]), "a.zip", "pptx"),
            (b"<!DOCTYPE html><html><body>Words</body></html>", "a.md", "html"),
            (b"Words without any markup", "a.pdf", "text"),
            (b"Words", "README", "text"),
            (b"# Words", "a.md", "markdown"),
        ],
    )
    def test_the_content_says_what_a_file_is(self, data: bytes, name: str, found: str) -> None:
        assert format_of(data, name) == found
        assert "Words" in read(data, name).text

    @pytest.mark.parametrize(
        ("data", "name", "reason"),
        [
            (b"PK\x03\x04 cut off", "a.docx", "damaged or cut off"),
            (make_docx([("Normal", "Words")])[:-500], "a.docx", "damaged or cut off"),
            (make_bomb(megabytes=501), "a.docx", "Unpacked it is larger than 500 MB"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "a.docx", "encrypted"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 WordDocument", "a.doc", "save it as DOCX"),
            (b"{\\rtf1 words}", "a.rtf", "RTF"),
            (b"\0\1\2\3", "a.csv", "not a CSV"),
        ],
    )
    def test_what_cannot_be_read_says_why(self, data: bytes, name: str, reason: str) -> None:
        with pytest.raises(UnreadableDocument, match=reason):
            read(data, name)

    def test_an_archive_is_no_document(self) -> None:
        with pytest.raises(UnsupportedDocument, match="archive"):
            read(make_bomb("a.txt", 1), "a.zip")

    @pytest.mark.parametrize("damage", [1, 7, 13])
    def test_damage_inside_an_office_file_is_reported_as_such(self, damage: int) -> None:
        import io
        import zipfile

        target = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(make_docx([("Normal", "Words")]))) as good, zipfile.ZipFile(target, "w") as bad:
            for n, part in enumerate(good.namelist()):
                bad.writestr(
                    part, good.read(part)[: -10 * damage] if "document" in part or n % damage == 0 else good.read(part)
                )
        with pytest.raises(UnreadableDocument, match="damaged"):
            read(target.getvalue(), "a.docx")

    @pytest.mark.parametrize(
        ("limits", "data", "name", "setting"),
        [
            (Limits(pages=2), make_pdf([["a"], ["b"], ["c"]]), "a.pdf", "MILLSTREAM_READ_PAGES"),
            (Limits(pages=1), make_pptx([("a", "", ""), ("b", "", "")]), "a.pptx", "MILLSTREAM_READ_PAGES"),
            (Limits(pages=1), make_xlsx({"A": [["a"]], "B": [["b"]]}), "a.xlsx", "MILLSTREAM_READ_PAGES"),
            (Limits(characters=10), b"eleven char", "a.txt", "MILLSTREAM_READ_CHARACTERS"),
            (Limits(unpacked_mb=0.01), make_docx([("Normal", "Words")]), "a.docx", "MILLSTREAM_READ_UNPACKED_MB"),
        ],
    )
    def test_a_limit_names_its_setting(self, limits: Limits, data: bytes, name: str, setting: str) -> None:
        with pytest.raises(UnreadableDocument, match=setting):
            read(data, name, limits)

    @pytest.mark.parametrize(
        ("limits", "data", "name"),
        [
            (Limits(pages=3), make_pdf([["a"], ["b"], ["c"]]), "a.pdf"),
            (Limits(pages=2), make_pptx([("a", "", ""), ("b", "", "")]), "a.pptx"),
            (Limits(characters=11), b"eleven char", "a.txt"),
        ],
    )
    def test_at_the_limit_a_file_is_read(self, limits: Limits, data: bytes, name: str) -> None:
        assert read(data, name, limits).text
