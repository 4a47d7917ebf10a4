"""A PDF of one empty page with a word on it, as short as they come."""

PDF = (
    b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
    b"2 0 obj\n<< /Type /Pages /Kids [3 0 R] /Count 1 >>\nendobj\n"
    b"3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
    b"/Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>\nendobj\n"
    b"4 0 obj\n<< /Length 36 >>\nstream\nBT /F 10 Tf 50 750 Td (Words) Tj ET\n\nendstream\nendobj\n"
    b"trailer\n<< /Size 5 /Root 1 0 R >>\n%%EOF\n"
)
