"""Asking without JavaScript: forms, pages and links, and nothing that runs."""

import asyncio
import re
from collections.abc import AsyncIterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount

from documents.office_files import make_pptx
from millstream.errors import RunError
from millstream.search import Passage
from millstream.server import page
from millstream.server.routes import plain
from serving import Answered, Server, asking, serving, within

HANDBOOK = Passage("p1", "d1", "v1", "Handbook <b>", "a/hand book.pdf", "Mills & wheels.", page_start=4, start=5, end=9)


class Page(HTMLParser):
    """A page as a text browser sees it: its links, and its forms with their fields."""

    def __init__(self, answered: Answered) -> None:
        super().__init__()
        self.html = answered.body.decode()
        self.links: list[str] = []
        self.forms: list[dict[str, str]] = []
        self.tags: set[str] = set()
        self.feed(self.html)
        self.text = unescape(re.sub(r"<style>.*?</style>|<[^>]*>", "", self.html, flags=re.DOTALL))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        if tag == "a":
            self.links.append(attributes["href"])
        elif tag == "form":
            assert (attributes["method"], attributes["action"]) == ("post", "./plain")
            self.forms.append({})
        elif tag in ("input", "textarea"):
            self.forms[-1][attributes["name"]] = attributes.get("value", "")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


async def show(server: Server, path: str = "/plain", **options: Any) -> Page:
    answered = await within(server.get(path, **options))
    assert answered.headers["Content-Type"] == "text/html; charset=utf-8"
    return Page(answered)


async def send(server: Server, fields: dict[str, str], path: str = "/plain", **options: Any) -> str:
    """Posts a form; returns where it leads to."""
    answered = await within(server.request("POST", path, data=fields, **options))
    assert answered.status == 303, answered.body
    there = urlsplit(urljoin(path, answered.headers["Location"]))
    return f"{there.path}?{there.query}"


async def told(server: Server, fields: dict[str, str], words: str, **options: Any) -> Page:
    """Asks, tells the answer, and shows it."""
    sent = asyncio.create_task(send(server, fields, **options))
    telling = await server.told.next()
    telling.run.cite([HANDBOOK])
    telling.run.write(words)
    telling.run.followups(["What <else>?"])
    telling.end()
    return await show(server, await sent)


async def test_a_question_is_answered_with_links_for_its_sources_and_citations(server: Server) -> None:
    (form,) = (await show(server)).forms
    answer = await told(server, {**form, "question": "Why\r\n<b>?"}, "**So it is [1].** Next.")
    assert "<strong>So it is <a href=" in answer.html
    assert "Why\n<b>?" in answer.text
    cited, source = [link for link in answer.links if link.startswith("./passage")]
    assert cited == source
    assert parse_qs(urlsplit(cited).query) == {"document_id": ["d1"], "version": ["v1"], "start": ["5"], "end": ["9"]}
    assert "Handbook <b>, page 4 (a/hand book.pdf)" in answer.text
    assert "Mills & wheels." in answer.text


async def test_a_citation_that_names_a_page_leads_there(server: Server) -> None:
    first, second = "The mill is closed on holidays.", "The wheel turns in October."
    passage = Passage(
        "p", "d", "v", "Handbook", "h.pdf", f"{first}\n{second}", page_start=4, page_end=5, start=5, end=64
    )
    sent = asyncio.create_task(send(server, {"question": "When?"}))
    telling = await server.told.next()
    telling.run.cite([msgspec.structs.replace(passage, page_break=5 + len(first) + 1)])
    telling.run.write("The wheel turns in October [1].")
    telling.end()
    answer = await show(server, await sent)
    cited, source = [parse_qs(urlsplit(link).query) for link in answer.links if link.startswith("./passage")]
    assert cited == {**source, "page": ["5"]}
    assert 'aria-label="Source 1: Handbook, page 5 (h.pdf)"' in answer.html
    assert "Handbook, page 4 (h.pdf)" in answer.text


async def test_the_conversation_goes_on_by_hidden_fields_and_by_the_suggested_question(server: Server) -> None:
    first = await told(server, {"question": "First?"}, "One.")
    suggested, form = first.forms
    assert "What <else>?" in first.text
    assert (suggested["question"], form["question"]) == ("What <else>?", "")
    second = await told(server, {**form, "question": "Second?"}, "Two.")
    third = await told(server, suggested, "Three.")
    assert [text in second.text for text in ("First?", "One.", "Second?", "Two.")] == [True] * 4
    conversations = (await server.get("/api/conversations")).json["conversations"]
    assert len(conversations) == 1
    # Both follow the first answer: the newest branch is shown, and the other question stays in the conversation.
    assert "Three." in third.text
    assert "Two." not in third.text
    (listed,) = [link for link in (await show(server)).links if "conversation_id" in link]
    assert "Three." in (await show(server, urlsplit(listed)._replace(fragment="").geturl().removeprefix("."))).text


async def test_a_form_that_is_sent_twice_asks_once(server: Server) -> None:
    (form,) = (await show(server)).forms
    fields = {**form, "question": "Why?"}
    first = await send(server, fields)
    assert await send(server, fields) == first
    (await server.told.next()).end()
    assert len((await server.get("/api/conversations")).json["conversations"]) == 1


async def test_other_answers_to_the_same_question_are_linked(server: Server) -> None:
    await told(server, {"question": "Why?"}, "One.")
    head = (await server.get("/api/conversations")).json["conversations"][0]
    path = f"/plain?conversation_id={head['conversation_id']}"
    question = (await server.get(f"/api/conversations/{head['conversation_id']}")).json["messages"][0]["message_id"]
    again = {"conversation_id": head["conversation_id"], "parent_id": question}
    second = await told(server, again, "Two.")
    assert "Two." in second.text
    assert "One." not in second.text
    (other,) = [link for link in second.links if "message_id" in link]
    assert "One." in (await show(server, f"/plain?{urlsplit(other).query}")).text
    assert "Two." in (await show(server, path)).text


async def test_an_answer_that_takes_long_is_shown_as_far_as_it_is_and_looked_at_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "WAIT_S", 0.01)
    address = await send(server, {"question": "Why?"})
    telling = await server.told.next()
    telling.run.write("Half <i>")
    running = await show(server, address)
    assert "Half <i>" in running.text
    assert '<meta http-equiv="refresh" content="2">' in running.html
    (stop,) = running.forms
    assert await send(server, stop) == address
    await within(telling.cancelled.wait())
    stopped = await show(server, address)
    assert "This answer was stopped." in stopped.text
    assert "refresh" not in stopped.html
    going_on, _ = stopped.forms
    assert set(going_on) == {"continues", "run_id"}
    assert await send(server, going_on) == address
    (await server.told.next()).end()


async def test_the_page_waits_for_an_answer_that_is_being_written(server: Server) -> None:
    address = await send(server, {"question": "Why?"})
    waiting = asyncio.create_task(show(server, address))
    telling = await server.told.next()
    telling.run.write("Half")
    async with asking(server, "Meanwhile?") as other:
        (await server.told.next()).end()
        await other.rest()
    assert not waiting.done()
    telling.run.write(" and whole")
    telling.end()
    assert "Half and whole" in (await within(waiting)).text


async def test_a_run_of_this_page_goes_on_though_nobody_reads_it_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, when_unread="stop") as server:
        address = await send(server, {"question": "Why?"})
        telling = await server.told.next()
        with monkeypatch.context() as patch:
            patch.setattr(plain, "WAIT_S", 0.01)
            assert "still being written" in (await show(server, address)).text
        waiting = asyncio.create_task(show(server, address))
        telling.run.write("It goes on.")
        telling.end()
        page = await within(waiting)
        assert "It goes on." in page.text
        assert "stopped" not in page.text


async def test_who_asks_for_the_head_alone_does_not_wait_for_the_answer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "WAIT_S", 3600)
    address = await send(server, {"question": "Why?"})
    telling = await server.told.next()
    assert (await within(server.request("HEAD", address))).status == 200
    telling.end()


async def test_a_failure_is_told_and_what_was_written_stays(server: Server) -> None:
    address = await send(server, {"question": "Why?"})
    telling = await server.told.next()
    telling.run.write("Half")
    telling.fail(RunError("No credit <left>."))
    failed = await show(server, address)
    assert "Half" in failed.text
    assert "This answer is incomplete: No credit <left>." in failed.text


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"question": " "}, 400, "`question` is empty"),
        ({"question": "x" * 100_001}, 400, "100000"),
        ({"question": "<b>Why?", "conversation_id": "none"}, 404, "no such conversation"),
        ({"question": "Why?", "answer": "none"}, 400, "no answer named"),
        ({"stop": "none"}, 404, "no run"),
        ({"question": "x" * 2_000_000}, 413, "MILLSTREAM_MAX_BODY_BYTES"),
        ({f"f{n}": "x" for n in range(21)}, 400, "cannot be read"),
    ],
)
async def test_a_refusal_is_a_page_with_its_status_that_keeps_the_question(
    server: Server, fields: dict[str, str], status: int, said: str
) -> None:
    refused = await server.request("POST", "/plain", data=fields)
    shown = Page(refused)
    assert refused.status == status
    assert said in shown.text
    question = fields.get("question", "").strip()
    assert not question or status == 413 or question in shown.text
    assert "b" not in shown.tags


async def test_what_is_no_form_is_refused(server: Server) -> None:
    refused = await server.post("/plain", {"question": "Why?"})
    assert (refused.status, refused.headers["Content-Type"]) == (415, "text/html; charset=utf-8")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (b"question=%ED%A0%80", b"question=%FF", b"\xff"):
        assert (await server.request("POST", "/plain", data=body, headers=form)).status == 400
    assert (await server.get("/plain?conversation_id=none")).status == 404


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_the_form_of_another_site_is_refused(server: Server, origin: str) -> None:
    refused = await server.request("POST", "/plain", data={"question": "Why?"}, headers={"Origin": origin})
    assert (refused.status, refused.json["code"]) == (403, "origin-not-allowed")
    assert (await server.get("/api/conversations")).json["conversations"] == []
    sent = asyncio.create_task(send(server, {"question": "Why?"}, headers={"Origin": server.url}))
    (await server.told.next()).end()
    await within(sent)


async def test_its_policy_lets_nothing_run_and_nothing_be_fetched(server: Server) -> None:
    for path in ("/plain", "/plain?conversation_id=none", "/passage?document_id=none"):
        headers = (await server.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert policy.endswith("form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
        assert "unsafe" not in policy
        assert (headers["Referrer-Policy"], headers["X-Content-Type-Options"]) == ("same-origin", "nosniff")


async def test_hostile_words_are_only_ever_text(server: Server) -> None:
    hostile = "<script>alert(1)</script>\n\n![x](https://evil.example/x.png) [y](javascript:alert(1)) </main>"
    answer = await told(server, {"question": "</textarea><script>alert(2)</script>"}, hostile)
    assert answer.tags.isdisjoint({"script", "img", "b", "iframe"})
    assert "<script>alert(1)</script>" in answer.text
    assert [link for link in answer.links if "evil" in link] == ["https://evil.example/x.png"]
    assert not [link for link in answer.links if link.startswith("javascript")]
    listing = await show(server)
    assert "script" not in listing.tags


async def test_a_source_of_the_applications_own_leads_where_it_says(server: Server) -> None:
    sent = asyncio.create_task(send(server, {"question": "Why?"}))
    telling = await server.told.next()
    for uri in ("https://wiki.example/mills?a=1&b=2", "javascript:alert(1)"):
        telling.run.cite([Passage(uri, "d", "v", "Wiki", uri, "Mills.")])
    telling.end()
    answer = await show(server, await sent)
    web, quoted = [link for link in answer.links if "wiki" in link or "passage" in link]
    assert web == "https://wiki.example/mills?a=1&b=2"
    assert quoted == f"./passage?run_id={telling.run.id}&n=2#passage"
    shown = await show(server, quoted.removeprefix("."))
    assert "Mills." in shown.text
    assert not [link for link in shown.links if link.startswith("javascript")]


async def test_a_source_that_the_answer_does_not_have_is_refused(server: Server) -> None:
    sent = asyncio.create_task(send(server, {"question": "Why?"}))
    telling = await server.told.next()
    telling.end()
    await sent
    for query in (f"run_id={telling.run.id}&n=1", "run_id=none&n=1", f"run_id={telling.run.id}"):
        assert (await server.get(f"/passage?{query}")).status == 404


async def test_a_passage_is_shown_marked_in_its_document(tmp_path: Path) -> None:
    text = "# Mills\n\n" + "The <wheel> turns. " * 3000 + "Here it stands. " + "And on. " * 3000
    (tmp_path / "mills.md").write_text(text)
    async with serving(tmp_path) as server:
        await server.millstream.index([tmp_path / "mills.md"])
        (document,) = (await server.get("/api/documents")).json["documents"]
        start = text.index("Here it")
        query = f"document_id={document['document_id']}&start={start}&end={start + 15}"
        shown = await show(server, f"/passage?{query}&version=old")
        assert '<mark id="passage">Here it stands.</mark>' in shown.html
        assert "The <wheel> turns." in shown.text
        assert "has changed since" in shown.text
        assert len(shown.text) < plain.WINDOW + 1000
        original, earlier, later = shown.links
        assert (await server.get(original.removeprefix("."))).body == text.encode()
        for link in (earlier, later):
            further = await show(server, link.removeprefix("."))
            assert "<mark" not in further.html
        assert (await server.get(f"/passage?{query}&from=x")).status == 200


async def test_a_passage_of_two_pages_opens_on_the_cited_one(tmp_path: Path) -> None:
    (tmp_path / "mills.pptx").write_bytes(make_pptx([("Weir", "It is of stone.", ""), ("Wheel", "It is of oak.", "")]))
    async with serving(tmp_path) as server:
        await server.millstream.index([tmp_path / "mills.pptx"])
        (document,) = (await server.get("/api/documents")).json["documents"]
        text = (await server.get(f"/api/documents/{document['document_id']}")).json["text"]
        start, turn, end = text.index("of stone"), text.index("# Wheel"), text.index("oak") + 3
        query = f"document_id={document['document_id']}&start={start}&end={end}"
        shown = await show(server, f"/passage?{query}&page=2")
        assert f"<mark>{text[start:turn]}</mark>" in shown.html
        assert f'<mark id="passage">{text[turn:end]}</mark>' in shown.html
        assert "mills.pptx, page 2" in shown.text
        whole = f'<mark id="passage">{text[start:end]}</mark>'
        for page in ("", "&page=1", "&page=3", "&page=x"):
            shown = await show(server, f"/passage?{query}{page}")
            assert whole in shown.html
            assert "mills.pptx, page 1" in shown.text


async def test_a_conversation_and_a_passage_are_their_owners_alone(tmp_path: Path) -> None:
    def by_header(connection: HTTPConnection) -> str:
        return connection.headers["x-user"]

    ann, bob = {"X-User": "ann"}, {"X-User": "bob"}
    async with serving(tmp_path, identify=by_header) as server:
        address = await send(server, {"question": "Why?"}, headers=ann)
        (await server.told.next()).end()
        assert (await server.get(address, headers=ann)).status == 200
        assert (await server.get(address, headers=bob)).status == 404
        conversation_id = parse_qs(urlsplit(address).query)["conversation_id"][0]
        theirs = {"question": "Mine?", "conversation_id": conversation_id}
        assert (await server.request("POST", "/plain", data=theirs, headers=bob)).status == 404
        assert not [link for link in (await show(server, headers=bob)).links if "conversation_id" in link]


async def test_under_a_prefix_every_link_and_form_leads_there(tmp_path: Path) -> None:
    def mounted(millstream: Any) -> Starlette:
        return Starlette(routes=[Mount("/shop/chat", millstream.app)])

    async with serving(tmp_path, app=mounted) as server:
        (form,) = (await show(server, "/shop/chat/plain")).forms
        answer = await told(server, {**form, "question": "Why?"}, "So [1].", path="/shop/chat/plain")
        for link in answer.links:
            path = urljoin("/shop/chat/plain", link)
            assert path.startswith("/shop/chat/")
            found = await server.get(urlsplit(path)._replace(fragment="").geturl())
            assert found.status == (404 if "passage" in link else 200)  # the told source is no document


async def test_the_chat_page_holds_the_form_for_who_has_no_javascript(server: Server) -> None:
    html = page.with_form("<body><noscript>Alas,\nno.</noscript></body>")
    assert html.startswith('<body><noscript><form method="post" action="./plain">')
    assert "Alas" not in html
    served = await server.get("/")
    assert "form-action 'self'" in served.headers.get("Content-Security-Policy", "form-action 'self'")
    assert served.status == 503 or b'action="./plain"' in served.body
