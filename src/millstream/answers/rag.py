"""Answers over documents: rewrite the question → search → sources → prompt → generate → suggest what to ask next."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from millstream.answers.budget import (
    HISTORY_SHARE,
    PROMPT_TOKENS,
    continued_tokens,
    message_tokens,
    recent,
    within_budget,
)
from millstream.answers.followups import followups_from, parse_followups
from millstream.answers.neighbours import joined
from millstream.answers.prompt import Prompts, fence_sources, show_prompt
from millstream.answers.refusal import WORDS_ALONE, Reach, is_near, nearness
from millstream.errors import ModelError, RunError
from millstream.models import ChatMessage, ChatModel, Prompt
from millstream.models.extractive import NOT_FOUND
from millstream.run import Run
from millstream.search import EVERYTHING, Filter, Passage, Search
from millstream.search.fuse import in_turn
from millstream.search.parts import question_parts

SOURCES = 5
LOOKED_THROUGH = 3  # times as many passages as sources: for neighbours of the best, and what else there is to ask
REWRITE_TIMEOUT_S = 5.0
FOLLOWUPS_TIMEOUT_S = 3.0
MAX_QUERY_CHARACTERS = 500

NO_DOCUMENTS = """There are no documents yet, so there is nothing to quote.

Stop the server and start it with a folder of yours, or add documents while it runs:

```sh
millstream sync ~/Documents/handbooks
```

PDF, Word, PowerPoint, Excel, HTML, Markdown, text, CSV and JSON files are read. Then ask again."""


NO_ROOM = "Your question is so long that no passage of your documents fits beside it. Please ask a shorter one."


class _Found(msgspec.Struct, frozen=True):
    """The passages that an answer is given, all that were looked through for them, and whether those are near."""

    sources: Sequence[Passage]
    all: Sequence[Passage]
    near: bool


class RagAnswer:
    """An answer over the documents in `search`, in the words of `model`.

    `sources` is how many passages it is given at most, unless the run asks for another number; `prompt_tokens` is what
    the whole prompt may take, the question itself apart, which is never cut. Where no passage is within `reach`, the
    model is not asked. A file in the folder `prompts` takes the place of the built-in prompt of that name. Raises
    ConfigurationError when it is not there. With `show_prompts`, a step tells what the model is asked.
    """

    def __init__(
        self,
        search: Search,
        model: ChatModel,
        sources: int = SOURCES,
        prompts: Path | None = None,
        *,
        prompt_tokens: int = PROMPT_TOKENS,
        reach: Reach = WORDS_ALONE,
        show_prompts: bool = False,
    ) -> None:
        self._search = search
        self._model = model
        self._sources = sources
        self._prompts = Prompts(prompts)
        self._prompt_tokens = prompt_tokens
        self._reach = reach
        self._show_prompts = show_prompts

    async def __call__(self, run: Run) -> None:
        await self._check_attached(run)
        documents = await self._search.document_count(owner=run.owner)
        if not documents:
            await self._answer_without(run)
            return
        query = await self._rewrite(run)
        found = await self._look(run, query, documents)
        if not found.sources:
            run.write(NO_ROOM if found.near else NOT_FOUND)
            return
        run.cite(found.sources)
        await self._generate(run, found.sources)
        if not run.options.followups:
            return
        if self._model.quotes:
            run.followups(followups_from(found.all, [message.content for message in run.messages]))
        else:
            await self._suggest(run, found.sources)

    async def _check_attached(self, run: Run) -> None:
        """Raises RunError when a file of the question cannot be searched: nothing found would be told otherwise."""
        files = run.attached.to_question
        if files and await self._search.document_count(owner=run.owner, among=files) < len(files):
            raise RunError(
                "A file of the question cannot be searched: it is not here, not read yet, or not readable. Upload it, "
                f"and ask when it is ready. The files are: {', '.join(files)}.",
                code="no-document",
                status=404,
            )

    async def _answer_without(self, run: Run) -> None:
        if self._model.quotes:
            run.write(NO_DOCUMENTS)
        else:
            await self._generate(run, [])

    async def _generate(self, run: Run, sources: Sequence[Passage]) -> None:
        prompt = self._prompt(run, sources)
        if self._show_prompts and not self._model.quotes:
            await show_prompt(run, prompt)
        await run.generate(self._model, prompt)

    async def _rewrite(self, run: Run) -> str:
        """The question as it can be understood without the conversation; as it is when that takes too long."""
        questions = [message for message in run.messages if message.role == "user"]
        if len(questions) < 2 or self._model.quotes:
            return run.question
        async with run.step("rewrite", "Reading the question in its context…") as step:
            system = ChatMessage("system", self._prompts["rewrite"])
            conversation = self._conversation(run, self._prompt_tokens - message_tokens([system]))
            try:
                async with asyncio.timeout(REWRITE_TIMEOUT_S):
                    words = await run.ask(self._model, Prompt([system, *conversation], question=run.question))
            except (TimeoutError, ModelError) as error:
                reason = error.code if isinstance(error, ModelError) else "timeout"
                step.done("Searching for the question as it stands", query=run.question, failed=reason)
                return run.question
            query = " ".join(words.split()).strip("\"'“”")[:MAX_QUERY_CHARACTERS] or run.question
            step.done(f"Searching for “{query}”", query=query)
            return query

    async def _look(self, run: Run, query: str, documents: int) -> _Found:
        """In the files of the question alone; in those of the conversation first."""
        if files := run.attached.to_question:
            found = await self._find(run, query, _attached_label(len(files)), Filter(documents=files))
            return found if found.near else await self._read(run, files)
        if files := run.attached.before:
            found = await self._find(run, query, _attached_label(len(files)), Filter(documents=files))
            if found.near:
                return found
        count = f"{documents:,} documents" if documents > 1 else "1 document"
        return await self._find(run, query, count, EVERYTHING)

    async def _read(self, run: Run, files: Sequence[str]) -> _Found:
        """Their beginnings, for a question that has no words of theirs: "Summarise this"."""
        async with run.step("read", f"Reading {_attached_label(len(files))} from the beginning…") as step:
            limit = run.options.sources or self._sources
            first = await self._search.beginnings(files, owner=run.owner, limit=limit * LOOKED_THROUGH)
            sources = within_budget(joined(first, limit), self._room(run))
            read = f"Read {len(sources)} passages" if len(sources) > 1 else "Read 1 passage"
            label = read if sources else _found_label(0, len(first), near=bool(first))
            step.done(label, hits=[_hit(passage) for passage in sources])
        return _Found(sources, first, bool(first))

    async def _find(self, run: Run, query: str, what: str, where: Filter) -> _Found:
        async with run.step("search", f"Searching {what}…") as step:
            begun = time.perf_counter()
            limit = run.options.sources or self._sources
            parts = question_parts(query)
            asked = [query, *parts] if len(parts) > 1 else [query]
            most = limit * LOOKED_THROUGH
            searches = (self._search.search(one, owner=run.owner, limit=most, where=where) for one in asked)
            found, *of_parts = await asyncio.gather(*searches)
            near = is_near(found[:limit], self._reach)
            every = _distinct(in_turn([found, *of_parts]))
            sources = within_budget(joined(every, limit), self._room(run)) if near else []
            coverage, cosine = nearness(found[:limit]) if found else (0.0, None)
            nearest = {"coverage": coverage} | ({} if cosine is None else {"cosine": cosine})
            step.done(
                _found_label(len(sources), len(every), near),
                query=query,
                **({"parts": parts} if of_parts else {}),
                limit=limit,
                hits=[_hit(passage) for passage in sources or every[:limit]],
                nearest=nearest,
                search_ms=round((time.perf_counter() - begun) * 1000, 1),
            )
        return _Found(sources, every, near)

    def _room(self, run: Run) -> int:
        """Tokens for sources, in the room that instructions, conversation and question leave."""
        given = self._prompt(run, []).messages
        return self._prompt_tokens - message_tokens(given) - continued_tokens(run)

    def _prompt(self, run: Run, passages: Sequence[Passage]) -> Prompt:
        system = ChatMessage("system", self._prompts["rag"])
        sources = fence_sources(passages) or "There are no sources for this question."
        asked = ChatMessage("user", f"{sources}\n\nQuestion: {run.question}")
        without = [system, ChatMessage("user", f"Question: {run.question}")]
        room = self._prompt_tokens - message_tokens(without) - continued_tokens(run)
        history = self._history(run, int(room * HISTORY_SHARE))
        return Prompt([system, *history, asked], question=run.question, passages=passages)

    def _history(self, run: Run, room: int) -> list[ChatMessage]:
        """What was said before the question, as much of its end as there is room for."""
        *before, question = run.messages
        return recent([*before, question], room + message_tokens([question]))[:-1]

    def _conversation(self, run: Run, room: int) -> list[ChatMessage]:
        return recent([message for message in run.messages if message.role != "system"], room)

    async def _suggest(self, run: Run, passages: Sequence[Passage]) -> None:
        """Best effort: the answer is complete without."""
        run.finish()
        ask = ChatMessage("user", f"{fence_sources(passages)}\n\n{self._prompts['followups']}")
        conversation = self._conversation(run, self._prompt_tokens - message_tokens([ask]))
        try:
            async with asyncio.timeout(FOLLOWUPS_TIMEOUT_S):
                words = await run.ask(self._model, Prompt([*conversation, ask], question=run.question))
        except (TimeoutError, ModelError):
            return
        asked = {message.content.strip() for message in run.messages}
        run.followups([question for question in parse_followups(words) if question not in asked])


def _distinct(passages: Sequence[Passage]) -> list[Passage]:
    """Each once, where it comes first."""
    first: dict[str, Passage] = {}
    for passage in passages:
        first.setdefault(passage.source_id, passage)
    return list(first.values())


def _attached_label(files: int) -> str:
    return f"{files} attached files" if files > 1 else "the attached file"


def _found_label(sources: int, found: int, near: bool) -> str:
    if sources == 1:
        return "Found 1 related passage"
    if sources:
        return f"Found {sources} related passages"
    if near:
        return "Found passages, but the question leaves no room for them"
    return "Found nothing that is near enough to answer this" if found else "Found no related passages"


def _hit(passage: Passage) -> dict[str, object]:
    """What a developer wants to see of a passage; a value that is not known is left out."""
    hit = {
        "title": passage.title,
        "uri": passage.uri,
        "page_start": passage.page_start,
        "page_end": passage.page_end,
        "score": passage.score,
        "coverage": passage.coverage,
        "cosine": passage.semantic and passage.semantic.score,
    }
    return {name: value for name, value in hit.items() if value is not None}
