"""The answer over documents as the settings describe it: the same for a server and for an evaluation."""

from millstream.answers.rag import RagAnswer
from millstream.answers.refusal import reach_of
from millstream.models import ChatModel
from millstream.search import Search
from millstream.server.settings import Settings


def create_rag(search: Search, model: ChatModel, settings: Settings) -> RagAnswer:
    """Raises ConfigurationError when the folder of prompts is not there."""
    return RagAnswer(
        search,
        model,
        settings.sources,
        settings.prompts,
        prompt_tokens=settings.prompt_tokens,
        reach=reach_of(settings.embedder),
        show_prompts=settings.show_prompts,
    )
