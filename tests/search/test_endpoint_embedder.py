"""The embedder over a real socket, against a server that answers as told."""

import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from millstream.errors import ConfigurationError, ModelError
from millstream.search.embed.cache import QueryCache
from millstream.search.embed.configure import create_embedder
from millstream.search.embed.endpoint import BATCH, EndpointEmbedder

KEY = "not-shaped-like-a-key"


class Service:
    """Gives each text the vector (its length, 1), as base64 or as numbers, the last text first."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.refusals: list[web.Response] = []
        self.refuse: list[Callable[[], web.Response]] = []
        self.numbers = False
        self.url = ""

    async def embeddings(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.requests.append((request.path_qs, dict(request.headers), body))
        if self.refusals:
            return self.refusals.pop(0)
        if self.refuse:
            return self.refuse.pop(0)()
        rows = [np.array([len(text), 1], "<f4") for text in body["input"]]
        entries = [
            {"index": i, "embedding": row.tolist() if self.numbers else base64.b64encode(row.tobytes()).decode()}
            for i, row in enumerate(rows)
        ]
        return web.json_response({"object": "list", "data": entries[::-1]})


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.router.add_post("/v1/embeddings", service.embeddings)
    app.router.add_post("/openai/deployments/{deployment}/embeddings", service.embeddings)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield service
    await runner.cleanup()


Create = Callable[[str], EndpointEmbedder]


@pytest.fixture
async def create(service: Service) -> AsyncIterator[Create]:
    made: list[EndpointEmbedder] = []

    def create(name: str) -> EndpointEmbedder:
        environ = {
            "OPENAI_BASE_URL": f"{service.url}/v1", "OPENAI_API_KEY": KEY,
            "AZURE_OPENAI_ENDPOINT": service.url, "AZURE_OPENAI_API_KEY": KEY,
        }  # fmt: skip
        embedder = create_embedder(name, environ=environ)
        assert isinstance(embedder, EndpointEmbedder)
        embedder._first_wait_s = 0.01
        made.append(embedder)
        return embedder

    yield create
    for embedder in made:
        await embedder.close()


@pytest.mark.parametrize("numbers", [True, False])
async def test_texts_become_unit_vectors_in_their_order(service: Service, create: Create, numbers: bool) -> None:
    service.numbers = numbers
    embedder = create("openai/some-model")
    vectors = await embedder.embed(["abc", "a"])
    assert np.allclose(vectors, [[3 / 10**0.5, 1 / 10**0.5], [0.5**0.5, 0.5**0.5]])
    ((path, headers, body),) = service.requests
    assert path == "/v1/embeddings"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body == {"model": "some-model", "input": ["abc", "a"], "encoding_format": "base64"}


async def test_azure_is_asked_at_the_deployment(service: Service, create: Create) -> None:
    await create("azure/mine").embed_query("abc")
    path, headers, _ = service.requests[0]
    assert path.startswith("/openai/deployments/mine/embeddings?api-version=")
    assert headers["api-key"] == KEY


async def test_many_texts_are_asked_in_batches(service: Service, create: Create) -> None:
    vectors = await create("openai/m").embed(["x" * (n + 1) for n in range(2 * BATCH + 1)])
    assert sorted(len(body["input"]) for _, _, body in service.requests) == [1, BATCH, BATCH]
    assert (np.diff(vectors[:, 0]) > 0).all()


async def test_passages_are_tried_again_when_the_service_is_busy(service: Service, create: Create) -> None:
    service.refusals = [
        web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "0"}),
        web.json_response({}, status=503),
    ]
    assert len(await create("openai/m").embed(["abc"])) == 1
    assert len(service.requests) == 3


async def test_a_question_is_not_tried_again(service: Service, create: Create) -> None:
    service.refusals = [web.json_response({}, status=503)]
    with pytest.raises(ModelError, match="503"):
        await create("openai/m").embed_query("abc")
    assert len(service.requests) == 1


async def test_a_wrong_key_is_told_at_once_and_never_repeated(service: Service, create: Create) -> None:
    service.refusals = [web.json_response({"error": {"message": f"bad key {KEY}"}}, status=401)]
    with pytest.raises(ModelError) as failure:
        await create("openai/m").embed(["abc"])
    assert failure.value.code == "model-refused"
    assert KEY not in failure.value.message
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        "<html>", "{}", '{"data": []}', '{"data": [{"embedding": "!"}]}', '{"data": [{"embedding": [0, 0]}]}',
        '{"data": [{"embedding": []}]}', '{"data": [{"embedding": [1]}, {"embedding": [1]}]}',
    ],
)  # fmt: skip
async def test_what_is_no_vector_for_each_text_is_refused(service: Service, create: Create, body: str) -> None:
    service.refusals = [web.Response(text=body)]
    with pytest.raises(ModelError) as failure:
        await create("openai/m").embed_query("abc")
    assert failure.value.code == "model-malformed"


async def test_a_service_that_is_not_there_is_told(create: Create, service: Service) -> None:
    embedder = create_embedder("openai/m", environ={"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
    assert embedder is not None
    with pytest.raises(ModelError, match="cannot be reached"):
        await embedder.embed_query("abc")
    await embedder.close()


async def test_a_question_is_asked_once_and_the_oldest_are_forgotten(service: Service, create: Create) -> None:
    cache = QueryCache(create("openai/m"), kept=2)
    for question in ("a", "bb", "a", " a\n", "ccc", "a", "bb"):
        await cache.vector(question)
    assert [body["input"] for _, _, body in service.requests] == [["a"], ["bb"], ["ccc"], ["bb"]]


@pytest.mark.parametrize("name", ["", "mini", "minilm/x", "openai", "openai/", "none/x"])
def test_an_unknown_embedder_is_a_clear_error(name: str) -> None:
    with pytest.raises(ConfigurationError, match="it must be minilm"):
        create_embedder(name, environ={})


def test_a_missing_key_names_the_variable() -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        create_embedder("openai/m", environ={})


def test_none_is_no_embedder() -> None:
    assert create_embedder("none", environ={}) is None


async def test_that_passages_wait_is_told_at_once_and_once(
    service: Service, create: Create, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []
    told_of = "vectors have to wait, trying again: 127.0.0.1"

    def refuse() -> web.Response:
        told.append(sum(told_of in message for message in caplog.messages))
        return web.json_response({}, status=503)

    service.refuse = [refuse, refuse, refuse]
    await create("openai/m").embed(["abc"])
    assert told == [0, 1, 1]
