"""Answers without documents: the conversation goes to the model as it is."""

from pathlib import Path

from millstream.answers.prompt import Prompts, recent, show_prompt
from millstream.models import ChatMessage, ChatModel, Prompt
from millstream.run import Run

HISTORY_CHARACTERS = 40_000  # about 10,000 tokens

NO_MODEL = """No language model is configured, so I can quote your documents but not chat.

To add one, set `MILLSTREAM_MODEL` (for example to `openai/gpt-4o-mini`, with `OPENAI_API_KEY`) and start again."""


class ChatAnswer:
    """An answer in the words of `model` alone. `chat.md` in the folder `prompts` replaces the built-in prompt.

    With `show_prompts`, a step tells what the model is asked.
    """

    def __init__(self, model: ChatModel, prompts: Path | None = None, *, show_prompts: bool = False) -> None:
        self._model = model
        self._prompts = Prompts(prompts)
        self._show_prompts = show_prompts

    async def __call__(self, run: Run) -> None:
        if self._model.quotes:
            run.write(NO_MODEL)
            return
        history = recent(run.messages, HISTORY_CHARACTERS)
        messages = [ChatMessage("system", self._prompts["chat"]), *history]
        prompt = Prompt(messages, question=run.question)
        if self._show_prompts:
            await show_prompt(run, prompt)
        await run.generate(self._model, prompt)
