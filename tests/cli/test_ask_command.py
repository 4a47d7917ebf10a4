import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Serve, assert_one_line_error, millstream, serve

WHEEL = "The mill wheel turns in the stream. It grinds grain."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one document in its index, and scripts to answer with."""
    folder = tmp_path_factory.mktemp("asking")
    documents = folder / "documents"
    documents.mkdir()
    (documents / "mill.md").write_text(f"# Mill\n\n{WHEEL}\n")
    assert millstream(folder, "sync", "documents").returncode == 0
    for name, steps in {
        "cites": [{"type": "text", "text": "It grinds grain [1]. More."}],
        "far": [{"type": "text", "text": "水 mill"}],
        "fails": [{"type": "text", "text": "Half "}, {"type": "error", "status": 500, "message": "boom"}],
    }.items():
        (folder / f"{name}.json").write_text(json.dumps({"calls": [{"steps": steps}]}))
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Serve]:
    with serve(folder, MILLSTREAM_MODEL="scripted/cites.json", MILLSTREAM_DATA=str(folder / "served")) as server:
        yield server


QUESTION = "What does the mill wheel do?"


def test_piped_it_is_plain_text_with_marks_and_the_cited_sources(folder: Path) -> None:
    done = millstream(folder, "ask", QUESTION, "--model", "scripted/cites.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "It grinds grain [1]. More.\n\n[1] Mill (documents/mill.md)\n"


def test_without_a_stream_it_says_the_same(folder: Path) -> None:
    streamed = millstream(folder, "ask", QUESTION, "--model", "scripted/cites.json")
    whole = millstream(folder, "ask", QUESTION, "--model", "scripted/cites.json", "--no-stream")
    assert whole.stdout == streamed.stdout


def test_without_a_model_it_quotes(folder: Path) -> None:
    done = millstream(folder, "ask", QUESTION, "--no-stream")
    assert done.returncode == 0
    assert "mill wheel" in done.stdout
    assert "[1]" in done.stdout


def test_json_is_every_event_on_a_line(folder: Path) -> None:
    done = millstream(folder, "ask", QUESTION, "--model", "scripted/cites.json", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert (events[0]["type"], events[-1]["type"]) == ("run.started", "run.finished")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


def test_json_without_a_stream_is_the_whole_answer(folder: Path) -> None:
    done = millstream(folder, "ask", QUESTION, "--model", "scripted/cites.json", "--json", "--no-stream")
    body = json.loads(done.stdout)
    assert (body["state"], body["message"]["content"]) == ("finished", "It grinds grain. More.")
    assert body["message"]["citations"] == [{"n": 1, "start": 0, "end": 15}]


def test_what_a_terminal_without_utf_8_cannot_show_is_replaced_but_not_in_json(folder: Path) -> None:
    asked = ("ask", "Why?", "--model", "scripted/far.json", "--answer", "chat")
    variables = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
    assert millstream(folder, *asked, **variables).stdout == "? mill\n"
    for more in (("--json",), ("--json", "--no-stream")):
        assert "水 mill" in millstream(folder, *asked, *more, **variables).stdout


def test_an_answer_chooses_by_name(folder: Path) -> None:
    done = millstream(folder, "ask", "Why?", "--model", "scripted/cites.json", "--answer", "chat")
    assert done.stdout.startswith("It grinds grain")
    assert_one_line_error(millstream(folder, "ask", "Why?", "--answer", "poet"), 2, "poet", "rag")


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_a_failed_answer_keeps_what_there_was_and_exits_with_1(folder: Path, stream: str) -> None:
    done = millstream(folder, "ask", "Why?", "--model", "scripted/fails.json", "--answer", "chat", stream)
    assert done.returncode == 1
    assert done.stdout.startswith("Half ")
    (line,) = done.stderr.splitlines()
    assert line.startswith("millstream: ")


def test_a_server_is_asked_by_its_address(folder: Path, server: Serve, tmp_path: Path) -> None:
    done = millstream(tmp_path, "ask", "Why?", "--url", server.url, "--answer", "chat")
    assert (done.returncode, done.stdout.split("\n")[0]) == (0, "It grinds grain [1]. More.")
    assert not (tmp_path / "data").exists()  # nothing is made here


def test_the_server_of_the_folder_is_found_by_itself(folder: Path, server: Serve) -> None:
    done = millstream(folder, "ask", "Why?", "--answer", "chat", "--json", "--data", str(folder / "served"))
    assert done.returncode == 0, done.stderr
    run_id = json.loads(done.stdout.splitlines()[0])["run_id"]
    assert server.ask("GET", f"/api/runs/{run_id}")[2]["state"] == "finished"


def test_a_refusal_of_the_server_is_one_line(server: Serve, tmp_path: Path) -> None:
    done = millstream(tmp_path, "ask", "Why?", "--url", server.url, "--answer", "poet")
    assert_one_line_error(done, 2, "poet")
    assert_one_line_error(millstream(tmp_path, "ask", " ", "--url", server.url), 2, "question")


def test_nobody_there_is_one_line_at_once(tmp_path: Path) -> None:
    done = millstream(tmp_path, "ask", "Why?", "--url", "http://127.0.0.1:1")
    assert_one_line_error(done, 1, "http://127.0.0.1:1", "cannot be reached")


def test_what_is_no_address_is_one_line(tmp_path: Path) -> None:
    assert_one_line_error(millstream(tmp_path, "ask", "Why?", "--url", "localhost:8000"), 2, "localhost:8000")


def test_next_questions_are_made_only_where_they_are_told(folder: Path) -> None:
    said = ["It grinds grain [1].", "It grinds grain [1].", '["What turns it?"]']
    calls = [{"steps": [{"type": "text", "text": text}]} for text in said]
    (folder / "suggests.json").write_text(json.dumps({"calls": calls}))
    with serve(folder, MILLSTREAM_MODEL="scripted/suggests.json", MILLSTREAM_TITLES="question") as server:
        piped = millstream(folder, "ask", QUESTION, "--url", server.url)
        told = millstream(folder, "ask", QUESTION, "--url", server.url, "--json")
    assert "It grinds grain [1]." in piped.stdout
    events = [json.loads(line) for line in told.stdout.splitlines()]
    assert "".join(event["text"] for event in events if event["type"] == "text.delta") == "It grinds grain."
    assert [event["questions"] for event in events if event["type"] == "followups"] == [["What turns it?"]]
