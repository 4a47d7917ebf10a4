"""The built page: static files under a strict Content-Security-Policy."""

import asyncio
import re
from importlib.resources import files
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from millstream.server.plain import NOSCRIPT

PAGE = Path(str(files("millstream"))) / "page"

# Trusted Types without any policy: no string can become markup or script, whatever the page's code does.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without an origin the form of the `noscript` would be nobody's
    "Cross-Origin-Opener-Policy": "same-origin",
}
# The built files carry a hash of their content in their names; the page itself is asked for anew each time.
_NOSCRIPT = re.compile("<noscript>.*?</noscript>", re.DOTALL)
_FOREVER = "public, max-age=31536000, immutable"


async def page(request: Request) -> Response:
    index = PAGE / "index.html"
    if not index.is_file():
        return PlainTextResponse(
            "The chat page is not built into this installation (MILLSTREAM_SKIP_PAGE was set, or `npm run build` in\n"
            "web/ has not run). The API under api/ works without it.\n",
            status_code=503,
        )
    html = with_form(await asyncio.to_thread(index.read_text, "utf-8"))
    return HTMLResponse(html, headers={**PAGE_HEADERS, "Cache-Control": "no-cache"})


def with_form(html: str) -> str:
    """The page with a form for who has no JavaScript."""
    return _NOSCRIPT.sub(f"<noscript>{NOSCRIPT}</noscript>", html)


class _Asset:
    """A built file by its name; anything else is not there."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _built_file(scope["path_params"]["path"])
        response: Response
        if path is not None:
            cache = _FOREVER if path.parent.name == "assets" else "no-cache"
            response = FileResponse(path, headers={**PAGE_HEADERS, "Cache-Control": cache})
        else:
            response = PlainTextResponse("Not found\n", status_code=404)
        await response(scope, receive, send)


def _built_file(name: str) -> Path | None:
    try:
        path = (PAGE / name).resolve()
        return path if path.is_relative_to(PAGE.resolve()) and path.is_file() else None
    except (OSError, ValueError):  # too long, or with a zero byte: no file has such a name
        return None


class _AssetRoute(Route):
    """Every path but the API's: what is unknown there is refused as the API refuses."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if child and f"{child['path_params']['path']}/".startswith("api/"):
            return Match.NONE, {}
        return match, child


routes: list[BaseRoute] = [
    Route("/", page, methods=["GET"]),
    _AssetRoute("/{path:path}", _Asset(), methods=["GET"]),
]
