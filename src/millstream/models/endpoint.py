"""Where an OpenAI-compatible service is asked, and as whom: what the official SDK makes of keys and addresses.

The SDK takes about a second to import, so it is imported by the two functions that need it and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from millstream import __version__
from millstream.errors import ConfigurationError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# The SDK insists on a key; a server on the own machine needs none. This one is never sent.
_NO_KEY = "no-key"

CHAT = "chat/completions"
EMBEDDINGS = "embeddings"


@dataclass(frozen=True)
class Endpoint:
    """`url` is complete, query included. `headers` hold the key, so they stay out of the representation."""

    url: str
    host: str
    headers: Mapping[str, str] = field(repr=False)


def openai_endpoint(
    *, base_url: str | None, key: str | None, organization: str | None, operation: str = CHAT
) -> Endpoint:
    """`operation` at OpenAI, or at `base_url` of a compatible server; there the key may be missing.

    Raises openai.OpenAIError when there is neither a key nor a `base_url`, ConfigurationError when there are two keys.
    """
    from openai import AsyncOpenAI

    client = AsyncOpenAI(
        api_key=key or (_NO_KEY if base_url else None),
        base_url=base_url or "https://api.openai.com/v1",
        # Empty rather than None, which would send the SDK to the process environment.
        organization=organization or "",
        project="",
    )
    return _endpoint(client, operation, authenticated=bool(key))


def azure_endpoint(*, endpoint: str, deployment: str, key: str, api_version: str, operation: str = CHAT) -> Endpoint:
    """`operation` of one deployment at an Azure OpenAI resource, with a key."""
    from openai import AsyncAzureOpenAI

    client = AsyncAzureOpenAI(
        azure_endpoint=endpoint,
        azure_deployment=quote(deployment, safe=""),
        api_key=key,
        api_version=api_version,
        organization="",
        project="",
    )
    return _endpoint(client, operation, authenticated=True)


def _endpoint(client: "AsyncOpenAI", operation: str, *, authenticated: bool) -> Endpoint:
    url = str(client.base_url).split("?", 1)[0] + operation
    query = {name: str(value) for name, value in client.default_query.items()}
    host = client.base_url.host
    port = client.base_url.port
    # Without what the SDK tells of itself and its platform: the request is ours.
    headers = {
        name: value
        for name, value in client.default_headers.items()
        if isinstance(value, str) and value and not name.lower().startswith("x-stainless-")
    }
    headers["User-Agent"] = f"millstream/{__version__}"
    if authenticated:
        if client.base_url.userinfo:
            raise ConfigurationError(
                f"the address of {host} holds a user's name or password, and there is a key as well: leave one out"
            )
        headers.update(client.auth_headers)
    # A compressed stream arrives in the compressor's blocks instead of as it is written.
    headers["Accept-Encoding"] = "identity"
    return Endpoint(
        url=f"{url}?{urlencode(query)}" if query else url,
        host=f"{host}:{port}" if port else host,
        headers=headers,
    )
