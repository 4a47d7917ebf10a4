"""What the routes share: the Millstream object that serves this connection."""

from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

if TYPE_CHECKING:
    from millstream.server.app import Millstream


def millstream_of(connection: HTTPConnection) -> "Millstream":
    found: Millstream = connection.scope["millstream"]
    return found
