"""Documents over HTTP, against a real server on a real socket."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from documents_pdf import PDF
from starlette.requests import HTTPConnection

from millstream.documents import library
from millstream.documents.pool import ReaderPool
from millstream.documents.worker import Answer
from millstream.search.writer import IndexWriter
from millstream.server.app import Millstream

HTML = b"<html><body><script>alert(1)</script><p>Paid leave is twenty days.</p></body></html>"


def identify(connection: HTTPConnection) -> str:
    return connection.headers.get("x-user", "local")


@asynccontextmanager
async def served(data: Path, **settings: Any) -> AsyncIterator[tuple[Millstream, aiohttp.ClientSession]]:
    stream = Millstream(data=data, identify=identify, embedder="none", **settings)
    await stream.open()
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(stream.app, lifespan="off", log_level="error"))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        async with aiohttp.ClientSession(base) as session:
            yield stream, session
    finally:
        server.should_exit = True
        await serving
        await stream.close()


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with served(tmp_path / "data") as (_, session):
        yield session


async def send(http: aiohttp.ClientSession, name: str, data: bytes, **headers: str) -> dict[str, Any]:
    params = {"name": name, "wait": "30"}
    async with http.post("/api/documents", params=params, data=data, headers=headers) as response:
        assert response.status == 200, await response.text()
        (document,) = (await response.json())["documents"]
    found: dict[str, Any] = document
    return found


async def get(http: aiohttp.ClientSession, path: str, status: int = 200, **headers: str) -> dict[str, Any]:
    async with http.get(path, headers=headers) as response:
        assert response.status == status, await response.text()
        found: dict[str, Any] = await response.json(content_type=None)
    return found


async def code_of(asked: Any) -> tuple[int, str]:
    async with asked as response:
        return response.status, (await response.json(content_type=None))["code"]


async def test_an_upload_can_be_found_listed_and_opened(http: aiohttp.ClientSession) -> None:
    document = await send(http, "leave.md", b"# Leave\n\nStaff get twenty days.")
    assert (document["state"], document["uri"], document["title"]) == ("ready", "uploads/leave.md", "Leave")
    listing = await get(http, "/api/documents")
    assert listing["documents"] == [document]
    assert listing["indexing"]["count"] == 1
    opened = await get(http, f"/api/documents/{document['document_id']}")
    assert opened["text"] == "# Leave\n\nStaff get twenty days."
    assert opened["markdown"] is True
    assert opened["passages"] == [{"n": 0, "start": 0, "end": 31}]
    part = await get(http, f"/api/documents/{document['document_id']}?start=2&end=7")
    assert (part["text"], part["start"], part["end"], part["length"]) == ("Leave", 2, 7, 31)
    async with http.post("/api/runs", json={"question": "How many days?", "answer": "rag"}) as response:
        run = await response.json()
    assert run["message"]["sources"][0]["document_id"] == document["document_id"]


async def test_a_form_may_hold_many_files(http: aiohttp.ClientSession) -> None:
    form = aiohttp.FormData()
    form.add_field("files", b"Apples are red.", filename="apples.txt")
    form.add_field("files", b"%PDF-1.7 broken", filename="broken.pdf")
    async with http.post("/api/documents?wait=30", data=form) as response:
        documents = (await response.json())["documents"]
    assert [(one["uri"], one["state"]) for one in documents] == [
        ("uploads/apples.txt", "ready"),
        ("uploads/broken.pdf", "failed"),
    ]
    assert "damaged" in documents[1]["reason"]
    status = await get(http, "/api/status")
    assert [failure["uri"] for failure in status["documents"]["failed"]] == ["uploads/broken.pdf"]
    opened = await get(http, f"/api/documents/{documents[1]['document_id']}")
    assert (opened["state"], "text" in opened) == ("failed", False)


async def test_without_waiting_an_upload_is_accepted_at_once(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as (stream, http):
        async with http.post("/api/documents?name=a.txt", data=b"Apples are red.") as response:
            assert response.status == 202
            (document,) = (await response.json())["documents"]
        assert document["state"] == "waiting"
        assert stream.library is not None
        await stream.library.settled()
        assert (await get(http, f"/api/documents/{document['document_id']}"))["state"] == "ready"


async def test_a_file_that_takes_long_to_read_holds_up_no_other_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ReaderPool.submit

    def submit(pool: ReaderPool, path: Path, name: str) -> Future[Answer]:
        return Future() if name == "slow.txt" else read(pool, path, name)

    monkeypatch.setattr(ReaderPool, "submit", submit)
    async with served(tmp_path / "data") as (_, http):
        async with http.post("/api/documents?name=slow.txt", data=b"Never read to its end.") as response:
            (slow,) = (await response.json())["documents"]
        assert (await send(http, "b.txt", b"Pears are green."))["state"] == "ready"
        assert (await get(http, f"/api/documents/{slow['document_id']}"))["state"] == "waiting"


async def test_the_same_name_replaces_the_document(http: aiohttp.ClientSession) -> None:
    first = await send(http, "a.txt", b"Apples are red.")
    second = await send(http, "a.txt", b"Pears are green.")
    assert first["document_id"] == second["document_id"]
    assert (await get(http, f"/api/documents/{second['document_id']}"))["text"] == "Pears are green."


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "..\\..\\boot.ini", "/abs/olute.txt", ".hidden", "a\0b.txt", "x" * 300 + ".txt", "CON?.txt"],
)
async def test_no_name_leads_out_of_the_folder(http: aiohttp.ClientSession, tmp_path: Path, name: str) -> None:
    document = await send(http, name, b"Words.")
    assert document["uri"].startswith("uploads/")
    files = [path for path in (tmp_path / "data" / "uploads").glob("*/*") if path.name != ".owner"]
    assert len(files) == 1
    assert files[0].read_bytes() == b"Words."
    assert os.listdir(tmp_path) == ["data"]


async def test_documents_belong_to_their_owner(http: aiohttp.ClientSession) -> None:
    document = await send(http, "a.txt", b"Apples are red.", **{"X-User": "ann"})
    path = f"/api/documents/{document['document_id']}"
    assert len((await get(http, "/api/documents", **{"X-User": "ann"}))["documents"]) == 1
    assert (await get(http, "/api/documents", **{"X-User": "bob"}))["documents"] == []
    bob = {"X-User": "bob"}
    assert await code_of(http.get(path, headers=bob)) == (404, "no-document")
    assert await code_of(http.get(f"{path}/original", headers=bob)) == (404, "no-document")
    assert await code_of(http.delete(path, headers=bob)) == (404, "no-document")
    assert await code_of(http.post(f"{path}/read", headers=bob)) == (404, "no-document")


async def test_another_sites_page_may_not_upload_or_remove(http: aiohttp.ClientSession) -> None:
    evil = {"Origin": "https://evil.example"}
    asked = http.post("/api/documents?name=a.txt", data=b"x", headers=evil)
    assert await code_of(asked) == (403, "origin-not-allowed")
    assert await code_of(http.delete("/api/documents/x", headers=evil)) == (403, "origin-not-allowed")


@pytest.mark.parametrize(
    ("name", "data", "media_type", "disposition", "is_sandboxed"),
    [
        ("a.html", HTML, "text/html", "attachment", True),
        ("a.txt", HTML[26:], "text/plain", "inline", True),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>x</script></svg>", "text/plain", "inline", True),
        ("a.csv", b"Name,Age\nAnn,30\n", "text/plain", "inline", True),
        ("broken.pdf", b"%PDF-1.7 broken", "application/octet-stream", "attachment", True),
    ],
)
async def test_an_original_can_run_nothing(
    http: aiohttp.ClientSession, name: str, data: bytes, media_type: str, disposition: str, is_sandboxed: bool
) -> None:
    document = await send(http, name, data)
    async with http.get(f"/api/documents/{document['document_id']}/original") as response:
        assert await response.read() == data
        assert response.content_type == media_type
        assert response.headers["Content-Disposition"] == f"{disposition}; filename*=UTF-8''{name}"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert ("sandbox" in policy) is is_sandboxed


@pytest.mark.parametrize(
    ("text", "encoding", "charset"),
    [
        ("Größe", "utf-8", "utf-8"),
        ("Größe", "cp1252", None),
        ("Срок уведомления", "cp1251", None),
        ("Größe", "utf-16", None),
        ("x" * 63_999 + "ö", "utf-8", "utf-8"),
        ("plain", "ascii", "utf-8"),
    ],
)
async def test_an_original_says_utf_8_only_when_it_is(
    http: aiohttp.ClientSession, text: str, encoding: str, charset: str | None
) -> None:
    document = await send(http, "a.txt", text.encode(encoding))
    async with http.get(f"/api/documents/{document['document_id']}/original") as response:
        assert (response.content_type, response.charset) == ("text/plain", charset)


async def test_a_pdf_is_shown_and_read_in_parts(http: aiohttp.ClientSession) -> None:
    document = await send(http, "Größe.pdf", PDF)
    path = f"/api/documents/{document['document_id']}/original"
    async with http.get(path, headers={"Range": "bytes=0-4"}) as response:
        assert (response.status, await response.read()) == (206, b"%PDF-")
        assert response.content_type == "application/pdf"
        assert response.headers["Content-Disposition"] == "inline; filename*=UTF-8''Gr%C3%B6%C3%9Fe.pdf"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]


async def test_removing_an_upload_deletes_it(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    document = await send(http, "a.txt", b"Apples are red.")
    path = f"/api/documents/{document['document_id']}"
    async with http.delete(path) as response:
        assert response.status == 204
    assert await code_of(http.get(path)) == (404, "no-document")
    assert await code_of(http.delete(path)) == (404, "no-document")
    assert [path.name for path in (tmp_path / "data" / "uploads").glob("*/*")] == [".owner"]


async def test_a_removed_file_of_a_folder_stays_and_stays_out(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("Apples are red.")
    async with served(tmp_path / "data") as (stream, http):
        assert stream.library is not None
        await stream.library.start([folder], "local")
        (document,) = (await get(http, "/api/documents"))["documents"]
        async with http.delete(f"/api/documents/{document['document_id']}") as response:
            assert response.status == 204
        await stream.library.start([folder], "local")
        assert (await get(http, "/api/documents"))["documents"] == []
        assert (folder / "a.txt").exists()
        await stream.library.start([folder / "a.txt"], "local")
        assert len((await get(http, "/api/documents"))["documents"]) == 1


async def test_a_document_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Apples are red.")
    async with served(tmp_path / "data") as (stream, http):
        assert stream.library is not None
        await stream.library.start([tmp_path / "a.txt"], "local")
        (document,) = (await get(http, "/api/documents"))["documents"]
        path = f"/api/documents/{document['document_id']}"
        (tmp_path / "a.txt").write_text("Pears are green.")
        async with http.post(f"{path}/read") as response:
            assert (await response.json())["state"] == "ready"
        assert (await get(http, path))["text"] == "Pears are green."
        (tmp_path / "a.txt").unlink()
        assert await code_of(http.post(f"{path}/read")) == (404, "no-original")
        assert await code_of(http.get(f"{path}/original")) == (404, "no-original")


async def test_a_link_in_the_place_of_an_original_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("The secret is out.")
    (folder / "a.txt").write_text("Apples are red.")
    (folder / "b.txt").symlink_to("a.txt")
    async with served(tmp_path / "data") as (stream, http):
        assert stream.library is not None
        await stream.library.start([folder], "local")
        paths = [f"/api/documents/{one['document_id']}" for one in (await get(http, "/api/documents"))["documents"]]
        for path in paths:
            async with http.get(f"{path}/original") as response:
                assert await response.text() == "Apples are red."
        (folder / "a.txt").unlink()
        (folder / "a.txt").symlink_to(tmp_path / "secret.txt")
        for path in paths:
            assert await code_of(http.get(f"{path}/original")) == (404, "no-original")
            assert await code_of(http.post(f"{path}/read")) == (404, "no-original")


async def test_what_is_too_large_or_too_much_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path / "data", upload_mb=0.001, uploads=1) as (_, http):
        await send(http, "a.txt", b"x" * 1000)
        assert await code_of(http.post("/api/documents?name=a.txt", data=b"x" * 1001)) == (413, "too-large")

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"x" * 100

        assert await code_of(http.post("/api/documents?name=a.txt", data=endless())) == (413, "too-large")
        form = aiohttp.FormData()
        form.add_field("file", b"x" * 2000, filename="c.txt")
        assert await code_of(http.post("/api/documents", data=form)) == (413, "too-large")
        assert await code_of(http.post("/api/documents?name=b.txt", data=b"x")) == (409, "too-many-uploads")
        await send(http, "a.txt", b"The same name is no more.")
        names = [path.name for path in (tmp_path / "data" / "uploads").glob("*/*")]
        assert sorted(names) == [".owner", "a.txt"]


async def test_uploads_at_the_same_time_keep_to_the_limit(tmp_path: Path) -> None:
    async with served(tmp_path / "data", uploads=2) as (_, http):
        everybody_sends = asyncio.Barrier(5)

        async def slow(name: str) -> int:
            async def body() -> AsyncIterator[bytes]:
                yield b"The beginning, "
                await everybody_sends.wait()
                yield b"and the end."

            async with http.post(f"/api/documents?name={name}.txt&wait=30", data=body()) as response:
                return response.status

        assert sorted(await asyncio.gather(*map(slow, "abcde"))) == [200, 200, 409, 409, 409]
        assert len((await get(http, "/api/documents"))["documents"]) == 2


async def test_a_body_without_a_name_is_refused(http: aiohttp.ClientSession) -> None:
    assert await code_of(http.post("/api/documents", data=b"x")) == (400, "no-name")
    named = {"Content-Disposition": "attachment; filename=a.txt"}
    async with http.post("/api/documents?wait=30", data=b"Words.", headers=named) as response:
        assert (await response.json())["documents"][0]["uri"] == "uploads/a.txt"


async def test_uploads_that_a_server_left_unread_are_read_by_the_next(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as (stream, http):
        assert stream.library is not None
        await send(http, "a.txt", b"Apples are red.")
        folder = stream.library.uploads.folder("local")
    (folder / "b.txt").write_bytes(b"It was received, and then the server died.")
    (folder / ".incoming-1").write_bytes(b"This one was not whole.")
    async with served(tmp_path / "data") as (stream, http):
        assert stream.library is not None
        await stream.library.start([], "local")
        uris = [document["uri"] for document in (await get(http, "/api/documents"))["documents"]]
    assert uris == ["uploads/a.txt", "uploads/b.txt"]
    assert not (folder / ".incoming-1").exists()


async def test_uploads_of_any_kind_are_still_there_after_a_restart(tmp_path: Path) -> None:
    """In a folder, a program's source and an image would be passed over."""
    sent = {"hello.py": b'print("twenty days of leave")', "noise.bin": bytes(range(256)) * 9}
    async with served(tmp_path / "data") as (_, http):
        before = [await send(http, name, data) for name, data in sent.items()]
    assert [one["state"] for one in before] == ["ready", "failed"]
    async with served(tmp_path / "data") as (_, http):
        await send(http, "z.txt", b"Read after what was there at the start.")
        while (listing := await get(http, "/api/documents"))["indexing"]["state"] != "ready":
            pass
        assert listing["documents"][:2] == before


async def test_while_others_write_the_index_a_removal_is_refused_and_an_upload_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_BEGIN_S", 0.1)
    async with served(tmp_path / "data") as (stream, http):
        document = await send(http, "a.txt", b"Apples are red.")
        with IndexWriter(tmp_path / "data" / "index.db"):
            url = f"/api/documents/{document['document_id']}"
            assert await code_of(http.delete(url)) == (409, "sync-running")
            assert await code_of(http.post(f"{url}/read")) == (409, "sync-running")
            async with http.post("/api/documents?name=b.txt", data=b"Pears are green.") as response:
                assert response.status == 202
        assert stream.library is not None
        await stream.library.settled()
        listing = await get(http, "/api/documents")
    assert [(one["uri"], one["state"]) for one in listing["documents"]] == [
        (f"uploads/{name}.txt", "ready") for name in "ab"
    ]


async def test_what_waits_is_done_when_the_index_can_be_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_BEGIN_S", 0.1)
    async with served(tmp_path / "data") as (stream, http):
        lock = tmp_path / "data" / "index.lock"
        document = await send(http, "a.txt", b"Apples are red.")
        assert stream.library is not None
        await stream.library.settled()  # the index has been let go of
        lock.rename(tmp_path / "aside")
        lock.mkdir()  # cannot be opened
        url = f"/api/documents/{document['document_id']}"
        assert await code_of(http.delete(url)) == (409, "sync-running")
        async with http.post("/api/documents?name=b.txt&wait=1", data=b"Pears are green.") as response:
            assert response.status == 202
        lock.rmdir()
        await stream.library.settled()
        listing = await get(http, "/api/documents")
    assert [one["state"] for one in listing["documents"]] == ["ready"] * 2


async def test_the_list_comes_in_parts(http: aiohttp.ClientSession) -> None:
    for name in "abc":
        await send(http, f"{name}.txt", b"Words.")
    first = await get(http, "/api/documents?limit=2")
    second = await get(http, f"/api/documents?limit=2&after={first['next']}")
    assert [one["uri"] for one in first["documents"] + second["documents"]] == [f"uploads/{n}.txt" for n in "abc"]
    assert "next" not in second
    assert await code_of(http.get("/api/documents?limit=x")) == (400, "invalid-request")
    for nonsense in ("b.txt", "%C3%BF", "a"):
        assert await code_of(http.get(f"/api/documents?after={nonsense}")) == (400, "invalid-request")


async def test_the_list_goes_on_behind_a_document_that_has_vanished(http: aiohttp.ClientSession) -> None:
    for name in "abc":
        await send(http, f"{name}.txt", b"Words.")
    first = await get(http, "/api/documents?limit=2")
    last = first["documents"][-1]
    assert last["uri"] == "uploads/b.txt"
    async with http.delete(f"/api/documents/{last['document_id']}") as response:
        assert response.status == 204
    second = await get(http, f"/api/documents?after={first['next']}")
    assert [one["uri"] for one in second["documents"]] == ["uploads/c.txt"]


async def test_a_watched_folder_is_kept_up_to_date(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("Apples are red.")
    async with served(tmp_path / "data", watch_seconds=0.02) as (stream, http):
        assert stream.library is not None
        await stream.library.start([folder], "local", watch=True)
        for change, uris in (
            (lambda: (folder / "b.txt").write_text("Pears are green."), ["docs/a.txt", "docs/b.txt"]),
            (lambda: (folder / "a.txt").rename(folder / "c.txt"), ["docs/b.txt", "docs/c.txt"]),
            (lambda: (folder / "b.txt").unlink(), ["docs/c.txt"]),
        ):
            change()
            async with asyncio.timeout(20):
                while [one["uri"] for one in (await get(http, "/api/documents"))["documents"]] != uris:
                    pass
