"""Messages form a tree: what a start adds to it, and what the answer is given."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core import OWNER, Obedient, read, supervised
from millstream.conversations import TITLE_CHARACTERS, StoredMessage, title_of
from millstream.errors import Conflict, InputError, NotFound
from millstream.request import RunRequest, parse_request
from millstream.run import Run
from millstream.supervisor import Supervisor


class Echo:
    """Answers `re: QUESTION`, and remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[list[tuple[str, str]]] = []
        self.continued: list[str | None] = []
        self.attached: list[tuple[str, str]] = []

    async def answer(self, run: Run) -> None:
        self.given.append([(message.role, message.content) for message in run.messages])
        self.continued.append(run.continued.content if run.continued is not None else None)
        self.attached.append((" ".join(run.attached.to_question), " ".join(run.attached.before)))
        run.write(f"re: {run.question}")


class Chat:
    def __init__(self, supervisor: Supervisor, echo: Echo) -> None:
        self.supervisor = supervisor
        self.echo = echo

    async def ask(self, **fields: Any) -> StoredMessage:
        """The stored message of the answer."""
        run_id, _ = await self.supervisor.start(parse_request(msgspec.json.encode(fields)), OWNER)
        await read(self.supervisor, run_id)
        return await self.supervisor.answer_message(OWNER, run_id)

    async def tree(self, conversation_id: str) -> list[tuple[str, str | None, str]]:
        """Each message's id, parent and words."""
        _, messages = await self.supervisor.conversation(OWNER, conversation_id)
        return [
            (
                message.message_id,
                message.parent_id,
                str(message.content) if message.snapshot is None else message.snapshot.message.content,
            )
            for message in messages
        ]


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[Chat]:
    echo = Echo()
    async with supervised(tmp_path, echo.answer) as supervisor:
        yield Chat(supervisor, echo)


async def test_a_question_begins_a_conversation_that_is_titled_by_it(chat: Chat) -> None:
    answer = await chat.ask(question="  What is\nthis? ")
    (head,) = await chat.supervisor.conversations.list(OWNER)
    assert (head.conversation_id, head.title) == (answer.conversation_id, "What is")
    tree = await chat.tree(answer.conversation_id)
    assert [(parent, words) for _, parent, words in tree] == [
        (None, "  What is\nthis? "),
        (tree[0][0], "re:   What is\nthis? "),
    ]
    assert answer.snapshot is not None
    assert answer.snapshot.parent_id == tree[0][0]


async def test_a_question_extends_its_conversation(chat: Chat) -> None:
    first = await chat.ask(question="one")
    second = await chat.ask(question="two", conversation_id=first.conversation_id)
    assert second.conversation_id == first.conversation_id
    assert chat.echo.given[-1] == [("user", "one"), ("assistant", "re: one"), ("user", "two")]
    tree = await chat.tree(first.conversation_id)
    assert [parent for _, parent, _ in tree] == [None, *(message_id for message_id, _, _ in tree[:-1])]


def with_files(words: str, *files: str) -> list[dict[str, str]]:
    parts = [{"type": "file", "document_id": file, "name": f"{file}.pdf"} for file in files]
    return [{"type": "text", "text": words}, *parts]


async def test_an_answer_is_given_the_files_of_its_question_and_of_those_before_it(chat: Chat) -> None:
    first = await chat.ask(question=with_files("one", "a", "b", "a"))
    here = {"conversation_id": first.conversation_id}
    second = await chat.ask(question=with_files("two", "c"), **here)
    await chat.ask(question="three", **here)
    await chat.ask(**here, parent_id=second.parent_id)
    await chat.ask(question=with_files("zwei", "d"), **here, parent_id=first.message_id)
    assert chat.echo.attached == [("a b", ""), ("c", "a b"), ("", "a b c"), ("c", "a b"), ("d", "a b")]


async def test_messages_bring_the_files_of_their_own_history(chat: Chat) -> None:
    said = {"role": "assistant", "content": "1"}
    history = [{"role": "user", "content": with_files("one", "a")}, said]
    question = [{"role": "user", "content": with_files("two", "b", "a")}]
    await chat.ask(messages=history + question)
    kept = await chat.ask(messages=history + question, follows=None)
    await chat.ask(messages=[{"role": "user", "content": "three"}], follows=kept.run_id)
    assert chat.echo.attached == [("b a", "a"), ("b a", "a"), ("", "a b")]


async def test_regenerating_makes_a_sibling_of_the_answer(chat: Chat) -> None:
    first = await chat.ask(question="one")
    again = await chat.ask(conversation_id=first.conversation_id, parent_id=first.parent_id)
    assert (again.parent_id, again.message_id == first.message_id) == (first.parent_id, False)
    assert chat.echo.given[-1] == [("user", "one")]
    assert len(await chat.tree(first.conversation_id)) == 3, "the question is not stored again"


async def test_editing_makes_a_sibling_of_the_question(chat: Chat) -> None:
    first = await chat.ask(question="one")
    second = await chat.ask(question="two", conversation_id=first.conversation_id)
    edited = await chat.ask(question="zwei", conversation_id=first.conversation_id, parent_id=first.message_id)
    assert chat.echo.given[-1] == [("user", "one"), ("assistant", "re: one"), ("user", "zwei")]
    by_id = {message_id: parent for message_id, parent, _ in await chat.tree(first.conversation_id)}
    assert by_id[str(edited.parent_id)] == by_id[str(second.parent_id)] == first.message_id


async def test_editing_the_first_question_begins_at_the_root(chat: Chat) -> None:
    first = await chat.ask(question="one")
    await chat.ask(question="eins", conversation_id=first.conversation_id, parent_id=None)
    assert chat.echo.given[-1] == [("user", "eins")]


async def test_without_a_parent_the_newest_message_is_followed(chat: Chat) -> None:
    first = await chat.ask(question="one")
    await chat.ask(question="two", conversation_id=first.conversation_id)
    await chat.ask(question="zwei", conversation_id=first.conversation_id, parent_id=first.message_id)
    await chat.ask(question="three", conversation_id=first.conversation_id)
    assert [words for _, words in chat.echo.given[-1]] == ["one", "re: one", "zwei", "re: zwei", "three"]


async def test_continuing_answers_the_same_question_from_the_partial_answer(tmp_path: Path) -> None:
    told, echo = Obedient(), Echo()
    async with supervised(tmp_path, {"default": told.answer, "echo": echo.answer}) as supervisor:
        run_id, _ = await supervisor.start(RunRequest(question="one"), OWNER)
        (await told.begun).write("Half an ")
        with pytest.raises(Conflict) as refusal:
            await supervisor.start(RunRequest(continues=run_id), OWNER)
        assert refusal.value.code == "still-running"
        await supervisor.stop(run_id, OWNER, 4)
        partial = await supervisor.answer_message(OWNER, run_id)
        more, _ = await supervisor.start(RunRequest(continues=run_id, answer="echo"), OWNER)
        await read(supervisor, more)
        message = await supervisor.answer_message(OWNER, more)
        assert (message.conversation_id, message.parent_id) == (partial.conversation_id, partial.parent_id)
        assert echo.given == [[("user", "one")]]
        assert echo.continued == ["Half"], "what the reader had seen"


async def test_messages_bring_their_own_history_and_are_not_listed(chat: Chat) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two"},
    ]
    answer = await chat.ask(messages=messages)
    assert chat.echo.given == [[("system", "Be brief."), ("user", "one"), ("assistant", "1"), ("user", "two")]]
    assert list(await chat.supervisor.conversations.list(OWNER)) == []
    assert answer.snapshot is not None
    assert answer.snapshot.parent_id is None
    with pytest.raises(InputError, match="`messages`"):
        await chat.ask(continues=answer.run_id)


async def test_messages_that_are_kept_can_be_followed(chat: Chat) -> None:
    brought = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "one"}]
    brought += [{"role": "assistant", "content": "1"}, {"role": "user", "content": "two"}]
    first = await chat.ask(messages=brought, follows=None, instructions="Rhyme.")
    second = await chat.ask(messages=[{"role": "user", "content": "three"}], follows=first.run_id)
    other = await chat.ask(messages=[{"role": "user", "content": "drei"}], follows=first.run_id)
    history = [("system", "Be brief."), ("user", "one"), ("assistant", "1"), ("user", "two")]
    assert chat.echo.given[0] == [("system", "Rhyme."), *history]
    assert chat.echo.given[1] == [*history, ("assistant", "re: two"), ("user", "three")]
    assert chat.echo.given[2] == [*history, ("assistant", "re: two"), ("user", "drei")]
    assert first.conversation_id == second.conversation_id == other.conversation_id
    assert second.snapshot is not None
    assert second.snapshot.follows == first.run_id
    assert list(await chat.supervisor.conversations.list(OWNER)) == []


async def test_what_is_not_kept_or_not_there_or_not_ended_cannot_be_followed(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, {"default": told.answer, "echo": Echo().answer}) as supervisor:
        messages = [{"role": "user", "content": "one"}]
        ask = {"messages": messages, "answer": "echo"}
        unkept, _ = await supervisor.start(parse_request(msgspec.json.encode(ask)), OWNER)
        await read(supervisor, unkept)
        running, _ = await supervisor.start(parse_request(msgspec.json.encode({"messages": messages})), OWNER)
        for follows, error in ((unkept, InputError), ("unknown", NotFound), (running, Conflict)):
            with pytest.raises(error):
                await supervisor.start(parse_request(msgspec.json.encode({**ask, "follows": follows})), OWNER)


async def test_instructions_hold_for_one_question_alone(chat: Chat) -> None:
    first = await chat.ask(question="one", instructions="Rhyme.")
    await chat.ask(question="two", conversation_id=first.conversation_id)
    assert chat.echo.given == [
        [("system", "Rhyme."), ("user", "one")],
        [("user", "one"), ("assistant", "re: one"), ("user", "two")],
    ]


async def test_metadata_is_told_again(chat: Chat) -> None:
    answer = await chat.ask(question="one", metadata={"order": "7"})
    assert answer.snapshot is not None
    assert answer.snapshot.metadata == {"order": "7"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"metadata": {str(n): "" for n in range(17)}},
        {"metadata": {"x" * 65: ""}},
        {"metadata": {"x": "y" * 513}},
        {"instructions": "x" * 100_001},
        {"follows": None},
    ],
)
async def test_instructions_metadata_and_what_is_followed_have_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        parse_request(msgspec.json.encode({"question": "x", **wrong}))


async def test_a_deleted_answer_is_no_part_of_what_follows_it(chat: Chat) -> None:
    first = await chat.ask(messages=[{"role": "user", "content": "one"}], follows=None)
    second = await chat.ask(messages=[{"role": "user", "content": "two"}], follows=first.run_id)
    assert first.run_id is not None
    await chat.supervisor.delete_answer(OWNER, first.run_id)
    await chat.ask(messages=[{"role": "user", "content": "three"}], follows=second.run_id)
    assert chat.echo.given[-1] == [("user", "two"), ("assistant", "re: two"), ("user", "three")]
    with pytest.raises(NotFound):
        await chat.supervisor.snapshot(first.run_id, OWNER)
    with pytest.raises(NotFound):
        await chat.supervisor.delete_answer("somebody else", str(second.run_id))


async def test_a_running_answer_that_is_deleted_is_stopped(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        run_id, _ = await supervisor.start(RunRequest(question="one"), OWNER)
        await told.begun
        await supervisor.delete_answer(OWNER, run_id)
        assert told.cancelled.is_set()
        with pytest.raises(NotFound):
            await supervisor.snapshot(run_id, OWNER)


async def test_messages_with_a_conversation_are_refused() -> None:
    with pytest.raises(InputError) as refusal:
        parse_request(b'{"messages":[{"role":"user","content":"x"}],"conversation_id":"c1"}')
    assert refusal.value.status == 400


async def test_content_is_a_string_or_parts(chat: Chat) -> None:
    parts = [{"type": "text", "text": "Sum up"}, {"type": "file", "document_id": "d1", "name": "a.pdf"}]
    answer = await chat.ask(question=parts)
    assert chat.echo.given == [[("user", "Sum up")]]
    _, messages = await chat.supervisor.conversation(OWNER, answer.conversation_id)
    assert msgspec.to_builtins(messages[0].content) == parts


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"question": "x", "conversation_id": "unknown"}, NotFound),
        ({"question": "x", "conversation_id": "C", "parent_id": "unknown"}, NotFound),
        ({"question": "x", "conversation_id": "C", "parent_id": "Q"}, InputError),
        ({"conversation_id": "C", "parent_id": "A"}, InputError),
        ({"question": "x", "parent_id": "Q"}, InputError),
        ({"continues": "unknown"}, NotFound),
    ],
)
async def test_what_does_not_fit_into_the_tree_is_refused_and_changes_nothing(
    chat: Chat, fields: dict[str, str], error: type[Exception]
) -> None:
    first = await chat.ask(question="one")
    names = {"C": first.conversation_id, "Q": first.parent_id, "A": first.message_id}
    before = await chat.tree(first.conversation_id)
    with pytest.raises(error):
        await chat.ask(**{name: names.get(value, value) for name, value in fields.items()})
    assert await chat.tree(first.conversation_id) == before
    assert len(await chat.supervisor.conversations.list(OWNER)) == 1


async def test_somebody_elses_conversation_and_answer_are_not_there(chat: Chat) -> None:
    first = await chat.ask(question="one")
    for request in (
        RunRequest(question="x", conversation_id=first.conversation_id),
        RunRequest(conversation_id=first.conversation_id, parent_id=first.parent_id),
        RunRequest(continues=first.run_id),
    ):
        with pytest.raises(NotFound):
            await chat.supervisor.start(request, "bob")


async def test_a_stopped_answer_is_history_as_it_was_seen(tmp_path: Path) -> None:
    told, echo = Obedient(), Echo()
    async with supervised(tmp_path, {"default": told.answer, "echo": echo.answer}) as supervisor:
        run_id, _ = await supervisor.start(RunRequest(question="one"), OWNER)
        (await told.begun).write("seen and unseen")
        snapshot = await supervisor.stop(run_id, OWNER, 4)
        request = RunRequest(question="two", conversation_id=snapshot.conversation_id, answer="echo")
        await read(supervisor, (await supervisor.start(request, OWNER))[0])
        assert echo.given == [[("user", "one"), ("assistant", "seen"), ("user", "two")]]


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("Short", "Short"),
        ("\n \n first line \nsecond", "first line"),
        ("word " * 40, "word " * 14 + "word…"),
        ("x" * 200, "x" * 79 + "…"),
        ("", ""),
    ],
)
def test_a_title_is_the_questions_first_line_shortened_at_a_word(question: str, title: str) -> None:
    assert title_of(question) == title
    assert len(title_of(question)) <= TITLE_CHARACTERS
