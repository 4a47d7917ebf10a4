"""Titles of conversations: the question's first line, until the model has made a better one of the first answer."""

import asyncio
import logging
from contextlib import aclosing

from millstream.answers.prompt import Prompts
from millstream.conversations import Conversations, text_of, title_of
from millstream.errors import MillstreamError, ModelError
from millstream.models import ChatMessage, ChatModel, ModelOptions, Prompt, Text
from millstream.snapshot import Snapshot

TITLE_TIMEOUT_S = 20.0
# Whoever is beyond this many at the same time keeps the question as the title.
TITLES_AT_ONCE = 8
EXCERPT_CHARACTERS = 2000  # of the question, and of the answer

logger = logging.getLogger("millstream")


class Titles:
    """Gives conversations titles in the words of `model`, best effort and beside the runs."""

    def __init__(self, conversations: Conversations, model: ChatModel, prompts: Prompts) -> None:
        self._conversations = conversations
        self._model = model
        self._prompts = prompts
        self._tasks: set[asyncio.Task[None]] = set()

    def answered(self, snapshot: Snapshot) -> None:
        """A run has ended. Only an answer by this same model is shown to it, and only a whole one."""
        is_ours = snapshot.model == self._model.name and not self._model.quotes
        is_whole = snapshot.state == "finished" and snapshot.message.content.strip()
        if is_ours and is_whole and len(self._tasks) < TITLES_AT_ONCE:
            task = asyncio.create_task(self._give(snapshot), name=f"title-{snapshot.run_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Gives up those that are being made."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _give(self, snapshot: Snapshot) -> None:
        """Nothing, unless it is the answer to the conversation's only question and nobody has named it."""
        try:
            message = await self._conversations.message_of_run(snapshot.run_id)
            found = message and await self._conversations.get(message.owner, message.conversation_id)
            if not found:
                return
            head, messages = found
            questions = [text_of(each.content or "") for each in messages if each.role == "user"]
            if len(questions) != 1 or head.title != title_of(questions[0]):
                return
            async with asyncio.timeout(TITLE_TIMEOUT_S):
                title = await self._make(questions[0], snapshot.message.content)
            if title:
                await self._conversations.retitle(head.conversation_id, head.title, title)
        except (ModelError, TimeoutError):
            pass  # the question is a title too
        except MillstreamError as error:
            logger.warning("a conversation keeps its question as its title: %s", error.message)

    async def _make(self, question: str, answer: str) -> str:
        said = f"Question: {question[:EXCERPT_CHARACTERS]}\n\nAnswer: {answer[:EXCERPT_CHARACTERS]}"
        prompt = Prompt([ChatMessage("system", self._prompts["title"]), ChatMessage("user", said)], question=question)
        pieces: list[str] = []
        async with aclosing(self._model.stream(prompt, ModelOptions(paced=False))) as outputs:
            async for output in outputs:
                if isinstance(output, Text):
                    pieces.append(output.text)
        return clean_title("".join(pieces))


def clean_title(words: str) -> str:
    """A model's words as a title: one line without markup, quotation marks or full stop; "" when nothing is left."""
    line = next((line for line in words.splitlines() if line.strip(" #*_`\"'“”„«»")), "")
    line = " ".join(line.split()).strip(" #*_`\"'“”„«»").removeprefix("Title:")
    return title_of(line.strip(" #*_`\"'“”„«»").removesuffix("."))
