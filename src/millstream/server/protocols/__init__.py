"""Other people's protocols: each module has its routes, how requests are read, and how errors look there.

All below the paths that it `OWNS` is the protocol's: what is not there is refused in its shape too.
What happens to the events is the business of the protocol's encoder in `millstream.wire`.
"""

from importlib import import_module

from starlette.routing import Route

from millstream.errors import ConfigurationError
from millstream.server.protocols.endpoint import Refuse, nothing_else
from millstream.server.settings import PROTOCOLS, Settings


def protocol_routes(settings: Settings) -> tuple[list[Route], list[tuple[str, Refuse]]]:
    """The routes of every protocol that is switched on, each below its prefix, and how to refuse at and below which
    paths, the innermost first. Raises ConfigurationError.
    """
    routes: list[Route] = []
    taken: dict[str, str] = {}
    owned: dict[str, Refuse] = {}
    for name in PROTOCOLS:
        where = getattr(settings, name)
        if where != "off":
            module = import_module(f"millstream.server.protocols.{name}")
            prefix = "" if where == "on" else where
            owned |= {prefix + base: module.refuse for base in module.OWNS}
            for route in module.routes(prefix, settings):
                if (other := taken.setdefault(route.path, name)) != name:
                    raise ConfigurationError(
                        f"{route.path} would be served by two protocols: move one of MILLSTREAM_{other.upper()} and "
                        f"MILLSTREAM_{name.upper()} to another prefix."
                    )
                routes.append(route)
    innermost_first = sorted(owned.items(), key=lambda item: len(item[0]), reverse=True)
    rest = [nothing for base, refuse in innermost_first for nothing in nothing_else(base, refuse, routes)]
    return routes + rest, innermost_first
