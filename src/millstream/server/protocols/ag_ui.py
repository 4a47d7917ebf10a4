from starlette.routing import BaseRoute

from millstream.server.settings import Settings


def routes(prefix: str, settings: Settings) -> list[BaseRoute]:
    return []
