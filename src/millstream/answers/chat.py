"""Answers without documents: the conversation goes to the model as it is."""

from pathlib import Path

from millstream.answers.prompt import Prompts, recent
from millstream.models import ChatMessage, ChatModel, Prompt
from millstream.run import Run

HISTORY_CHARACTERS = 40_000  # about 10,000 tokens

NO_MODEL = """No language model is configured, so I can quote your documents but not chat.

To add one, set `MILLSTREAM_MODEL` (for example to `openai/gpt-4o-mini`, with `OPENAI_API_KEY`) and start again."""


class ChatAnswer:
    """An answer in the words of `model` alone. `chat.md` in the folder `prompts` replaces the built-in prompt."""

    def __init__(self, model: ChatModel, prompts: Path | None = None) -> None:
        self._model = model
        self._prompts = Prompts(prompts)

    async def __call__(self, run: Run) -> None:
        if self._model.quotes:
            run.write(NO_MODEL)
            return
        history = recent(run.messages, HISTORY_CHARACTERS)
        messages = [ChatMessage("system", self._prompts["chat"]), *history]
        await run.generate(self._model, Prompt(messages, question=run.question))
