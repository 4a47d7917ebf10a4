"""Other people's protocols: each module has its routes, how requests are read, and how errors look there.

What happens to the events is the business of the protocol's encoder in `millstream.wire`.
"""

from importlib import import_module

from starlette.routing import BaseRoute

from millstream.server.settings import PROTOCOLS, Settings


def protocol_routes(settings: Settings) -> list[BaseRoute]:
    """The routes of every protocol that is switched on, each below its prefix."""
    routes: list[BaseRoute] = []
    for name in PROTOCOLS:
        where = getattr(settings, name)
        if where != "off":
            module = import_module(f"millstream.server.protocols.{name}")
            routes += module.routes("" if where == "on" else where, settings)
    return routes
