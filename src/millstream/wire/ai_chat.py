"""Microsoft's AI Chat Protocol and what azure-search-openai-demo adds to it: one JSON object a line, or one in all.

Format: the specification of 2024-05-29 (TypeSpec of microsoft/ai-chat-protocol), and the rules by which the demo's
front end merges lines: one with `context.data_points` takes the place of all that came before it, apart from the words;
else `delta.content` is appended; else `context` is merged key by key. Hence every value below `context` is the whole of
it, not what is new. What would grow too large that way is sent in pieces below `delta.context`, and whole in the last
line. No line has the key `error` unless it is one: Microsoft's client throws whatever stands there.
"""

import re
from typing import Any
from urllib.parse import quote

from millstream.events import (
    AnyEvent,
    Citation,
    Data,
    FinishReason,
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
    Unsupported,
    Usage,
    encode_json,
)
from millstream.wire.encoder import Encoder, MarkedText
from millstream.wire.links import source_url

# Thoughts that take more than this are sent in the last line only: each line would have to repeat them all.
THOUGHTS_BYTES = 32_000

# What cannot stand between the brackets of a mark.
_UNMARKABLE = re.compile(r"[\x00-\x1f\x7f\[\]\u0085\u2028\u2029]")


class AIChatEncoder(Encoder):
    """`session_state` is the request's own, and goes back as it came; `errors_as_text` is the demo's form of errors.

    `followups` says whether follow-up questions are wanted. `base`: where the server is reached, for links to sources.
    """

    media_type = "application/jsonl"
    heartbeat = b"\n"

    def __init__(
        self, *, base: str = "", session_state: Any = None, errors_as_text: bool = False, followups: bool = True
    ) -> None:
        super().__init__()
        # The protocol's name for it, and the demo's.
        self._state = {} if session_state is None else {"sessionState": session_state, "session_state": session_state}
        self._base = base
        self._errors_as_text = errors_as_text
        self._wants_followups = followups
        self._thoughts: list[dict[str, Any]] = []
        self._context: dict[str, Any] = {}
        self._head_due = False
        self._thought_of: dict[str, dict[str, Any]] = {}  # step or tool → its thought
        self._thoughts_due = False
        self._sources: dict[int, Source] = {}
        self._marked = MarkedText(lambda n: f"[{_name(self._sources[n])}]")
        self._marks: set[tuple[int, str]] = set()  # (place in the answer, name)
        self._citations: list[tuple[int, dict[str, Any]]] = []  # with their end in the answer, without marks
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._data: dict[tuple[str, str | None], dict[str, Any]] = {}
        self._reason: FinishReason = "stop"
        self._unsupported: list[Unsupported] = []
        self._shown: int | None = None  # characters of the content that a stopped answer's reader had seen

    def encode(self, event: AnyEvent) -> bytes:
        if self._head_due and type(event) is not Source:  # sources come one after another, and are sent together
            return self._head() + super().encode(event)
        return super().encode(event)

    def whole(self) -> dict[str, Any]:
        content = "".join(self._content)[: self._shown]
        return {"message": {"role": "assistant", "content": content}, "context": self._context, **self._state}

    def run_started(self, event: RunStarted) -> bytes:
        self._context["run_id"] = event.run_id
        return self._head()

    def _head(self) -> bytes:
        self._head_due = self._thoughts_due = False
        named = [(_name(source), source) for source in self._sources.values()]
        self._context["data_points"] = {
            "text": [f"{name}: {source.snippet}" for name, source in named],
            "images": [],
            "citations": list(dict.fromkeys(name for name, _ in named)),
        }
        if named:
            self._context["sources"] = [
                {
                    "citation": name,
                    "title": source.title,
                    "url": source_url(source, self._base, self._context["run_id"]),
                }
                for name, source in named
            ]
        self._context["thoughts"] = self._thoughts
        return self._line({"role": "assistant"}, self._context, self._state)

    # Thoughts: steps and tools, each updated in its place

    def step_started(self, event: StepStarted) -> bytes:
        return self._think(event.step_id, {"title": event.label})

    def step_finished(self, event: StepFinished) -> bytes:
        thought = self._thought_of.get(event.step_id, {})
        begun_as = {"description": thought["title"]} if thought else {}
        props = {"elapsed_ms": event.elapsed_ms, **(event.detail or {})}
        return self._think(event.step_id, {"title": event.label, **begun_as, "props": props}, thought)

    def tool_started(self, event: ToolStarted) -> bytes:
        return self._think(event.tool_id, {"title": event.name, "props": {"arguments": event.arguments}})

    def tool_finished(self, event: ToolFinished) -> bytes:
        thought = self._thought_of.get(event.tool_id, {"title": event.tool_id})
        result = {"output": event.output, "error": event.error}
        props = thought.get("props", {}) | {key: value for key, value in result.items() if value is not None}
        return self._think(event.tool_id, {"title": thought["title"], "props": props}, thought)

    def _think(self, name: str, told: dict[str, Any], thought: dict[str, Any] | None = None) -> bytes:
        if thought and name in self._thought_of:
            thought.clear()
            thought.update(told)
        else:
            self._thoughts.append(told)
            self._thought_of[name] = told
        if self._thoughts_due:
            return b""
        line = self._line({}, {"thoughts": self._thoughts})
        self._thoughts_due = len(line) > THOUGHTS_BYTES
        return b"" if self._thoughts_due else line

    # Sources and the words that rest on them

    def source(self, event: Source) -> bytes:
        self._sources[event.n] = event
        self._head_due = True
        return b""

    def reasoning_delta(self, event: ReasoningDelta) -> bytes:
        self._reasoning.append(event.text)
        return b'{"delta":{"context":{"reasoning":' + encode_json(event.text) + b"}}}\n"

    def text_delta(self, event: TextDelta) -> bytes:
        return self._words(self._marked.text(event.text))

    def citation(self, event: Citation) -> bytes:
        if (source := self._sources.get(event.n)) is None:
            return b""
        name = _name(source)
        start, end = self._marked.span(event)
        self._citations.append((event.end, {"citation": name, "start": start, "end": end}))
        if (event.end, name) in self._marks:  # two passages of one page
            return b""
        mark = self._marked.citation(event)
        if not mark:
            return b""
        self._marks.add((event.end, name))
        return self._words(mark)

    def _words(self, words: str) -> bytes:
        self._content.append(words)
        return b'{"delta":{"content":' + encode_json(words) + b"}}\n"

    def text_finished(self, event: TextFinished) -> bytes:
        self._reason = event.reason
        self._unsupported = event.unsupported or []
        return b""

    # What the application adds, and what follows the words

    def data(self, event: Data) -> bytes:
        told = {"name": event.name, **({} if event.key is None else {"key": event.key}), "data": event.data}
        self._data[event.name, event.key] = told
        return self._line({"context": {"data": [told]}})

    def followups(self, event: Followups) -> bytes:
        return self._add({"followup_questions": event.questions}) if self._wants_followups else b""

    def usage(self, event: Usage) -> bytes:
        counts = {
            "input_tokens": event.input_tokens,
            "output_tokens": event.output_tokens,
            "reasoning_tokens": event.reasoning_tokens,
            "cached_tokens": event.cached_tokens,
            "estimated": event.estimated,
        }
        return self._add({"usage": {name: count for name, count in counts.items() if count is not None}})

    # Ends: each of the three is another

    def run_finished(self, event: RunFinished) -> bytes:
        return self._end({"finish_reason": self._reason})

    def run_stopped(self, event: RunStopped) -> bytes:
        self._shown = self._marked.cut(event.seen)
        self._citations = [cited for cited in self._citations if cited[0] <= event.seen]
        self._unsupported = [flag for flag in self._unsupported if flag.end <= event.seen]
        return self._end({"aborted": True, "seen": self._shown, "finish_reason": "aborted"})

    def run_failed(self, event: RunFailed) -> bytes:
        error = event.message if self._errors_as_text else {"code": event.code, "message": event.message}
        return encode_json({"error": error}) + b"\n"

    def _end(self, how: dict[str, Any]) -> bytes:
        whole = {
            "reasoning": "".join(self._reasoning),
            "citations": [cited for _, cited in self._citations],
            "unsupported": [self._flag(flag) for flag in self._unsupported],
            "data": list(self._data.values()),
            "thoughts": self._thoughts if self._thoughts_due else [],
        }
        return self._add({name: value for name, value in whole.items() if value} | how, self._state)

    def _flag(self, flag: Unsupported) -> dict[str, Any]:
        start, end = self._marked.span(Citation(n=0, start=flag.start, end=flag.end))
        return {"start": start, "end": end, **({"missing": flag.missing} if flag.missing else {})}

    def _add(self, context: dict[str, Any], state: dict[str, Any] | None = None) -> bytes:
        self._context.update(context)
        return self._line({}, context, state)

    def _line(
        self, delta: dict[str, Any], context: dict[str, Any] | None = None, state: dict[str, Any] | None = None
    ) -> bytes:
        of_context = {} if context is None else {"context": context}
        return encode_json({"delta": delta, **of_context, **(state or {})}) + b"\n"


def _name(source: Source) -> str:
    """What citations of it are called: `handbook/leave.pdf#page=2`."""
    page = "" if source.page_start is None else f"#page={source.page_start}"
    return _UNMARKABLE.sub(lambda found: quote(found[0]), source.uri or source.title) + page
