"""Millstream: answers over your own documents, streamed whole.

stream = Millstream()           # settings from the environment; embedded defaults for all of them
stream.answer(answer)           # a coroutine that is given a Run, or a generator of strings
app.mount("/chat", stream.app)  # native API and page
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from millstream.client import AsyncClient, Client
    from millstream.errors import MillstreamError, ModelError, RunError
    from millstream.models import ChatMessage, ChatModel, ModelOptions, Prompt
    from millstream.run import Run, Step
    from millstream.search import Passage, Search
    from millstream.server.app import Millstream
    from millstream.server.settings import Settings
    from millstream.snapshot import Snapshot

# Loaded when first used: the command line and `millstream.events` alone need none of the server.
_HOMES = {
    "AsyncClient": "client",
    "ChatMessage": "models",
    "ChatModel": "models",
    "Client": "client",
    "Millstream": "server.app",
    "MillstreamError": "errors",
    "ModelError": "errors",
    "ModelOptions": "models",
    "Passage": "search",
    "Prompt": "models",
    "Run": "run",
    "RunError": "errors",
    "Search": "search",
    "Settings": "server.settings",
    "Snapshot": "snapshot",
    "Step": "run",
}

__all__ = [
    "AsyncClient",
    "ChatMessage",
    "ChatModel",
    "Client",
    "Millstream",
    "MillstreamError",
    "ModelError",
    "ModelOptions",
    "Passage",
    "Prompt",
    "Run",
    "RunError",
    "Search",
    "Settings",
    "Snapshot",
    "Step",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'millstream' has no attribute {name!r}")
    return getattr(import_module(f"millstream.{_HOMES[name]}"), name)
