"""An answer is a coroutine that is given a `Run`; a plain generator of strings, async or not, will do too."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing

from millstream.errors import ConfigurationError
from millstream.run import Run

Answer = Callable[[Run], Awaitable[None]]
AnyAnswer = Callable[[Run], Awaitable[None] | AsyncIterator[str] | Iterator[str]]


def as_answer(function: AnyAnswer) -> Answer:
    """`function` as a coroutine function. Raises ConfigurationError when it is none of the three kinds."""
    target = function if inspect.isroutine(function) else type(function).__call__
    if inspect.isasyncgenfunction(target):
        return _from_async_generator(function)
    if inspect.isgeneratorfunction(target):
        return _from_generator(function)
    if inspect.iscoroutinefunction(target):
        return function  # type: ignore[return-value]
    raise ConfigurationError(
        f"{getattr(function, '__name__', function)!s} cannot be an answer: it must be an async function of a Run, "
        "or a generator function of a Run (async or not) that yields strings"
    )


def _from_async_generator(function: Callable[[Run], object]) -> Answer:
    async def answer(run: Run) -> None:
        async with aclosing(function(run)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:  # type: ignore[attr-defined]
                run.write(piece)

    return answer


def _from_generator(function: Callable[[Run], object]) -> Answer:
    async def answer(run: Run) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        stopped = threading.Event()

        def settle(error: BaseException | None) -> None:
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
            error: BaseException | None = None
            try:
                for piece in function(run):  # type: ignore[attr-defined]
                    if stopped.is_set():
                        break
                    loop.call_soon_threadsafe(write, piece)
            except BaseException as raised:
                error = raised
            if not stopped.is_set():
                loop.call_soon_threadsafe(settle, error)

        # A thread of its own: a generator that waits for a model must not take one of the few that others share.
        threading.Thread(target=iterate, name=f"answer-{run.id}", daemon=True).start()
        try:
            await done
        finally:
            stopped.set()

    return answer
