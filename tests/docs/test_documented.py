"""Every event, setting, route, command, option and error code is documented, and every documented one exists."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from starlette.routing import Route, WebSocketRoute

from millstream import events
from millstream.cli.app import app
from millstream.errors import MODEL_ERROR_STATUS
from millstream.server import page
from millstream.server.protocols import protocol_routes
from millstream.server.protocols.endpoint import Endpoint
from millstream.server.routes import conversations, documents, plain, runs, status, websocket
from millstream.server.settings import Settings
from millstream.snapshot import Message

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "millstream"


def first_cells(name: str) -> set[str]:
    """What stands in code in the first column of the tables of a page."""
    rows = re.findall(r"^\| (`.+?) \|", (DOCS / name).read_text(), flags=re.MULTILINE)
    return {code for row in rows for code in re.findall(r"`([^`]+)`", row)}


def event_rows() -> dict[str, set[str]]:
    rows = re.findall(r"^\| `([a-z.]+)` \| (.*?) \|", (DOCS / "events.md").read_text(), flags=re.MULTILINE)
    plain = {kind: re.sub(r"`[^`]*`| or|: \d", "", fields) for kind, fields in rows}
    return {kind: {name.strip(" ?:") for name in fields.split(",")} - {"", "–"} for kind, fields in plain.items()}


KINDS = {kind.__struct_config__.tag: kind for kind in events.AnyEvent.__args__}


def test_every_event_type_is_documented_and_every_documented_one_exists() -> None:
    assert set(event_rows()) == set(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_field_of_an_event_is_documented(kind: str) -> None:
    assert event_rows()[kind] == set(KINDS[kind].__struct_fields__) - {"seq", "at"}


def test_every_field_of_a_snapshot_message_is_documented() -> None:
    documented = re.findall(r"^\| message\.([a-z]+)", (DOCS / "events.md").read_text(), flags=re.MULTILINE)
    assert set(documented) == set(Message.__struct_fields__)


def test_every_setting_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| `MILLSTREAM_([A-Z_]+)` \|(.*?)\|", (DOCS / "settings.md").read_text(), flags=re.MULTILINE)
    documented = {name.lower(): default.strip("` ") for name, default in rows}
    actual = {}
    for name, field in Settings.model_fields.items():
        default = field.default
        actual[name] = (
            ""
            if default is None
            else f"{default:g}"
            if isinstance(default, float)
            else ",".join(default)
            if isinstance(default, tuple)
            else str(default)
        )
    assert documented == actual


def test_every_route_is_documented_and_every_documented_one_exists() -> None:
    routes = [*runs.routes, *conversations.routes, *documents.routes, *status.routes]
    routes += [*websocket.routes, *plain.routes, *page.routes]
    existing = {("GET", "/health")}
    for route in routes:
        if isinstance(route, WebSocketRoute):
            existing.add(("GET", route.path))
        elif isinstance(route, Route):
            existing |= {
                (method, route.path.replace(":path", "")) for method in route.methods or () if method != "HEAD"
            }
    for route in protocol_routes(Settings())[0]:
        if isinstance(route.endpoint, Endpoint):  # else there is nothing
            existing |= {(method, route.path.replace(":path", "")) for method in route.endpoint.handlers}
    text = "".join(path.read_text() for path in [DOCS / "http-api.md", *(DOCS / "clients").glob("*.md")])
    documented = set(re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[a-z0-9_/{}-]*)(?:\?[^`]*)?`", text))
    assert documented == existing


def commands_of(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def test_every_command_and_option_is_documented_and_every_documented_one_exists() -> None:
    text = (DOCS / "commands.md").read_text()
    group = typer.main.get_command(app)
    existing = {
        name: {max(option.opts, key=len) for option in command.params if option.param_type_name == "option"}
        | {option.secondary_opts[0] for option in command.params if option.secondary_opts}
        for name, command in [("", group), *commands_of(group)]
    }
    existing["ask"].discard("--stream")  # the default: only its opposite is of interest
    sections = re.findall(r"^###? millstream([\w ]*)\n\n`millstream\1 (.*)`$", text, flags=re.MULTILINE)
    documented = {name.strip(): set(re.findall(r"--[a-z-]+", usage)) for name, usage in sections}
    assert documented == existing


def test_every_error_code_is_documented_and_every_documented_one_exists() -> None:
    source = "\n".join(path.read_text() for path in SOURCE.rglob("*.py") if "testing" not in path.parts)
    existing = set(re.findall(r"""\bcode(?:: str)? ?= ?"([a-z-]+)\"""", source))
    existing |= set(re.findall(r"""return "([a-z-]+-not-allowed)", \(""", source))
    existing |= set(MODEL_ERROR_STATUS) | {"method-not-allowed", "http-error"}
    assert (
        first_cells("errors.md") - {name for name in first_cells("errors.md") if not re.fullmatch("[a-z-]+", name)}
        == existing
    )


def test_every_documented_status_of_a_failed_run_is_the_actual_one() -> None:
    rows = re.findall(r"^\| `(model-[a-z-]+)` \| (\d+) \|", (DOCS / "errors.md").read_text(), flags=re.MULTILINE)
    assert {code: int(status) for code, status in rows} == MODEL_ERROR_STATUS
