"""OpenAI Responses: typed server-sent events that build up one `response` object, or that object alone.

Format: the API reference of OpenAI, "Responses". Every frame has a `sequence_number`, from 0 without gaps; no `id:`,
`retry:` or `[DONE]` is ever sent. The numbers come from the events alone, so a client that comes back is told the rest
by encoding the run again from its first event.
"""

from typing import Any

from millstream.events import (
    Citation,
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
    Usage,
    encode_json,
)
from millstream.wire.encoder import Encoder

RESPONSE_ID = "resp_"
SEARCH_STEP = "search"  # the name of the step that is shown as a file search

# What OpenAI calls the failures that it has a code for; all others are a `server_error`. `type` is our own code.
_ERROR_CODES = {"model-rate-limited": "rate_limit_exceeded", "model-content-filter": "invalid_prompt"}
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_ATTRIBUTES = ("n", "source_id", "title", "uri", "version", "page_start", "page_end", "start", "end")


class _Item:
    """An output item as it stands, and the place that its frames name."""

    def __init__(self, index: int, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.place = {"item_id": fields["id"], "output_index": index}


class OpenAIResponsesEncoder(Encoder):
    """Frames up to the one numbered `starting_after` are left out; `next_number` is that of the next one."""

    tells_failure = True

    def __init__(self, *, resumable: bool = True, starting_after: int = -1) -> None:
        super().__init__()
        self.resumable = resumable
        self.next_number = 0
        self._starting_after = starting_after
        self._run_id = ""
        self._delta = b""  # what all frames of words begin with
        self._response: dict[str, Any] = {}
        self._items: list[_Item] = []
        self._searching: dict[str, _Item] = {}  # by the step
        self._found: _Item | None = None  # the search whose results come next
        self._reasoning: _Item | None = None
        self._thoughts: list[str] = []
        self._message: _Item | None = None
        self._message_id = ""
        self._words: list[str] = []
        self._annotations: list[tuple[int, dict[str, Any]]] = []  # with where each ends
        self._sources: dict[int, Source] = {}
        self._reason: FinishReason = "stop"

    def run_started(self, event: RunStarted) -> bytes:
        self._run_id = event.run_id
        self._message_id = f"msg_{event.message_id}"
        self._response = {
            "id": RESPONSE_ID + event.run_id,
            "object": "response",
            "created_at": event.created // 1000,
            "status": "in_progress",
            "model": event.model,
            "output": [],
            "parallel_tool_calls": False,
            "tool_choice": "auto",
            "tools": [],
        }
        if event.follows is not None:
            self._response["previous_response_id"] = RESPONSE_ID + event.follows
        if event.metadata is not None:
            self._response["metadata"] = dict(event.metadata)
        created = {"response": self._response}
        return self._frame("response.created", created) + self._frame("response.in_progress", created)

    # Search

    def step_started(self, event: StepStarted) -> bytes:
        if event.name != SEARCH_STEP:
            return b""
        frames = self._give_up_search(event.step_id, "incomplete")
        self._searching[event.step_id], added = self._begin_search()
        return frames + added

    def step_finished(self, event: StepFinished) -> bytes:
        search = self._searching.pop(event.step_id, None)
        if search is None:
            return b""
        query = (event.detail or {}).get("query")
        if isinstance(query, str):
            search.fields["queries"] = [query]
        return self._searched(search)

    def source(self, event: Source) -> bytes:
        """A result of the search that ended last; of one without a step, if none waits for its results."""
        self._sources[event.n] = event
        frames = b""
        if self._found is None:
            search, frames = self._begin_search()
            frames += self._searched(search)
        assert self._found is not None
        self._found.fields["results"].append(_result(event))
        return frames

    def _begin_search(self) -> tuple[_Item, bytes]:
        fields = {
            "id": f"fs_{self._run_id}_{len(self._items)}",
            "type": "file_search_call",
            "status": "in_progress",
            "queries": [],
            "results": [],
        }
        search, frames = self._add(fields)
        fields["status"] = "searching"
        frames += self._frame("response.file_search_call.in_progress", search.place)
        return search, frames + self._frame("response.file_search_call.searching", search.place)

    def _searched(self, search: _Item) -> bytes:
        """The search is over; its item stays open for the results, which come next."""
        frames = self._end_search()
        self._found = search
        search.fields["status"] = "completed"
        return frames + self._frame("response.file_search_call.completed", search.place)

    def _end_search(self) -> bytes:
        """What comes now is not among the results of the search that is over."""
        found, self._found = self._found, None
        return self._done(found) if found is not None else b""

    def _give_up_search(self, step_id: str, status: str) -> bytes:
        search = self._searching.pop(step_id, None)
        if search is None:
            return b""
        search.fields["status"] = status
        return self._done(search)

    # Reasoning and words

    def reasoning_delta(self, event: ReasoningDelta) -> bytes:
        frames = b""
        if self._reasoning is None:
            frames = self._begin_reasoning()
            assert self._reasoning is not None
        self._thoughts.append(event.text)
        place = {**self._reasoning.place, "summary_index": 0}
        return frames + self._frame("response.reasoning_summary_text.delta", {**place, "delta": event.text})

    def text_delta(self, event: TextDelta) -> bytes:
        frames = b""
        if self._message is None or self._reasoning is not None or self._found is not None:
            frames = self._begin_words()
            assert self._message is not None
        self._words.append(event.text)
        number = self.next_number
        self.next_number = number + 1
        if number <= self._starting_after:
            return b""
        # The frame of `_frame`, with all that is the same for every word written once.
        return b'%b%b%d,"delta":%b}\n\n' % (frames, self._delta, number, encode_json(event.text))

    def citation(self, event: Citation) -> bytes:
        source = self._sources.get(event.n)
        if source is None or self._message is None:
            return b""
        annotation = _annotation(event, source)
        place = {**self._message.place, "content_index": 0, "annotation_index": len(self._annotations)}
        self._annotations.append((event.end, annotation))
        return self._frame("response.output_text.annotation.added", {**place, "annotation": annotation})

    def text_finished(self, event: TextFinished) -> bytes:
        self._reason = event.reason
        return b""

    def _begin_reasoning(self) -> bytes:
        frames = self._end_search()
        fields = {
            "id": f"rs_{self._run_id}_{len(self._items)}",
            "type": "reasoning",
            "status": "in_progress",
            "summary": [],
        }
        self._reasoning, added = self._add(fields)
        self._thoughts = []
        part = {"type": "summary_text", "text": ""}
        place = {**self._reasoning.place, "summary_index": 0}
        return frames + added + self._frame("response.reasoning_summary_part.added", {**place, "part": part})

    def _end_reasoning(self, status: str) -> bytes:
        reasoning = self._reasoning
        if reasoning is None:
            return b""
        self._fill()
        self._reasoning = None
        reasoning.fields["status"] = status
        place = {**reasoning.place, "summary_index": 0}
        part = reasoning.fields["summary"][0]
        frames = self._frame("response.reasoning_summary_text.done", {**place, "text": part["text"]})
        frames += self._frame("response.reasoning_summary_part.done", {**place, "part": part})
        return frames + self._done(reasoning)

    def _begin_words(self) -> bytes:
        frames = self._end_search() + self._end_reasoning("completed")
        if self._message is not None:
            return frames
        fields = {
            "id": self._message_id,
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        self._message, added = self._add(fields)
        place = {**self._message.place, "content_index": 0}
        kind = "response.output_text.delta"
        fixed = encode_json({"type": kind, **place, "logprobs": []})[:-1]
        self._delta = b'event: %b\ndata: %b,"sequence_number":' % (kind.encode(), fixed)
        part = {"type": "output_text", "text": "", "annotations": []}
        return frames + added + self._frame("response.content_part.added", {**place, "part": part})

    def _end_words(self, status: str) -> bytes:
        message = self._message
        if message is None:
            return b""
        self._fill()
        self._message = None
        message.fields["status"] = status
        place = {**message.place, "content_index": 0}
        part = message.fields["content"][0]
        frames = self._frame("response.output_text.done", {**place, "text": part["text"], "logprobs": []})
        frames += self._frame("response.content_part.done", {**place, "part": part})
        return frames + self._done(message)

    # What comes after the words, and the end

    def followups(self, event: Followups) -> bytes:
        if event.questions:
            questions = encode_json(event.questions).decode()
            self._response["metadata"] = {**self._response.get("metadata", {}), "followups": questions}
        return b""

    def usage(self, event: Usage) -> bytes:
        self._response["usage"] = {
            "input_tokens": event.input_tokens,
            "input_tokens_details": {"cached_tokens": event.cached_tokens or 0, "cache_write_tokens": 0},
            "output_tokens": event.output_tokens,
            "output_tokens_details": {"reasoning_tokens": event.reasoning_tokens or 0},
            "total_tokens": event.input_tokens + event.output_tokens,
        }
        return b""

    def run_finished(self, event: RunFinished) -> bytes:
        if self._reason == "stop":
            return self._end("completed", "completed", "response.completed")
        self._response["incomplete_details"] = {"reason": _INCOMPLETE[self._reason]}
        return self._end("incomplete", "incomplete", "response.incomplete")

    def run_stopped(self, event: RunStopped) -> bytes:
        """There is no event of OpenAI's for it: the status tells."""
        self._words = ["".join(self._words)[: event.seen]]
        self._annotations = [(end, each) for end, each in self._annotations if end <= event.seen]
        return self._end("cancelled", "incomplete", "response.incomplete")

    def run_failed(self, event: RunFailed) -> bytes:
        code = _ERROR_CODES.get(event.code, "server_error")
        self._response["error"] = {"code": code, "message": event.message, "type": event.code}
        return self._end("failed", "incomplete", "response.failed")

    def whole(self) -> dict[str, Any]:
        """The response as it stands, also while the run goes on."""
        self._fill()
        return {**self._response, "output": [item.fields for item in self._items]}

    def _end(self, status: str, of_items: str, kind: str) -> bytes:
        frames = self._end_search()
        for step_id in list(self._searching):
            frames += self._give_up_search(step_id, "failed" if status == "failed" else "incomplete")
        frames += self._end_reasoning(of_items) + self._end_words(of_items)
        self._response["status"] = status
        return frames + self._frame(kind, {"response": self.whole()})

    def _fill(self) -> None:
        """Puts what was written so far into the open items."""
        if self._reasoning is not None:
            self._thoughts = ["".join(self._thoughts)]
            self._reasoning.fields["summary"] = [{"type": "summary_text", "text": self._thoughts[0]}]
        if self._message is not None:
            self._words = ["".join(self._words)]
            annotations = [annotation for _, annotation in self._annotations]
            self._message.fields["content"] = [
                {"type": "output_text", "text": self._words[0], "annotations": annotations}
            ]

    def _add(self, fields: dict[str, Any]) -> tuple[_Item, bytes]:
        index = len(self._items)
        item = _Item(index, fields)
        self._items.append(item)
        return item, self._frame("response.output_item.added", {"output_index": index, "item": fields})

    def _done(self, item: _Item) -> bytes:
        return self._frame(
            "response.output_item.done", {"output_index": item.place["output_index"], "item": item.fields}
        )

    def _frame(self, kind: str, fields: dict[str, Any]) -> bytes:
        number = self.next_number
        self.next_number = number + 1
        if number <= self._starting_after:
            return b""
        body = encode_json({"type": kind, "sequence_number": number, **fields})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), body)


def _result(source: Source) -> dict[str, Any]:
    attributes = {name: value for name in _ATTRIBUTES if (value := getattr(source, name)) is not None}
    result: dict[str, Any] = {"file_id": source.document_id, "filename": _filename(source), "text": source.snippet}
    if source.score is not None:
        result["score"] = source.score
    return {**result, "attributes": attributes}


def _annotation(citation: Citation, source: Source) -> dict[str, Any]:
    """A source on the web is cited by its address, any other as a file. Places are code points of the answer."""
    if _is_web(source):
        place = {"start_index": citation.start, "end_index": citation.end}
        return {"type": "url_citation", "url": source.uri, "title": source.title, **place}
    name = _filename(source)
    return {"type": "file_citation", "file_id": source.document_id, "filename": name, "index": citation.end}


def _filename(source: Source) -> str:
    return source.title if _is_web(source) else source.uri.rsplit("/", 1)[-1] or source.title


def _is_web(source: Source) -> bool:
    return source.uri.startswith(("https://", "http://"))
