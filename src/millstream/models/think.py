"""`<think>…</think>` at the very start of an answer is reasoning (DeepSeek R1, Qwen and others, served raw)."""

from typing import Literal

_OPEN = "<think>"
_CLOSE = "</think>"
_NEWLINES = "\r\n"


class ThinkSplitter:
    """Tells reasoning from text, however the content is chunked; without I/O.

    White space before `<think>` and line breaks right after either tag are dropped (a model that was told not to think
    writes an empty pair). A think that is never closed stays reasoning.
    """

    def __init__(self) -> None:
        self._phase: Literal["start", "thinking", "text"] = "start"
        self._after_tag = False
        self._held = ""  # characters that may still turn out to be part of a tag

    @property
    def decided(self) -> bool:
        """All that follows is text, unchanged: the splitter need not be asked any more."""
        return self._phase == "text" and not self._after_tag

    def feed(self, content: str) -> tuple[str, str]:
        """(reasoning, text) that `content` settles; either may be empty. The reasoning comes first."""
        if self._phase == "text":
            return "", self._without_newlines(content)
        content, self._held = self._held + content, ""
        if self._phase == "start":
            start = content.lstrip()
            if len(start) < len(_OPEN) and _OPEN.startswith(start):
                self._held = content
                return "", ""
            if not start.startswith(_OPEN):
                self._phase = "text"
                return "", content
            self._phase = "thinking"
            self._after_tag = True
            content = start[len(_OPEN) :]
        reasoning, closed, text = content.partition(_CLOSE)
        if closed:
            reasoning = self._without_newlines(reasoning)
            self._phase = "text"
            self._after_tag = True
            return reasoning, self._without_newlines(text)
        cut = len(reasoning) - _overlap(reasoning)
        self._held = reasoning[cut:]
        return self._without_newlines(reasoning[:cut]), ""

    def flush(self) -> tuple[str, str]:
        """(reasoning, text) still held back when the content ended."""
        held, self._held = self._held, ""
        return (self._without_newlines(held), "") if self._phase == "thinking" else ("", held)

    def _without_newlines(self, piece: str) -> str:
        if self._after_tag:
            piece = piece.lstrip(_NEWLINES)
            self._after_tag = not piece
        return piece


def _overlap(reasoning: str) -> int:
    """How many of the last characters could be the beginning of the closing tag."""
    for length in range(min(len(reasoning), len(_CLOSE) - 1), 0, -1):
        if _CLOSE.startswith(reasoning[-length:]):
            return length
    return 0
