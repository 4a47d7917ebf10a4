"""A server elsewhere: what `ask` and `chat` tell it, and what they cannot."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from commands import PATIENCE_S, assert_one_line_error, environment, serve

from demanding import Demanding
from serving import Server, serving

TOKEN = "s3cret"
Tell = Callable[..., "asyncio.Future[subprocess.CompletedProcess[str]]"]


@pytest.fixture(params=[["ask", "Why?"], ["chat"]], ids=["ask", "chat"])
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Tell:
    """Runs `ask "Why?"` or `chat` with the line "Why?", in a process of its own."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "millstream", *request.param, *arguments],
            cwd=tmp_path,
            env=environment(tmp_path, **variables),
            input="Why?\n",
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    return lambda *arguments, **variables: asyncio.ensure_future(asyncio.to_thread(run, *arguments, **variables))


@pytest.fixture
async def demanding(tmp_path: Path) -> AsyncIterator[Server]:
    async def answer(run: object) -> AsyncIterator[str]:
        yield "Be cause."

    async with serving(tmp_path, answer, app=lambda ours: Demanding(ours.app, f"Bearer {TOKEN}")) as server:
        yield server


async def test_the_token_of_the_environment_is_sent(demanding: Server, tell: Tell) -> None:
    done = await tell("--url", demanding.url, MILLSTREAM_TOKEN=TOKEN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Be cause.\n", "")


async def test_so_is_that_of_the_env_file(demanding: Server, tell: Tell, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"MILLSTREAM_TOKEN={TOKEN}\n")
    assert (await tell("--url", demanding.url)).stdout == "Be cause.\n"


@pytest.mark.parametrize("token", ["", "wr0ng"])
async def test_without_the_right_token_one_line_says_how_to_give_it(demanding: Server, tell: Tell, token: str) -> None:
    done = await tell("--url", demanding.url, MILLSTREAM_TOKEN=token)
    assert_one_line_error(done, 2, "MILLSTREAM_TOKEN")
    assert "wr0ng" not in done.stderr


async def test_a_password_in_the_address_is_not_shown(tell: Tell) -> None:
    done = await tell("--url", f"http://ann:{TOKEN}@127.0.0.1:1")
    assert_one_line_error(done, 1, "http://127.0.0.1:1 cannot be reached")
    assert TOKEN not in done.stderr


@pytest.mark.parametrize("flag", ["--model", "--data"])
async def test_what_concerns_a_server_of_this_machine_is_refused_beside_url(tell: Tell, flag: str) -> None:
    assert_one_line_error(await tell("--url", "http://127.0.0.1:1", flag, "x"), 2, flag, "--url")


async def test_settings_of_this_machine_are_no_hindrance(demanding: Server, tell: Tell) -> None:
    done = await tell(
        "--url", demanding.url, MILLSTREAM_TOKEN=TOKEN, MILLSTREAM_MODEL="openai/gpt", MILLSTREAM_DATA="x"
    )
    assert done.stdout == "Be cause.\n"


async def test_a_model_is_refused_where_another_server_serves_the_folder(tell: Tell, tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        assert_one_line_error(await tell("--model", "extractive"), 2, "--model", server.url)
