"""A turn: what one start adds to a conversation, found from the request and the tree of messages."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from millstream.conversations import Content, ConversationHead, StoredMessage, text_of
from millstream.errors import Conflict, InputError, NotFound
from millstream.ids import new_id
from millstream.models import ChatMessage
from millstream.request import RunRequest
from millstream.snapshot import Message

TITLE_CHARACTERS = 80


def no_run(run_id: str) -> NotFound:
    return NotFound(f"There is no run {run_id}.", code="no-run")


class Turn(msgspec.Struct, frozen=True):
    """`messages` is what the answer is given. `question` is None when a stored question is answered again."""

    conversation_id: str
    messages: Sequence[ChatMessage]
    title: str
    question: Content | None = None
    after: str | None = None  # the message that the question, or without one the answer, follows
    listed: bool = True
    continued: Message | None = None
    question_id: str = msgspec.field(default_factory=new_id)
    message_id: str = msgspec.field(default_factory=new_id)

    @property
    def parent_id(self) -> str | None:
        """The message that is answered."""
        return self.after if self.question is None else self.question_id

    def stored(self, owner: str, run_id: str, created: int) -> list[StoredMessage]:
        """The messages to store: the question, if it is new, and the stub of its answer."""
        stub = StoredMessage(
            message_id=self.message_id,
            conversation_id=self.conversation_id,
            owner=owner,
            role="assistant",
            created=created,
            parent_id=self.parent_id,
            run_id=run_id,
        )
        if self.question is None:
            return [stub]
        question = StoredMessage(
            message_id=self.question_id,
            conversation_id=self.conversation_id,
            owner=owner,
            role="user",
            created=created,
            parent_id=self.after,
            content=self.question,
        )
        return [question, stub]


class Stored(Protocol):
    """Where stored conversations are read from."""

    async def conversation(self, owner: str, conversation_id: str) -> tuple[ConversationHead, Sequence[StoredMessage]]:
        """Raises NotFound."""
        ...

    async def answer_message(self, owner: str, run_id: str) -> StoredMessage:
        """The message of a run, its snapshot filled in. Raises NotFound."""
        ...


async def resolve_turn(request: RunRequest, owner: str, stored: Stored) -> Turn:
    """The turn that a checked request asks for. Raises NotFound, Conflict, InputError."""
    if request.messages is not None:
        given = [ChatMessage(message.role, text_of(message.content)) for message in request.messages]
        return Turn(new_id(), given, title_of(given[-1].content), listed=False)
    conversation_id, parent_id = request.conversation_id, request.parent_id
    continued: Message | None = None
    if request.continues is not None:
        partial = await stored.answer_message(owner, request.continues)
        if partial.snapshot is None or partial.snapshot.state == "running":
            raise Conflict("That answer is still being written; stop it before continuing it.", code="still-running")
        if partial.parent_id is None:
            raise InputError("An answer to `messages` is not continued by its id; send its words in `messages`.")
        conversation_id, parent_id, continued = (
            partial.conversation_id,
            partial.parent_id,
            partial.snapshot.message,
        )
    if conversation_id is None:
        if isinstance(parent_id, str):
            raise InputError("`parent_id` needs the `conversation_id` that it belongs to.")
        question = request.question or ""
        return Turn(new_id(), [ChatMessage("user", text_of(question))], title_of(text_of(question)), question)
    head, messages = await stored.conversation(owner, conversation_id)
    if parent_id is msgspec.UNSET:
        parent_id = messages[-1].message_id if messages else None
    path = _path(messages, parent_id)
    # An answer that failed before its first word is no part of the conversation; some providers refuse an empty one.
    history = [said for said in map(_chat_message, path) if said.content]
    if request.question is not None:
        if path and path[-1].role == "user":
            raise InputError("`parent_id` names a question; to answer it again, leave out `question`.")
        history.append(ChatMessage("user", text_of(request.question)))
        return Turn(conversation_id, history, head.title, request.question, after=parent_id)
    if not path or path[-1].role != "user":
        raise InputError("`parent_id` must name the user's message that is to be answered again.")
    return Turn(conversation_id, history, head.title, after=parent_id, continued=continued)


def title_of(question: str) -> str:
    """The question's first line, shortened at a word."""
    line = next((line.strip() for line in question.splitlines() if line.strip()), "")
    if len(line) <= TITLE_CHARACTERS:
        return line
    return line[: TITLE_CHARACTERS - 1].rsplit(" ", 1)[0] + "…"


def _path(messages: Sequence[StoredMessage], last: str | None) -> list[StoredMessage]:
    """The messages from the beginning of the conversation to `last`."""
    by_id = {message.message_id: message for message in messages}
    path: list[StoredMessage] = []
    while last is not None:
        message = by_id.get(last)
        if message is None:
            raise NotFound(f"There is no message {last} in this conversation.", code="no-message")
        path.append(message)
        last = message.parent_id
    return path[::-1]


def _chat_message(message: StoredMessage) -> ChatMessage:
    if message.role == "user":
        return ChatMessage("user", text_of(message.content or ""))
    return ChatMessage("assistant", message.snapshot.message.content if message.snapshot is not None else "")
