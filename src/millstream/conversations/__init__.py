"""Conversations: trees of messages. An assistant's message is a stub until its run ends, then the run's snapshot.

Between them the message is the log's fold, so nothing is written twice.
"""

from collections.abc import Awaitable, Sequence
from typing import Literal, Protocol

import msgspec

from millstream.snapshot import Snapshot


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    text: str


class FilePart(msgspec.Struct, frozen=True, tag_field="type", tag="file", omit_defaults=True):
    """A file of the message by its document id."""

    document_id: str
    name: str


Content = str | list[TextPart | FilePart]


def text_of(content: Content) -> str:
    """The words of a message's content."""
    if isinstance(content, str):
        return content
    return "\n\n".join(part.text for part in content if isinstance(part, TextPart))


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`content` for a user's message; `run_id`, and `snapshot` from the terminal event on, for an assistant's."""

    message_id: str
    conversation_id: str
    owner: str
    role: Literal["user", "assistant"]
    created: int
    parent_id: str | None = None
    content: Content | None = None
    run_id: str | None = None
    snapshot: Snapshot | None = None


class ConversationHead(msgspec.Struct, frozen=True, kw_only=True):
    """Times are milliseconds since the Unix epoch."""

    conversation_id: str
    title: str
    created: int
    updated: int


class Conversations(Protocol):
    def begin(
        self, head: ConversationHead, owner: str, messages: Sequence[StoredMessage], *, listed: bool
    ) -> Awaitable[None]:
        """Stores a turn: the conversation if it is new, then its messages (the last is the assistant's stub).

        Does nothing when the stub's run id is known already (the same start, again).
        """
        ...

    async def finish(self, snapshot: Snapshot) -> None:
        """Puts the final snapshot in the place of its run's stub. Does nothing when it was deleted meanwhile."""
        ...

    async def unfinished(self) -> Sequence[StoredMessage]:
        """All stubs that have no snapshot yet."""
        ...

    async def message_of_run(self, run_id: str) -> StoredMessage | None: ...

    async def list(self, owner: str, limit: int = 200) -> Sequence[ConversationHead]:
        """The owner's listed conversations, last updated first."""
        ...

    async def get(self, owner: str, conversation_id: str) -> tuple[ConversationHead, Sequence[StoredMessage]] | None:
        """The conversation and all its messages, oldest first; None when the owner has no such conversation."""
        ...

    async def rename(self, owner: str, conversation_id: str, title: str) -> bool: ...

    async def delete(self, owner: str, conversation_id: str) -> bool: ...

    async def close(self) -> None: ...
