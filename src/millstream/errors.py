"""Every error a person or a client can meet, in one tree.

    MillstreamError                 what happened, to what, what to do
    ├── InputError            400   the request or command cannot be understood or is out of bounds
    ├── Forbidden             403   this caller may not do that
    ├── NotFound              404   no such run, conversation, document or answer (or it is somebody else's)
    ├── Conflict              409   the id is taken by another request, or the cursor is ahead of the log
    │   ├── RunExists               …choose another id
    │   └── CursorAhead             …start again from the snapshot
    ├── Gone                  410   the events have passed their retention; the snapshot still works
    ├── TooLarge              413   a stated limit was exceeded
    ├── Unavailable           503   not now: draining, or a store cannot be reached
    ├── ConfigurationError     –    a setting is wrong; found at start-up, exit code 2
    └── RunError                    ends a run as `run.failed` with the same code, message, retryable, retry_after
        └── ModelError              the language model refused, failed or fell silent

`status` is the HTTP status of a refusal, and of a non-streaming answer that failed before its first byte.
Messages never contain secrets, stack traces or paths outside the user's own folders.
"""


class MillstreamError(Exception):
    """Base of all errors meant for a person: `code` is stable and documented, the message may change."""

    status = 500
    code = "internal"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class InputError(MillstreamError):
    status = 400
    code = "invalid-request"


class Forbidden(MillstreamError):
    status = 403
    code = "forbidden"


class NotFound(MillstreamError):
    status = 404
    code = "not-found"


class Conflict(MillstreamError):
    status = 409
    code = "conflict"


class RunExists(Conflict):
    code = "run-exists"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"The run id {run_id} belongs to another request; choose a new one.")


class CursorAhead(Conflict):
    code = "cursor-ahead"


class Gone(MillstreamError):
    status = 410
    code = "gone"


class TooLarge(MillstreamError):
    status = 413
    code = "too-large"


class Unavailable(MillstreamError):
    """`retry_after` is in seconds."""

    status = 503
    code = "unavailable"

    def __init__(self, message: str, *, code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class ConfigurationError(MillstreamError):
    code = "configuration"


class RunError(MillstreamError):
    """Raise it in an answer to end the run as `run.failed`. The reader is shown `message`. `retry_after` is in seconds.

    `status`, 400 to 599, is that of a non-streaming answer. Raises ValueError when it is another.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "failed",
        status: int = 500,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(str(message), code=code)  # it may be another exception
        if not 400 <= status <= 599:
            raise ValueError(f"a run cannot fail with the HTTP status {status}; it must be 400 to 599")
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after


class ModelError(RunError):
    """A model call failed. `retryable` means the same call may well succeed later.

    Codes and statuses: see `MODEL_ERROR_STATUS`.
    """

    def __init__(self, message: str, *, code: str, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(
            message, code=code, status=MODEL_ERROR_STATUS[code], retryable=retryable, retry_after=retry_after
        )


# Codes of `run.failed` that come from a model call → status of a non-streaming answer that failed so.
MODEL_ERROR_STATUS = {
    "model-rate-limited": 429,  # 429 upstream, retries used up
    "model-unavailable": 502,  # 5xx, connection refused or lost before the first delta
    "model-interrupted": 502,  # connection lost, or the stream ended without a finish reason, after the first delta
    "model-malformed": 502,  # bytes that are not the protocol
    "model-timeout-connect": 504,
    "model-timeout-first-token": 504,
    "model-timeout-between-tokens": 504,
    "model-refused": 502,  # other 4xx upstream: wrong key, unknown model, bad request (the operator must act)
    "model-content-filter": 422,  # the provider refused the prompt
}


def status_of(code: str) -> int:
    """The HTTP status of a run that failed with `code`, where it does not say another."""
    return MODEL_ERROR_STATUS.get(code, 503 if code == "interrupted" else 500)
