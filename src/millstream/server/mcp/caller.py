"""What every tool is called with, and what it gives."""

from typing import Any, NamedTuple

import msgspec
from mcp.server.context import ServerRequestContext
from starlette.requests import Request

# Text for a model to read, and the same as structured content.
Result = tuple[str, msgspec.Struct]


class Caller(NamedTuple):
    """Who calls a tool: the call in MCP, the HTTP request that it came by, and its owner."""

    context: ServerRequestContext[Any, Request]
    request: Request
    owner: str
