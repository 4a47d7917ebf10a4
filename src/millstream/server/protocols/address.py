"""The address under which people reach this server, for links in answers."""

from starlette.requests import Request

from millstream.server.app_of import millstream_of
from millstream.server.guard import host_name


def address_of(request: Request) -> str:
    """`MILLSTREAM_PUBLIC_URL`, else where the request itself went, by its Host; without a slash at its end.

    The Host has passed the Guard, and what it says comes back to none but its sender: nothing of it is stored. Where it
    is no name at all, the address is relative to the server.
    """
    public_url = millstream_of(request).settings.public_url
    if public_url:
        return public_url
    host = request.headers.get("host", "")
    # Within our own routes `root_path` is where an application has mounted us.
    path = str(request.scope.get("root_path", "")).rstrip("/")
    return f"{request.url.scheme}://{host}{path}" if host_name(host) else path
