"""PDF files made on the spot, so that tests know every word of them."""

import ctypes
import io
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
