"""A conversation as a Markdown document, to keep or to print."""

import re
from collections.abc import Iterable, Iterator, Sequence

from millstream.conversations import ConversationHead, FilePart, StoredMessage, text_of
from millstream.conversations.branch import shown_branch
from millstream.events import Source
from millstream.marks import place_marks
from millstream.snapshot import Snapshot, SourceState

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")


def as_markdown(head: ConversationHead, messages: Sequence[StoredMessage]) -> str:
    """The branch that is shown: questions, answers with `[n]` marks, and the sources that they cite."""
    blocks = [f"# {' '.join(head.title.split())}"]
    for message in shown_branch(head, messages):
        blocks += _question(message) if message.role == "user" else _answer(message)
    return "\n\n".join(blocks) + "\n"


def _question(message: StoredMessage) -> Iterator[str]:
    yield "## Question"
    content = message.content or ""
    yield _closed(text_of(content))
    if not isinstance(content, str):
        yield from (f"Attached: {part.name}" for part in content if isinstance(part, FilePart))


def _answer(message: StoredMessage) -> Iterator[str]:
    yield "## Answer"
    snapshot = message.snapshot
    if snapshot is None:
        yield "*This answer was lost.*"
        return
    answer = snapshot.message
    if answer.content.strip():
        yield _closed(place_marks(answer.content, answer.citations, lambda citation: f"[{citation.n}]").strip())
    if (ending := ending_of(snapshot)) is not None:
        yield f"*{ending}*"
    cited: dict[int, set[int | None]] = {}  # n → the pages that its citations name
    for citation in answer.citations:
        cited.setdefault(citation.n, set()).add(citation.page)
    if sources := [source for source in answer.sources if source.n in cited]:
        yield "Sources:\n\n" + "\n".join(f"- [{source.n}] {described(source, cited[source.n])}" for source in sources)
    if message.feedback is not None:
        comment = f": {' '.join(message.feedback.comment.split())}" if message.feedback.comment else ""
        yield f"Rated {message.feedback.rating}{comment}"


def ending_of(snapshot: Snapshot) -> str | None:
    """What a reader has to know of how an answer ended; None when it is complete."""
    if snapshot.state == "running":
        return "This answer is still being written."
    if snapshot.message.error is not None:
        return f"This answer is incomplete: {snapshot.message.error.message}"
    if snapshot.state == "stopped":
        return "This answer was stopped."
    reasons = {"length": "This answer was cut off at the greatest length.", "content_filter": "A filter cut this off."}
    return reasons.get(snapshot.message.reason or "")


def described(source: SourceState, pages: Iterable[int | None] = ()) -> str:
    """A source's title, pages and file, in one line; `pages` are those that its citations name."""
    name = f" ({source.uri})" if source.uri and source.uri != source.title else ""
    return " ".join(f"{source.title}{cited_pages(source, pages)}{name}".split())


def cited_pages(source: Source | SourceState, pages: Iterable[int | None] = ()) -> str:
    """ ", page 4" or ", pages 4 and 5": those that its citations name, the first for one that names none; else ""."""
    named = {page or source.page_start for page in (pages or (None,))}
    found = sorted(page for page in named if page is not None)
    return f", page{'s' * (len(found) > 1)} {' and '.join(map(str, found))}" if found else ""


def _closed(markdown: str) -> str:
    """A code block that was cut off is closed, or it would swallow all that follows."""
    fence = ""
    for line in markdown.splitlines():
        match = _FENCE.match(line)
        if match is None:
            continue
        if not fence:
            fence = match[1]
        elif match[1].startswith(fence) and not match[2].strip():
            fence = ""
    return f"{markdown}\n{fence}" if fence else markdown
