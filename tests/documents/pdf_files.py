"""PDF files made on the spot, so that tests know every word of them."""

import ctypes
import io
import zlib
from collections.abc import Sequence

import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

LINE_HEIGHT = 14


def make_pdf(pages: Sequence[Sequence[str]]) -> bytes:
    """A PDF whose pages hold these lines of text."""
    pdf = pypdfium2.PdfDocument.new()
    for lines in pages:
        page = pdf.new_page(595, 842)
        for i, line in enumerate(lines):
            text = pdfium.FPDFPageObj_NewTextObj(pdf.raw, b"Helvetica", ctypes.c_float(11))
            encoded = (line + "\0").encode("utf-16-le")
            buffer = ctypes.cast(ctypes.create_string_buffer(encoded), pdfium.FPDF_WIDESTRING)
            assert pdfium.FPDFText_SetText(text, buffer)
            pdfium.FPDFPageObj_Transform(text, 1, 0, 0, 1, 50, 780 - i * LINE_HEIGHT)
            pdfium.FPDFPage_InsertObject(page.raw, text)
        assert pdfium.FPDFPage_GenerateContent(page.raw)
        page.close()
    target = io.BytesIO()
    pdf.save(target)
    pdf.close()
    return target.getvalue()


def make_encrypted_pdf() -> bytes:
    """A PDF that asks for a password: its key fields (PDF 1.7, 7.6.3) fit no password at all."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>",
        b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <" + b"41" * 32 + b"> /U <" + b"42" * 32 + b"> >>",
    ]
    data = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(data)
    data += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    identity = b"<" + b"43" * 16 + b">"
    data += b"trailer\n<< /Size 5 /Root 1 0 R /Encrypt 4 0 R /ID [" + identity + identity + b"] >>\n"
    return data + b"startxref\n%d\n%%%%EOF\n" % table


def make_drawn_pdf(*contents: str) -> bytes:
    """A PDF whose pages are drawn by these content streams (PDF 1.7, 8.2); `/F` is a font."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>"
        % (b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(len(contents))), len(contents)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, content in enumerate(contents):
        stream = content.encode("latin-1")
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F 3 0 R >> >> "
            b"/Contents %d 0 R >>" % (5 + 2 * n),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        ]
    return pdf_of(objects)


def make_bomb_pdf(megabytes: int) -> bytes:
    """A page whose content is packed a thousandfold."""
    packer = zlib.compressobj()
    packed = b"".join(packer.compress(b" " * 1_000_000) for _ in range(megabytes)) + packer.flush()
    return pdf_of(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >>",
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed),
        ]
    )


def pdf_of(objects: Sequence[bytes]) -> bytes:
    """A file with these objects, numbered from 1, the first of them its catalogue."""
    data = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    data += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return data


def words(x: float, y: float, text: str) -> str:
    return f"BT /F 10 Tf {x} {y} Td ({text}) Tj ET\n"


def line(x0: float, y0: float, x1: float, y1: float) -> str:
    return f"{x0} {y0} m {x1} {y1} l S\n"
