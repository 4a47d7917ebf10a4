"""The server that a command talks to."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream.client import Client
from millstream.client.loop import LoopThread
from millstream.errors import InputError
from millstream.folder import serving
from millstream.server.settings import Settings, load_settings

if TYPE_CHECKING:
    import uvicorn


@dataclass(frozen=True)
class Server:
    """`own`: it ends with this command."""

    client: Client
    own: bool


@contextmanager
def reachable(url: str | None, *, data: Path | None, model: str | None, **flags: Any) -> Iterator[Server]:
    """A client of the server at `url`, else of the one that serves the data folder, else of one of our own meanwhile.

    The others are flags of settings. Raises InputError for those that another server would not heed, and
    ConfigurationError when our own cannot be started.
    """
    for name, value in (("--data", data), ("--model", model)):
        if url is not None and value is not None:
            raise InputError(f"{name} is for a server of this machine, and --url names another. Leave out one of them.")
    settings = load_settings(data=data, model=model, **flags)
    if url is None and (other := serving(settings.data)) is not None and other.url is not None:
        url = other.url
        if model is not None:
            raise InputError(f"{url} serves this data folder, with its own model. Leave out --model, or end that one.")
    with ExitStack() as stack:
        own = url is None
        if url is None:
            url = stack.enter_context(_own_server(settings))
        token = settings.token.get_secret_value() if settings.token is not None else None
        yield Server(stack.enter_context(Client(url, token=token)), own)


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
