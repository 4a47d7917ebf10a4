"""What to measure and how to talk to it: one `Target` each. Add a server here."""

import os
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
PYTHON = HERE / ".venv" / "bin"
LITELLM = HERE / "bin" / "litellm" / "bin"
MILLSTREAM = Path(os.environ.get("BENCH_MILLSTREAM", HERE.parent / ".venv" / "bin" / "millstream"))
# Another one to compare it with in the same run: how much a change saves.
BEFORE = os.environ.get("BENCH_BEFORE")

CHAT = (
    '{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},'
    '"messages":[{"role":"user","content":"Hello {CTL}"}]}'
)
MESSAGES = '{"messages":[{"role":"user","content":"Hello {CTL}"}]}'
PARTS = (
    '{"trigger":"submit-message","id":"x",'
    '"messages":[{"id":"m1","role":"user","parts":[{"type":"text","text":"Hello {CTL}"}]}]}'
)

USER = '{"role":"user","content":"Hello {CTL}"}'
UI_USER = '{"id":"m1","role":"user","parts":[{"type":"text","text":"Hello {CTL}"}]}'


@dataclass(frozen=True)
class Target:
    """A server under test.

    In `command` and `environment`, `{port}`, `{upstream}` (its URL), `{upstream_port}` and `{folder}` (a temporary
    one) are filled in; in `body`, `{CTL}` becomes the control string of `fake_llm`. A piece of the answer is the string
    `key` of a line (that contains `only`). `threads`: it has so many that time spent waiting for the core says nothing.
    """

    command: str | None
    path: str
    framing: str
    key: str
    body: str
    only: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    template: str = ""
    folder: Path | None = None
    warm_up: int = 60
    ready_s: float = 40
    threads: bool = False


def uvicorn(app: str) -> str:
    return (
        f"{PYTHON}/uvicorn {app} --host 127.0.0.1 --port {{port}} --log-level error --no-access-log "
        "--loop uvloop --http httptools"
    )


def relay(command: str | None, **more: object) -> Target:
    """A server that passes Chat Completions on."""
    return Target(command, "/v1/chat/completions", "sse", "content", CHAT, **more)  # type: ignore[arg-type]


def millstream(framing: str = "ndjson", command: Path = MILLSTREAM, **settings: str) -> Target:
    """Its own wire, an answer by the model alone."""
    stream = '"stream":true,' if framing == "ndjson" else ""  # `stream` means NDJSON; SSE is asked for by Accept
    body = f'{{{stream}"answer":"chat","messages":[{USER}]}}'
    return served("/api/runs", framing, "text", body, '"type":"text.delta"', command, **settings)


def served(
    path: str, framing: str, key: str, body: str, only: str = "", command: Path = MILLSTREAM, **settings: str
) -> Target:
    """The product as it is served, SQLite log on, in one of its protocols."""
    return Target(
        f"{command} serve --port {{port}} --data {{folder}}/data",
        path,
        framing,
        key,
        body,
        only=only,
        environment={
            "MILLSTREAM_MODEL": "openai/gpt-4o",
            "OPENAI_BASE_URL": "{upstream}/v1",
            "OPENAI_API_KEY": "none",
            **{f"MILLSTREAM_{name.upper()}": value for name, value in settings.items()},
        },
    )


TARGETS: dict[str, Target] = {
    "direct": relay(None),
    "millstream": millstream(),
    **({"millstream-before": millstream(command=Path(BEFORE))} if BEFORE else {}),
    "millstream-sse": millstream("sse"),
    "millstream-stop": millstream(when_unread="stop"),
    "millstream-memory": millstream(log="memory"),
    # Its protocols; what each is asked for is the same answer by the model alone.
    "openai-chat": served(
        "/v1/chat/completions", "sse", "content", f'{{"model":"chat","stream":true,"messages":[{USER}]}}'
    ),
    "openai-responses": served(
        "/v1/responses",
        "sse",
        "delta",
        '{"model":"chat","stream":true,"input":"Hello {CTL}"}',
        '"type":"response.output_text.delta"',
    ),
    "ai-chat": served("/chat/stream", "ndjson", "content", f'{{"messages":[{USER}],"context":{{"answer":"chat"}}}}'),
    "ai-sdk": served(
        "/api/chat", "sse", "delta", f'{{"id":"{{CTL}}","messages":[{UI_USER}],"model":"chat"}}', '"text-delta"'
    ),
    "ag-ui": served(
        "/ag-ui",
        "sse",
        "delta",
        '{"threadId":"t","runId":"r","state":{},"tools":[],"context":[],'
        '"forwardedProps":{"millstream":{"answer":"chat"}},'
        '"messages":[{"id":"m1","role":"user","content":"Hello {CTL}"}]}',
        "TEXT_MESSAGE_CONTENT",
    ),
    "c-relay": relay(f"{HERE}/bin/relay {{port}} {{upstream_port}}"),
    "nginx": relay("nginx -c {folder}/nginx.conf -e {folder}/error.log", template="nginx.conf"),
    "raw-aiohttp": relay(uvicorn("raw_aiohttp:app"), folder=PEERS),
    "raw-httpx": relay(uvicorn("raw_httpx:app"), folder=PEERS),
    "sdk3-fastapi": Target(uvicorn("sdk_fastapi:app"), "/chat/stream", "ndjson", "content", MESSAGES, folder=PEERS),
    "litellm": relay(
        f"{LITELLM}/litellm --config {{folder}}/litellm.yaml --host 127.0.0.1 --port {{port}} --num_workers 1",
        template="litellm.yaml",
        environment={
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
            "LITELLM_MASTER_KEY": "sk-bench",
            "PATH": f"{LITELLM}:{os.environ['PATH']}",
        },
        ready_s=120,
        warm_up=10,
        headers=("Authorization: Bearer sk-bench",),
        threads=True,
    ),
    "pydanticai-vercel": Target(uvicorn("pydanticai_vercel:app"), "/chat", "sse", "delta", PARTS, folder=PEERS),
}
