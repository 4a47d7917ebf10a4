"""An event loop in a thread of its own, for callers without one (or inside one that they cannot wait in)."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from millstream.errors import Unavailable

T = TypeVar("T")


def outcome(begun: "Future[T]") -> T:
    """What comes out of it; waits for that. Raises Unavailable when the loop is closed meanwhile."""
    try:
        return begun.result()
    except CancelledError as error:
        raise Unavailable("The client was closed.") from error


class LoopThread:
    """It runs until `close`."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._closed = False
        self._taking = threading.Lock()  # so that no work is given to a loop that has ended
        # A daemon: a program that forgets `close` must still be able to end.
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns. Ctrl-C while waiting cancels it. Raises Unavailable when the loop is closed."""
        begun = self.begin(work)
        try:
            return outcome(begun)
        except BaseException:
            begun.cancel()
            raise

    def begin(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Has `work` done in the loop. Raises Unavailable when that is closed."""
        with self._taking:
            if self._closed:
                work.close()
                raise Unavailable("The client was closed.")
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Cancels what is waited for, then does `last`, then ends."""
        with self._taking:
            self._closed = True
            ending = asyncio.run_coroutine_threadsafe(self._end(last), self._loop)
        try:
            ending.result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _end(self, last: Coroutine[Any, Any, None] | None) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if last is not None:
            await last
        await self._loop.shutdown_asyncgens()
