"""The pages for who has no JavaScript: forms that post, answers as the server renders them, sources as links.

Every address in them is relative to where Millstream is mounted, for these pages all lie directly there.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode

from starlette.responses import HTMLResponse

from millstream.conversations import ConversationHead, FilePart, StoredMessage, text_of
from millstream.conversations.branch import shown_branch
from millstream.conversations.export import described, ending_of
from millstream.documents.catalogue import Opened
from millstream.ids import new_id
from millstream.server.markdown import is_safe_address, render
from millstream.snapshot import CitationState, Message, Snapshot, SourceState
from millstream.wire.links import passage_of

REFRESH_S = 2  # an answer in the making is looked at again after so long
WINDOW = 20_000  # code points of a document on one page
_BEFORE = 2_000  # …of them before the passage

STYLE = """
:root{color-scheme:light dark;font-family:system-ui,sans-serif;line-height:1.5}
body{background:Canvas;color:CanvasText;max-width:46rem;margin:auto;padding:1rem;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.125rem;margin-bottom:.25rem}h2+p{margin-top:.25rem}
summary{padding:.2rem 0}pre,blockquote{margin-inline:0;padding-inline:.75rem;border-inline-start:3px solid GrayText}
textarea{box-sizing:border-box;width:100%;min-height:5rem;font:inherit}
button,select{font:inherit;min-height:2rem;margin:.2rem 0;padding-inline:.75rem}
pre{overflow:auto}.asked,.text{white-space:pre-wrap}
p,.asked,.text{unicode-bidi:plaintext}th,td{text-align:start}
table{border-collapse:collapse}td,th{border:1px solid;padding:.2rem .5rem}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # With no-referrer a browser would send "Origin: null" with the form, which is nobody's.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

# What stands in the `noscript` of the chat page.
NOSCRIPT = """<form method="post" action="./plain">
<p>This page works without JavaScript too, one question at a time.</p>
<p><label for="plain-question">Your question</label></p>
<p><textarea id="plain-question" name="question" required rows="4" cols="60"></textarea></p>
<p><button>Ask</button> <a href="./plain">Earlier conversations</a></p>
</form>"""


def html_page(title: str, body: str, *, status: int = 200, refreshed: bool = False) -> HTMLResponse:
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_S}">' if refreshed else ""
    return HTMLResponse(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n{body}\n</main></body></html>\n",
        status,
        HEADERS,
    )


def start_page(
    heads: Sequence[ConversationHead], examples: Sequence[str], answers: Sequence[dict[str, Any]], *, quoting: bool
) -> HTMLResponse:
    note = "<p>No language model is configured: answers are quotations of the documents.</p>" if quoting else ""
    suggested = "".join(_button("Ask", question=question) for question in examples)
    earlier = "".join(f'<li><a href="{_conversation(head)}">{escape(head.title)}</a></li>' for head in heads)
    return html_page(
        "Millstream",
        f"<h1>Millstream</h1>\n{note}{_form('Your question', answers)}\n{suggested}"
        + (f"<h2>Earlier conversations</h2>\n<ul>{earlier}</ul>" if earlier else ""),
    )


def conversation_page(
    head: ConversationHead, messages: Sequence[StoredMessage], answers: Sequence[dict[str, Any]]
) -> HTMLResponse:
    """The branch of `head.chosen_id`. It is looked at again by itself while its answer is being written."""
    branch = shown_branch(head, messages)
    turns = [_question(each) if each.role == "user" else _answer(each, head, messages) for each in branch]
    last = branch[-1] if branch else None
    snapshot = last.snapshot if last is not None else None
    if snapshot is not None and snapshot.state == "running":
        again = f'<p role="status"><a href="{_conversation(head)}">Look again</a>: the answer is being written.</p>'
        after = again + _button("Stop", stop=snapshot.run_id, conversation_id=head.conversation_id)
    else:
        after = _next(head, last, snapshot, answers)
    links = (
        '<p><a href="./plain">All conversations</a> '
        f'<a href="./api/conversations/{head.conversation_id}/export">Save as Markdown</a></p>'
    )
    refreshed = snapshot is not None and snapshot.state == "running"
    body = "\n".join([f"<h1>{escape(head.title)}</h1>", *turns, after, links])
    return html_page(head.title, body, refreshed=refreshed)


def passage_page(opened: Opened, version: str, start: int, end: int, cited: int) -> HTMLResponse:
    """A part of a document's text with [start, end) marked; opened on page `cited` where the passage goes on there."""
    document, text = opened.document, opened.text
    turn = opened.pages[cited - 1] if 0 < cited <= len(opened.pages) else 0
    if not start < turn < end:
        turn = start
    begin, middle, stop = (max(opened.start, min(place, opened.end)) - opened.start for place in (start, turn, end))
    before = f"<mark>{escape(text[begin:middle])}</mark>" if begin < middle else ""
    marked = f'{before}<mark id="passage">{escape(text[middle:stop])}</mark>' if middle < stop else before
    page = sum(place <= turn for place in opened.pages)
    number = f"#page={page}" if page and document.format == "pdf" else ""
    changed = "<p>The document has changed since it was quoted.</p>" if version and version != opened.version else ""
    earlier, later = max(0, opened.start - WINDOW), opened.end
    around = {"document_id": document.document_id, "start": start, "end": end, **({"page": cited} if cited else {})}
    ways = [f'<a href="./api/documents/{document.document_id}/original{number}">The document itself</a>']
    if opened.start > 0:
        ways.append(f'<a href="./passage?{_query(around, {"from": earlier})}">Earlier</a>')
    if later < opened.length:
        ways.append(f'<a href="./passage?{_query(around, {"from": later})}">Later</a>')
    return html_page(
        document.title,
        f"<h1>{escape(document.title)}</h1>\n<p>{escape(document.uri)}{f', page {page}' if page else ''}</p>\n{changed}"
        f'<p>{" ".join(ways)}</p>\n<div class="text" dir="auto">'
        f"{escape(text[:begin])}{marked}{escape(text[max(begin, stop) :])}</div>",
    )


def quoted_page(source: SourceState) -> HTMLResponse:
    """What an answer was given of a source that is no part of a document here."""
    quoted = f'<div class="text" dir="auto"><mark id="passage">{escape(source.snippet)}</mark></div>'
    body = f"<h1>{escape(source.title)}</h1>\n<p>{escape(described(source))}</p>\n{quoted}"
    return html_page(source.title, body)


def refusal_page(status: int, message: str, question: str, fields: dict[str, str]) -> HTMLResponse:
    """What went wrong, and what was asked, to be sent again."""
    form = _form("Your question", [], question=question, **fields) if question else ""
    body = f'<h1>That did not work</h1>\n<p role="alert">{escape(message)}</p>\n{form}'
    return html_page("That did not work", f'{body}\n<p><a href="./plain">All conversations</a></p>', status=status)


def conversation_address(conversation_id: str) -> str:
    # Without a fragment: a browser does not load again what it would only have to scroll.
    return f"./plain?{urlencode({'conversation_id': conversation_id})}"


def passage_start(start: int) -> int:
    """Where the page that shows a passage begins."""
    return max(0, start - _BEFORE)


def _question(message: StoredMessage) -> str:
    content = message.content or ""
    files = [] if isinstance(content, str) else [part.name for part in content if isinstance(part, FilePart)]
    attached = "".join(f"<p>Attached: {escape(name)}</p>" for name in files)
    return f'<h2>Question</h2>\n<div class="asked" dir="auto">{escape(text_of(content))}</div>{attached}'


def _answer(message: StoredMessage, head: ConversationHead, messages: Sequence[StoredMessage]) -> str:
    parts = ["<h2>Answer</h2>", _siblings(message, head, messages)]
    snapshot = message.snapshot
    if snapshot is None:
        return "\n".join([*parts, "<p>This answer was lost.</p>"])
    answer = snapshot.message
    if answer.steps:
        parts.append(_fold("Steps", f"<ul>{_items(step.label for step in answer.steps)}</ul>"))
    if answer.reasoning:
        parts.append(_fold("Reasoning", f'<div class="text" dir="auto">{escape(answer.reasoning)}</div>'))
    sources = {source.n: source for source in answer.sources}

    def cite(citation: CitationState) -> str:
        source = sources.get(citation.n)
        if source is None:
            return ""
        name = escape(f"Source {source.n}: {described(source, [citation.page])}")
        address = _address(source, snapshot.run_id, citation.page)
        return f' <a href="{address}" title="{name}" aria-label="{name}">[{source.n}]</a>'

    parts.append(f"<div>{render(answer.content, answer.citations, cite)}</div>")
    if (ending := ending_of(snapshot)) is not None:
        parts.append(f'<p role="status">{escape(ending)}</p>')
    if answer.sources:
        items = "".join(_source(source, snapshot.run_id) for source in answer.sources)
        parts.append(f"<h3>Sources</h3>\n<ol>{items}</ol>")
    return "\n".join(parts)


def _siblings(message: StoredMessage, head: ConversationHead, messages: Sequence[StoredMessage]) -> str:
    others = [each for each in messages if each.parent_id == message.parent_id and each.role == message.role]
    if len(others) < 2:
        return ""
    links = " ".join(
        f"<strong>{n}</strong>" if other is message else f'<a href="{_branch(head, other)}">{n}</a>'
        for n, other in enumerate(others, 1)
    )
    return f"<p>Answers to this question: {links}</p>"


def _source(source: SourceState, run_id: str) -> str:
    link = f'<a href="{_address(source, run_id)}">{escape(described(source))}</a>'
    return f'<li value="{source.n}">{link} {escape(source.snippet)}</li>'


def _address(source: SourceState, run_id: str, page: int | None = None) -> str:
    """Where a source can be read: at its passage, on the page that a citation names, or where the application says."""
    if is_safe_address(source.uri):
        return escape(source.uri)
    return f"./passage?{_query(passage_of(source, run_id), {} if page is None else {'page': page})}#passage"


def _next(
    head: ConversationHead, last: StoredMessage | None, snapshot: Snapshot | None, answers: Sequence[dict[str, Any]]
) -> str:
    """What can be asked next: a suggested question, the rest of an answer that was cut off, one's own question."""
    going_on = {"conversation_id": head.conversation_id}
    if last is not None and last.role == "assistant":
        going_on["parent_id"] = last.message_id
    parts: list[str] = []
    if snapshot is not None and not _is_complete(snapshot.message):
        parts.append(_button("Continue the answer", continues=snapshot.run_id))
    if snapshot is not None:
        parts += [_button("Ask", question=question, **going_on) for question in snapshot.message.followups]
    return "".join([*parts, _form("Your next question", answers, **going_on)])


def _is_complete(message: Message) -> bool:
    return message.reason == "stop"


def _form(label: str, answers: Sequence[dict[str, Any]], question: str = "", **hidden: str) -> str:
    """A question of one's own. `run_id` makes a form that is sent twice one question."""
    choice = ""
    if len(answers) > 1:
        options = "".join(
            f'<option value="{escape(each["name"])}">{escape(each["label"])}</option>' for each in answers
        )
        choice = f'<p><label>Answer from <select name="answer">{options}</select></label></p>'
    return (
        f'<form method="post" action="./plain">{_hidden({**hidden, "run_id": new_id()})}\n'
        f'<p><label for="question">{escape(label)}</label></p>\n'
        f'<p><textarea id="question" name="question" required rows="4" cols="60" dir="auto">\n{escape(question)}'
        f"</textarea></p>\n{choice}<p><button>Ask</button></p></form>"
    )


def _button(label: str, **fields: str) -> str:
    """A form of one button; of a question, the button says it."""
    words = escape(fields.get("question", label))
    ids = {} if "stop" in fields else {"run_id": new_id()}
    return f'<form method="post" action="./plain">{_hidden({**fields, **ids})}<button>{words}</button></form>\n'


def _hidden(fields: dict[str, str]) -> str:
    return "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in fields.items())


def _fold(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>{body}</details>"


def _items(words: Iterable[str]) -> str:
    return "".join(f"<li>{escape(each)}</li>" for each in words)


def _conversation(head: ConversationHead) -> str:
    return escape(conversation_address(head.conversation_id))


def _branch(head: ConversationHead, message: StoredMessage) -> str:
    return f"./plain?{_query({'conversation_id': head.conversation_id, 'message_id': message.message_id})}"


def _query(*fields: dict[str, Any]) -> str:
    return escape(urlencode({name: value for each in fields for name, value in each.items()}))
