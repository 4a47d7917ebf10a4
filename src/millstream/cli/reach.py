"""The server that a command talks to."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millstream.client.loop import LoopThread
from millstream.folder import serving
from millstream.server.settings import Settings

if TYPE_CHECKING:
    import uvicorn


@dataclass(frozen=True)
class Server:
    """`own`: it ends with this command."""

    url: str
    own: bool


@contextmanager
def reachable(settings: Settings, url: str | None) -> Iterator[Server]:
    """A server: `url`, else the one that serves the data folder, else one of our own while it lasts.

    Raises ConfigurationError when our own cannot be started.
    """
    if url is None:
        other = serving(settings.data)
        url = other.url if other is not None else None
    if url is not None:
        yield Server(url, own=False)
    else:
        with _own_server(settings) as own:
            yield Server(own, own=True)


@contextmanager
def _own_server(settings: Settings) -> Iterator[str]:
    # Here, so that asking another server does not wait for a server's own modules.
    import uvicorn

    from millstream.cli.serve import server_config
    from millstream.server.app import Millstream

    loop = LoopThread("millstream-server")
    try:
        millstream = Millstream(settings)
        loop.wait(millstream.open())
        listening = socket.create_server(("127.0.0.1", 0))
        try:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            if millstream.folder is not None:
                millstream.folder.announce(url)  # another command in another terminal finds it
            server = uvicorn.Server(server_config(millstream))
            ended = loop.wait(_begin(server, listening))
            try:
                yield url
            finally:
                server.should_exit = True
                loop.wait(_end(ended))
        finally:
            listening.close()
            loop.wait(millstream.close(drain_s=0))
    finally:
        loop.close()


async def _begin(server: "uvicorn.Server", listening: socket.socket) -> asyncio.Task[None]:
    return asyncio.create_task(server.serve(sockets=[listening]))


async def _end(task: asyncio.Task[None]) -> None:
    await task
