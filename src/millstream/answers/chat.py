"""Answers without documents: the conversation goes to the model as it is."""

from pathlib import Path

from millstream.answers.budget import PROMPT_TOKENS, continued_tokens, message_tokens, recent
from millstream.answers.prompt import Prompts, show_prompt
from millstream.models import ChatMessage, ChatModel, Prompt
from millstream.run import Run


class ChatAnswer:
    """An answer in the words of `model` alone, from a prompt of at most `prompt_tokens`.

    `chat.md` in the folder `prompts` replaces the built-in prompt. With `show_prompts`, a step tells what the model is
    asked.
    """

    def __init__(
        self,
        model: ChatModel,
        prompts: Path | None = None,
        prompt_tokens: int = PROMPT_TOKENS,
        *,
        show_prompts: bool = False,
    ) -> None:
        self._model = model
        self._prompts = Prompts(prompts)
        self._prompt_tokens = prompt_tokens
        self._show_prompts = show_prompts

    async def __call__(self, run: Run) -> None:
        system = ChatMessage("system", self._prompts["chat"])
        room = self._prompt_tokens - message_tokens([system]) - continued_tokens(run)
        prompt = Prompt([system, *recent(run.messages, room)], question=run.question)
        if self._show_prompts and not self._model.quotes:
            await show_prompt(run, prompt)
        await run.generate(self._model, prompt)
