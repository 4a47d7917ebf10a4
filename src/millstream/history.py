"""History: conversations as people see them. An answer that is not filed yet is the fold of its log."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from millstream.conversations import ConversationHead, Conversations, StoredMessage
from millstream.errors import NotFound
from millstream.snapshot import Snapshot
from millstream.turns import no_run


class History:
    """`snapshot(run_id, owner)` gives the answer of a run that the conversation holds as a stub, or raises NotFound."""

    def __init__(self, conversations: Conversations, snapshot: Callable[[str, str], Awaitable[Snapshot]]) -> None:
        self._conversations = conversations
        self._snapshot = snapshot

    async def conversation(self, owner: str, conversation_id: str) -> tuple[ConversationHead, Sequence[StoredMessage]]:
        """The conversation with all its messages. Raises NotFound."""
        head, messages = await self.stored(owner, conversation_id)
        return head, [await self._whole(message) for message in messages]

    async def answer_message(self, owner: str, run_id: str) -> StoredMessage:
        """The message of a run, its snapshot filled in. Raises NotFound."""
        message = await self._conversations.message_of_run(run_id)
        if message is None or message.owner != owner:
            raise no_run(run_id)
        return await self._whole(message)

    async def stored(self, owner: str, conversation_id: str) -> tuple[ConversationHead, Sequence[StoredMessage]]:
        """The conversation as it is stored, stubs and all. Raises NotFound."""
        found = await self._conversations.get(owner, conversation_id)
        if found is None:
            raise NotFound("There is no such conversation.", code="no-conversation")
        return found

    async def _whole(self, message: StoredMessage) -> StoredMessage:
        if message.run_id is None or message.snapshot is not None:
            return message
        try:
            snapshot = await self._snapshot(message.run_id, message.owner)
        except NotFound:
            return message
        return msgspec.structs.replace(message, snapshot=snapshot)
