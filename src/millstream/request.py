"""What a client asks for: the body of `POST /api/runs`, checked."""

import hashlib
from typing import Any, Literal

import msgspec

from millstream.conversations import Content, text_of
from millstream.errors import InputError
from millstream.ids import is_id
from millstream.json_body import decode_body
from millstream.models import ModelOptions, ReasoningEffort

# Stated limits of one request; each is tested at its edge.
MAX_QUESTION_CHARACTERS = 100_000
MAX_MESSAGES = 1_000
MAX_SOURCES = 50
MAX_METADATA = 16  # pairs, of at most so many characters each:
MAX_METADATA_KEY = 64
MAX_METADATA_VALUE = 512


class GivenMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message of a history that the client brings."""

    role: Literal["system", "user", "assistant"]
    content: Content


class RunOptions(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a client may choose for one run.

    `sources`: how many passages at most; `followups`: whether to suggest next questions; `recording`: what to replay.
    """

    temperature: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: ReasoningEffort | None = None
    sources: int | None = None
    followups: bool = True
    recording: str | None = None

    def of_model(self, *, paced: bool) -> ModelOptions:
        """The part that a model is given."""
        return ModelOptions(self.temperature, self.max_output_tokens, self.reasoning_effort, paced)


class RunRequest(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """`parent_id`: absent means the conversation's newest message, null its beginning. `stream` is the form only.

    `instructions` are a system message for this run alone. With `follows`, the `messages` are kept and come after the
    conversation of that run, or after none where it is null; later ones can follow this run. `metadata` is the client's
    own, and told again.
    """

    question: Content | None = None
    messages: list[GivenMessage] | None = None
    run_id: str | None = None
    conversation_id: str | None = None
    parent_id: str | None | msgspec.UnsetType = msgspec.UNSET
    continues: str | None = None
    follows: str | None | msgspec.UnsetType = msgspec.UNSET
    instructions: str | None = None
    metadata: dict[str, str] | None = None
    answer: str | None = None
    options: RunOptions = RunOptions()
    stream: bool | None = None

    def fingerprint(self) -> str:
        """The same for two requests exactly when they ask for the same run (the form of the answer aside)."""
        asked = msgspec.structs.replace(self, stream=None, run_id=None)
        return hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()


_decoder = msgspec.json.Decoder(RunRequest)


def parse_request(body: bytes) -> RunRequest:
    """The checked request in a JSON body. Raises InputError with a sentence that names the field."""
    return check_request(decode_body(body, _decoder))


def request_from(value: Any) -> RunRequest:
    """The checked request in already decoded JSON. Raises InputError."""
    try:
        return check_request(msgspec.convert(value, RunRequest))
    except msgspec.ValidationError as error:
        raise InputError(f"The request is not valid: {error}.") from error


def check_request(request: RunRequest) -> RunRequest:
    """The same request. Raises InputError when its fields contradict each other or exceed a limit."""
    for name in ("run_id", "conversation_id", "parent_id", "continues", "follows"):
        value = getattr(request, name)
        if isinstance(value, str) and not is_id(value):
            raise InputError(f"`{name}` must be 1 to 64 letters, digits, '-' or '_'.")
    if request.messages is not None:
        _check_messages(request)
    elif request.question is not None:
        question = text_of(request.question)
        if not question.strip():
            raise InputError("`question` is empty.")
        if len(question) > MAX_QUESTION_CHARACTERS:
            raise InputError(f"`question` is longer than {MAX_QUESTION_CHARACTERS} characters.")
    elif request.continues is None and not (request.conversation_id and isinstance(request.parent_id, str)):
        raise InputError(
            "Give `question`, or `messages`, or `continues`, or `conversation_id` and as `parent_id` the user's "
            "message that is to be answered again."
        )
    if request.continues is not None and (request.question is not None or request.messages is not None):
        raise InputError("`continues` goes on with a stored answer; leave out `question` and `messages`.")
    if request.follows is not msgspec.UNSET and request.messages is None:
        raise InputError("`follows` is for `messages`; a `question` names its `conversation_id` and `parent_id`.")
    if request.instructions is not None and len(request.instructions) > MAX_QUESTION_CHARACTERS:
        raise InputError(f"`instructions` are longer than {MAX_QUESTION_CHARACTERS} characters.")
    _check_metadata(request.metadata or {})
    options = request.options
    if options.sources is not None and not 1 <= options.sources <= MAX_SOURCES:
        raise InputError(f"`options.sources` must be 1 to {MAX_SOURCES}.")
    if options.temperature is not None and not 0 <= options.temperature <= 2:
        raise InputError("`options.temperature` must be 0 to 2.")
    if options.max_output_tokens is not None and options.max_output_tokens < 1:
        raise InputError("`options.max_output_tokens` must be at least 1.")
    return request


def _check_metadata(metadata: dict[str, str]) -> None:
    if len(metadata) > MAX_METADATA:
        raise InputError(f"`metadata` holds more than {MAX_METADATA} pairs.")
    for name, value in metadata.items():
        if len(name) > MAX_METADATA_KEY or len(value) > MAX_METADATA_VALUE:
            raise InputError(
                f"`metadata` may have names of at most {MAX_METADATA_KEY} characters, and values of at most "
                f"{MAX_METADATA_VALUE}."
            )


def _check_messages(request: RunRequest) -> None:
    messages = request.messages or []
    if request.question is not None:
        raise InputError("Give `question` or `messages`, not both.")
    if request.conversation_id is not None or request.parent_id is not msgspec.UNSET:
        raise InputError("`messages` bring their own history; leave out `conversation_id` and `parent_id`.")
    if not messages or messages[-1].role != "user":
        raise InputError("`messages` must end with a message of role `user`.")
    if len(messages) > MAX_MESSAGES:
        raise InputError(f"`messages` holds more than {MAX_MESSAGES} messages.")
    if not text_of(messages[-1].content).strip():
        raise InputError("The last message is empty.")
    if sum(len(text_of(message.content)) for message in messages) > MAX_QUESTION_CHARACTERS * 10:
        raise InputError(f"`messages` hold more than {MAX_QUESTION_CHARACTERS * 10} characters.")
