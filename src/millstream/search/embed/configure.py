"""Which embedder a setting names.

minilm              all-MiniLM-L6-v2 in this process; no key and no network
openai/NAME         OpenAI or a compatible server, by the same variables as the language model
azure/DEPLOYMENT    Azure OpenAI, by the same variables as the language model
none                search by words alone
"""

from collections.abc import Mapping

from millstream.errors import ConfigurationError
from millstream.models.configure import configured_endpoint
from millstream.models.timeouts import Timeouts
from millstream.search.embed import Embedder

_FORMS = "minilm, openai/NAME, azure/DEPLOYMENT or none"


def create_embedder(name: str, *, environ: Mapping[str, str], timeouts: Timeouts | None = None) -> Embedder | None:
    """The embedder that `name` names; None for `none`. Nothing is loaded or contacted yet.

    Raises ConfigurationError, saying which variable to set.
    """
    provider, _, rest = name.strip().partition("/")
    if name.strip() == "none":
        return None
    if name.strip() == "minilm":
        from millstream.search.embed.minilm import MiniLM

        return MiniLM()
    if provider not in ("openai", "azure") or not rest:
        raise ConfigurationError(f"MILLSTREAM_EMBEDDER is {name!r}; it must be {_FORMS}.")
    from millstream.models.endpoint import EMBEDDINGS
    from millstream.search.embed.endpoint import EndpointEmbedder

    endpoint = configured_endpoint("openai" if provider == "openai" else "azure", rest, environ, EMBEDDINGS)
    return EndpointEmbedder(rest, endpoint, name=f"{provider}/{rest}", timeouts=timeouts)
