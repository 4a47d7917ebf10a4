"""What a client may ask for, and what it is told of conversations; the same for both clients."""

from typing import Any, TypedDict

import msgspec

from millstream.conversations import Content
from millstream.snapshot import Snapshot

LOCAL_SERVER = "http://127.0.0.1:8000"


class RunFields(TypedDict, total=False):
    """The fields of `POST /api/runs` besides the question; `messages` in its stead brings a history of its own."""

    messages: list[dict[str, Any]]
    run_id: str
    conversation_id: str
    parent_id: str | None
    continues: str
    answer: str
    options: dict[str, Any]


class ConversationMessage(msgspec.Struct, frozen=True, kw_only=True):
    """`content` of a user's message; `run` of an assistant's, its answer so far."""

    message_id: str
    role: str
    created: int
    parent_id: str | None = None
    content: Content | None = None
    run: Snapshot | None = None


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """Times are milliseconds since the Unix epoch. `messages` is empty in a list of conversations."""

    conversation_id: str
    title: str
    created: int
    updated: int
    chosen_id: str | None = None
    messages: list[ConversationMessage] = []

    def branch(self) -> list[ConversationMessage]:
        """The messages from the beginning to the one that was chosen last, or else to the newest."""
        by_id = {message.message_id: message for message in self.messages}
        children = {message.parent_id: message for message in self.messages}  # the newest child of each
        last = self.messages[-1].message_id if self.messages else None
        if self.chosen_id in by_id:
            last = self.chosen_id
            while (child := children.get(last)) is not None:
                last = child.message_id
        path = []
        while last is not None:
            path.append(by_id[last])
            last = by_id[last].parent_id
        return path[::-1]


class ConversationList(msgspec.Struct, frozen=True):
    conversations: list[Conversation]
