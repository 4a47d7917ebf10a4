import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import PATIENCE_S, Held, assert_one_line_error, environment, millstream, serve, until
from held_model import HeldModel

import millstream as package

SCRIPT = {"calls": [{"steps": [{"type": "text", "text": "Scripted words."}]}]}


@pytest.fixture
def model() -> Iterator[HeldModel]:
    with HeldModel().serving() as model:
        yield model


def held(model: HeldModel) -> dict[str, str]:
    return {"MILLSTREAM_MODEL": "openai/held", "OPENAI_BASE_URL": model.url}


def test_version_is_one_line(tmp_path: Path) -> None:
    done = millstream(tmp_path, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"millstream {package.__version__}\n", "")


def test_serve_says_where_it_answers_in_one_line_and_how_to_add_a_model(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        assert re.fullmatch(r"Millstream answers at http://127\.0\.0\.1:\d+\n", server.line)
        assert server.ask("GET", "/health")[0] == 200
        assert server.process.stdout is not None
        assert "MILLSTREAM_MODEL" in server.process.stdout.readline()
        server.signal(signal.SIGTERM)
        assert server.ended() == 0
        assert server.process.stdout.read() == ""
        assert server.process.stderr is not None
        assert server.process.stderr.read() == ""


TELL_WHAT_IS_KEPT = """
import gc
from millstream.cli import main, serve

class Server(serve._Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(gc.get_freeze_count(), len(gc.get_objects()), gc.isenabled())
        self.should_exit = True

serve._Server = Server
main()
"""


def test_what_is_loaded_when_serve_begins_is_kept_from_the_garbage_collector(tmp_path: Path) -> None:
    """One pass over it takes 0.1 s, in which no stream goes on."""
    done = subprocess.run(
        [sys.executable, "-c", TELL_WHAT_IS_KEPT, "serve", "--port", "0"],
        cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    kept, collected, enabled = done.stdout.splitlines()[-1].split()
    assert int(kept) > 20 * int(collected)
    assert enabled == "True"


def test_serve_listens_on_loopback_only_by_default(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        port = int(server.url.rsplit(":", 1)[1])
        sockets = [line.split() for line in Path(f"/proc/{server.process.pid}/net/tcp").read_text().splitlines()[1:]]
        listening = "0A"
        addresses = {row[1] for row in sockets if row[3] == listening and row[1].endswith(f":{port:04X}")}
        assert addresses == {f"0100007F:{port:04X}"}


def test_a_scripted_model_end_to_end(tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text(json.dumps(SCRIPT))
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "mill.md").write_text("# Mill\n\nThe mill wheel turns in the stream.\n")
    with serve(tmp_path, str(documents), MILLSTREAM_MODEL="scripted/script.json") as server:
        until(lambda: server.ask("GET", "/api/status")[2]["documents"]["state"] == "ready")
        status, _, body = server.ask("POST", "/api/runs", {"question": "What does the mill wheel do?"})
        assert (status, body["state"], body["message"]["content"]) == (200, "finished", "Scripted words.")
        assert [source["uri"] for source in body["message"]["sources"]] == ["documents/mill.md"]


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_one_line_error(millstream(tmp_path, "serve", "--port", port), 2, port, "--port")


def test_an_address_that_is_not_ours_is_one_clear_line(tmp_path: Path) -> None:
    assert_one_line_error(millstream(tmp_path, "serve", "--port", "0", "--host", "192.0.2.1"), 2, "192.0.2.1")


def test_a_folder_that_another_server_serves_is_one_clear_line_that_names_the_way_on(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        done = millstream(tmp_path, "serve", "--port", "0")
        assert_one_line_error(done, 2, str(server.process.pid), server.url, "MILLSTREAM_DATA")


def test_documents_that_are_not_there_are_one_clear_line(tmp_path: Path) -> None:
    assert_one_line_error(millstream(tmp_path, "serve", "--port", "0", "nowhere"), 2, "nowhere")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("MILLSTREAM_MODEL", "poet/ann"), ("MILLSTREAM_WHEN_UNREAD", "never"), ("MILLSTREAM_MODEL", "openai/gpt-4o"),
     ("MILLSTREAM_DATABASE", "mysql://x"), ("MILLSTREAM_ORIGINS", "*")],
)  # fmt: skip
def test_a_wrong_setting_is_one_clear_line(tmp_path: Path, variable: str, value: str) -> None:
    done = millstream(tmp_path, "serve", "--port", "0", **{variable: value})
    assert_one_line_error(done, 2, "" if value == "openai/gpt-4o" else variable)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--log-level", "loud"], ["--port", "99999"], ["--colour", "red"]])
def test_a_wrong_flag_exits_with_2_and_no_traceback(tmp_path: Path, arguments: list[str]) -> None:
    done = millstream(tmp_path, "serve", *arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_flags_beat_the_env_file_which_beats_the_environment(tmp_path: Path) -> None:
    for name in ("flag", "file"):
        script = {"calls": [{"steps": [{"type": "text", "text": f"By {name}."}]}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(script))
    (tmp_path / ".env").write_text("MILLSTREAM_MODEL=scripted/file.json\n")
    said = []
    for flags in ((), ("--model", "scripted/flag.json")):
        with serve(tmp_path, *flags, MILLSTREAM_MODEL="poet/environment") as server:
            said.append(
                server.ask("POST", "/api/runs", {"question": "Who?", "answer": "chat"})[2]["message"]["content"]
            )
    assert said == ["By file.", "By flag."]


# Shutting down


def test_sigterm_lets_the_running_answer_end_and_takes_no_new_one(tmp_path: Path, model: HeldModel) -> None:
    with serve(tmp_path, **held(model)) as server:
        stream = Held(server)
        stream.until("text.delta")
        server.signal(signal.SIGTERM)
        until(lambda: server.ask("POST", "/api/runs", {"question": "x", "answer": "none"})[0] == 503)
        status, headers, problem = server.ask("POST", "/api/runs", {"question": "More?"})
        assert (status, problem["code"], headers["Retry-After"]) == (503, "draining", "5")
        assert server.ask("GET", f"/api/runs/{stream.run_id}")[2]["state"] == "running"  # reading goes on
        model.go.set()
        assert stream.until("run.finished")
        assert server.ended() == 0


def test_what_does_not_end_within_the_drain_time_is_interrupted(tmp_path: Path, model: HeldModel) -> None:
    with serve(tmp_path, MILLSTREAM_DRAIN="0.2", **held(model)) as server:
        stream = Held(server)
        stream.until("text.delta")
        server.signal(signal.SIGTERM)
        assert stream.until("run.failed")["code"] == "interrupted"
        assert server.ended() == 0
    with serve(tmp_path, **held(model)) as server:
        body = server.ask("GET", f"/api/runs/{stream.run_id}")[2]
        assert (body["state"], body["message"]["content"]) == ("failed", "Held ")
        assert body["message"]["error"]["code"] == "interrupted"


@pytest.mark.parametrize("first", [None, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM twice"])
def test_ctrl_c_and_a_second_signal_interrupt_at_once(
    tmp_path: Path, model: HeldModel, first: signal.Signals | None
) -> None:
    with serve(tmp_path, MILLSTREAM_DRAIN="600", **held(model)) as server:
        stream = Held(server)
        stream.until("text.delta")
        if first is not None:
            server.signal(first)  # two of the same kind at once would arrive as one
            until(lambda: server.ask("POST", "/api/runs", {"question": "x", "answer": "none"})[0] == 503)
        server.signal(first or signal.SIGINT)
        assert stream.until("run.failed")["code"] == "interrupted"
        assert server.ended() == 0
        assert server.process.stderr is not None
        assert "Traceback" not in server.process.stderr.read()


def test_the_folder_of_a_killed_server_is_free_and_its_answer_is_kept_as_interrupted(
    tmp_path: Path, model: HeldModel
) -> None:
    with serve(tmp_path, **held(model)) as server:
        stream = Held(server)
        stream.until("text.delta")
        server.process.kill()
        server.ended()
    with serve(tmp_path, **held(model)) as server:
        body = server.ask("GET", f"/api/runs/{stream.run_id}")[2]
        assert (body["state"], body["message"]["error"]["code"]) == ("failed", "interrupted")
        assert "Held ".startswith(body["message"]["content"])
