import pytest

from millstream.search import Passage
from millstream.snippets import CHARACTERS, snippet


def of(text: str, uri: str = "docs/a.md") -> str:
    return snippet(Passage("s", "d", "v", "T", uri, text))


@pytest.mark.parametrize(
    ("markdown", "words"),
    [
        ("# Paid leave\n\nAll *staff* get **20 days**.", "Paid leave All staff get 20 days."),
        ("- one `code`\n- two\n\n> quoted", "one code two quoted"),
        ("| Role | Days |\n|---|---|\n| Cook | 20 |\n| Clerk | |\n\nEnd", "Role · Days Cook · 20 Clerk End"),
        ("| Cook | 20 |\n| Clerk | 18 |", "Cook · 20 · Clerk · 18"),
        ("See [the form](https://example.com/x) or ![a picture](p.png).", "See the form or a picture."),
        ("```python\nx = 1\n```\n\nSo.", "x = 1 So."),
        ("Snake_case and 2 * 3 * 4 and a \\# stay.", "Snake_case and 2 * 3 * 4 and a # stay."),
        ("<b>Bold</b> words<br>\n\n<div>\nblock\n</div>", "Bold words block"),
    ],
)
def test_the_syntax_of_markdown_is_left_out(markdown: str, words: str) -> None:
    assert of(markdown) == words
    assert of(markdown, "docs/a.docx") == words


@pytest.mark.parametrize("uri", ["docs/a.txt", "docs/a.pdf", "docs/a.json", "README"])
def test_what_is_no_markdown_is_shown_as_it_stands(uri: str) -> None:
    assert of("# 1 *is* `it`\n| a |", uri) == "# 1 *is* `it` | a |"


def test_a_long_passage_is_cut_between_words() -> None:
    long = of("**words** " * 1000)
    assert set(long.removesuffix("…").split()) == {"words"}
    assert CHARACTERS - 7 < len(long) <= CHARACTERS
    assert of(f"See [this]({'x' * 9 * CHARACTERS})").endswith("…")
