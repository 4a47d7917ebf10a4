"""The words that models are given: prompt files, the conversation, and sources fenced off as data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import msgspec

from millstream.errors import ConfigurationError
from millstream.models import Prompt
from millstream.run import CHARACTERS_PER_TOKEN, Run
from millstream.search import Passage

PromptName = Literal["rag", "chat", "rewrite", "followups", "title"]

_BUILT_IN = Path(__file__).parent / "prompts"


class Prompts:
    """Prompts by name: `NAME.md` in `folder` if it is there, else the one that comes with Millstream."""

    def __init__(self, folder: Path | None = None) -> None:
        """Raises ConfigurationError when the folder is not there, or a prompt in it cannot be read."""
        if folder is not None and not folder.is_dir():
            raise ConfigurationError(f"There is no folder of prompts {str(folder)!r}. Check MILLSTREAM_PROMPTS.")
        self._folder = folder
        self._texts = {name: self._read(name) for name in get_args(PromptName)}

    def __getitem__(self, name: PromptName) -> str:
        return self._texts[name]

    def _read(self, name: PromptName) -> str:
        for folder in (self._folder, _BUILT_IN):
            if folder is not None and (file := folder / f"{name}.md").is_file():
                try:
                    return file.read_text("utf-8").strip()
                except (OSError, UnicodeDecodeError) as error:
                    raise ConfigurationError(
                        f"The prompt {file.name} in MILLSTREAM_PROMPTS cannot be read: it must be UTF-8 text."
                    ) from error
        raise KeyError(name)


async def show_prompt(run: Run, prompt: Prompt) -> None:
    """A step whose detail is what the model is about to be asked, for who may see it."""
    async with run.step("prompt", "Writing to the model…") as step:
        characters = sum(len(message.content) for message in prompt.messages)
        step.done(
            "Wrote to the model",
            messages=msgspec.to_builtins(prompt.messages),
            estimated_tokens=-(-characters // CHARACTERS_PER_TOKEN),
        )


def fence_sources(passages: Sequence[Passage]) -> str:
    """The passages, numbered from 1, in a form that their own text cannot break out of."""
    return "\n\n".join(_fenced(n, passage) for n, passage in enumerate(passages, 1))


def _fenced(n: int, passage: Passage) -> str:
    text = f"{passage.header}\n{passage.text}" if passage.header else passage.text
    text = text.replace("</source", "<\u200b/source").replace("<source", "<\u200bsource")
    title = " ".join(passage.title.split()).replace('"', "'").replace("<", "‹").replace(">", "›")
    return f'<source n="{n}" title="{title}"{_pages(passage)}>\n{text}\n</source>'


def _pages(passage: Passage) -> str:
    if passage.page_start is None:
        return ""
    if passage.page_end in (None, passage.page_start):
        return f' page="{passage.page_start}"'
    return f' pages="{passage.page_start}-{passage.page_end}"'
