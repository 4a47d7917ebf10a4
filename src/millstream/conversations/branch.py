"""The branch of a conversation's tree that is shown: one question after the other, each with one answer."""

from collections.abc import Sequence

from millstream.conversations import ConversationHead, StoredMessage


def shown_branch(head: ConversationHead, messages: Sequence[StoredMessage]) -> list[StoredMessage]:
    """From the first message through the chosen one (without one: the newest) to the newest below it.

    `messages` are those of the conversation, oldest first.
    """
    if not messages:
        return []
    by_id = {message.message_id: message for message in messages}
    newest_child = {message.parent_id: message for message in messages if message.parent_id is not None}
    last = by_id.get(head.chosen_id or "", messages[-1])
    branch = [last]
    while (parent := by_id.get(branch[-1].parent_id or "")) is not None:
        branch.append(parent)
    branch.reverse()
    while (child := newest_child.get(branch[-1].message_id)) is not None:
        branch.append(child)
    return branch
