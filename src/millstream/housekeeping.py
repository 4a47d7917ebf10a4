"""Housekeeping: what a process does at intervals, for as long as it lives."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger("millstream")

Job = Callable[[], Awaitable[object]]


class Housekeeping:
    """Belongs to one event loop. A job that fails is tried again when its time comes."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def every(self, seconds: float, job: Job, name: str) -> None:
        """Runs `job` every so many seconds from now on, the first time after the first of them."""
        self._tasks.append(asyncio.get_running_loop().create_task(_repeat(seconds, job), name=f"millstream-{name}"))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


async def _repeat(seconds: float, job: Job) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await job()
        except Exception:
            logger.exception("housekeeping failed; trying again in %d s", seconds)
