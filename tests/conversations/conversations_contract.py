"""What every store of conversations does. An implementation's test is a subclass with a `store` fixture."""

import asyncio

from millstream.conversations import ConversationHead, Conversations, FilePart, StoredMessage, TextPart
from millstream.snapshot import Message, Snapshot


def head(conversation_id: str, updated: int = 1, title: str = "A title") -> ConversationHead:
    return ConversationHead(conversation_id=conversation_id, title=title, created=updated, updated=updated)


def question(conversation_id: str, name: str, parent: str | None = None, owner: str = "ann") -> StoredMessage:
    return StoredMessage(
        message_id=f"q-{name}", conversation_id=conversation_id, owner=owner, role="user", created=1,
        parent_id=parent, content=f"question {name}",
    )  # fmt: skip


def stub(conversation_id: str, name: str, parent: str | None = None, owner: str = "ann") -> StoredMessage:
    return StoredMessage(
        message_id=f"a-{name}", conversation_id=conversation_id, owner=owner, role="assistant", created=1,
        parent_id=parent or f"q-{name}", run_id=f"run-{name}",
    )  # fmt: skip


def snapshot(conversation_id: str, name: str) -> Snapshot:
    message = Message(content=f"answer {name}", steps=[], sources=[], citations=[], followups=[])
    return Snapshot(
        run_id=f"run-{name}", conversation_id=conversation_id, message_id=f"a-{name}", model="test", created=1,
        state="finished", seq=3, message=message,
    )  # fmt: skip


async def begin(store: Conversations, conversation_id: str, name: str, updated: int = 1, owner: str = "ann") -> None:
    turn = [question(conversation_id, name, owner=owner), stub(conversation_id, name, owner=owner)]
    await store.begin(head(conversation_id, updated), owner, turn, listed=True)


class ConversationsContract:
    async def test_a_turn_is_a_question_and_the_stub_of_its_answer(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        assert await store.get("ann", "c1") == (head("c1"), [question("c1", "1"), stub("c1", "1")])
        assert await store.message_of_run("run-1") == stub("c1", "1")

    async def test_content_is_a_string_or_parts(self, store: Conversations) -> None:
        asked = StoredMessage(
            message_id="q", conversation_id="c1", owner="ann", role="user", created=1,
            content=[TextPart("See"), FilePart("d1", "report.pdf")],
        )  # fmt: skip
        await store.begin(head("c1"), "ann", [asked, stub("c1", "1", "q")], listed=True)
        found = await store.get("ann", "c1")
        assert found is not None
        assert found[1][0] == asked

    async def test_the_same_start_again_stores_nothing(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        again = [question("c2", "other"), stub("c2", "1")]
        await store.begin(head("c2"), "ann", again, listed=True)
        assert await store.get("ann", "c2") is None
        assert await store.message_of_run("run-1") == stub("c1", "1")

    async def test_a_second_turn_extends_the_conversation(self, store: Conversations) -> None:
        await begin(store, "c1", "1", updated=1)
        await store.begin(
            head("c1", 9, "Other title"), "ann", [question("c1", "2", "a-1"), stub("c1", "2")], listed=True
        )
        found = await store.get("ann", "c1")
        assert found is not None
        assert [message.message_id for message in found[1]] == ["q-1", "a-1", "q-2", "a-2"]
        assert (found[0].title, found[0].created, found[0].updated) == ("A title", 1, 9)

    async def test_a_finished_answer_holds_its_snapshot(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        await begin(store, "c1", "2")
        assert [message.run_id for message in await store.unfinished()] == ["run-1", "run-2"]
        await store.finish(snapshot("c1", "1"))
        found = await store.message_of_run("run-1")
        assert found is not None
        assert found.snapshot == snapshot("c1", "1")
        assert [message.run_id for message in await store.unfinished()] == ["run-2"]

    async def test_finishing_what_was_deleted_does_nothing(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        await store.delete("ann", "c1")
        await store.finish(snapshot("c1", "1"))
        assert await store.message_of_run("run-1") is None

    async def test_the_list_is_the_owners_last_updated_first(self, store: Conversations) -> None:
        for conversation_id, updated, owner in [("c1", 1, "ann"), ("c2", 3, "ann"), ("c3", 2, "ann"), ("c4", 9, "bob")]:
            await begin(store, conversation_id, conversation_id, updated, owner)
        assert [each.conversation_id for each in await store.list("ann")] == ["c2", "c3", "c1"]
        assert [each.conversation_id for each in await store.list("ann", limit=2)] == ["c2", "c3"]

    async def test_what_is_not_listed_is_still_found(self, store: Conversations) -> None:
        await store.begin(head("c1"), "ann", [stub("c1", "1", "none")], listed=False)
        assert list(await store.list("ann")) == []
        assert await store.get("ann", "c1") is not None
        await store.begin(head("c1", 5), "ann", [stub("c1", "2", "a-1")], listed=True)
        assert list(await store.list("ann")) == []

    async def test_only_the_owner_sees_renames_and_deletes(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        assert await store.get("bob", "c1") is None
        assert not await store.rename("bob", "c1", "Mine")
        assert not await store.delete("bob", "c1")
        assert await store.get("ann", "c1") == (head("c1"), [question("c1", "1"), stub("c1", "1")])

    async def test_a_renamed_conversation_has_its_new_title(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        assert await store.rename("ann", "c1", "New 🎉")
        assert [each.title for each in await store.list("ann")] == ["New 🎉"]
        assert not await store.rename("ann", "c9", "None")

    async def test_a_deleted_conversation_is_gone_with_its_messages(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        await begin(store, "c2", "2")
        assert await store.delete("ann", "c1")
        assert await store.get("ann", "c1") is None
        assert await store.message_of_run("run-1") is None
        assert await store.message_of_run("run-2") is not None
        assert not await store.delete("ann", "c1")

    async def test_turns_begun_at_once_are_all_stored(self, store: Conversations) -> None:
        await asyncio.gather(*(begin(store, "c1", str(number)) for number in range(20)))
        found = await store.get("ann", "c1")
        assert found is not None
        assert len(found[1]) == 40
