"""What an answer can do with its `Run`, and which events come of it."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import msgspec
import pytest

from core import events_of
from millstream.errors import ModelError, RunError
from millstream.events import (
    AnyEvent,
    Citation,
    Data,
    Event,
    Followups,
    ReasoningDelta,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    Source,
    StepFinished,
    StepStarted,
    TextDelta,
    TextFinished,
    ToolFinished,
    ToolStarted,
    Usage,
    encode,
)
from millstream.logs import RunRecord
from millstream.models import ChatMessage, ModelOptions, ModelOutput, Prompt, failures
from millstream.models.script import (
    AnyStep,
    CountTokens,
    Cut,
    Delay,
    End,
    Malformed,
    PromptBlocked,
    RateLimited,
    Refused,
    SayReasoning,
    SayText,
    Script,
    Stall,
)
from millstream.models.scripted import ScriptedModel
from millstream.models.timeouts import Timeouts
from millstream.producer import Producer
from millstream.request import RunOptions
from millstream.run import CONTINUE, LONGEST_WAIT_S, MODEL_TRIES, Run
from millstream.search import Passage
from millstream.snapshot import CitationState, Message, SourceState, fold
from millstream.snippets import CHARACTERS

QUESTION = [ChatMessage("user", "Why is that so?!")]  # 16 characters: 4 tokens
PROMPT = Prompt(QUESTION)
RECORD = RunRecord(run_id="r", owner="o", conversation_id="c", message_id="m", fingerprint="f", created=0)
STARTED = RunStarted(seq=1, at=0, format=1, run_id="r", conversation_id="c", message_id="m", model="x", created=0)


class Kept:
    """A run, the events that it has written so far, and how long it has slept."""

    def __init__(self, **fields: Any) -> None:
        self.slept: list[float] = []
        self.producer = Producer(RECORD, encode(STARTED), 0.0, lambda _: None)
        self.run = Run(self.producer, messages=QUESTION, options=RunOptions(), sleep=self._sleep, **fields)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    @property
    def events(self) -> list[AnyEvent]:
        self.producer.unflushed()
        found = self.producer.read(1, 1 << 30)
        assert found is not None
        return events_of(found[0])

    @property
    def text(self) -> str:
        return fold([STARTED, *self.events]).message.content

    def of(self, *kinds: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]


@pytest.fixture
async def kept() -> Kept:
    return Kept()


def model(*calls: Iterable[AnyStep]) -> ScriptedModel:
    return ScriptedModel(Script.of(*calls))


def passage(name: str, text: str = "The passage.") -> Passage:
    return Passage(
        source_id=f"s-{name}", document_id=f"d-{name}", version="v1", title=f"Title {name}", uri=f"{name}.md",
        text=text, page_start=2, page_end=3, start=10, end=22, score=0.5,
    )  # fmt: skip


# Steps


async def test_a_step_is_shown_before_its_slow_part_and_again_when_it_ends(kept: Kept) -> None:
    async with kept.run.step("search", "Searching 214 documents…") as step:
        assert [event.label for event in kept.of(StepStarted)] == ["Searching 214 documents…"]
        step.done("Found 3 related passages", hits=3)
    (begun,), (ended,) = kept.of(StepStarted), kept.of(StepFinished)
    assert (begun.name, ended.step_id) == ("search", begun.step_id)
    assert (ended.label, ended.detail) == ("Found 3 related passages", {"hits": 3})


async def test_a_step_tells_how_many_milliseconds_it_took(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("millstream.run.time.monotonic", lambda: now)
    async with kept.run.step("search", "Searching…"):
        now = 101.2345
    assert [event.elapsed_ms for event in kept.of(StepFinished)] == [1234]


async def test_a_step_that_is_not_told_its_result_keeps_its_label(kept: Kept) -> None:
    async with kept.run.step("think", "Thinking…"):
        pass
    assert [(event.label, event.detail) for event in kept.of(StepFinished)] == [("Thinking…", None)]


async def test_a_step_that_raises_says_so_and_passes_the_error_on(kept: Kept) -> None:
    with pytest.raises(RunError):
        async with kept.run.step("search", "Searching…"):
            raise RunError("no index")
    assert [event.label for event in kept.of(StepFinished)] == ["Searching: failed"]


@pytest.mark.parametrize(("label", "detail"), [("Found it", object()), (5, "found")])
async def test_a_step_whose_result_cannot_be_told_has_an_end_all_the_same(kept: Kept, label: Any, detail: Any) -> None:
    with pytest.raises(TypeError):
        async with kept.run.step("search", "Searching…") as step:
            step.done(label, detail=detail)
    assert [(event.label, event.detail) for event in kept.of(StepFinished)] == [("Searching: failed", None)]


async def test_steps_may_overlap(kept: Kept) -> None:
    async with kept.run.step("a", "A"), kept.run.step("b", "B"):
        pass
    ids = [event.step_id for event in kept.of(StepStarted, StepFinished)]
    assert ids == ["s1", "s2", "s2", "s1"]


# Sources and citations


async def test_sources_come_before_the_first_word_and_are_numbered_from_1(kept: Kept) -> None:
    kept.run.cite([passage("a"), passage("b")])
    kept.run.write("Word")
    kept.run.finish()
    kinds = [type(event) for event in kept.events]
    assert kinds == [Source, Source, TextDelta, TextFinished]
    first = kept.of(Source)[0]
    assert (first.n, first.source_id, first.title, first.uri, first.score) == (1, "s-a", "Title a", "a.md", 0.5)
    assert (first.page_start, first.page_end, first.start, first.end) == (2, 3, 10, 22)


async def test_more_sources_go_on_counting(kept: Kept) -> None:
    kept.run.cite([passage("a")])
    kept.run.write("One [1].")
    kept.run.cite([passage("b")])
    kept.run.write(" Two [2].")
    kept.run.finish()
    assert [event.n for event in kept.of(Source)] == [1, 2]
    assert kept.text == "One. Two."
    assert [(c.n, kept.text[c.start : c.end].strip()) for c in kept.of(Citation)] == [(1, "One"), (2, "Two")]


async def test_a_passage_that_is_cited_from_twice_has_two_numbers(kept: Kept) -> None:
    kept.run.cite([passage("a"), passage("b"), passage("a")])
    kept.run.cite([passage("a"), passage("c")])
    kept.run.write("Two [2]. Three [3]. Five [5].")
    kept.run.finish()
    assert [(event.n, event.source_id) for event in kept.of(Source)] == [
        (1, "s-a"), (2, "s-b"), (3, "s-a"), (4, "s-a"), (5, "s-c"),
    ]  # fmt: skip
    assert kept.text == "Two. Three. Five."
    assert [citation.n for citation in kept.of(Citation)] == [2, 3, 5]


async def test_a_snippet_is_the_passages_beginning_on_one_line(kept: Kept) -> None:
    kept.run.cite([passage("a", "Two\n  lines"), passage("b", "word " * 200)])
    short, long = (event.snippet for event in kept.of(Source))
    assert short == "Two lines"
    assert len(long) <= CHARACTERS
    assert long.endswith("word…")


async def test_marks_become_citations_behind_the_last_delta_of_their_statement(kept: Kept) -> None:
    kept.run.cite([passage("a")])
    for piece in ("Grüße 🎉 an ", "alle [", "1", "]. Mehr."):
        kept.run.write(piece)
    kept.run.finish()
    text = ""
    for event in kept.events:
        if isinstance(event, TextDelta):
            text += event.text
        elif isinstance(event, Citation):
            assert text[event.start : event.end] == "Grüße 🎉 an alle"
    assert text == "Grüße 🎉 an alle. Mehr."
    assert len(kept.of(Citation)) == 1


async def test_without_sources_brackets_are_text(kept: Kept) -> None:
    kept.run.write("a[1]")
    kept.run.finish()
    assert kept.text == "a[1]"


async def test_what_is_held_back_is_written_at_the_end(kept: Kept) -> None:
    kept.run.cite([passage("a")])
    kept.run.write("An open bracket [")
    kept.run.finish()
    assert kept.text == "An open bracket ["


# What the application adds


async def test_data_and_tools(kept: Kept) -> None:
    kept.run.data("weather", {"sun": True}, key="today")
    tool = kept.run.tool_started("search", {"query": "x"})
    kept.run.tool_finished(tool, output=[1, 2])
    kept.run.tool_finished(kept.run.tool_started("other", {}), error="refused")
    assert [(event.name, event.key, event.data) for event in kept.of(Data)] == [("weather", "today", {"sun": True})]
    assert [event.tool_id for event in kept.of(ToolStarted, ToolFinished)] == ["t1", "t1", "t2", "t2"]
    assert [(event.output, event.error) for event in kept.of(ToolFinished)] == [([1, 2], None), (None, "refused")]


async def test_followups_end_the_words(kept: Kept) -> None:
    kept.run.write("All.")
    kept.run.followups(["And then?"])
    assert [type(event) for event in kept.events] == [TextDelta, TextFinished, Followups]
    with pytest.raises(RuntimeError):
        kept.run.write("More")
    kept.run.finish()
    assert len(kept.of(TextFinished)) == 1


async def test_no_followups_are_no_event(kept: Kept) -> None:
    kept.run.followups([])
    assert [type(event) for event in kept.events] == [TextFinished]


@pytest.mark.parametrize("piece", [b"bytes", 5, None, {"a": 1}])
async def test_only_strings_are_words(kept: Kept, piece: Any) -> None:
    for write in (kept.run.write, kept.run.think):
        with pytest.raises(TypeError, match="strings"):
            write(piece)
    assert kept.events == []


# Models


async def test_a_models_words_and_reasoning_are_streamed_and_its_reason_kept(kept: Kept) -> None:
    talking = model(
        [
            SayReasoning(text="Hmm."),
            SayText(text="Because."),
            End(reason="length"),
            CountTokens(input_tokens=5, output_tokens=2, reasoning_tokens=1, cached_tokens=3),
        ]
    )
    assert await kept.run.generate(talking, PROMPT) == "length"
    kept.run.finish()
    kept.run.write_usage()
    assert [type(event) for event in kept.events] == [ReasoningDelta, TextDelta, TextFinished, Usage]
    assert kept.of(TextFinished)[0].reason == "length"
    usage = kept.of(Usage)[0]
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens, usage.cached_tokens) == (5, 2, 1, 3)
    assert not usage.estimated


@pytest.mark.parametrize("fault", [RateLimited(), Refused(status=500), Refused(status=503), Cut()])
async def test_a_call_that_fails_before_its_first_delta_is_tried_again_as_a_visible_step(
    kept: Kept, fault: AnyStep
) -> None:
    failing = model([fault], [SayText(text="At last.")])
    await kept.run.generate(failing, PROMPT)
    assert kept.text == "At last."
    (begun,), (ended,) = kept.of(StepStarted), kept.of(StepFinished)
    assert begun.name == "retry"
    assert "trying again in 1 s…" in begun.label
    assert ended.detail is not None
    assert ended.detail["retry"] == 1
    assert kept.slept == [1.0]


async def test_a_connection_that_could_not_be_made_in_time_is_tried_again(kept: Kept) -> None:
    class Far(ScriptedModel):
        async def stream(self, prompt: Prompt, options: ModelOptions) -> AsyncGenerator[ModelOutput, None]:
            if not kept.slept:
                raise failures.connect_timeout(self.name, Timeouts())
            async for output in super().stream(prompt, options):
                yield output

    await kept.run.generate(Far.words("At last."), PROMPT)
    assert (kept.text, kept.slept) == ("At last.", [1.0])


async def test_retry_after_is_honoured_and_otherwise_the_wait_doubles(kept: Kept) -> None:
    failing = model([RateLimited()], [RateLimited(retry_after=7.5)], [Refused(status=502)], [SayText(text="Yes.")])
    await kept.run.generate(failing, PROMPT)
    assert kept.slept == [1.0, 7.5, 4.0]
    assert [step.retry_after for step in kept.of(StepStarted)] == kept.slept
    assert "rate limited" in kept.of(StepStarted)[0].label


async def test_the_tries_are_used_up(kept: Kept) -> None:
    failing = model([RateLimited(retry_after=3)])
    with pytest.raises(ModelError) as failure:
        await kept.run.generate(failing, PROMPT)
    assert (failure.value.code, failure.value.retry_after) == ("model-rate-limited", 3)
    assert len(failing.calls) == MODEL_TRIES
    assert kept.slept == [3.0] * (MODEL_TRIES - 1)


async def test_a_provider_that_asks_for_too_long_a_wait_has_refused(kept: Kept) -> None:
    failing = model([RateLimited(retry_after=LONGEST_WAIT_S + 1)])
    with pytest.raises(ModelError):
        await kept.run.generate(failing, PROMPT)
    assert kept.slept == []


@pytest.mark.parametrize("said", [SayText(text="One"), SayReasoning(text="Hm")])
@pytest.mark.parametrize("fault", [Cut(), Refused(status=500), Malformed()])
async def test_after_the_first_delta_nothing_is_retried_silently(kept: Kept, said: AnyStep, fault: AnyStep) -> None:
    failing = model([said, fault], [SayText(text="Never asked")])
    with pytest.raises(ModelError):
        await kept.run.generate(failing, PROMPT)
    assert len(failing.calls) == 1
    assert kept.slept == []
    assert len(kept.of(TextDelta, ReasoningDelta)) == 1, "the partial answer is kept"


async def test_a_silent_model_is_not_asked_again(kept: Kept) -> None:
    silent = ScriptedModel(Script.of([Stall()]), timeouts=Timeouts(first_token_s=0.01))
    with pytest.raises(ModelError) as failure:
        await kept.run.generate(silent, PROMPT)
    assert failure.value.code == "model-timeout-first-token"
    assert len(silent.calls) == 1


@pytest.mark.parametrize("fault", [Refused(status=401), Refused(status=400), PromptBlocked()])
async def test_a_refusal_that_waiting_does_not_cure_is_not_retried(kept: Kept, fault: AnyStep) -> None:
    failing = model([fault], [SayText(text="Never asked")])
    with pytest.raises(ModelError):
        await kept.run.generate(failing, PROMPT)
    assert len(failing.calls) == 1


async def test_each_call_of_an_answer_has_its_own_tries(kept: Kept) -> None:
    failing = model([RateLimited()], [SayText(text="query")], [RateLimited()], [SayText(text="Answer.")])
    assert await kept.run.ask(failing, PROMPT) == "query"
    await kept.run.generate(failing, PROMPT)
    assert kept.text == "Answer."
    assert kept.slept == [1.0, 1.0]


async def test_asking_is_not_shown_and_does_not_set_the_reason(kept: Kept) -> None:
    await kept.run.ask(model([SayReasoning(text="Hm"), SayText(text="query"), End(reason="length")]), PROMPT)
    kept.run.finish()
    assert [(type(event), getattr(event, "reason", None)) for event in kept.events] == [(TextFinished, "stop")]


# Usage


async def test_usage_is_the_sum_of_all_calls_once(kept: Kept) -> None:
    call = [SayText(text="a"), End(), CountTokens(input_tokens=10, output_tokens=1, cached_tokens=4)]
    talking = model([RateLimited()], call, call)
    await kept.run.ask(talking, PROMPT)
    await kept.run.generate(talking, PROMPT)
    kept.run.write_usage()
    kept.run.write_usage()
    (usage,) = kept.of(Usage)
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.estimated) == (20, 2, 8, False)


async def test_usage_is_an_estimate_where_the_provider_gave_none(kept: Kept) -> None:
    await kept.run.generate(model([SayText(text="nine char"), End()]), PROMPT)
    kept.run.write_usage()
    (usage,) = kept.of(Usage)
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (4, 3, True)


async def test_a_call_that_was_refused_costs_nothing(kept: Kept) -> None:
    with pytest.raises(ModelError):
        await kept.run.generate(model([Refused(status=401)]), PROMPT)
    kept.run.write_usage()
    assert kept.of(Usage) == []


async def test_a_call_that_broke_off_costs_what_was_said(kept: Kept) -> None:
    with pytest.raises(ModelError):
        await kept.run.generate(model([SayText(text="12345678"), Cut()]), PROMPT)
    kept.run.write_usage()
    (usage,) = kept.of(Usage)
    assert (usage.output_tokens, usage.estimated) == (2, True)


async def test_without_a_model_there_is_no_usage(kept: Kept) -> None:
    kept.run.write("plain")
    kept.run.write_usage()
    assert kept.of(Usage) == []


# Continuing and replaying


def partial(content: str, **fields: Any) -> Message:
    return Message(content=content, steps=[], sources=[], citations=[], followups=[], **fields)


async def test_a_continued_answer_begins_with_its_words_and_asks_the_model_to_go_on() -> None:
    source = SourceState(n=2, source_id="s-b", document_id="d", version="v", title="t", uri="u", snippet="s")
    before = Message(
        content="The first half,", steps=[], sources=[source], citations=[CitationState(2, 0, 9)], followups=[]
    )
    kept = Kept(continued=before)
    talking = model([SayText(text=" the second [2].")])
    kept.run.cite([passage("b"), passage("c")])
    await kept.run.generate(talking, PROMPT)
    kept.run.finish()
    assert kept.text == "The first half, the second."
    cited = [(citation.n, kept.text[citation.start : citation.end].strip()) for citation in kept.of(Citation)]
    assert cited[0] == (1, "The first"), "the same source under its new number"
    assert cited[1][0] == 2
    asked = talking.calls[0].prompt.messages
    assert asked == (*QUESTION, ChatMessage("assistant", "The first half,"), ChatMessage("user", CONTINUE))


async def test_of_an_answer_without_words_there_is_nothing_to_go_on_with() -> None:
    kept = Kept(continued=partial(""))
    talking = model([SayText(text="From the beginning.")])
    await kept.run.generate(talking, PROMPT)
    assert kept.text == "From the beginning."
    assert talking.calls[0].prompt.messages == PROMPT.messages


async def test_a_recorded_run_is_written_as_if_it_happened_now(kept: Kept) -> None:
    recorded: list[AnyEvent | None] = [
        STARTED,
        StepStarted(seq=2, at=1, step_id="s1", name="n", label="l"),
        ReasoningDelta(seq=3, at=2, text="Hm"),
        TextDelta(seq=4, at=900, text="Word"),
        None,
        Citation(seq=6, at=901, n=1, start=0, end=4),
        TextFinished(seq=7, at=902, reason="length"),
        Usage(seq=8, at=903, input_tokens=1, output_tokens=2, estimated=False),
        RunFinished(seq=9, at=904),
        RunStopped(seq=10, at=905, seen=1),
    ]
    for event in recorded:
        kept.run.play(event)
    kept.run.write_usage()
    assert [event.seq for event in kept.events] == [2, 3, 4, 5, 6, 7]
    kinds = [type(event) for event in kept.events]
    assert kinds == [StepStarted, ReasoningDelta, TextDelta, Citation, TextFinished, Usage]
    with pytest.raises(RunError) as failure:
        kept.run.play(RunFailed(seq=9, at=9, code="closed", message="Closed.", retryable=True, retry_after=4))
    assert (failure.value.code, failure.value.retryable, failure.value.retry_after) == ("closed", True, 4)


async def test_leaving_a_generation_closes_the_model_call(kept: Kept) -> None:
    talking = model([SayText(text="One"), Delay(seconds=3600)])
    task = asyncio.create_task(kept.run.generate(talking, PROMPT))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert kept.text == "One"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert talking.calls[0].state == "cancelled"


LEAVE = "Employees receive twenty days of paid holiday each calendar year, and they may carry five of them over."
DENTAL = "The dental plan of the company pays for two check-ups of the teeth a year and for the fillings that follow."


async def test_a_mark_of_the_wrong_source_is_put_right_or_dropped(kept: Kept) -> None:
    kept.run.cite([passage("a", LEAVE), passage("b", DENTAL)])
    kept.run.write("Employees receive twenty days of paid holiday each year [2][1]. ")
    kept.run.write("The canteen of the district opens for visitors and neighbours of the offices [2].")
    kept.run.finish()
    cited = [event for event in kept.events if isinstance(event, Citation)]
    assert [(citation.n, citation.start) for citation in cited] == [(1, 0)]
    assert isinstance(kept.events[-1], TextFinished)
    (flag,) = kept.events[-1].unsupported or []
    assert (flag.start, flag.missing) == (57, ())


async def test_a_missing_citation_comes_before_the_end_of_the_words(kept: Kept) -> None:
    kept.run.write("Hello. ")
    kept.run.cite([passage("a", LEAVE)])
    kept.run.write("Employees receive twenty days of paid holiday each year.")
    kept.run.finish()
    assert [type(event) for event in kept.events[-2:]] == [Citation, TextFinished]
    added = kept.events[-2]
    assert isinstance(added, Citation)
    assert (added.n, added.start, added.end) == (1, 7, 63)


async def test_of_a_continued_answer_what_is_new_is_checked() -> None:
    kept = Kept(continued=partial("Employees receive 99 days. "))
    kept.run.cite([passage("a", LEAVE)])
    await kept.run.generate(model([SayText(text="They receive 98 days of paid holiday.")]), PROMPT)
    kept.run.finish()
    assert isinstance(kept.events[-1], TextFinished)
    assert [flag.missing for flag in kept.events[-1].unsupported or []] == [("98",)]


async def test_what_an_application_says_without_sources_is_not_checked(kept: Kept) -> None:
    kept.run.write("There are 99 of them.")
    kept.run.finish()
    assert kept.events[-1] == TextFinished(seq=kept.events[-1].seq, at=kept.events[-1].at, reason="stop")


class Accented(str):
    """As some libraries have strings of their own."""


async def test_strings_of_other_types_are_strings() -> None:
    kept = Kept()
    kept.run.think(Accented("Hm."))
    kept.run.write(Accented("Because."))
    assert [event.text for event in kept.events if isinstance(event, ReasoningDelta | TextDelta)] == ["Hm.", "Because."]


async def test_a_citation_of_two_pages_names_the_one_that_says_it(kept: Kept) -> None:
    two = msgspec.structs.replace(passage("a", f"{LEAVE} {DENTAL}"), start=10, page_break=10 + len(LEAVE))
    kept.run.cite([two])
    kept.run.write("Employees receive twenty days of paid holiday each year [1].\n\n")
    kept.run.write("The dental plan pays for two check-ups of the teeth a year.")
    kept.run.finish()
    assert [event.page for event in kept.events if isinstance(event, Citation)] == [2, 3]
