"""The tools of the Model Context Protocol: search the documents, read one, ask.

What goes wrong is the tool's result, so that the model which called it reads what to do.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from starlette.requests import Request

from millstream.documents.library import Library
from millstream.errors import InputError, MillstreamError, Unavailable
from millstream.events import AnyEvent, StepFinished, StepStarted, TextDelta, TextFinished, decode
from millstream.follower import Cut
from millstream.ids import new_id
from millstream.marks import place_marks
from millstream.recovery import interrupted
from millstream.request import MAX_QUESTION_CHARACTERS, MAX_SOURCES, request_from
from millstream.search import Filter
from millstream.server.app_of import millstream_of
from millstream.server.identity import owner_of
from millstream.server.protocols.answering import start_run
from millstream.snapshot import CitationState, Fold, Snapshot, SourceState, UsageState

logger = logging.getLogger("millstream")

MAX_READ = 20_000  # code points of a document in one result: what a model can take in

# Growing text is told again and again: each time it has grown by so much, so that all of them together stay in
# proportion to the last one.
_GROWTH = 1.2
_GROWTH_CHARACTERS = 60


class Asking:
    """A question that is being asked, under the id that its run has or will have."""

    def __init__(self) -> None:
        self.run_id = new_id()
        self.is_cancelled = False


# By whom, in which session, by which request.
ASKING: dict[tuple[str, str, Any], Asking] = {}


MAX_FILTERS = 100  # documents, folders or formats that one search may name


class Filters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which documents are looked through; what is left out does not restrict."""

    within: Annotated[
        tuple[str, ...],
        msgspec.Meta(max_length=MAX_FILTERS, description="Documents, or folders with all below them, by uri."),
    ] = ()
    formats: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_FILTERS, description="pdf, markdown, …")] = ()
    modified_from: Annotated[date | None, msgspec.Meta(description="Changed on this day or later.")] = None
    modified_before: Annotated[date | None, msgspec.Meta(description="Changed before this day.")] = None


class SearchDocuments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    query: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=MAX_QUESTION_CHARACTERS, description="A question, or words to look for."),
    ]
    top: Annotated[int, msgspec.Meta(ge=1, le=MAX_SOURCES, description="How many passages at most.")] = 5
    filters: Filters = Filters()


class FoundPassage(msgspec.Struct, frozen=True, omit_defaults=True):
    """`uri` is relative to the documents' folder; pages are 1-based; [start, end) are Unicode code points."""

    n: int
    document_id: str
    source_id: str
    title: str
    uri: str
    text: str
    page_start: int | None = None
    page_end: int | None = None
    start: int | None = None
    end: int | None = None
    score: float | None = None


class FoundPassages(msgspec.Struct, frozen=True):
    """Best first. `score` puts the passages of one search in order and says nothing else."""

    passages: list[FoundPassage]


class ReadDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    document_id: Annotated[str, msgspec.Meta(description="As `search_documents` gives it.")]
    page: Annotated[int | None, msgspec.Meta(description="This page alone, from 1; not together with a range.")] = None
    start: Annotated[int, msgspec.Meta(ge=0, description="From this character on.")] = 0
    end: Annotated[int | None, msgspec.Meta(description=f"Up to this one; {MAX_READ} characters at most.")] = None


class ReadText(msgspec.Struct, frozen=True, omit_defaults=True):
    """`text` is [start, end) of the document, whose length is `length`, in Unicode code points.

    `next` is the `start` to go on with; absent at the end of the document or page.
    """

    document_id: str
    title: str
    uri: str
    start: int
    end: int
    length: int
    text: str
    pages: int | None = None
    next: int | None = None


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    question: Annotated[str, msgspec.Meta(description="By itself: nothing asked before is known.")]
    answer: Annotated[
        str | None, msgspec.Meta(description="Which of the server's answers; another name means the default one.")
    ] = None
    sources: Annotated[int | None, msgspec.Meta(description="How many passages to answer from at most.")] = None


class Answered(msgspec.Struct, frozen=True, omit_defaults=True):
    """[start, end) of `answer`, in Unicode code points, rests on source n. Without `reason` it is incomplete."""

    run_id: str
    state: str
    answer: str
    citations: list[CitationState]
    sources: list[SourceState]
    followups: list[str] = []
    reason: str | None = None
    usage: UsageState | None = None


class _Caller(NamedTuple):
    context: ServerRequestContext[Any, Request]
    request: Request
    owner: str


_Result = tuple[str, msgspec.Struct]


async def search_documents(caller: _Caller, asked: SearchDocuments) -> _Result:
    millstream = millstream_of(caller.request)
    most = millstream.settings.max_sources
    if asked.top > most:
        raise InputError(f"`top` may be {most} here at most (MILLSTREAM_MAX_SOURCES).")
    filters = asked.filters
    where = Filter(
        filters.within, filters.formats, _milliseconds(filters.modified_from), _milliseconds(filters.modified_before)
    )
    passages = await millstream.search.search(asked.query, owner=caller.owner, limit=asked.top, where=where)
    found = [
        FoundPassage(n, **{name: getattr(passage, name) for name in FoundPassage.__struct_fields__[1:]})
        for n, passage in enumerate(passages, 1)
    ]
    told = [f"[{one.n}] {_place(one)}, document_id {one.document_id}\n{one.text}" for one in found]
    return "\n\n".join(told) or "No passage fits. Try other words, or fewer filters.", FoundPassages(found)


async def read_document(caller: _Caller, asked: ReadDocument) -> _Result:
    library = millstream_of(caller.request).library
    assert library is not None
    start, end = asked.start, asked.end
    if asked.page is not None:
        if start or end is not None:
            raise InputError("Give `page`, or `start` and `end`, not both.")
        start, end = await _page(library, asked.document_id, caller.owner, asked.page)
    last = start + MAX_READ if end is None else min(end, start + MAX_READ)
    opened = await library.catalogue.open(asked.document_id, caller.owner, start, last)
    document = opened.document
    wanted = opened.length if end is None else min(end, opened.length)
    text = ReadText(
        document.document_id,
        document.title,
        document.uri,
        opened.start,
        opened.end,
        opened.length,
        opened.text,
        document.pages or None,
        opened.end if opened.end < wanted else None,
    )
    more = f"\n\n[It goes on: read from start {text.next}.]" if text.next is not None else ""
    head = f"{document.title} ({document.uri}), characters {text.start} to {text.end} of {text.length}"
    return f"{head}\n\n{text.text}{more}", text


async def ask(caller: _Caller, asked: Ask) -> _Result:
    """Also of a run that was stopped: what there is. Raises RunError when it failed."""
    request = caller.request
    millstream = millstream_of(request)
    wanted: dict[str, Any] = {
        "question": asked.question,
        "options": {} if asked.sources is None else {"sources": asked.sources},
        **({"answer": asked.answer} if asked.answer in millstream.offered else {}),
    }
    asking = Asking()
    wanted["run_id"] = asking.run_id
    key = asking_key(request, caller.owner, caller.context.request_id)
    ASKING[key] = asking
    try:
        run_id = await start_run(request, request_from(wanted), resumable=False, stream=True)
        if asking.is_cancelled:
            await millstream.supervisor.stop(run_id, caller.owner)
        snapshot = await _follow(caller, run_id)
    finally:
        if ASKING.get(key) is asking:  # else another one of that id has come since
            del ASKING[key]
    message = snapshot.message
    marked = place_marks(message.content, message.citations, lambda n: f" [{n}]")
    cited = {citation.n for citation in message.citations}
    told = [f"[{source.n}] {_place(source)}" for source in message.sources if source.n in cited]
    answered = Answered(
        run_id,
        snapshot.state,
        message.content,
        message.citations,
        message.sources,
        message.followups,
        message.reason,
        message.usage,
    )
    if message.error is not None:
        partial = f"\n\nWhat was written until then:\n{marked}" if marked else ""
        raise _Failed(f"{message.error.message}{partial}", message.error.code, answered)
    return "\n".join([marked, *(["", "Sources:", *told] if told else [])]), answered


class _Failed(MillstreamError):
    """A run that failed, with what it had answered until then."""

    def __init__(self, message: str, code: str, answered: Answered) -> None:
        super().__init__(message, code=code)
        self.answered = answered


async def _follow(caller: _Caller, run_id: str) -> Snapshot:
    """Reads the run to its end and tells the client of it: each step, and the growing text."""
    fold = Fold()
    progress = _Progress(caller.context)
    async with millstream_of(caller.request).supervisor.follow(run_id, caller.owner) as follower:
        try:
            while (frames := await follower.read()) is not None:
                for frame in frames.splitlines():
                    event = decode(frame)
                    fold.add(event)
                    await progress.tell(event)
        except (Cut, Unavailable):
            ended = interrupted()
            ended.seq = fold.seq + 1
            fold.add(ended)
    return fold.snapshot()


class _Progress:
    """What a client is told while it waits: the label of a step, or the text so far."""

    def __init__(self, context: ServerRequestContext[Any, Request]) -> None:
        self._context = context
        self._is_wanted = bool(context.meta and "progress_token" in context.meta)
        self._told = 0
        self._pieces: list[str] = []
        self._length = 0
        self._told_length = 0
        self._next = 1

    async def tell(self, event: AnyEvent | None) -> None:
        if not self._is_wanted:
            return
        if isinstance(event, StepStarted | StepFinished):
            await self._report(event.label)
        elif isinstance(event, TextDelta):
            self._pieces.append(event.text)
            self._length += len(event.text)
            if self._length >= self._next:
                await self._tell_text()
        elif isinstance(event, TextFinished) and self._length > self._told_length:
            await self._tell_text()

    async def _tell_text(self) -> None:
        self._told_length = self._length
        self._next = max(int(self._length * _GROWTH), self._length + _GROWTH_CHARACTERS)
        await self._report("".join(self._pieces))

    async def _report(self, message: str) -> None:
        self._told += 1
        await self._context.session.report_progress(self._told, message=message)


class _Offered(NamedTuple):
    title: str
    description: str
    arguments: type[msgspec.Struct]
    result: type[msgspec.Struct]
    call: Callable[[_Caller, Any], Awaitable[_Result]]
    annotations: ToolAnnotations


_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_OFFERED = {
    "search_documents": _Offered(
        "Search the documents",
        "Finds the passages that fit a question best, by its words and by its meaning.",
        SearchDocuments,
        FoundPassages,
        search_documents,
        _READS,
    ),
    "read_document": _Offered(
        "Read a document",
        f"The text of a document, or a page or part of it; {MAX_READ} characters at a time.",
        ReadDocument,
        ReadText,
        read_document,
        _READS,
    ),
    "ask": _Offered(
        "Ask a question",
        "Has a question answered from the documents, with citations. Takes as long as a model does.",
        Ask,
        Answered,
        ask,
        ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False),
    ),
}


def _schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of an object. Clients want `type: object` at its root, not a reference."""
    [_], components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    root = components.pop(kind.__name__)
    return {**root, "$defs": components} if components else root


_TOOLS = [
    Tool(
        name=name,
        title=tool.title,
        description=tool.description,
        input_schema=_schema(tool.arguments),
        output_schema=_schema(tool.result),
        annotations=tool.annotations,
    )
    for name, tool in _OFFERED.items()
]


async def list_tools(context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None) -> ListToolsResult:
    return ListToolsResult(tools=_TOOLS)


async def call_tool(context: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
    """Raises MCPError when there is no such tool."""
    tool = _OFFERED.get(params.name)
    if tool is None:
        raise MCPError(INVALID_PARAMS, f"There is no tool {params.name!r}; there are: {', '.join(_OFFERED)}.")
    request = context.request
    assert isinstance(request, Request)
    try:
        owner = await owner_of(request, millstream_of(request).identify)
        arguments = msgspec.convert(params.arguments or {}, tool.arguments)
        text, result = await tool.call(_Caller(context, request, owner), arguments)
    except msgspec.ValidationError as error:
        return _failed(f"The arguments are not valid: {error}.", "invalid-request")
    except MillstreamError as error:
        return _failed(error.message, error.code, getattr(error, "answered", None))
    except Exception as error:
        logger.error("the tool %s failed", params.name, exc_info=error)
        return _failed("The server failed unexpectedly; its log says why.", "internal")
    return CallToolResult(content=[TextContent(text=text)], structured_content=msgspec.to_builtins(result))


def asking_key(request: Request, owner: str, request_id: Any) -> tuple[str, str, Any]:
    """Without a session it is unique, so that nobody else's asking can be meant."""
    return owner, request.headers.get("mcp-session-id") or new_id(), request_id


def _failed(message: str, code: str, result: msgspec.Struct | None = None) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(text=message)],
        structured_content=None if result is None else msgspec.to_builtins(result),
        is_error=True,
        _meta={"millstream/code": code},
    )


async def _page(library: Library, document_id: str, owner: str, page: int) -> tuple[int, int]:
    """Where the page begins and ends, in characters. Raises InputError when there is no such page."""
    opened = await library.catalogue.open(document_id, owner, 0, 0)
    places = [*opened.pages, opened.length]
    if not opened.pages:
        raise InputError("This document has no pages; read it by `start` and `end`.")
    if not 1 <= page < len(places):
        raise InputError(f"`page` must be 1 to {len(places) - 1} in this document.")
    return places[page - 1], places[page]


def _place(of: FoundPassage | SourceState) -> str:
    pages = ""
    if of.page_start is not None:
        last = of.page_end or of.page_start
        pages = f", page {of.page_start}" if last == of.page_start else f", pages {of.page_start} to {last}"
    return f"{of.title} ({of.uri}{pages})"


def _milliseconds(day: date | None) -> int | None:
    return None if day is None else int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
