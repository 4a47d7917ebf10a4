"""Millstream: one object that puts everything together, to serve alone or inside somebody's application."""

import asyncio
import contextlib
import logging
from collections import ChainMap
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from millstream import __version__
from millstream.answers.adapt import AnyAnswer, as_answer
from millstream.answers.chat import ChatAnswer
from millstream.answers.prompt import Prompts
from millstream.answers.title import Titles
from millstream.conversations import schema as conversations_schema
from millstream.conversations.sqlite import SqliteConversations
from millstream.database import Database
from millstream.documents.folders import expand
from millstream.documents.library import Library
from millstream.errors import ConfigurationError, MillstreamError, Unavailable
from millstream.events import encode_json
from millstream.folder import DataFolder
from millstream.logs import sqlite as logs_sqlite
from millstream.logs.memory import MemoryLog
from millstream.models import ChatModel
from millstream.models.configure import create_model
from millstream.models.timeouts import Timeouts
from millstream.recordings import recording_answer
from millstream.search import Search
from millstream.search.backfill import Backfill
from millstream.search.configure import open_index
from millstream.search.sqlite import SqliteIndex
from millstream.server import page
from millstream.server.answering import create_rag
from millstream.server.direct import StreamsFirst
from millstream.server.guard import Guard
from millstream.server.identity import Identify
from millstream.server.problem import on_error, problem, problem_of
from millstream.server.protocols import protocol_routes
from millstream.server.reading import create_pool
from millstream.server.routes import conversations, documents, plain, runs, status, websocket
from millstream.server.settings import Settings, load_settings, provider_environment
from millstream.starting import Registered
from millstream.supervisor import Supervisor

MIGRATIONS = (
    logs_sqlite.SCHEMA + conversations_schema.SCHEMA,
    conversations_schema.SCHEMA_2,
    logs_sqlite.SCHEMA_2,
)

logger = logging.getLogger("millstream")

A = TypeVar("A", bound=AnyAnswer)
T = TypeVar("T")


class Millstream:
    """`Millstream()` takes its settings from the environment; keyword arguments are settings by name and beat it.

    `identify` gives the owner of a request (default: everybody is "local"). `hosts` defaults to any Host name, since
    the application that mounts this has its own; `millstream serve` is strict.
    """

    def __init__(self, settings: Settings | None = None, *, identify: Identify | None = None, **flags: Any) -> None:
        if settings is None:
            settings = load_settings(**flags)
            if not settings.hosts:
                settings = settings.model_copy(update={"hosts": ("*",)})
        self.settings = settings
        self.identify = identify
        self.answers: dict[str, Registered] = {}
        self.offered: Mapping[str, Registered] = self.answers
        self.library: Library | None = None
        self._search: Search | None = None
        self.backfill: Backfill | None = None
        self._model: ChatModel | None = None
        self.folder: DataFolder | None = None
        self.closed = False
        self._supervisor: Supervisor | None = None
        self._opened = contextlib.AsyncExitStack()
        self._opening = asyncio.Lock()
        self.app: ASGIApp = _Application(self, _routed(settings))

    # Answers

    @overload
    def answer(self, function: A, *, name: str = ..., model: str = ..., label: str = ...) -> A: ...
    @overload
    def answer(
        self, function: None = None, *, name: str = ..., model: str = ..., label: str = ...
    ) -> Callable[[A], A]: ...

    def answer(
        self, function: A | None = None, *, name: str = "default", model: str = "", label: str = ""
    ) -> A | Callable[[A], A]:
        """Registers an answer: an async function of a Run, or a generator of strings; also as a decorator.

        `model` is what `run.started` names, `label` what people are offered. Raises ConfigurationError when it is
        neither, and when its name is none or is taken.
        """

        def register(function: A) -> A:
            if not isinstance(name, str) or not name:
                raise ConfigurationError(f"An answer's name must be a string that is not empty, not {name!r}.")
            if name in self.answers:
                raise ConfigurationError(
                    f"An answer named {name!r} is registered already: give this one a name of its own, as in "
                    "`@stream.answer(name=…)`."
                )
            self.answers[name] = Registered(
                as_answer(function), model or name, label or name.replace("_", " ").capitalize()
            )
            return function

        return register if function is None else register(function)

    # Life

    @property
    def is_open(self) -> bool:
        return self._supervisor is not None

    @property
    def supervisor(self) -> Supervisor:
        """The runs. Raises Unavailable before `open` and after `close`."""
        return _of_an_open_one(self._supervisor)

    @property
    def model(self) -> ChatModel:
        """The model that the setting names, for an answer to use. Raises Unavailable before `open`."""
        return _of_an_open_one(self._model)

    @property
    def search(self) -> Search:
        """The documents that are indexed, for an answer to search. Raises Unavailable before `open`."""
        return _of_an_open_one(self._search)

    async def open(self) -> None:
        """Locks the data folder, recovers runs of a dead server, makes the model. Raises ConfigurationError."""
        async with self._opening:
            if self._supervisor is not None:
                return
            settings = self.settings
            timeouts = Timeouts(settings.connect_timeout, settings.first_token_timeout, settings.between_tokens_timeout)
            model = create_model(
                settings.model, environ=provider_environment(), timeouts=timeouts, quote_pace=settings.quote_pace
            )
            async with contextlib.AsyncExitStack() as opened:
                opened.push_async_callback(model.close)
                folder = DataFolder(settings.data)
                folder.lock()
                opened.callback(folder.unlock)
                database = Database(settings.data / "millstream.db", MIGRATIONS)
                opened.push_async_callback(database.close)
                index = open_index(
                    settings.data,
                    embedder=settings.embedder,
                    environ=provider_environment(),
                    reranker=settings.reranker,
                    timeouts=timeouts,
                )
                opened.push_async_callback(index.close)
                library = Library(index, create_pool(settings), watch_s=settings.watch_seconds)
                opened.push_async_callback(library.close)
                store = SqliteConversations(database)
                titles = Titles(store, model, Prompts(settings.prompts))
                opened.push_async_callback(titles.close)
                supervisor = Supervisor(
                    MemoryLog() if settings.log == "memory" else logs_sqlite.SqliteLog(database),
                    store,
                    self._with_built_in(model, index),
                    when_unread=settings.when_unread,
                    events_kept_s=settings.events_kept_hours * 3600,
                    deleted_kept_s=settings.deleted_kept_hours * 3600,
                    unlisted_kept_s=settings.unlisted_kept_hours * 3600,
                    max_running=settings.max_running,
                    answered=titles.answered if settings.titles == "model" else None,
                )
                await supervisor.open(alone=True)
                library.open()
                self.backfill = Backfill(index.path, index.embedder)
                embedding = asyncio.create_task(self.backfill.follow(), name="millstream-embedding")
                opened.push_async_callback(_end, embedding)
                self._opened = opened.pop_all()
            self._model, self.folder, self.library, self._search = model, folder, library, index
            self._supervisor = supervisor
            self.closed = False

    def _with_built_in(self, model: ChatModel, index: SqliteIndex) -> Mapping[str, Registered]:
        """The registered answers, also those to come, and behind them the built-in ones over this model and index."""
        settings = self.settings
        rag = Registered(as_answer(create_rag(index, model, settings)), model.name, "Your documents")
        chatting = ChatAnswer(model, settings.prompts, settings.prompt_tokens, show_prompts=settings.show_prompts)
        chat = Registered(as_answer(chatting), model.name, "Without documents")
        built_in = {"rag": rag, "chat": chat, "recording": Registered(recording_answer, "recording"), "default": rag}
        self.offered = ChainMap(self.answers, built_in)
        return self.offered

    async def close(self, drain_s: float | None = None) -> None:
        """Lets running answers end for `drain_s` seconds (the setting `drain`), interrupts the rest, frees everything.

        What cannot be closed does not keep the rest from being closed.
        """
        supervisor = self._supervisor
        if supervisor is None:
            return
        self.closed = True
        async with self._opened:
            try:
                await supervisor.close(self.settings.drain if drain_s is None else drain_s)
            finally:
                self._supervisor = None

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """For `FastAPI(lifespan=stream.lifespan)`: opens at start-up, drains at shutdown."""
        await self.open()
        try:
            yield
        finally:
            await self.close()

    def index(
        self, documents: Iterable[str | Path], owner: str = "local", *, watch: bool = False
    ) -> asyncio.Future[None]:
        """Begins to bring the index up to date with these files and folders, in the background.

        With `watch`, it is kept up to date from then on. The future is done when it is up to date for the first time.
        Raises InputError for what is not there, Unavailable before `open`.
        """
        paths = [Path(document) for document in documents]
        expand(paths)
        return _of_an_open_one(self.library).start(paths, owner, watch=watch)


def _of_an_open_one(part: T | None) -> T:
    if part is None:
        raise Unavailable("Millstream is not open.")
    return part


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


class _Application:
    """The ASGI application of a Millstream; the first request opens it when no lifespan did."""

    def __init__(self, millstream: Millstream, routed: ASGIApp) -> None:
        self._millstream = millstream
        self._routed = routed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if not self._millstream.is_open:
            if self._millstream.closed:
                await problem_of(Unavailable("The server has closed.", code="draining", retry_after=5))(
                    scope, receive, send
                )
                return
            try:
                await self._millstream.open()
            except MillstreamError as error:
                logger.error("Millstream cannot start: %s", error.message)
                refusal = problem(503, "unavailable", "Millstream cannot start here; the server's log says why.")
                await refusal(scope, receive, send)
                return
        scope["millstream"] = self._millstream
        await self._routed(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._millstream.open()
        except MillstreamError as error:
            await send({"type": "lifespan.startup.failed", "message": error.message})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._millstream.close()
        await send({"type": "lifespan.shutdown.complete"})


# Without the last ones a page elsewhere cannot read a PDF in parts.
_EXPOSED = (
    "Millstream-Run", "Retry-After", "WWW-Authenticate", "Mcp-Session-Id", "X-Should-Retry", "X-Request-Id",
    "Content-Disposition", "Accept-Ranges", "Content-Range",
)  # fmt: skip


def _routed(settings: Settings) -> ASGIApp:
    of_protocols, refusals = protocol_routes(settings)
    routed = Starlette(
        routes=[
            Route("/health", _health, methods=["GET"]),
            *runs.routes,
            *conversations.routes,
            *documents.routes,
            *status.routes,
            *websocket.routes,
            *of_protocols,
            *([*plain.routes, *page.routes] if settings.page else []),
        ],
        exception_handlers={MillstreamError: on_error, HTTPException: on_error, Exception: on_error},
    )
    routed.router.redirect_slashes = False  # where to would be for the Host header to say
    app: ASGIApp = StreamsFirst(routed)
    if settings.origins:
        app = CORSMiddleware(
            app,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],  # other people's clients send headers of their own
            expose_headers=list(_EXPOSED),
        )
    return Guard(app, settings.hosts, settings.origins, refusals)


async def _health(request: Request) -> Response:
    return Response(
        encode_json({"status": "ok", "version": __version__}), 200, {"Cache-Control": "no-store"}, "application/json"
    )
