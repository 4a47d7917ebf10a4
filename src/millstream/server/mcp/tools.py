"""The tools of the Model Context Protocol, as they are offered and called: search the documents, read one, ask.

What goes wrong is the tool's result, so that the model which called it reads what to do.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

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

from millstream.errors import MillstreamError
from millstream.server.app_of import millstream_of
from millstream.server.identity import owner_of
from millstream.server.mcp.asking import Answered, Ask, ask
from millstream.server.mcp.caller import Caller, Result
from millstream.server.mcp.documents import (
    MAX_READ,
    FoundPassages,
    ReadDocument,
    ReadText,
    SearchDocuments,
    read_document,
    search_documents,
)

logger = logging.getLogger("millstream")


class _Offered(NamedTuple):
    title: str
    description: str
    arguments: type[msgspec.Struct]
    result: type[msgspec.Struct]
    call: Callable[[Caller, Any], Awaitable[Result]]
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
        text, result = await tool.call(Caller(context, request, owner), arguments)
    except msgspec.ValidationError as error:
        return _failed(f"The arguments are not valid: {error}.", "invalid-request")
    except MillstreamError as error:
        return _failed(error.message, error.code, getattr(error, "answered", None))
    except Exception as error:
        logger.error("the tool %s failed", params.name, exc_info=error)
        return _failed("The server failed unexpectedly; its log says why.", "internal")
    return CallToolResult(content=[TextContent(text=text)], structured_content=msgspec.to_builtins(result))


def _failed(message: str, code: str, result: msgspec.Struct | None = None) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(text=message)],
        structured_content=None if result is None else msgspec.to_builtins(result),
        is_error=True,
        _meta={"millstream/code": code},
    )
