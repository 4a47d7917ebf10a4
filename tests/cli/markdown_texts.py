"""Markdown as models write it, and as they should not."""

from hypothesis import strategies as st

BITS = st.sampled_from(
    [
        "word ", "a", "**bold** ", "*em", "`code` ", "~~s~~", "\n", "\n", "\n\n", "\n\n\n", "- ", "- item\n", "* ",
        "+ x\n", "1. ", "2) y\n", "10. z\n", "- [ ] t\n", "  - n\n", "    - nn\n", "  ", "    ", "\n    code\n",
        "> ", "> q\n",
        "```\n", "```py\n", "~~~\n", "``", "`", "# ", "## h\n", "---\n", "===\n", "***\n", "-", "=", "-\n",
        "| a | b |\n", "|---|---|\n", "| 1 | 2 |\n", "|", "[x](http://u)", "[r]: http://u\n", "[r]", "![i](u)", "<b>",
        "<!-- c\n", "\\", "\\\n", "&amp;", "\t", "é", "水車", "\u2028", "x = 1\n", "def f():\n    pass\n\n", "/* c\n",
        "line\n" * 18 + "\n",
    ]
)  # fmt: skip
MARKDOWN = st.lists(BITS, max_size=40).map("".join)


def cut(text: str, lengths: list[int]) -> list[str]:
    """The text in pieces of these lengths, in turn."""
    chunks = []
    while text:
        length = lengths[len(chunks) % len(lengths)]
        chunks.append(text[:length])
        text = text[length:]
    return chunks


CUTS = st.lists(st.integers(1, 5) | st.integers(1, 200), min_size=1, max_size=8)
