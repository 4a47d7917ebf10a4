"""Fit a prompt into a number of tokens: the question and the instructions whole, then the conversation, then sources.

No model's own tokenizer is asked: a count is an estimate on the safe side of what common ones make of prose.
"""

from collections.abc import Sequence

import msgspec

from millstream.models import ChatMessage
from millstream.run import CONTINUE, Run
from millstream.search import Passage
from millstream.sentences import sentence_ends

PROMPT_TOKENS = 12_000  # leaves room for an answer in the 16,000 tokens that small models have
CHARACTERS_PER_TOKEN = 4  # of ASCII; any other character counts as a token of its own
MESSAGE_TOKENS = 4  # what a provider adds around each message
SOURCE_TOKENS = 40  # what the fence around a source adds, its title apart
HISTORY_SHARE = 0.4  # of the room beside question and instructions, for the conversation so far
LEAST_TOKENS = 50  # a smaller rest of a passage says nothing


def tokens(text: str) -> int:
    """About how many tokens a model takes `text` for."""
    others = 0 if text.isascii() else sum(not character.isascii() for character in text)
    return others - (others - len(text)) // CHARACTERS_PER_TOKEN


def message_tokens(messages: Sequence[ChatMessage]) -> int:
    return sum(MESSAGE_TOKENS + tokens(message.content) for message in messages)


def continued_tokens(run: Run) -> int:
    """What `Run.generate` adds to a prompt when it goes on with a partial answer."""
    if run.continued is None:
        return 0
    return message_tokens([ChatMessage("assistant", run.continued.content), ChatMessage("user", CONTINUE)])


def within_budget(passages: Sequence[Passage], room: int) -> list[Passage]:
    """The first passages that fit into so many tokens together, fences included, in their order.

    The first that does not fit is cut at the end of a sentence; those behind it are left out.
    """
    kept: list[Passage] = []
    for passage in passages:
        room -= SOURCE_TOKENS + tokens(passage.title) + tokens(passage.header and f"{passage.header}\n")
        if tokens(passage.text) > room:
            if (part := _cut(passage, room)) is not None:
                kept.append(part)
            break
        room -= tokens(passage.text)
        kept.append(passage)
    return kept


def _cut(passage: Passage, room: int) -> Passage | None:
    if room < LEAST_TOKENS:
        return None
    end = max((end for end in sentence_ends(passage.text) if tokens(passage.text[:end]) <= room), default=0)
    if tokens(passage.text[:end]) < LEAST_TOKENS:
        return None
    part = msgspec.structs.replace(passage, text=passage.text[:end])
    if passage.start is None:
        return msgspec.structs.replace(part, end=None)
    part = msgspec.structs.replace(part, end=passage.start + end)
    if passage.page_break is not None and passage.start + end <= passage.page_break:
        return msgspec.structs.replace(part, page_end=passage.page_start, page_break=None)
    return part


def recent(messages: Sequence[ChatMessage], room: int) -> list[ChatMessage]:
    """The end of a conversation that fits into so many tokens; the last message is always there, whole.

    It never begins with an answer, because its question would be missing. The application's own system messages stay.
    """
    kept: list[ChatMessage] = []
    for message in reversed(messages):
        room -= MESSAGE_TOKENS + tokens(message.content)
        if message.role != "system" and kept and room < 0:
            break
        kept.append(message)
    kept.reverse()
    while len(kept) > 1 and kept[0].role == "assistant":
        kept.pop(0)
    return kept
