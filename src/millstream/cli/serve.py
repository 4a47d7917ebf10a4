"""`millstream serve`: the chat page and the API."""

import asyncio
import gc
import logging
import signal
import socket
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
import uvicorn

from millstream.documents.folders import expand
from millstream.errors import ConfigurationError, InputError
from millstream.server.app import Millstream
from millstream.server.settings import load_settings

# A client that keeps its connection open after the last answer is not waited for longer than this.
CLOSE_CONNECTIONS_S = 5
# Whoever asks as soon as the address is shown finds the documents of a small folder; a large one is indexed meanwhile.
FIRST_DOCUMENTS_S = 1.0
# The garbage collector runs after so many new objects. An open stream has 150, and leaves nothing to collect.
COLLECT_AFTER = 10_000


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def serve(
    documents: Annotated[list[Path] | None, typer.Argument(help="Folders and files to answer questions about.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; by default only this machine can connect.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free one.", min=0, max=65535)] = 8000,
    data: Annotated[Path | None, typer.Option(help="Folder for runs, conversations and the index.")] = None,
    model: Annotated[str | None, typer.Option(help="The language model; see MILLSTREAM_MODEL.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Index DOCUMENTS again whenever they change.")] = False,
    log_level: Annotated[LogLevel, typer.Option(help="How much the server's log tells.")] = LogLevel.WARNING,
) -> None:
    """Serve the chat page and the API, and keep DOCUMENTS indexed meanwhile."""
    logging.basicConfig(level=log_level.value.upper(), format="%(levelname)s %(name)s: %(message)s")
    settings = load_settings(data=data, model=model)
    if host not in ("127.0.0.1", "localhost", "::1") and host not in ("0.0.0.0", "::"):  # noqa: S104
        settings = settings.model_copy(update={"hosts": (*settings.hosts, host)})
    try:
        expand(documents or [])
    except InputError as error:
        raise ConfigurationError(error.message) from None
    listening = _listen(host, port)
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
    url = f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}"
    try:
        asyncio.Runner(loop_factory=_loop_factory()).run(
            _serve(Millstream(settings), listening, url, documents or [], watch)
        )
    finally:
        listening.close()


async def _serve(
    millstream: Millstream, listening: socket.socket, url: str, documents: list[Path], watch: bool
) -> None:
    await millstream.open()
    try:
        assert millstream.folder is not None
        millstream.folder.announce(url)
        if documents:
            done = millstream.index(documents, watch=watch)
            await asyncio.wait([done], timeout=FIRST_DOCUMENTS_S)
        server = _Server(server_config(millstream), millstream, url)
        await server.serve(sockets=[listening])
    finally:
        await millstream.close(drain_s=0)  # the server has drained, or was told not to


def server_config(millstream: Millstream) -> uvicorn.Config:
    """How `serve` runs uvicorn: lean, the lifespan in its own hands."""
    return uvicorn.Config(
        millstream.app,
        http="httptools",
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        ws_ping_interval=15.0,
        # Streams are not compressed: a window per connection costs more memory than all else, and every token CPU.
        ws_per_message_deflate=False,
        ws_max_size=millstream.settings.max_body_bytes,
        timeout_graceful_shutdown=CLOSE_CONNECTIONS_S,
    )


class _Server(uvicorn.Server):
    """SIGTERM drains before the server stops listening: new runs get 503, running ones may end (setting `drain`).

    SIGINT (Ctrl-C), or a second signal, interrupts the running ones at once.
    """

    def __init__(self, config: uvicorn.Config, millstream: Millstream, url: str) -> None:
        super().__init__(config)
        self._millstream = millstream
        self._url = url
        self._endings: list[asyncio.Task[None]] = []
        self._loop = asyncio.get_running_loop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _keep_what_is_loaded()
        # Only now do signals arrive at `handle_exit`: whoever waits for this line may send one.
        typer.echo(f"Millstream answers at {self._url}")
        if self._millstream.model.quotes:
            typer.echo(
                "Quoting your documents, without a language model. To add one:  "
                "OPENAI_API_KEY=… MILLSTREAM_MODEL=openai/gpt-4o-mini millstream serve"
            )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._on_signal, sig)

    def _on_signal(self, sig: int) -> None:
        patient = sig == signal.SIGTERM and not self._endings
        drain_s = self._millstream.settings.drain if patient else 0.0
        self._endings.append(self._loop.create_task(self._end(drain_s)))

    async def _end(self, drain_s: float) -> None:
        try:
            await self._millstream.supervisor.close(drain_s)
        finally:
            self.should_exit = True


def _keep_what_is_loaded() -> None:
    """Hides it from the garbage collector, which would find nothing there and let all streams wait meanwhile: 0.1 s."""
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, made before anything else, so that a taken port is known at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another --port (0 for any free one)."
        ) from error
    listening.listen(2048)
    return listening


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not made for every system; asyncio's own loop does
        return None
    factory: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return factory
