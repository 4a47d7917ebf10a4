"""A turn: what one start adds to a conversation, found from the request and the tree of messages."""

from collections.abc import Sequence
from itertools import chain
from typing import Protocol

import msgspec

from millstream.conversations import (
    NOTHING_ATTACHED,
    Attached,
    Content,
    ConversationHead,
    Role,
    StoredMessage,
    files_of,
    text_of,
    title_of,
)
from millstream.errors import Conflict, InputError, NotFound
from millstream.ids import new_id
from millstream.models import ChatMessage
from millstream.request import GivenMessage, RunRequest
from millstream.snapshot import Message


def no_run(run_id: str) -> NotFound:
    return NotFound(f"There is no run {run_id}.", code="no-run")


class Said(msgspec.Struct, frozen=True):
    """A message that is new."""

    role: Role
    content: Content
    message_id: str = msgspec.field(default_factory=new_id)


class Turn(msgspec.Struct, frozen=True):
    """`messages` is what the answer is given. `said` is what is stored of it, none when a question is answered again.

    Each of them follows the one before it.
    """

    conversation_id: str
    messages: Sequence[ChatMessage]
    title: str
    said: Sequence[Said] = ()
    after: str | None = None  # the message that the first of `said`, or without them the answer, follows
    attached: Attached = NOTHING_ATTACHED
    listed: bool = True
    continued: Message | None = None
    message_id: str = msgspec.field(default_factory=new_id)

    @property
    def parent_id(self) -> str | None:
        """The message that is answered."""
        return self.said[-1].message_id if self.said else self.after

    def stored(self, owner: str, run_id: str, created: int) -> list[StoredMessage]:
        """The messages to store: what was said, and the stub of the answer."""
        messages = []
        parent_id = self.after
        for said in self.said:
            messages.append(
                StoredMessage(
                    message_id=said.message_id,
                    conversation_id=self.conversation_id,
                    owner=owner,
                    role=said.role,
                    created=created,
                    parent_id=parent_id,
                    content=said.content,
                )
            )
            parent_id = said.message_id
        stub = StoredMessage(
            message_id=self.message_id,
            conversation_id=self.conversation_id,
            owner=owner,
            role="assistant",
            created=created,
            parent_id=parent_id,
            run_id=run_id,
        )
        return [*messages, stub]


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
    turn = await _resolve(request, owner, stored)
    if request.instructions is None:
        return turn
    instructions = ChatMessage("system", request.instructions)
    return msgspec.structs.replace(turn, messages=[instructions, *turn.messages])


async def _resolve(request: RunRequest, owner: str, stored: Stored) -> Turn:
    if request.messages is not None:
        return await _resolve_given(request, request.messages, owner, stored)
    conversation_id, parent_id = request.conversation_id, request.parent_id
    continued: Message | None = None
    if request.continues is not None:
        partial = await stored.answer_message(owner, request.continues)
        if partial.snapshot is None or partial.snapshot.state == "running":
            raise _still_running()
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
        words = text_of(question)
        said = [Said("user", question)]
        return Turn(new_id(), [ChatMessage("user", words)], title_of(words), said, attached=_attached(said))
    head, messages = await stored.conversation(owner, conversation_id)
    if parent_id is msgspec.UNSET:
        parent_id = messages[-1].message_id if messages else None
    path = _path(messages, parent_id)
    history = _history(path)
    if request.question is not None:
        if path and path[-1].role == "user":
            raise InputError("`parent_id` names a question; to answer it again, leave out `question`.")
        history.append(ChatMessage("user", text_of(request.question)))
        said = [Said("user", request.question)]
        attached = _attached([*path, *said])
        return Turn(conversation_id, history, head.title, said, after=parent_id, attached=attached)
    if not path or path[-1].role != "user":
        raise InputError("`parent_id` must name the user's message that is to be answered again.")
    attached = _attached(path)
    return Turn(conversation_id, history, head.title, after=parent_id, attached=attached, continued=continued)


async def _resolve_given(request: RunRequest, messages: Sequence[GivenMessage], owner: str, stored: Stored) -> Turn:
    """The turn of `messages`: kept where it `follows`, and unlisted, unless the conversation that it goes on is."""
    given = [ChatMessage(message.role, text_of(message.content)) for message in messages]
    attached = _attached(messages)
    if request.follows is msgspec.UNSET:
        return Turn(new_id(), given, "", attached=attached, listed=False)
    said = [Said(message.role, message.content) for message in messages]
    if request.follows is None:
        return Turn(new_id(), given, "", said, attached=attached, listed=False)
    answer = await stored.answer_message(owner, request.follows)
    if answer.snapshot is None or answer.snapshot.state == "running":
        raise _still_running()
    if answer.parent_id is None:
        raise InputError("What that run was asked was not kept, so nothing can follow it; send it in `messages`.")
    head, before = await stored.conversation(owner, answer.conversation_id)
    path = _path(before, answer.message_id)
    return Turn(
        answer.conversation_id,
        [*_history(path), *given],
        head.title,
        said,
        after=answer.message_id,
        attached=_attached([*path, *said]),
        listed=False,
    )


def _still_running() -> Conflict:
    return Conflict("That answer is still being written; stop it before continuing it.", code="still-running")


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


def _history(path: Sequence[StoredMessage]) -> list[ChatMessage]:
    """What was said, without answers that failed before their first word: some providers refuse an empty one."""
    return [said for said in map(_chat_message, path) if said.content]


def _attached(messages: Sequence[StoredMessage | Said | GivenMessage]) -> Attached:
    """The files of messages of which the last one is the question, each once."""
    *before, question = [files_of(message.content) for message in messages]
    return Attached(tuple(dict.fromkeys(question)), tuple(dict.fromkeys(chain.from_iterable(before))))


def _chat_message(message: StoredMessage) -> ChatMessage:
    if message.snapshot is not None:
        return ChatMessage("assistant", message.snapshot.message.content)
    return ChatMessage(message.role, text_of(message.content or ""))
