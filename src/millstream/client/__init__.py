"""Clients of a Millstream server. A run is followed through cuts, so that every event comes exactly once.

    client = Client("http://127.0.0.1:8000")            # AsyncClient is the same with `async with` and `async for`
    for event in client.run("What is a run?"): ...       # every event, decoded
    for text in client.run("…").text_stream: ...         # the words alone
    answer = client.run("…").final()                     # the whole answer, as a Snapshot

Importing this loads nothing of the server.
"""

from millstream.client.asynchronous import AsyncClient, AsyncRunStream
from millstream.client.blocking import Client, RunStream
from millstream.client.calls import Conversation, ConversationMessage, RunFields

__all__ = [
    "AsyncClient",
    "AsyncRunStream",
    "Client",
    "Conversation",
    "ConversationMessage",
    "RunFields",
    "RunStream",
]
