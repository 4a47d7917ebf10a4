"""Notice that files have changed, on any file system: look again and again, by name, size and date only."""

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from millstream.documents.folders import Root, expand, list_files
from millstream.errors import InputError

_SHARE = 10  # looking takes at most one part in so many of the time

_Look = dict[str, str]


class Watcher:
    """Begins with what is there when it is made. A change counts once it is over: two looks in a row see the same."""

    def __init__(self, sources: Sequence[Path | Root], data_folder: Path, interval_s: float) -> None:
        self._sources = sources
        self._data_folder = data_folder
        self._interval_s = interval_s
        self._seen = self._look()
        self._took_s = 0.0

    async def changed(self) -> None:
        """Returns when something has been added, changed, renamed or removed since the last time."""
        previous: _Look | None = None
        while True:
            await asyncio.sleep(self._pause_s)
            previous, is_over = await asyncio.to_thread(self._compare, previous)
            if is_over:
                return

    def wait(self, until: threading.Event | None = None) -> bool:
        """`changed` for a thread; False when `until` was set meanwhile."""
        stop = until or threading.Event()
        previous: _Look | None = None
        while not stop.wait(self._pause_s):
            previous, is_over = self._compare(previous)
            if is_over:
                return True
        return False

    @property
    def _pause_s(self) -> float:
        return max(self._interval_s, self._took_s * _SHARE)

    def _compare(self, previous: _Look | None) -> tuple[_Look, bool]:
        look = self._look()
        if look == previous and look != self._seen:
            self._seen = look
            return look, True
        return look, False

    def _look(self) -> _Look:
        begun = time.monotonic()
        try:
            listing = list_files(expand(self._sources), without=self._data_folder)
        except InputError:  # a source is gone for the moment
            return {}
        look = {location: file.stamp for location, file in listing.files.items()}
        self._took_s = time.monotonic() - begun
        return look
