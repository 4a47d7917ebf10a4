"""A run's life: start, follow, stop, nobody reading, failing disks, shutting down."""

import asyncio
import math
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from core import OWNER, Obedient, events_of, in_virtual_time, read, read_until, start, supervised, turn, types_of, until
from millstream import producer
from millstream.errors import Conflict, CursorAhead, Gone, InputError, NotFound, RunError, Unavailable
from millstream.events import RunFailed, RunStopped, TextDelta, Usage
from millstream.follower import READ_BYTES, Follower
from millstream.logs import Batch
from millstream.logs.memory import MemoryLog
from millstream.models import ChatMessage, Prompt, TokenUsage
from millstream.models.script import Delay, SayText, Script
from millstream.models.scripted import ScriptedModel
from millstream.request import GivenMessage, RunRequest
from millstream.run import Run
from millstream.search import Passage
from millstream.snapshot import fold

ASKED = Prompt([ChatMessage("user", "Why?")])


async def hello(run: Run) -> None:
    run.write("Hello")


def generating(model: ScriptedModel):
    async def answer(run: Run) -> None:
        await run.generate(model, ASKED)

    return answer


class FailingLog(MemoryLog):
    """A disk that is full while `full` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.tried = asyncio.Event()

    async def append(self, batches: Sequence[Batch]) -> frozenset[str]:
        if self.full:
            self.tried.set()
            raise sqlite3.OperationalError("database or disk is full")
        return await super().append(batches)


# Starting


async def test_a_run_is_the_events_of_its_answer(tmp_path: Path) -> None:
    async with supervised(tmp_path, hello) as supervisor:
        run_id = await start(supervisor)
        frames = await read(supervisor, run_id)
        assert types_of(frames) == ["run.started", "text.delta", "text.finished", "run.finished"]
        assert await supervisor.snapshot(run_id, OWNER) == fold(events_of(frames))


async def test_who_is_told_of_answers_is_told_of_the_first_of_listed_conversations_alone(tmp_path: Path) -> None:
    told: set[str] = set()
    async with supervised(tmp_path, hello, answered=lambda snapshot: told.add(snapshot.run_id)) as supervisor:
        first = await start(supervisor)
        await read(supervisor, first)
        conversation_id = (await supervisor.snapshot(first, OWNER)).conversation_id
        _, messages = await supervisor.conversation(OWNER, conversation_id)
        once_more = RunRequest(conversation_id=conversation_id, parent_id=messages[0].message_id)
        again, _ = await supervisor.start(once_more, OWNER)
        second = await start(supervisor, "And why that?", conversation_id=conversation_id)
        unlisted, _ = await supervisor.start(RunRequest(messages=[GivenMessage("user", "Why?")]), OWNER)
        for run_id in (again, second, unlisted):
            await read(supervisor, run_id)
        await supervisor.settle()
        assert told == {first, again}


async def test_run_started_is_seq_1_and_names_everything(tmp_path: Path) -> None:
    async with supervised(tmp_path, hello) as supervisor:
        first = events_of(await read(supervisor, await start(supervisor, run_id="my-run")))[0]
        assert first.__struct_config__.tag == "run.started"
        assert (first.seq, first.at, first.format, first.run_id, first.model) == (1, 0, 1, "my-run", "test-model")
        _, messages = await supervisor.conversation(OWNER, first.conversation_id)
        assert [message.message_id for message in messages] == [first.parent_id, first.message_id]


async def test_run_started_is_durable_before_any_reader_sees_it(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        run_id = await start(supervisor)
        async with supervisor.follow(run_id, OWNER) as follower:
            assert await follower.read() == await supervisor.log.read(run_id, 0, 10_000)


async def test_a_run_executes_without_any_reader(tmp_path: Path) -> None:
    async with supervised(tmp_path, hello) as supervisor:
        run_id = await start(supervisor)
        await until(lambda: supervisor.running == 0)
        assert (await supervisor.snapshot(run_id, OWNER)).state == "finished"


async def test_starting_the_same_id_again_attaches(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        request = RunRequest(question="Why?", run_id="r1", stream=True)
        assert await supervisor.start(request, OWNER) == ("r1", True)
        assert await supervisor.start(request, OWNER) == ("r1", False)
        assert await supervisor.start(RunRequest(question="Why?", run_id="r1", stream=False), OWNER) == ("r1", False)
        told.may_end.set()
        await read(supervisor, "r1")
        assert await supervisor.start(request, OWNER) == ("r1", False), "after its end too"
        heads = await supervisor.conversations.list(OWNER)
        assert len(heads) == 1


async def test_the_same_start_many_times_at_once_is_one_run(tmp_path: Path) -> None:
    begun = 0

    async def answer(run: Run) -> None:
        nonlocal begun
        begun += 1

    async with supervised(tmp_path, answer) as supervisor:
        request = RunRequest(question="Why?", run_id="r1")
        results = await asyncio.gather(*(supervisor.start(request, OWNER) for _ in range(9)))
        assert sorted(new for _, new in results) == [False] * 8 + [True]
        started = events_of(await read(supervisor, "r1"))[0]
        assert begun == 1
        (head,) = await supervisor.conversations.list(OWNER)
        assert head.conversation_id == started.conversation_id
        _, messages = await supervisor.conversation(OWNER, head.conversation_id)
        assert len(messages) == 2


@pytest.mark.parametrize(
    ("owner", "question"), [(OWNER, "Something else?"), ("somebody", "Why?")], ids=["body", "owner"]
)
async def test_the_id_of_another_body_or_owner_is_refused(tmp_path: Path, owner: str, question: str) -> None:
    async with supervised(tmp_path, hello) as supervisor:
        await start(supervisor, run_id="r1")
        with pytest.raises(Conflict) as refusal:
            await start(supervisor, question, owner, run_id="r1")
        assert (refusal.value.status, refusal.value.code) == (409, "run-exists")
        await read(supervisor, "r1")
        with pytest.raises(Conflict):
            await start(supervisor, question, owner, run_id="r1")


async def test_different_starts_of_one_id_at_once_never_mix(tmp_path: Path) -> None:
    async with supervised(tmp_path, hello) as supervisor:
        owners = [f"owner-{number}" for number in range(6)]
        results = await asyncio.gather(
            *(start(supervisor, owner=owner, run_id="r1") for owner in owners), return_exceptions=True
        )
        (winner,) = [owner for owner, result in zip(owners, results, strict=True) if result == "r1"]
        assert all(isinstance(result, Conflict) for result in results if result != "r1")
        await read(supervisor, "r1", owner=winner)
        for owner in owners:
            assert len(await supervisor.conversations.list(owner)) == (owner == winner)


async def test_an_unknown_answer_is_refused_and_the_known_ones_named(tmp_path: Path) -> None:
    async with supervised(tmp_path, {"chat": hello, "rag": hello}) as supervisor:
        with pytest.raises(InputError, match=r"'poet'.*chat, rag"):
            await start(supervisor, answer="poet")
        with pytest.raises(InputError, match="'default'"):
            await start(supervisor)


@pytest.mark.parametrize("turns", [1, 2, 3, 5])
async def test_a_caller_who_leaves_while_starting_does_not_take_the_run_with_it(tmp_path: Path, turns: int) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        caller = asyncio.create_task(start(supervisor))
        for _ in range(turns):
            await turn()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        run = await told.begun
        told.may_end.set()
        assert types_of(await read(supervisor, run.id))[-1] == "run.finished"


async def test_more_runs_than_allowed_are_refused(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer, max_running=1) as supervisor:
        await start(supervisor)
        with pytest.raises(Unavailable) as refusal:
            await start(supervisor)
        assert (refusal.value.code, refusal.value.retry_after) == ("busy", 2)


async def test_somebody_elses_run_is_not_there(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        run_id = await start(supervisor)
        for ended in (False, True):
            with pytest.raises(NotFound):
                await read(supervisor, run_id, owner="bob")
            with pytest.raises(NotFound):
                await supervisor.stop(run_id, "bob")
            with pytest.raises(NotFound):
                await supervisor.snapshot(run_id, "bob")
            with pytest.raises(NotFound):
                await supervisor.answer_message("bob", run_id)
            if not ended:
                told.may_end.set()
                await read(supervisor, run_id)


# Following


async def test_a_reader_who_leaves_only_detaches(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        run_id = await start(supervisor)
        run = await told.begun
        async with supervisor.follow(run_id, OWNER) as follower:
            await follower.read()
        run.write("still here")
        told.may_end.set()
        assert types_of(await read(supervisor, run_id))[-1] == "run.finished"
        assert not told.cancelled.is_set()


async def test_any_cursor_reads_exactly_what_follows_it(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        for number in range(20):
            run.write(f"{number} ")
            await turn()

    async with supervised(tmp_path, answer) as supervisor:
        run_id = await start(supervisor)
        frames = (await read(supervisor, run_id)).splitlines(keepends=True)
        assert len(frames) == 23
        for after in range(len(frames) + 1):
            assert await read(supervisor, run_id, after) == b"".join(frames[after:])
            assert await supervisor.at_end(run_id, OWNER, after) == (after == len(frames))


async def test_a_cursor_ahead_of_the_log_is_refused(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        run_id = await start(supervisor)
        with pytest.raises(CursorAhead) as refusal:
            await read(supervisor, run_id, 2)
        assert (refusal.value.status, refusal.value.code) == (409, "cursor-ahead")
        told.may_end.set()
        assert len(types_of(await read(supervisor, run_id))) == 3
        with pytest.raises(CursorAhead):
            await read(supervisor, run_id, 4)


async def test_after_their_retention_the_events_are_gone_and_the_snapshot_still_works(tmp_path: Path) -> None:
    async with supervised(tmp_path, hello, events_kept_s=-1) as supervisor:
        run_id = await start(supervisor)
        await read(supervisor, run_id)
        await until(lambda: supervisor.running == 0)
        await supervisor.close()  # so that it is filed
        before = await supervisor.snapshot(run_id, OWNER)
        await supervisor.prune()
        with pytest.raises(Gone) as refusal:
            await read(supervisor, run_id)
        assert refusal.value.status == 410
        assert await supervisor.snapshot(run_id, OWNER) == before
        with pytest.raises(NotFound):
            await supervisor.snapshot(run_id, "bob")


def test_events_are_forgotten_by_themselves_once_they_were_kept_long_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        clock = asyncio.get_running_loop().time
        monkeypatch.setattr("millstream.supervisor.time.time", clock)
        async with supervised(tmp_path, hello, log=MemoryLog(clock), events_kept_s=10_000) as supervisor:
            run_id = await start(supervisor)
            frames = await read(supervisor, run_id)
            await asyncio.sleep(9_000)
            assert await read(supervisor, run_id) == frames
            await asyncio.sleep(5_000)
            with pytest.raises(Gone):
                await read(supervisor, run_id)

    in_virtual_time(play())


async def test_a_stalled_reader_slows_nobody_and_the_producer_keeps_only_its_tail(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        run_id = await start(supervisor)
        run = await told.begun
        live = supervisor._live[run_id].producer
        async with supervisor.follow(run_id, OWNER) as stalled, supervisor.follow(run_id, OWNER) as quick:
            first = await stalled.read()  # …and then nothing for as long as the answer lasts
            received, longest = b"", 0
            for number in range(400):
                run.write(f"{number:04} " * 200)
                frames = await quick.read()
                assert frames
                received += frames
                kept = sum(map(len, live._frames))
                unflushed = sum(map(len, live._frames[live.flushed_seq + 1 - live._first :]))
                assert kept - unflushed <= producer.RETAINED_BYTES
                longest = max(longest, kept)
                if number % 50 == 49:
                    await until(lambda: live.flushed_seq == live.last_seq)
                    assert sum(map(len, live._frames)) <= producer.RETAINED_BYTES
            told.may_end.set()
            while (frames := await quick.read()) is not None:
                received += frames
            assert len(received) > 5 * longest, "the answer is far larger than what was ever kept of it"
            late = first or b""
            while (frames := await stalled.read()) is not None:
                assert len(frames) <= READ_BYTES
                late += frames
            assert late == received


# Stopping


async def test_stop_cancels_the_model_call_upstream(tmp_path: Path) -> None:
    model = ScriptedModel(Script.of([SayText(text="one two"), Delay(seconds=3600), SayText(text=" three")]))
    async with supervised(tmp_path, generating(model)) as supervisor:
        run_id = await start(supervisor)
        async with supervisor.follow(run_id, OWNER) as follower:
            await read_until(follower, "text.delta")
            snapshot = await supervisor.stop(run_id, OWNER)
        assert (snapshot.state, snapshot.message.content, snapshot.message.reason) == ("stopped", "one two", None)
        await turn()
        assert model.calls[0].state == "cancelled"


@pytest.mark.parametrize(("seen", "kept"), [(None, 7), (3, 3), (0, 0), (7, 7), (99, 7), (-5, 0)])
async def test_seen_counts_code_points_and_is_clamped_to_what_was_written(
    tmp_path: Path, seen: int | None, kept: int
) -> None:
    told = Obedient()
    text = "e\u0301🎉𝔘 \u2028x"
    assert len(text) == 7
    async with supervised(tmp_path, told.answer) as supervisor:
        run_id = await start(supervisor)
        (await told.begun).write(text)
        snapshot = await supervisor.stop(run_id, OWNER, seen)
        assert snapshot.message.content == text[:kept]
        events = events_of(await read(supervisor, run_id))
        assert isinstance(events[-1], RunStopped)
        assert events[-1].seen == kept
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text, "never rewritten"


async def test_the_first_stop_wins(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        run_id = await start(supervisor)
        (await told.begun).write("0123456789")
        stops = await asyncio.gather(*(supervisor.stop(run_id, OWNER, seen) for seen in (4, 9, None)))
        assert {snapshot.message.content for snapshot in stops} == {"0123"}
        assert (await supervisor.stop(run_id, OWNER, 1)) == stops[0]


async def test_after_a_terminal_event_stop_returns_the_snapshot_unchanged(tmp_path: Path) -> None:
    async with supervised(tmp_path, hello) as supervisor:
        run_id = await start(supervisor)
        frames = await read(supervisor, run_id)
        before = await supervisor.snapshot(run_id, OWNER)
        assert await supervisor.stop(run_id, OWNER, 1) == before
        assert await read(supervisor, run_id) == frames


async def test_a_run_stopped_before_its_answer_has_begun_ends_and_is_filed(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        run_id = await start(supervisor)
        snapshot = await supervisor.stop(run_id, OWNER)
        assert (snapshot.state, snapshot.message.content, snapshot.message.usage) == ("stopped", "", None)
        assert types_of(await read(supervisor, run_id)) == ["run.started", "run.stopped"]
        assert supervisor.running == 0


async def test_nothing_is_written_after_stop_however_much_the_answer_resists(tmp_path: Path) -> None:
    let_go = asyncio.Event()

    async def stubborn(run: Run) -> None:
        run.write("before")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            run.write("after")
            async with run.step("cleanup", "Cleaning up…"):
                await let_go.wait()
            run.followups(["More?"])

    async with supervised(tmp_path, stubborn) as supervisor:
        run_id = await start(supervisor)
        await turn()
        snapshot = await supervisor.stop(run_id, OWNER)
        assert types_of(await read(supervisor, run_id)) == ["run.started", "text.delta", "run.stopped"]
        await until(lambda: supervisor.running == 0)  # filed, although the answer has not ended
        let_go.set()
        await supervisor.close()
        assert await supervisor.snapshot(run_id, OWNER) == snapshot
        _, messages = await supervisor.conversation(OWNER, snapshot.conversation_id)
        assert messages[-1].snapshot == snapshot


async def test_usage_after_stop_is_an_estimate_before_the_terminal_event(tmp_path: Path) -> None:
    model = ScriptedModel(Script.of([SayText(text="x" * 41), Delay(seconds=3600)]))
    async with supervised(tmp_path, generating(model)) as supervisor:
        run_id = await start(supervisor)
        async with supervisor.follow(run_id, OWNER) as follower:
            await read_until(follower, "text.delta")
        await supervisor.stop(run_id, OWNER)
        events = events_of(await read(supervisor, run_id))
        usage = events[-2]
        assert isinstance(usage, Usage)
        assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (1, 11, True)


@pytest.mark.parametrize("how", ["stop", "error", "shutdown"])
async def test_after_the_words_stop_error_and_shutdown_end_as_finished(tmp_path: Path, how: str) -> None:
    may_fail = asyncio.Event()

    async def answer(run: Run) -> None:
        run.write("All said.")
        run.finish()
        await may_fail.wait()
        raise RuntimeError("the follow-ups failed")

    async with supervised(tmp_path, answer) as supervisor:
        run_id = await start(supervisor)
        await turn()
        if how == "stop":
            await supervisor.stop(run_id, OWNER, 3)
        elif how == "error":
            may_fail.set()
        else:
            await supervisor.close()
        frames = await read(supervisor, run_id)
        assert types_of(frames)[-2:] == ["text.finished", "run.finished"]
        assert (await supervisor.snapshot(run_id, OWNER)).message.content == "All said."


async def test_stop_ends_a_generator_in_a_thread(tmp_path: Path) -> None:
    go_on, closed = threading.Event(), threading.Event()

    def answer(run: Run) -> Iterator[str]:
        try:
            yield "one"
            assert go_on.wait(10)
            yield "two"
            yield "three"
        finally:
            closed.set()

    async with supervised(tmp_path, answer) as supervisor:
        run_id = await start(supervisor)
        async with supervisor.follow(run_id, OWNER) as follower:
            await read_until(follower, "text.delta")
        snapshot = await supervisor.stop(run_id, OWNER)
        go_on.set()
        assert await asyncio.to_thread(closed.wait, 10)
        assert snapshot.message.content == "one"
        assert types_of(await read(supervisor, run_id)) == ["run.started", "text.delta", "run.stopped"]


async def test_stop_closes_an_async_generator(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def answer(run: Run) -> AsyncIterator[str]:
        try:
            yield "one"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with supervised(tmp_path, answer) as supervisor:
        run_id = await start(supervisor)
        await turn()
        await supervisor.stop(run_id, OWNER)
        await asyncio.wait_for(closed.wait(), 10)


# Failing


async def test_an_answer_that_raises_is_a_failed_run_that_tells_nothing_of_the_server(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        run.write("part")
        raise ValueError("secret=1234 in /etc/passwd")

    async with supervised(tmp_path, answer) as supervisor:
        run_id = await start(supervisor)
        events = events_of(await read(supervisor, run_id))
        assert isinstance(events[-1], RunFailed)
        assert events[-1].code == "internal"
        assert "secret" not in events[-1].message
        snapshot = await supervisor.snapshot(run_id, OWNER)
        assert (snapshot.message.content, snapshot.message.reason, snapshot.state) == ("part", None, "failed")


async def test_an_answer_can_name_its_failure(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        raise RunError("The library is closed.", code="closed", retryable=True, retry_after=60)

    async with supervised(tmp_path, answer) as supervisor:
        last = events_of(await read(supervisor, await start(supervisor)))[-1]
        assert isinstance(last, RunFailed)
        assert (last.code, last.message, last.retryable, last.retry_after) == (
            "closed", "The library is closed.", True, 60,
        )  # fmt: skip


async def test_the_one_error_of_a_task_group_is_the_answers(tmp_path: Path) -> None:
    async def fail(code: str) -> None:
        raise RunError("The library is closed.", code=code)

    async def answer(run: Run) -> None:
        async with asyncio.TaskGroup() as inner:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail("closed"))
                group.create_task(asyncio.sleep(60))
            inner.create_task(fail("never"))

    async def twice(run: Run) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail("one"))
            group.create_task(fail("other"))

    async with supervised(tmp_path, {"one": answer, "two": twice}) as supervisor:
        for name, code in (("one", "closed"), ("two", "internal")):
            last = events_of(await read(supervisor, await start(supervisor, answer=name)))[-1]
            assert isinstance(last, RunFailed)
            assert last.code == code


@pytest.mark.parametrize("retry_after", [-1.0, math.inf, math.nan])
async def test_a_time_that_nobody_can_wait_is_left_out(tmp_path: Path, retry_after: float) -> None:
    async def answer(run: Run) -> None:
        raise RunError("Later.", retry_after=retry_after)

    async with supervised(tmp_path, answer) as supervisor:
        frames = await read(supervisor, await start(supervisor))
        assert b'"Later."' in frames
        assert b"retry_after" not in frames


async def test_an_answer_can_pass_an_exception_on_as_its_failure(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        raise RunError(ConnectionError("The library is closed."))  # type: ignore[arg-type]

    async with supervised(tmp_path, answer) as supervisor:
        last = events_of(await read(supervisor, await start(supervisor)))[-1]
        assert isinstance(last, RunFailed)
        assert (last.code, last.message) == ("failed", "The library is closed.")


def test_a_stop_whose_end_cannot_be_written_says_so(tmp_path: Path) -> None:
    class Full(MemoryLog):
        async def append(self, batches: Sequence[Batch]) -> frozenset[str]:
            raise sqlite3.OperationalError("database or disk is full")

    async def play() -> None:
        told = Obedient()
        async with supervised(tmp_path, told.answer, log=Full()) as supervisor:
            run_id = await start(supervisor)
            with pytest.raises(Unavailable, match="cannot be written yet"):
                await supervisor.stop(run_id, OWNER)
            assert told.cancelled.is_set()

    in_virtual_time(play())


def _with_object(run: Run) -> None:
    run.data("thing", object())


def _with_bytes(run: Run) -> None:
    run.write(b"bytes")  # type: ignore[arg-type]


def _with_detail(run: Run) -> None:
    run.tool_started("tool", {"what": object()})


def _with_number_as_id(run: Run) -> None:
    run.cite([Passage(42, "orders", "1", "Order 42", "orders", "It costs 5 euro.")])  # type: ignore[arg-type]


def _with_words_as_score(run: Run) -> None:
    run.cite([Passage("s", "d", "1", "t", "u", "words", score="0.5")])  # type: ignore[arg-type]


def _with_number_as_name(run: Run) -> None:
    run.data(5, "x")  # type: ignore[arg-type]


def _with_list_of_arguments(run: Run) -> None:
    run.tool_started("tool", [1])  # type: ignore[arg-type]


def _with_another_reason(run: Run) -> None:
    run.ended("tool_calls")  # type: ignore[arg-type]


def _with_words_to_wait(run: Run) -> None:
    raise RunError("Later.", retry_after="soon")  # type: ignore[arg-type]


class _Mute(RunError):
    def __init__(self) -> None: ...


def _with_error_that_tells_nothing(run: Run) -> None:
    raise _Mute


def _with_what_is_no_json(run: Run) -> None:
    run.data("x", msgspec.Raw(b"{"))


def _with_a_line_end(run: Run) -> None:
    run.data("x", msgspec.Raw(b"{\n}"))


def _with_words_as_count(run: Run) -> None:
    run.count(TokenUsage(1.5, 1))  # type: ignore[arg-type]
    raise ValueError("and more")


@pytest.mark.parametrize(
    "write",
    [
        _with_object, _with_bytes, _with_detail, _with_number_as_id, _with_words_as_score, _with_number_as_name,
        _with_list_of_arguments, _with_another_reason, _with_words_to_wait, _with_words_as_count,
        _with_error_that_tells_nothing, _with_what_is_no_json, _with_a_line_end,
    ],
)  # fmt: skip
async def test_what_cannot_be_written_fails_its_run_leaves_no_gap_and_harms_no_other(
    tmp_path: Path, write: object
) -> None:
    told = Obedient()

    async def answer(run: Run) -> None:
        run.write("one")
        write(run)  # type: ignore[operator]

    async with supervised(tmp_path, {"default": answer, "other": told.answer}) as supervisor:
        other = await start(supervisor, answer="other")
        events = events_of(await asyncio.wait_for(read(supervisor, await start(supervisor)), 10))
        assert [event.seq for event in events] == [1, 2, 3]
        assert isinstance(events[-1], RunFailed)
        told.may_end.set()
        assert types_of(await asyncio.wait_for(read(supervisor, other), 10))[-1] == "run.finished"


async def test_half_an_emoji_becomes_a_replacement_character(tmp_path: Path) -> None:
    async def answer(run: Run) -> None:
        run.write("a\ud83d")
        await turn()
        run.data("name", "fine")
        run.write("\ude00b")

    async with supervised(tmp_path, answer) as supervisor:
        run_id = await start(supervisor)
        frames = await asyncio.wait_for(read(supervisor, run_id), 10)
        assert [event.seq for event in events_of(frames)] == [1, 2, 3, 4, 5, 6]
        assert (await supervisor.snapshot(run_id, OWNER)).message.content == "a\ufffd\ufffdb"


async def test_a_disk_that_fails_for_a_while_loses_nothing_and_the_end_waits_for_it(tmp_path: Path) -> None:
    log = FailingLog()
    told = Obedient()
    async with supervised(tmp_path, told.answer, log=log) as supervisor:
        run_id = await start(supervisor)
        run = await told.begun
        log.full = True
        async with supervisor.follow(run_id, OWNER) as follower:
            received = await follower.read() or b""
            for number in range(50):
                run.write(f"{number} ")
                received += await follower.read() or b""
            assert types_of(received).count("text.delta") == 50, "the token path never waits for the disk"
            told.may_end.set()
            await log.tried.wait()
            received += await follower.read() or b""
            assert types_of(received)[-1] == "text.finished"
            end = asyncio.create_task(follower.read())
            log.tried.clear()
            await log.tried.wait()
            assert not end.done(), "no reader sees an end that is not durable"
            assert (await supervisor.snapshot(run_id, OWNER)).state == "running"
            log.full = False
            received += await asyncio.wait_for(end, 10) or b""
        assert types_of(received)[-1] == "run.finished"
        assert await log.read(run_id, 0, 1 << 20) == received


# Nobody reads


def unread_for(policy: object, seconds: float, *, attach: bool) -> str:
    """The state of a run `seconds` after its only reader left (or, never having come, after its start)."""

    async def play() -> str:
        told = Obedient()

        async with supervised(Path(folder), told.answer, log=MemoryLog(), when_unread=policy) as supervisor:
            run_id = await start(supervisor)
            if attach:
                async with supervisor.follow(run_id, OWNER) as follower:
                    await follower.read()
                    await asyncio.sleep(3600)
            await asyncio.sleep(seconds)
            return (await supervisor.snapshot(run_id, OWNER)).state

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return in_virtual_time(play())


def test_by_default_a_run_that_nobody_reads_goes_on() -> None:
    assert unread_for("finish", 3600, attach=True) == "running"
    assert unread_for("finish", 3600, attach=False) == "running"


def test_with_policy_stop_a_run_is_stopped_when_its_last_reader_leaves() -> None:
    assert unread_for("stop", 0.01, attach=True) == "stopped"


def test_with_policy_stop_a_run_that_nobody_came_to_read_is_stopped_after_a_moment() -> None:
    assert unread_for("stop", 4, attach=False) == "running"
    assert unread_for("stop", 6, attach=False) == "stopped"


def test_with_a_number_of_seconds_a_run_is_stopped_after_them() -> None:
    assert unread_for(30.0, 29, attach=True) == "running"
    assert unread_for(30.0, 31, attach=True) == "stopped"
    assert unread_for(30.0, 31, attach=False) == "stopped"


def test_a_reader_who_comes_back_in_time_keeps_the_run_going(tmp_path: Path) -> None:
    async def play() -> str:
        told = Obedient()
        async with supervised(tmp_path, told.answer, log=MemoryLog(), when_unread=30.0) as supervisor:
            run_id = await start(supervisor)
            for _ in range(5):
                async with supervisor.follow(run_id, OWNER, 1):
                    await asyncio.sleep(100)
                await asyncio.sleep(20)
            return (await supervisor.snapshot(run_id, OWNER)).state

    assert in_virtual_time(play()) == "running"


def test_one_start_can_have_its_own_policy(tmp_path: Path) -> None:
    async def play() -> str:
        told = Obedient()
        async with supervised(tmp_path, told.answer, log=MemoryLog()) as supervisor:
            run_id, _ = await supervisor.start(RunRequest(question="Why?"), OWNER, when_unread="stop")
            async with supervisor.follow(run_id, OWNER):
                await told.begun
            return (await supervisor.stop(run_id, OWNER)).state

    assert in_virtual_time(play()) == "stopped"


# Shutting down


async def test_a_draining_server_starts_nothing_new_but_lets_readers_attach(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        await start(supervisor, run_id="r1")
        supervisor.drain()
        with pytest.raises(Unavailable) as refusal:
            await start(supervisor)
        assert (refusal.value.status, refusal.value.code) == (503, "draining")
        assert refusal.value.retry_after is not None
        assert await start(supervisor, run_id="r1") == "r1"
        told.may_end.set()
        assert types_of(await read(supervisor, "r1"))[-1] == "run.finished"


async def test_running_answers_may_end_while_draining(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        run_id = await start(supervisor)
        closing = asyncio.create_task(supervisor.close(drain_s=60))
        (await told.begun).write("done")
        told.may_end.set()
        await asyncio.wait_for(closing, 10)
        assert (await supervisor.snapshot(run_id, OWNER)).state == "finished"


async def test_what_still_runs_at_the_end_is_interrupted_and_filed(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        run_id = await start(supervisor)
        (await told.begun).write("part")
        await supervisor.close(drain_s=0.01)
        assert told.cancelled.is_set()
        snapshot = await supervisor.snapshot(run_id, OWNER)
        assert (snapshot.state, snapshot.message.content) == ("failed", "part")
        assert snapshot.message.error is not None
        assert (snapshot.message.error.code, snapshot.message.error.retryable) == ("interrupted", True)
        _, messages = await supervisor.conversation(OWNER, snapshot.conversation_id)
        assert messages[-1].snapshot == snapshot


async def test_a_start_that_was_on_its_way_when_the_server_closed_is_ended_too(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        starting = asyncio.create_task(start(supervisor))
        await turn()
        await turn()
        await supervisor.close()
        run_id = await starting
        assert (await supervisor.snapshot(run_id, OWNER)).state == "failed"
        assert supervisor.running == 0


# Conversations


async def test_a_message_is_the_fold_of_its_log_until_the_end_and_then_its_snapshot(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        run_id = await start(supervisor)
        (await told.begun).write("part")
        await turn()
        conversation_id = (await supervisor.snapshot(run_id, OWNER)).conversation_id
        _, messages = await supervisor.conversation(OWNER, conversation_id)
        assert messages[-1].snapshot == await supervisor.snapshot(run_id, OWNER)
        assert messages[-1].snapshot is not None
        assert messages[-1].snapshot.message.content == "part"
        stored = await supervisor.conversations.message_of_run(run_id)
        assert stored is not None
        assert stored.snapshot is None, "nothing is written twice"
        told.may_end.set()
        await read(supervisor, run_id)
        await supervisor.close()
        stored = await supervisor.conversations.message_of_run(run_id)
        assert stored is not None
        assert stored.snapshot == await supervisor.snapshot(run_id, OWNER)


async def test_deleting_a_conversation_stops_its_runs_and_forgets_them(tmp_path: Path) -> None:
    told = Obedient()
    async with supervised(tmp_path, told.answer) as supervisor:
        run_id = await start(supervisor)
        await told.begun
        (head,) = await supervisor.conversations.list(OWNER)
        with pytest.raises(NotFound):
            await supervisor.delete_conversation("bob", head.conversation_id)
        await supervisor.delete_conversation(OWNER, head.conversation_id)
        assert told.cancelled.is_set()
        for look in (
            supervisor.snapshot(run_id, OWNER),
            supervisor.check(run_id, OWNER, 0),
            supervisor.conversation(OWNER, head.conversation_id),
        ):
            with pytest.raises(NotFound):
                await look
        assert await supervisor.log.read(run_id, 0, 1000) == b""


async def test_the_id_of_a_run_whose_conversation_was_deleted_stays_taken_until_it_is_forgotten(tmp_path: Path) -> None:
    request = RunRequest(question="Why?", run_id="r")
    async with supervised(tmp_path, hello) as supervisor:
        assert await supervisor.start(request, OWNER) == ("r", True)
        await read(supervisor, "r")
        (head,) = await supervisor.conversations.list(OWNER)
        await supervisor.delete_conversation(OWNER, head.conversation_id)
        for owner in (OWNER, "bob"):
            with pytest.raises(Conflict):
                await supervisor.start(request, owner)
        await supervisor.conversations.restore(OWNER, head.conversation_id)
        assert await supervisor.start(request, OWNER) == ("r", False)
        with pytest.raises(Conflict):
            await supervisor.start(RunRequest(question="Who?", run_id="r"), OWNER)
        with pytest.raises(Gone):
            await supervisor.check("r", OWNER, 0)
        assert (await supervisor.snapshot("r", OWNER)).message.content == "Hello"
        await supervisor.delete_conversation(OWNER, head.conversation_id)
    async with supervised(tmp_path, hello, deleted_kept_s=0) as supervisor:
        await supervisor.prune()
        assert await supervisor.start(request, "bob") == ("r", True)


async def test_follower_is_only_a_cursor(tmp_path: Path) -> None:
    async with supervised(tmp_path, hello) as supervisor:
        run_id = await start(supervisor)
        async with supervisor.follow(run_id, OWNER) as follower:
            assert isinstance(follower, Follower)
            assert set(vars(follower)) == {"_log", "run_id", "_producer", "cursor", "at_end", "_waiting", "_nudged"}
