import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import PATIENCE_S, Serve, assert_one_line_error, environment, millstream, serve
from held_model import HeldModel
from typed_terminal import CTRL_BACKSLASH, CTRL_C, CTRL_D, terminal

WHEEL = "The mill wheel turns in the stream. It grinds grain."
ANSWER = "# Mills\n\nIt grinds **grain** [1].\n\n- one\n- two\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one document in its index, and scripts to answer with."""
    folder = tmp_path_factory.mktemp("chatting")
    documents = folder / "documents"
    documents.mkdir()
    (documents / "mill.md").write_text(f"# Mill\n\n{WHEEL}\n")
    assert millstream(folder, "sync", "documents").returncode == 0
    for name, steps in {
        "cites": [{"type": "text", "text": ANSWER}],
        "fails": [{"type": "text", "text": "Half "}, {"type": "error", "status": 500, "message": "boom"}],
        "html": [{"type": "text", "text": "A List<String> here.\n\n<div>block</div>\n\nEnd."}],
        "steers": [{"type": "text", "text": "a\x1b[2Jb\x07c"}],
    }.items():
        (folder / f"{name}.json").write_text(json.dumps({"calls": [{"steps": steps}] * 4}))
    return folder


@pytest.fixture
def model() -> Iterator[HeldModel]:
    with HeldModel().serving() as model:
        yield model


@pytest.fixture
def server(tmp_path: Path, model: HeldModel) -> Iterator[Serve]:
    with serve(tmp_path, MILLSTREAM_MODEL="openai/held", OPENAI_API_KEY="k", OPENAI_BASE_URL=model.url) as server:
        yield server


def piped(folder: Path, lines: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "millstream", "chat", *arguments],
        cwd=folder,
        env=environment(folder, **variables),
        input=lines,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


# At a terminal


def test_it_shows_steps_words_marks_and_sources_and_then_asks_again(folder: Path) -> None:
    with terminal(folder, "chat", MILLSTREAM_MODEL="scripted/cites.json") as chat:
        chat.expect("> ")
        chat.type("What does the mill wheel do?\n")
        chat.expect("✓ Found 1 related passage")
        chat.expect("Mills")
        chat.expect("It grinds grain [1].")
        chat.expect(" • two")
        chat.expect("[1] Mill (documents/mill.md)")
        chat.expect("> ")
        chat.type(CTRL_D)
        assert chat.ended() == 0
        assert "**" not in chat.shown


def test_control_characters_of_an_answer_do_not_reach_the_terminal(folder: Path) -> None:
    with terminal(folder, "chat", "--answer", "chat", MILLSTREAM_MODEL="scripted/steers.json") as chat:
        chat.expect("> ")
        chat.type("Why?\n")
        chat.expect("a[2Jbc")


def test_ctrl_c_stops_the_answer_and_the_conversation_goes_on(tmp_path: Path, server: Serve, model: HeldModel) -> None:
    with terminal(tmp_path, "chat", "--answer", "chat") as chat:
        chat.expect("> ")
        chat.type("Why?\n")
        chat.expect("Held")
        chat.type(CTRL_C)
        chat.expect("Stopped.")
        model.go.set()
        chat.expect("> ")
        chat.type("/again\n")
        chat.expect("Held words.")
        chat.type("/quit\n")
        assert chat.ended() == 0
    [conversation] = server.ask("GET", "/api/conversations")[1:][1]["conversations"]
    messages = server.ask("GET", f"/api/conversations/{conversation['conversation_id']}")[2]["messages"]
    assert [each["run"]["state"] for each in messages if "run" in each] == ["stopped", "finished"]


def test_what_looks_like_html_is_shown(folder: Path) -> None:
    with terminal(folder, "chat", "--answer", "chat", MILLSTREAM_MODEL="scripted/html.json") as chat:
        chat.expect("> ")
        chat.type("Why?\n")
        chat.expect("A List<String> here.")
        chat.expect("<div>block</div>")


def test_leaving_twice_a_chat_that_serves_itself_says_that_the_answer_ends(tmp_path: Path, model: HeldModel) -> None:
    variables = {"MILLSTREAM_MODEL": "openai/held", "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": model.url}
    with terminal(tmp_path, "chat", "--answer", "chat", **variables) as chat:
        chat.expect("> ")
        chat.type("Why?\n")
        chat.expect("Held")
        chat.type(CTRL_BACKSLASH)
        chat.expect("The answer ends with this chat")
        chat.type(CTRL_BACKSLASH)
        model.go.set()
        chat.ended()
        assert "Traceback" not in chat.shown


def test_keys_typed_during_an_answer_wait_for_the_prompt(tmp_path: Path, server: Serve, model: HeldModel) -> None:
    with terminal(tmp_path, "chat", "--answer", "chat") as chat:
        chat.expect("> ")
        chat.type("Why?\n")
        chat.expect("Held")
        chat.type("/quit\n")
        model.go.set()
        chat.expect("Held words.")
        assert chat.ended() == 0
        assert chat.shown.count("/quit") <= 1


def test_who_leaves_finds_the_answer_when_they_come_back(tmp_path: Path, server: Serve, model: HeldModel) -> None:
    with terminal(tmp_path, "chat", "--answer", "chat", "--url", server.url) as chat:
        chat.expect("> ")
        chat.type("Why?\n")
        chat.expect("Held")
        chat.type(CTRL_BACKSLASH)
        chat.expect("chat --continue")
        assert chat.ended() == 0
    with terminal(tmp_path, "chat", "--answer", "chat", "--continue") as chat:
        chat.expect("> Why?")
        chat.expect("Held")
        model.go.set()
        chat.expect("Held words.")
        chat.expect("> ")
        chat.type("/history\n")
        chat.expect("1  Why?")
        chat.type("/open 1\n")
        chat.expect("Held words.")


def test_a_closed_terminal_leaves_the_answer_to_its_server(tmp_path: Path, server: Serve, model: HeldModel) -> None:
    with terminal(tmp_path, "chat", "--answer", "chat") as chat:
        chat.expect("> ")
        chat.type("Why?\n")
        chat.expect("Held")
    model.go.set()
    with terminal(tmp_path, "chat", "--continue") as chat:
        chat.expect("Held words.")


def test_a_failed_answer_says_why_and_can_be_gone_on_with(folder: Path) -> None:
    with terminal(folder, "chat", "--answer", "chat", MILLSTREAM_MODEL="scripted/fails.json") as chat:
        chat.expect("> ")
        chat.type("Why?\n")
        chat.expect("Half")
        chat.expect("> ")
        chat.type("/continue\n")
        chat.expect("Half")
        chat.expect("> ")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/help", "/history"),
        ("/nonsense", "/history"),
        ("/open 7", "needs the number"),
        ("/open", "needs the number"),
        ("/again", "no question"),
        ("/continue", "no answer"),
        ("/new", "A new conversation."),
    ],
)
def test_a_command_that_cannot_be_says_so(tmp_path: Path, typed: str, said: str) -> None:
    with terminal(tmp_path, "chat") as chat:
        chat.expect("> ")
        chat.type(f"{typed}\n")
        chat.expect(said)
        chat.expect("> ")


# Piped


def test_piped_each_line_is_a_question_and_the_output_is_plain(folder: Path) -> None:
    done = piped(folder, "What grinds?\n\nAnd why?\n", MILLSTREAM_MODEL="scripted/cites.json")
    assert (done.returncode, done.stderr) == (0, "")
    once = "# Mills\n\nIt grinds **grain** [1].\n\n- one\n- two\n\n\n[1] Mill (documents/mill.md)\n"
    assert done.stdout == once + once


def test_piped_a_failed_answer_is_told_on_standard_error_with_exit_code_1(folder: Path) -> None:
    done = piped(folder, "Why?\n", "--answer", "chat", MILLSTREAM_MODEL="scripted/fails.json")
    assert done.returncode == 1
    assert done.stdout.startswith("Half ")
    assert done.stderr.startswith("millstream: ")


def test_nobody_at_the_address_is_one_clear_line(folder: Path) -> None:
    done = piped(folder, "Why?\n", "--url", "http://127.0.0.1:1")
    assert_one_line_error(done, 1, "http://127.0.0.1:1 cannot be reached")


def test_a_closed_standard_input_is_one_clear_line(tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m millstream chat <&-'
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert_one_line_error(done, 2, "standard input is closed")
