"""Conversations: trees of messages. An assistant's message is a stub until its run ends, then the run's snapshot.

Between them the message is the log's fold, so nothing is written twice.
"""

from collections.abc import Awaitable, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from millstream.snapshot import Snapshot

LIST_LIMIT = 200  # conversations in one part of the list


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    text: str


class FilePart(msgspec.Struct, frozen=True, tag_field="type", tag="file", omit_defaults=True):
    """A file of the message by its document id."""

    document_id: str
    name: str


Content = str | list[TextPart | FilePart]
Role = Literal["system", "user", "assistant"]

TITLE_CHARACTERS = 80


def text_of(content: Content) -> str:
    """The words of a message's content."""
    if isinstance(content, str):
        return content
    return "\n\n".join(part.text for part in content if isinstance(part, TextPart))


def title_of(question: str) -> str:
    """The question's first line, shortened at a word: what a conversation is called."""
    line = next((line.strip() for line in question.splitlines() if line.strip()), "")
    if len(line) <= TITLE_CHARACTERS:
        return line
    return line[: TITLE_CHARACTERS - 1].rsplit(" ", 1)[0] + "…"


class Attached(msgspec.Struct, frozen=True):
    """The documents, by their ids, that are attached to a question, and to what was said before it."""

    to_question: tuple[str, ...] = ()
    before: tuple[str, ...] = ()


NOTHING_ATTACHED = Attached()


def files_of(content: Content | None) -> list[str]:
    """The documents, by their ids, that are attached to a message."""
    return [part.document_id for part in content if isinstance(part, FilePart)] if isinstance(content, list) else []


class Feedback(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a person thinks of an answer. `updated` is in milliseconds since the Unix epoch."""

    rating: Literal["up", "down"]
    updated: int
    comment: str | None = None


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`run_id`, and `snapshot` from the terminal event on, for an answer of ours; `content` for all others.

    Messages of role `system`, and an assistant's with `content`, are those of a history that the client brought.
    """

    message_id: str
    conversation_id: str
    owner: str
    role: Role
    created: int
    parent_id: str | None = None
    content: Content | None = None
    run_id: str | None = None
    snapshot: Snapshot | None = None
    feedback: Feedback | None = None


class ConversationHead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Times are milliseconds since the Unix epoch.

    `chosen_id` is the message whose branch a person chose to see last; without it, it is the newest message's.
    """

    conversation_id: str
    title: str
    created: int
    updated: int
    chosen_id: str | None = None

    @property
    def place(self) -> "Place":
        return Place(self.updated, self.conversation_id)


class Place(NamedTuple):
    """A place in the list of conversations, whatever becomes of the one that stood there."""

    updated: int
    conversation_id: str


class Match(msgspec.Struct, frozen=True, omit_defaults=True):
    """Words around what was searched for: [start, end) of each hit in `text`, in code points.

    Of a message, or without `message_id` of the title.
    """

    text: str
    hits: list[tuple[int, int]]
    message_id: str | None = None


class Conversations(Protocol):
    def begin(
        self, head: ConversationHead, owner: str, messages: Sequence[StoredMessage], *, listed: bool
    ) -> Awaitable[None]:
        """Stores a turn: the conversation if it is new, then its messages (the last is the assistant's stub).

        Does nothing when the stub's run id is known already (the same start, again). Raises Conflict when it is one
        of a deleted conversation.
        """
        ...

    def finish(self, snapshot: Snapshot) -> Awaitable[None]:
        """Puts the final snapshot in the place of its run's stub. Does nothing when it was deleted meanwhile."""
        ...

    async def unfinished(self) -> Sequence[StoredMessage]:
        """All stubs that have no snapshot yet."""
        ...

    async def message_of_run(self, run_id: str) -> StoredMessage | None:
        """None also when its conversation is deleted."""
        ...

    async def list(
        self, owner: str, *, limit: int = LIST_LIMIT, after: Place | None = None
    ) -> Sequence[ConversationHead]:
        """The owner's listed conversations, last updated first, those behind the place `after`."""
        ...

    async def search(
        self, owner: str, words: Sequence[str], *, limit: int = LIST_LIMIT, after: Place | None = None
    ) -> Sequence[tuple[ConversationHead, Match]]:
        """Those of `list` whose title, or one of whose messages, holds all `words`, the last one as a beginning.

        Case and diacritics do not count. The match is the title's, else the oldest message's. No words find nothing.
        """
        ...

    async def get(self, owner: str, conversation_id: str) -> tuple[ConversationHead, Sequence[StoredMessage]] | None:
        """The conversation and all its messages, oldest first; None when the owner has no such conversation."""
        ...

    async def rename(self, owner: str, conversation_id: str, title: str) -> bool: ...

    async def retitle(self, conversation_id: str, old: str, new: str) -> bool:
        """Gives it the title `new` if its title is still `old`: a generated one never replaces a person's."""
        ...

    async def choose(self, owner: str, conversation_id: str, message_id: str) -> bool:
        """Remembers the branch of this message as the chosen one, until the next turn begins."""
        ...

    async def rate(self, owner: str, message_id: str, feedback: Feedback | None) -> bool:
        """Puts the feedback in the place of an assistant's message's; None removes it."""
        ...

    async def delete(self, owner: str, conversation_id: str, when: int) -> bool:
        """From now on it is not there, until it is restored or purged. `when` is in milliseconds since the epoch."""
        ...

    async def forget(self, owner: str, run_id: str) -> bool:
        """Forgets what was asked and answered in a run; what follows them takes their place.

        A question that has other answers too is kept for them. A conversation whose beginning is forgotten is called
        after what remains, and is gone when nothing does. False when the owner has no such run.
        """
        ...

    async def restore(self, owner: str, conversation_id: str) -> bool:
        """Undoes `delete`; False when there is no such deleted conversation (any more)."""
        ...

    async def purge(self, deleted_until: int, unlisted_until: int) -> Sequence[str]:
        """Forgets what was deleted, and what was never listed and last updated, until these times (milliseconds).

        A conversation that is not listed stays while one of its answers is unfinished. Returns the run ids.
        """
        ...

    async def close(self) -> None: ...
