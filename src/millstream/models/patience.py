"""A deadline for each wait of a stream that costs no timer per token."""

import asyncio

import aiohttp


class Patience:
    """Fails a pending read of `body` with TimeoutError once `limit_s` seconds passed since the wait began.

    Moving the deadline (`rewind`) is one assignment; the single loop timer finds out when it fires and arms itself
    again. Time that the consumer spends between two reads does not count: set `reading` around each read.
    """

    def __init__(self, body: aiohttp.StreamReader, *, limit_s: float, since: float) -> None:
        self._since = since  # loop time
        self.reading = False
        self.expired = False
        self._body = body
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle = self._loop.call_at(since + limit_s, self._check)

    def allow(self, limit_s: float) -> None:
        """From now on each wait may last `limit_s` seconds."""
        self._timer.cancel()
        self._limit_s = limit_s
        self._since = self._loop.time()
        self._timer = self._loop.call_at(self._since + limit_s, self._check)

    def rewind(self) -> None:
        """The wait begins anew."""
        self._since = self._loop.time()

    def cancel(self) -> None:
        self._timer.cancel()

    def _check(self) -> None:
        if self.reading and getattr(self._body, "_buffer", None):  # aiohttp has no public name for what waits
            self._timer = self._loop.call_soon(self._check)  # after a block of the loop: the reader is first
            return
        now = self._loop.time()
        if not self.reading:
            self._since = now
        due = self._since + self._limit_s
        if now < due:
            self._timer = self._loop.call_at(due, self._check)
            return
        self.expired = True
        self._body.set_exception(TimeoutError())
