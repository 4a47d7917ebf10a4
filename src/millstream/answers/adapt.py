"""An answer is a coroutine that is given a `Run`; a generator of strings, async or not, will do too."""

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import cast, get_args

from millstream.errors import ConfigurationError
from millstream.events import FinishReason
from millstream.run import Run

# What it returns is of no use to it: `return await run.generate(…)` is as good as without `return`.
Answer = Callable[[Run], Awaitable[object]]
AnyAnswer = Callable[[Run], Awaitable[object] | AsyncIterator[str] | Iterator[str]]


def as_answer(function: AnyAnswer) -> Answer:
    """`function` as a coroutine function: it may return an awaitable, an async iterator or an iterator of strings.

    Raises ConfigurationError when it cannot be called; the answer raises TypeError when it returns anything else.
    """
    if not callable(function):
        raise ConfigurationError(
            f"{function!r} cannot be an answer: it must be an async function of a Run, or a function of a Run that "
            "returns a generator of strings (async or not)"
        )
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return cast(Answer, function)

    async def answer(run: Run) -> object:
        result = function(run)
        if isinstance(result, AsyncGenerator):
            async with aclosing(result):
                await _write_async(run, result)
        elif isinstance(result, AsyncIterator):
            await _write_async(run, result)
        elif inspect.isawaitable(result):
            return await result
        elif isinstance(result, Iterator):
            await _write_from_thread(run, result)
        else:
            raise TypeError(
                f"the answer returned {type(result).__name__}, neither an awaitable nor an iterator of strings"
            )
        return None

    return answer


def check_returned(returned: object, run: Run) -> None:
    """Raises TypeError when an async answer has returned its words, where nobody would see them."""
    is_reason = isinstance(returned, str) and returned in get_args(FinishReason)
    is_words = isinstance(returned, Iterable) and not is_reason and not run.has_written
    if is_words or isinstance(returned, AsyncIterator | Iterator):
        raise TypeError(
            f"the answer returned {type(returned).__name__} and wrote nothing of it: write words with run.write(…), or "
            "yield them"
        )


async def _write_async(run: Run, pieces: AsyncIterator[str]) -> None:
    async for piece in pieces:
        run.write(piece)


async def _write_from_thread(run: Run, pieces: Iterator[str]) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    stopped = threading.Event()

    def settle(error: Exception | None) -> None:
        if not done.done():
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

    def write(piece: str) -> None:
        if not stopped.is_set():
            try:
                run.write(piece)
            except Exception as error:
                stopped.set()
                settle(error)

    def iterate() -> None:
        error: Exception | None = None
        try:
            for piece in pieces:
                if stopped.is_set():
                    break
                loop.call_soon_threadsafe(write, piece)
            if stopped.is_set() and (close := getattr(pieces, "close", None)) is not None:
                close()
        except Exception as raised:
            error = raised
        except BaseException as raised:  # `exit()` in an answer must not end the server
            error = RuntimeError(f"the answer raised {type(raised).__name__}")
        if not stopped.is_set():
            loop.call_soon_threadsafe(settle, error)

    # A thread of its own: a generator that waits for a model must not take one of the few that others share.
    threading.Thread(target=iterate, name=f"answer-{run.id}", daemon=True).start()
    try:
        await done
    finally:
        stopped.set()
