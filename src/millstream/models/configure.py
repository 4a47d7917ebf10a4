"""Which model a setting names.

    extractive          quotes the documents; needs no model, no key and no network
    openai/NAME         OpenAI (OPENAI_API_KEY, OPENAI_ORG_ID), or a compatible server (OPENAI_BASE_URL; key optional)
    azure/DEPLOYMENT    Azure OpenAI with a key (AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY, OPENAI_API_VERSION)
    scripted/FILE       plays a script (see `millstream.models.script`)
    local/PATH          a model file run by llama.cpp: not in this release

No host is ever asked that was not configured by one of these.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from millstream.errors import ConfigurationError
from millstream.models import ChatModel
from millstream.models.extractive import WORDS_PER_SECOND, ExtractiveModel
from millstream.models.timeouts import Timeouts

if TYPE_CHECKING:
    from millstream.models.endpoint import Endpoint

# The newest version of Azure's API that is generally available and dated; a newer one is set by OPENAI_API_VERSION.
AZURE_API_VERSION = "2024-10-21"

_FORMS = "extractive, openai/NAME, azure/DEPLOYMENT or scripted/FILE"


def create_model(
    name: str, *, environ: Mapping[str, str], timeouts: Timeouts, quote_pace: float = WORDS_PER_SECOND
) -> ChatModel:
    """The model that `name` names, configured by the providers' own variables in `environ`. Nothing is contacted yet.

    `quote_pace` is the pace of `extractive`, in words per second.

    Raises ConfigurationError, saying which variable to set.
    """
    provider, _, rest = name.strip().partition("/")
    if provider == "extractive" and not rest:
        return ExtractiveModel(quote_pace)
    create = {"openai": _openai, "azure": _azure, "scripted": _scripted}.get(provider)
    if provider == "local" and rest:
        raise ConfigurationError(
            f"MILLSTREAM_MODEL is {name!r}, but model files cannot be run in this release. Serve the file with "
            "llama.cpp or Ollama and set OPENAI_BASE_URL to its address and MILLSTREAM_MODEL to openai/NAME."
        )
    if create is None or not rest:
        raise ConfigurationError(f"MILLSTREAM_MODEL is {name!r}; it must be {_FORMS}.")
    return create(rest, environ, timeouts)


def _openai(model: str, environ: Mapping[str, str], timeouts: Timeouts) -> ChatModel:
    from millstream.models.endpoint import CHAT
    from millstream.models.openai import OpenAIModel

    return OpenAIModel(model, configured_endpoint("openai", model, environ, CHAT), timeouts=timeouts)


def _azure(deployment: str, environ: Mapping[str, str], timeouts: Timeouts) -> ChatModel:
    from millstream.models.endpoint import CHAT
    from millstream.models.openai import OpenAIModel

    endpoint = configured_endpoint("azure", deployment, environ, CHAT)
    return OpenAIModel(deployment, endpoint, name=f"azure/{deployment}", timeouts=timeouts)


def configured_endpoint(
    provider: Literal["openai", "azure"], name: str, environ: Mapping[str, str], operation: str
) -> "Endpoint":
    """Where `operation` of the model or deployment `name` is asked, by the provider's own variables in `environ`.

    Raises ConfigurationError, saying which variable to set.
    """
    return (
        _openai_endpoint(name, environ, operation)
        if provider == "openai"
        else _azure_endpoint(name, environ, operation)
    )


def _openai_endpoint(model: str, environ: Mapping[str, str], operation: str) -> "Endpoint":
    base_url, key = environ.get("OPENAI_BASE_URL"), _sent_in_header("OPENAI_API_KEY", environ)
    if base_url:
        _check_address("OPENAI_BASE_URL", base_url)
    elif not key:
        raise ConfigurationError(
            f"openai/{model} needs a key: set OPENAI_API_KEY, or OPENAI_BASE_URL for a server that needs none."
        )
    from millstream.models.endpoint import openai_endpoint

    organization = _sent_in_header("OPENAI_ORG_ID", environ)
    return openai_endpoint(base_url=base_url, key=key, organization=organization, operation=operation)


def _azure_endpoint(deployment: str, environ: Mapping[str, str], operation: str) -> "Endpoint":
    address, key = environ.get("AZURE_OPENAI_ENDPOINT"), _sent_in_header("AZURE_OPENAI_API_KEY", environ)
    if not address:
        raise ConfigurationError(
            f"azure/{deployment} needs an address: set AZURE_OPENAI_ENDPOINT to https://NAME.openai.azure.com"
        )
    _check_address("AZURE_OPENAI_ENDPOINT", address)
    if not key:
        raise ConfigurationError(f"azure/{deployment} needs a key: set AZURE_OPENAI_API_KEY.")
    from millstream.models.endpoint import azure_endpoint

    version = environ.get("OPENAI_API_VERSION") or AZURE_API_VERSION
    return azure_endpoint(endpoint=address, deployment=deployment, key=key, api_version=version, operation=operation)


def _scripted(file: str, environ: Mapping[str, str], timeouts: Timeouts) -> ChatModel:
    from millstream.models.script import read_script
    from millstream.models.scripted import ScriptedModel

    return ScriptedModel(read_script(Path(file)), name=f"scripted/{Path(file).stem}", timeouts=timeouts)


def _check_address(variable: str, address: str) -> None:
    """The address is not told: it may hold a password, or be a key that was put into the wrong variable."""
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        known = False
    if not known:
        raise ConfigurationError(f"{variable} must be an address such as https://host/path, and is none.")


def _sent_in_header(variable: str, environ: Mapping[str, str]) -> str | None:
    """Its value, without the line break that a file ends with. Raises ConfigurationError when no header can hold it."""
    value = environ.get(variable, "").strip()
    if not (value.isascii() and value.isprintable()):
        raise ConfigurationError(f"{variable} holds a line break or another character that it cannot have.")
    return value or None
