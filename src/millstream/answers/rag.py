"""Answers over documents: rewrite the question → search → sources → prompt → generate → suggest what to ask next."""

import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from millstream.answers.prompt import Prompts, fence_sources, recent, show_prompt, within_budget
from millstream.errors import ModelError
from millstream.models import ChatMessage, ChatModel, Prompt
from millstream.run import Run
from millstream.search import Passage, Search

SOURCES = 5
REWRITE_TIMEOUT_S = 5.0
FOLLOWUPS_TIMEOUT_S = 3.0
MAX_FOLLOWUPS = 3
MAX_FOLLOWUP_CHARACTERS = 200
MAX_QUERY_CHARACTERS = 500

# At four characters a token these leave room for an answer in the 16,000 tokens that small models have.
SOURCE_CHARACTERS = 24_000
HISTORY_CHARACTERS = 16_000
REWRITE_CHARACTERS = 6_000

NO_DOCUMENTS = """There are no documents yet, so there is nothing to quote.

Stop the server and start it with a folder of yours, or add documents while it runs:

```sh
millstream sync ~/Documents/handbooks
```

PDF, Word, PowerPoint, Excel, HTML, Markdown, text, CSV and JSON files are read. Then ask again."""

_JSON_LIST = re.compile(r"\[.*\]", re.DOTALL)


class RagAnswer:
    """An answer over the documents in `search`, in the words of `model`.

    `sources` is how many passages it is given at most, unless the run asks for another number. A file in the folder
    `prompts` takes the place of the built-in prompt of that name. Raises ConfigurationError when it is not there.
    With `show_prompts`, a step tells what the model is asked.
    """

    def __init__(
        self,
        search: Search,
        model: ChatModel,
        sources: int = SOURCES,
        prompts: Path | None = None,
        *,
        show_prompts: bool = False,
    ) -> None:
        self._search = search
        self._model = model
        self._sources = sources
        self._prompts = Prompts(prompts)
        self._show_prompts = show_prompts

    async def __call__(self, run: Run) -> None:
        documents = await self._search.document_count(owner=run.owner)
        if not documents and self._model.quotes:
            run.write(NO_DOCUMENTS)
            return
        passages: list[Passage] = []
        if documents:
            query = await self._rewrite(run)
            passages = await self._find(run, query, documents)
        run.cite(passages)
        prompt = self._prompt(run, passages)
        if self._show_prompts and not self._model.quotes:
            await show_prompt(run, prompt)
        await run.generate(self._model, prompt)
        if passages and not self._model.quotes:
            await self._suggest(run, passages)

    async def _rewrite(self, run: Run) -> str:
        """The question as it can be understood without the conversation; as it is when that takes too long."""
        questions = [message for message in run.messages if message.role == "user"]
        if len(questions) < 2 or self._model.quotes:
            return run.question
        async with run.step("rewrite", "Reading the question in its context…") as step:
            conversation = recent([m for m in run.messages if m.role != "system"], REWRITE_CHARACTERS)
            ask = Prompt([ChatMessage("system", self._prompts["rewrite"]), *conversation], question=run.question)
            try:
                async with asyncio.timeout(REWRITE_TIMEOUT_S):
                    words = await run.ask(self._model, ask)
            except (TimeoutError, ModelError) as error:
                reason = error.code if isinstance(error, ModelError) else "timeout"
                step.done("Searching for the question as it stands", query=run.question, failed=reason)
                return run.question
            query = " ".join(words.split()).strip("\"'“”")[:MAX_QUERY_CHARACTERS] or run.question
            step.done(f"Searching for “{query}”", query=query)
            return query

    async def _find(self, run: Run, query: str, documents: int) -> list[Passage]:
        count = f"{documents:,} documents" if documents > 1 else "1 document"
        async with run.step("search", f"Searching {count}…") as step:
            begun = time.perf_counter()
            limit = run.options.sources or self._sources
            found = await self._search.search(query, owner=run.owner, limit=limit)
            passages = within_budget(found, SOURCE_CHARACTERS)
            label = {0: "Found no related passages", 1: "Found 1 related passage"}
            step.done(
                label.get(len(passages), f"Found {len(passages)} related passages"),
                query=query,
                limit=limit,
                hits=[_hit(passage) for passage in passages],
                search_ms=round((time.perf_counter() - begun) * 1000, 1),
            )
        return passages

    def _prompt(self, run: Run, passages: Sequence[Passage]) -> Prompt:
        *history, question = recent(run.messages, HISTORY_CHARACTERS)
        sources = fence_sources(passages) or "There are no sources for this question."
        asked = ChatMessage("user", f"{sources}\n\nQuestion: {question.content}")
        messages = [ChatMessage("system", self._prompts["rag"]), *history, asked]
        return Prompt(messages, question=run.question, passages=passages)

    async def _suggest(self, run: Run, passages: Sequence[Passage]) -> None:
        """Best effort: the answer is complete without."""
        run.finish()
        conversation = recent([m for m in run.messages if m.role != "system"], REWRITE_CHARACTERS)
        ask = ChatMessage("user", f"{fence_sources(passages)}\n\n{self._prompts['followups']}")
        try:
            async with asyncio.timeout(FOLLOWUPS_TIMEOUT_S):
                words = await run.ask(self._model, Prompt([*conversation, ask], question=run.question))
        except (TimeoutError, ModelError):
            return
        asked = {message.content.strip() for message in run.messages}
        run.followups([question for question in parse_followups(words) if question not in asked])


def parse_followups(words: str) -> list[str]:
    """At most three questions from a model's words: a JSON list, wherever it stands in them; else none."""
    match = _JSON_LIST.search(words)
    if match is None:
        return []
    try:
        found = msgspec.json.decode(match[0])
    except msgspec.DecodeError:
        return []
    questions = [" ".join(entry.split()) for entry in found if isinstance(entry, str)]
    return [question for question in questions if 0 < len(question) <= MAX_FOLLOWUP_CHARACTERS][:MAX_FOLLOWUPS]


def _hit(passage: Passage) -> dict[str, object]:
    """What a developer wants to see of a passage; a value that is not known is left out."""
    hit = {
        "title": passage.title,
        "uri": passage.uri,
        "page_start": passage.page_start,
        "page_end": passage.page_end,
        "score": passage.score,
        "coverage": passage.coverage,
    }
    return {name: value for name, value in hit.items() if value is not None}
