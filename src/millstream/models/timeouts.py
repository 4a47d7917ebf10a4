"""How long a model may keep us waiting, in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """Each of the three is a failure of its own (`model-timeout-connect`, `-first-token`, `-between-tokens`).

    `connect_s` covers name lookup, TCP and TLS. `first_token_s` runs from the call on, connecting included, so that a
    server which accepts and then falls silent is noticed whether or not it sent its headers. Only text and reasoning
    count as tokens: a server that keeps a stream open with comments alone still times out.
    """

    connect_s: float = 10.0
    first_token_s: float = 60.0
    between_tokens_s: float = 60.0
