"""What every store of conversations does. An implementation's test is a subclass with a `store` fixture."""

import asyncio

import pytest

from millstream.conversations import (
    ConversationHead,
    Conversations,
    Feedback,
    FilePart,
    Match,
    Place,
    StoredMessage,
    TextPart,
)
from millstream.errors import Conflict
from millstream.snapshot import Message, Snapshot

NEVER = -1  # no conversation was updated or deleted until then


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


async def say(store: Conversations, conversation_id: str, name: str, text: str, *, listed: bool = True) -> None:
    """A turn whose question is `text`."""
    asked = StoredMessage(
        message_id=f"q-{name}", conversation_id=conversation_id, owner="ann", role="user", created=1, content=text
    )
    await store.begin(head(conversation_id), "ann", [asked, stub(conversation_id, name)], listed=listed)


async def found(store: Conversations, *words: str, owner: str = "ann") -> list[str]:
    return [head.conversation_id for head, _ in await store.search(owner, words)]


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
        await store.delete("ann", "c1", 5)
        await store.purge(5, NEVER)
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
        assert not await store.delete("bob", "c1", 5)
        assert not await store.rate("bob", "a-1", Feedback("up", 1))
        assert not await store.choose("bob", "c1", "a-1")
        assert await found(store, "question", owner="bob") == []
        assert await store.get("ann", "c1") == (head("c1"), [question("c1", "1"), stub("c1", "1")])

    async def test_a_renamed_conversation_has_its_new_title(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        assert await store.rename("ann", "c1", "New 🎉")
        assert [each.title for each in await store.list("ann")] == ["New 🎉"]
        assert not await store.rename("ann", "c9", "None")

    async def test_a_generated_title_never_replaces_a_persons(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        assert await store.retitle("c1", "A title", "Better")
        assert not await store.retitle("c1", "A title", "Best")
        assert not await store.retitle("c9", "A title", "Best")
        assert [each.title for each in await store.list("ann")] == ["Better"]

    async def test_a_list_in_parts_holds_everything_once(self, store: Conversations) -> None:
        updated = {"c1": 1, "c2": 2, "c3": 2, "c4": 2, "c5": 3}
        for conversation_id, when in updated.items():
            await begin(store, conversation_id, conversation_id, when)
        listed: list[str] = []
        after: Place | None = None
        while part := await store.list("ann", limit=2, after=after):
            listed += [each.conversation_id for each in part]
            after = part[-1].place
            await store.delete("ann", listed[-1], 5)  # the place outlives what stood there
        assert listed == ["c5", "c4", "c3", "c2", "c1"]

    async def test_search_finds_questions_answers_and_titles(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        await store.finish(snapshot("c1", "1"))
        await store.rename("ann", "c1", "The miller")
        assert await found(store, "question") == await found(store, "answer") == await found(store, "miller") == ["c1"]
        assert await found(store, "title") == await found(store, "nothing") == []
        assert await store.search("ann", []) == []

    async def test_search_finds_conversations_with_all_words_and_the_beginning_of_the_last(
        self, store: Conversations
    ) -> None:
        await say(store, "c1", "1", "Wann öffnet das Café an der Mühle?")
        assert await found(store, "CAFE", "muhl") == await found(store, "café", "MÜHLE") == ["c1"]
        assert await found(store, "caf", "mühle") == await found(store, "café", "window") == []

    @pytest.mark.parametrize("word", ['"', "*", "AND", "NEAR(", "text:", "-", "(", "\x00", "a" * 10_000])
    async def test_a_searched_word_has_no_meaning_of_its_own(self, store: Conversations, word: str) -> None:
        await begin(store, "c1", "1")
        assert await found(store, word) == []
        assert await found(store, word, "question") in ([], ["c1"])

    async def test_a_match_tells_the_message_and_where_in_its_words_the_hits_are(self, store: Conversations) -> None:
        await say(store, "c1", "1", "🎉 Is a mill loud? " + "It turns. " * 40)
        (only,) = await store.search("ann", ["mill", "lou"])
        assert (only[0].conversation_id, only[1].message_id) == ("c1", "q-1")
        assert [only[1].text[start:end] for start, end in only[1].hits] == ["mill", "loud"]
        assert only[1].text.startswith("🎉 Is a mill loud?")
        assert len(only[1].text) <= 201
        await store.rename("ann", "c1", "Mill louder")
        assert [match for _, match in await store.search("ann", ["mill", "lou"])] == [
            Match("Mill louder", [(0, 4), (5, 11)])
        ]

    async def test_found_conversations_come_last_updated_first_in_parts(self, store: Conversations) -> None:
        for number in range(1, 6):
            await begin(store, f"c{number}", str(number), updated=number)
        first = await store.search("ann", ["question"], limit=2)
        assert [each.conversation_id for each, _ in first] == ["c5", "c4"]
        rest = await store.search("ann", ["question"], after=first[-1][0].place)
        assert [each.conversation_id for each, _ in rest] == ["c3", "c2", "c1"]

    async def test_what_is_not_listed_is_not_searched(self, store: Conversations) -> None:
        await say(store, "c1", "1", "a secret", listed=False)
        await store.finish(snapshot("c1", "1"))
        assert await found(store, "secret") == await found(store, "answer") == []

    async def test_the_chosen_branch_is_remembered_until_the_next_turn(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        await begin(store, "c2", "2")
        assert not await store.choose("ann", "c1", "a-2")
        assert not await store.choose("ann", "c1", "none")
        assert await store.choose("ann", "c1", "q-1")
        assert {each.conversation_id: each.chosen_id for each in await store.list("ann")} == {"c1": "q-1", "c2": None}
        await begin(store, "c1", "3")
        opened = await store.get("ann", "c1")
        assert opened is not None
        assert opened[0].chosen_id is None

    async def test_feedback_stays_with_the_answer_and_can_be_changed_and_removed(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        for feedback in (Feedback("down", 5, "Wrong 🎉"), Feedback("up", 6), None):
            assert await store.rate("ann", "a-1", feedback)
            await store.finish(snapshot("c1", "1"))
            opened = await store.get("ann", "c1")
            assert opened is not None
            assert opened[1][1].feedback == feedback
        assert not await store.rate("ann", "q-1", Feedback("up", 1))
        assert not await store.rate("ann", "none", Feedback("up", 1))

    async def test_a_deleted_conversation_is_nowhere_until_it_is_restored(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        await begin(store, "c2", "2")
        assert await store.delete("ann", "c1", 5)
        assert await store.get("ann", "c1") is None
        assert await store.message_of_run("run-1") is None
        assert await store.message_of_run("run-2") is not None
        assert [each.conversation_id for each in await store.list("ann")] == await found(store, "question") == ["c2"]
        assert not await store.delete("ann", "c1", 6)
        assert not await store.rename("ann", "c1", "New")
        assert not await store.retitle("c1", "A title", "New")
        assert not await store.choose("ann", "c1", "q-1")
        assert not await store.rate("ann", "a-1", Feedback("up", 1))
        assert not await store.restore("bob", "c1")
        assert await store.restore("ann", "c1")
        assert await store.get("ann", "c1") == (head("c1"), [question("c1", "1"), stub("c1", "1")])
        assert not await store.restore("ann", "c1")

    async def test_an_answer_that_ends_after_its_deletion_is_there_when_it_is_restored(
        self, store: Conversations
    ) -> None:
        await begin(store, "c1", "1")
        await store.delete("ann", "c1", 5)
        await store.finish(snapshot("c1", "1"))
        assert await found(store, "answer") == []
        await store.restore("ann", "c1")
        assert await found(store, "answer") == ["c1"]

    async def test_a_run_id_of_a_deleted_conversation_is_taken(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        await store.delete("ann", "c1", 5)
        with pytest.raises(Conflict):
            await store.begin(head("c2"), "ann", [question("c2", "2"), stub("c2", "1", "q-2")], listed=True)
        assert await store.get("ann", "c2") is None

    async def test_forgetting_an_answer_forgets_what_it_was_asked_but_not_what_follows(
        self, store: Conversations
    ) -> None:
        await begin(store, "c1", "1")
        await store.begin(head("c1"), "ann", [question("c1", "2", "a-1"), stub("c1", "2", "q-2")], listed=True)
        assert not await store.forget("bob", "run-1")
        assert await store.forget("ann", "run-1")
        assert not await store.forget("ann", "run-1")
        assert await store.message_of_run("run-1") is None
        conversation = await store.get("ann", "c1")
        assert conversation is not None
        assert [(each.message_id, each.parent_id, each.content) for each in conversation[1]] == [
            ("q-2", None, "question 2"),
            ("a-2", "q-2", None),
        ]
        assert conversation[0].title == "question 2"
        assert await found(store, "question", "1") == await found(store, "Title") == []

    async def test_what_is_forgotten_in_the_middle_is_closed_over(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        await store.begin(head("c1"), "ann", [question("c1", "2", "a-1"), stub("c1", "2", "q-2")], listed=True)
        await store.begin(head("c1"), "ann", [question("c1", "3", "a-2"), stub("c1", "3", "q-3")], listed=True)
        await store.choose("ann", "c1", "a-2")
        assert await store.forget("ann", "run-2")
        conversation = await store.get("ann", "c1")
        assert conversation is not None
        assert [(each.message_id, each.parent_id) for each in conversation[1]] == [
            ("q-1", None), ("a-1", "q-1"), ("q-3", "a-1"), ("a-3", "q-3"),
        ]  # fmt: skip
        assert (conversation[0].title, conversation[0].chosen_id) == (head("c1").title, None)

    async def test_a_conversation_of_which_nothing_is_left_is_gone(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        assert await store.forget("ann", "run-1")
        assert await store.get("ann", "c1") is None
        assert await store.list("ann") == []

    async def test_a_question_is_not_forgotten_with_one_of_two_answers(self, store: Conversations) -> None:
        await begin(store, "c1", "1")
        await store.begin(head("c1"), "ann", [stub("c1", "2", "q-1")], listed=True)
        await store.forget("ann", "run-2")
        conversation = await store.get("ann", "c1")
        assert conversation is not None
        assert [each.message_id for each in conversation[1]] == ["q-1", "a-1"]
        assert conversation[0].title == "A title"

    async def test_purge_forgets_what_was_deleted_until_then(self, store: Conversations) -> None:
        for number in (1, 2, 3):
            await begin(store, f"c{number}", str(number))
        await store.delete("ann", "c1", 5)
        await store.delete("ann", "c2", 6)
        assert list(await store.purge(4, NEVER)) == []
        assert list(await store.purge(5, NEVER)) == ["run-1"]
        assert not await store.restore("ann", "c1")
        assert await store.restore("ann", "c2")
        assert await found(store, "question") == ["c2", "c3"] or await found(store, "question") == ["c3", "c2"]
        await begin(store, "c1", "1")
        assert len(await found(store, "question")) == 3

    async def test_purge_forgets_what_is_not_listed_once_it_is_finished_and_old(self, store: Conversations) -> None:
        await store.begin(head("c1", 5), "ann", [stub("c1", "1", "none")], listed=False)
        await begin(store, "c2", "2", updated=1)
        assert list(await store.purge(NEVER, 9)) == []
        await store.finish(snapshot("c1", "1"))
        assert list(await store.purge(NEVER, 4)) == []
        assert list(await store.purge(NEVER, 5)) == ["run-1"]
        assert await store.get("ann", "c1") is None
        assert await store.get("ann", "c2") is not None

    async def test_turns_begun_at_once_are_all_stored(self, store: Conversations) -> None:
        await asyncio.gather(*(begin(store, "c1", str(number)) for number in range(20)))
        found = await store.get("ann", "c1")
        assert found is not None
        assert len(found[1]) == 40
