import asyncio
import functools
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core import OWNER, events_of, read, start, supervised
from millstream.answers.adapt import as_answer
from millstream.errors import ConfigurationError, RunError
from millstream.events import RunFailed, RunFinished
from millstream.run import Run


async def coroutine(run: Run) -> None:
    run.write(f"{run.question} ")
    run.write("yes")


async def async_generator(run: Run) -> AsyncIterator[str]:
    yield f"{run.question} "
    yield "yes"


def generator(run: Run) -> Iterator[str]:
    yield f"{run.question} "
    yield "yes"


class Callables:
    async def method(self, run: Run) -> None:
        await coroutine(run)

    def __call__(self, run: Run) -> Iterator[str]:
        return generator(run)


class Generating:
    def __call__(self, run: Run) -> Iterator[str]:
        yield from generator(run)


def suffixed(run: Run, *, suffix: str) -> Iterator[str]:
    yield f"{run.question} {suffix}"


@pytest.mark.parametrize(
    "function",
    [
        coroutine,
        async_generator,
        generator,
        Callables().method,
        Callables(),
        Generating(),
        lambda run: generator(run),
        functools.partial(suffixed, suffix="yes"),
    ],
)
async def test_an_answer_is_a_coroutine_or_a_generator_of_strings_async_or_not(
    tmp_path: Path, function: Callable[[Run], Any]
) -> None:
    async with supervised(tmp_path, function) as supervisor:
        run_id = await start(supervisor, "Well?")
        await read(supervisor, run_id)
        snapshot = await supervisor.snapshot(run_id, OWNER)
        assert (snapshot.state, snapshot.message.content) == ("finished", "Well? yes")


@pytest.mark.parametrize("function", ["text", None, 5])
def test_what_cannot_be_called_is_refused_when_it_is_registered(function: Any) -> None:
    with pytest.raises(ConfigurationError, match="async function of a Run"):
        as_answer(function)


@pytest.mark.parametrize("returned", ["text", None, ["a", "b"]])
async def test_a_function_that_returns_something_else_fails_its_run(tmp_path: Path, returned: Any) -> None:
    async with supervised(tmp_path, lambda run: returned) as supervisor:
        last = events_of(await read(supervisor, await start(supervisor)))[-1]
        assert isinstance(last, RunFailed)
        assert last.code == "internal"


async def test_a_generator_runs_in_a_thread_of_its_own_so_that_it_blocks_nobody(tmp_path: Path) -> None:
    threads, together = set(), threading.Barrier(40)

    def answer(run: Run) -> Iterator[str]:
        threads.add(threading.current_thread().name)
        together.wait(20)  # more at once than any shared pool has threads
        yield "done"

    async with supervised(tmp_path, answer) as supervisor:
        run_ids = [await start(supervisor) for _ in range(40)]
        await asyncio.gather(*(read(supervisor, run_id) for run_id in run_ids))
    assert threads == {f"answer-{run_id}" for run_id in run_ids}


async def test_the_pieces_of_a_generator_arrive_one_by_one(tmp_path: Path) -> None:
    go_on = threading.Event()

    def answer(run: Run) -> Iterator[str]:
        yield "one"
        assert go_on.wait(20)
        yield "two"

    async with supervised(tmp_path, answer) as supervisor:
        run_id = await start(supervisor)
        async with supervisor.follow(run_id, OWNER) as follower:
            received = b""
            while b'"one"' not in received:
                received += await follower.read() or b""
            go_on.set()
            while b'"two"' not in received:
                received += await follower.read() or b""


def raising(error: BaseException) -> list[Callable[[Run], Any]]:
    def generator(run: Run) -> Iterator[str]:
        yield "part"
        raise error

    async def async_generator(run: Run) -> AsyncIterator[str]:
        yield "part"
        raise error

    return [generator, async_generator]


async def failure(tmp_path: Path, answer: Callable[[Run], Any]) -> RunFailed:
    async with supervised(tmp_path, answer) as supervisor:
        run_id = await start(supervisor)
        last = events_of(await asyncio.wait_for(read(supervisor, run_id), 20))[-1]
        assert isinstance(last, RunFailed)
        assert (await supervisor.snapshot(run_id, OWNER)).message.content == "part"
        return last


@pytest.mark.parametrize("function", raising(ValueError("a secret")))
async def test_a_generator_that_raises_fails_its_run(tmp_path: Path, function: Callable[[Run], Any]) -> None:
    failed = await failure(tmp_path, function)
    assert failed.code == "internal"
    assert "secret" not in failed.message


@pytest.mark.parametrize("function", raising(RunError("Closed.", code="closed")))
async def test_a_generator_can_name_its_failure(tmp_path: Path, function: Callable[[Run], Any]) -> None:
    assert (await failure(tmp_path, function)).code == "closed"


class Panic(BaseException):
    """As the exceptions of libraries in Rust that panic."""


@pytest.mark.parametrize("error", [Panic(), SystemExit(3)])
async def test_whatever_an_answer_raises_ends_its_run_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    async def answer(run: Run) -> None:
        run.write("part")
        raise error

    for function in (answer, *raising(error)):
        assert (await failure(tmp_path, function)).code == "internal"


async def test_a_cancellation_of_the_answers_own_making_is_a_failure_of_the_answer(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        run.write("part")
        task = asyncio.ensure_future(asyncio.Event().wait())
        task.cancel()
        await task

    assert (await failure(tmp_path, answer)).code == "internal"


async def words(run: Run) -> str:
    return "Hello."


async def listed(run: Run) -> list[str]:
    return ["Hel", "lo."]


async def pieces(run: Run) -> Iterator[str]:
    return generator(run)


async def pieces_async(run: Run) -> AsyncIterator[str]:
    return async_generator(run)


@pytest.mark.parametrize("function", [words, listed, pieces, pieces_async, lambda run: words(run)])
async def test_a_coroutine_that_returns_its_words_is_told_to_write_them(
    tmp_path: Path, function: Callable[[Run], Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with supervised(tmp_path, function) as supervisor:
        last = events_of(await read(supervisor, await start(supervisor)))[-1]
    assert isinstance(last, RunFailed)
    assert "run.write" in caplog.text


async def test_what_is_returned_besides_is_of_no_interest(tmp_path: Path) -> None:
    async def answer(run: Run) -> str:
        run.write("Hello.")
        return "stop"

    async with supervised(tmp_path, answer) as supervisor:
        assert isinstance(events_of(await read(supervisor, await start(supervisor)))[-1], RunFinished)


async def test_exit_in_a_generator_ends_its_run_and_not_the_server(tmp_path: Path) -> None:
    def answer(run: Run) -> Iterator[str]:
        yield "part"
        sys.exit(3)

    assert (await failure(tmp_path, answer)).code == "internal"


def yielding(piece: Any) -> list[Callable[[Run], Any]]:
    def generator(run: Run) -> Iterator[str]:
        yield "part"
        yield piece

    async def async_generator(run: Run) -> AsyncIterator[str]:
        yield "part"
        yield piece

    return [generator, async_generator]


@pytest.mark.parametrize("function", [*yielding(5), *yielding(b"bytes"), *yielding({"a": 1}), *yielding(None)])
async def test_a_generator_of_something_else_than_strings_fails_its_run(
    tmp_path: Path, function: Callable[[Run], Any]
) -> None:
    assert (await failure(tmp_path, function)).code == "internal"


async def test_a_generator_may_write_steps_too(tmp_path: Path) -> None:
    async def answer(run: Run) -> AsyncIterator[str]:
        async with run.step("look", "Looking…"):
            pass
        yield "Found."
        run.followups(["More?"])

    async with supervised(tmp_path, answer) as supervisor:
        run_id = await start(supervisor)
        await read(supervisor, run_id)
        message = (await supervisor.snapshot(run_id, OWNER)).message
        assert ([step.name for step in message.steps], message.content, message.followups) == (
            ["look"], "Found.", ["More?"],
        )  # fmt: skip
