"""Settings: environment variables `MILLSTREAM_*`, then `.env`, then flags, in that rising order."""

import logging
import math
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from millstream.errors import ConfigurationError
from millstream.models import ReasoningEffort
from millstream.wire.openai_chat import Extra

logger = logging.getLogger("millstream")

ENV_FILE = ".env"

# RFC 6454, section 6.2: a scheme and a host, a port if it is not the scheme's own; "null" and "*" are none.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@*]+\Z")

_PUBLIC_URL = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?\Z")

_PREFIX = "MILLSTREAM_"
# Other people's protocols, each a setting: `on`, `off`, or the prefix of its paths.
PROTOCOLS = ("ai_chat", "openai_chat", "openai_responses", "ai_sdk", "ag_ui", "mcp")
_PATH_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+\Z")

_OF_INSTALLATION = frozenset({"MILLSTREAM_SKIP_PAGE"})

Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Every field is the setting `MILLSTREAM_` + its name in capitals; durations are seconds unless they say so."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
    )

    data: Path = Field(Path(".millstream"), description="Folder of the embedded default: runs, conversations, index.")
    model: str = Field("extractive", description="`extractive`, `openai/NAME`, `azure/DEPLOYMENT`, `scripted/FILE`.")
    embedder: str = Field("minilm", description="`minilm`, `openai/NAME`, `azure/DEPLOYMENT`, or `none`.")
    reranker: Path | None = Field(None, description="Folder with a cross-encoder: `model.onnx`, `tokenizer.json`.")
    database: str = Field("sqlite", description="Where conversations are kept: `sqlite`.")
    log: Literal["sqlite", "memory"] = Field("sqlite", description="Where events are kept: `sqlite` or `memory`.")
    when_unread: Literal["finish", "stop"] | float = Field(
        "finish", description="A run that nobody reads: `finish`, `stop`, or stop after so many seconds."
    )
    hosts: Names = Field((), description="Host names to answer to besides loopback, separated by commas; `*` for any.")
    public_url: str = Field("", description="Where people reach this server, for links in answers to other programs.")
    origins: Names = Field((), description="Origins of other sites whose pages may use the API, separated by commas.")
    sources: int = Field(5, ge=1, le=50, description="How many passages an answer is given at most.")
    prompt_tokens: int = Field(12_000, ge=1000, description="What a prompt may take, the question itself apart.")
    max_sources: int = Field(50, ge=1, le=50, description="How many passages a client may ask for at most.")
    max_temperature: float = Field(2, ge=0, le=2, description="The highest temperature that a client may ask for.")
    efforts: Names = Field(
        ("minimal", "low", "medium", "high"),
        description="The reasoning efforts that a client may ask for, separated by commas; `none` for no choice.",
    )
    show_prompts: bool = Field(False, description="Whether readers may see what the model was asked.")
    titles: Literal["model", "question"] = Field(
        "model", description="What names a conversation: the model, after the first answer, or its first question."
    )
    prompts: Path | None = Field(None, description="Folder whose files replace the built-in prompts of the same name.")
    events_kept_hours: float = Field(24, gt=0, description="How long a run's events are kept after its end.")
    deleted_kept_hours: float = Field(24, ge=0, description="How long a deleted conversation can be restored.")
    unlisted_kept_hours: float = Field(720, gt=0, description="How long answers to `messages` are kept.")
    heartbeat: float = Field(15, gt=0, description="A stream silent for so long is sent a heartbeat.")
    drain: float = Field(30, ge=0, description="After SIGTERM, running answers get so long to end by themselves.")
    connect_timeout: float = Field(10, gt=0, description="A model must accept the connection within this.")
    first_token_timeout: float = Field(60, gt=0, description="…send its first token within this.")
    between_tokens_timeout: float = Field(60, gt=0, description="…and never fall silent for longer than this.")
    max_body_bytes: int = Field(1024 * 1024, ge=1024, description="A request body larger than this is refused (413).")
    max_subscriptions: int = Field(32, ge=1, description="Runs that one WebSocket may follow at the same time.")
    max_running: int = Field(10_000, ge=1, description="Answers in the making at the same time; beyond it 503.")
    quote_pace: float = Field(30, ge=0, description="Words per second of a quoted answer; 0 for all at once.")

    page: bool = Field(True, description="Whether the chat page is served, besides the API.")
    ai_chat: str = Field("on", description="Microsoft's AI Chat Protocol: `on`, `off`, or a prefix for its paths.")
    openai_chat: str = Field("on", description="OpenAI's Chat Completions: `on`, `off`, or a prefix for its paths.")
    openai_chat_extras: Names = Field(
        (), description="What Chat Completions carry beyond OpenAI's, unless asked: `status`, `followups`, `events`."
    )
    openai_responses: str = Field("on", description="OpenAI's Responses: `on`, `off`, or a prefix for its paths.")
    ai_sdk: str = Field("on", description="Vercel's AI SDK: `on`, `off`, or a prefix for its paths.")
    ai_sdk_version: int = Field(5, description="The AI SDK's stream: 5, which 5, 6 and 7 accept, or all of 7.")
    ag_ui: str = Field("on", description="AG-UI: `on`, `off`, or a prefix for its path.")
    mcp: str = Field("on", description="Model Context Protocol: `on`, `off`, or a prefix for its path.")

    token: SecretStr | None = Field(None, description="A bearer token for the server that `ask` and `chat` talk to.")

    read_file_mb: float = Field(100, gt=0, description="A larger file is reported and not read.")
    read_seconds: float = Field(60, gt=0, description="CPU time that reading one file may take.")
    read_memory_mb: int = Field(1024, ge=256, description="Memory that a process which reads files may take.")
    read_pages: int = Field(10_000, ge=1, description="Pages, slides or sheets that one file may have.")
    read_unpacked_mb: float = Field(500, gt=0, description="What an Office file may hold once it is decompressed.")
    read_characters: int = Field(20_000_000, ge=1, description="Length of one document's text at most.")
    read_processes: int = Field(0, ge=0, le=64, description="Files read at a time; 0 for one on each core, up to 4.")
    readers: Names = Field((), description="Python modules that register readers of other formats.")
    upload_mb: float = Field(100, gt=0, description="An upload larger than this, all its files together, is refused.")
    uploads: int = Field(1000, ge=0, description="How many uploaded documents an owner may have; 0 for no uploads.")
    watch_seconds: float = Field(2, gt=0, description="With `--watch`: how often to look whether files have changed.")

    @field_validator("hosts", "origins", "readers", "efforts", "openai_chat_extras", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("origins")
    @classmethod
    def _as_browsers_write_them(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        origins = tuple(origin.lower().rstrip("/") for origin in value)
        for origin in origins:
            if not _ORIGIN.match(origin):
                raise ValueError(f"{origin!r} is not an origin; write it as https://name or https://name:port")
        return origins

    @field_validator("public_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if value and not _PUBLIC_URL.match(value):
            raise ValueError("must be the server's address, like https://docs.example or https://example.com/chat")
        return value.rstrip("/")

    @field_validator("openai_chat_extras")
    @classmethod
    def _known_extras(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [extra for extra in value if extra not in get_args(Extra)]:
            raise ValueError(f"{unknown[0]!r} is no extra; there are: {', '.join(get_args(Extra))}")
        return value

    @field_validator("efforts")
    @classmethod
    def _known_efforts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        efforts = get_args(ReasoningEffort)
        if unknown := [effort for effort in value if effort not in efforts and value != ("none",)]:
            raise ValueError(f"{unknown[0]!r} is no reasoning effort; there are: {', '.join(efforts)}, or `none`")
        return tuple(effort for effort in efforts if effort in value)

    @field_validator("max_sources")
    @classmethod
    def _room_for_the_usual(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("sources", 0):
            raise ValueError("must not be less than MILLSTREAM_SOURCES")
        return value

    @field_validator("when_unread", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        if isinstance(value, str) and value not in ("finish", "stop"):
            try:
                value = float(value)
            except ValueError:
                raise ValueError("must be `finish`, `stop` or a number of seconds") from None
        if isinstance(value, float | int) and not 0 <= value < math.inf:
            raise ValueError("must be `finish`, `stop` or a number of seconds, not negative")
        return value

    @field_validator(*PROTOCOLS)
    @classmethod
    def _on_off_or_prefix(cls, value: str) -> str:
        value = value if value in ("on", "off") else value.rstrip("/")
        if value not in ("on", "off") and not _PATH_PREFIX.match(value):
            raise ValueError("must be `on`, `off` or a path like /v2, below which it is served")
        return value

    @field_validator("ai_sdk_version")
    @classmethod
    def _known_version(cls, value: int) -> int:
        if value not in (5, 7):
            raise ValueError("must be 5, which the versions 5, 6 and 7 accept, or 7")
        return value

    @field_validator("database")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if value != "sqlite":
            raise ValueError("must be `sqlite`; PostgreSQL is not in this release")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, dotenv_settings, env_settings


def load_settings(**flags: Any) -> Settings:
    """Settings with the flags that are not None. Raises ConfigurationError that names the variable or the flag.

    A variable that looks like a setting and is none is warned of, with the setting that is nearest to it.
    """
    unknown = sorted(flags.keys() - Settings.model_fields.keys())
    if unknown:
        raise ConfigurationError(f"There is no setting {unknown[0]!r}; there are: {', '.join(Settings.model_fields)}.")
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
        _warn_of_mistyped(provider_environment())
        return settings
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{_PREFIX}{str(first['loc'][0]).upper()}"
        raise ConfigurationError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"The file {ENV_FILE} is not UTF-8 text.") from error


def _warn_of_mistyped(variables: Mapping[str, str]) -> None:
    settings = [f"{_PREFIX}{name.upper()}" for name in Settings.model_fields]
    for name in sorted(variables):
        if name.upper().startswith(_PREFIX) and name.upper() not in {*settings, *_OF_INSTALLATION}:
            nearest = get_close_matches(name.upper(), settings, n=1, cutoff=0)[0]
            logger.warning("%s is no setting and is passed over; the nearest is %s.", name, nearest)


def provider_environment() -> Mapping[str, str]:
    """The variables that model providers define (keys, endpoints): the environment, then `.env`."""
    return {**os.environ, **{name: value for name, value in dotenv_values(ENV_FILE).items() if value is not None}}
