"""Every event, setting, route, command, option and error code is documented, and every documented one exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import typer
from starlette.routing import Route, WebSocketRoute

from millstream import errors, events
from millstream.cli.app import app
from millstream.errors import MODEL_ERROR_STATUS
from millstream.models import ReasoningEffort
from millstream.request import RunOptions, RunRequest
from millstream.server import page
from millstream.server.protocols import protocol_routes
from millstream.server.protocols.endpoint import Endpoint
from millstream.server.routes import conversations, documents, plain, runs, status, websocket
from millstream.server.settings import Settings
from millstream.snapshot import Snapshot

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


def test_every_field_of_a_snapshot_is_documented_and_every_documented_one_exists() -> None:
    rows = {names.replace("?", ""): told.replace("?", "") for names, told in table("events.md", "field").items()}
    structs = {name: struct["properties"] for name, struct in msgspec.json.schema(Snapshot)["$defs"].items()}
    fields = {name for names in rows for name in names.split(", ")}
    of_message = {f"message.{name}" for name in structs["Message"]}
    assert fields == structs["Snapshot"].keys() - {"message"} | of_message
    for name, kind in structs["Message"].items():
        if nested := re.search(r"\$defs/(\w+)", str(kind)):
            told = re.sub(r" \(.*?\)", "", rows[f"message.{name}"])
            event = re.fullmatch("the fields of `(.*)`", told)
            documented = event_rows()[event[1]] if event else set(re.split(", | and ", told))
            assert documented == set(structs[nested[1]]), name


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


def table(page: str, first: str) -> dict[str, str]:
    """The rows of the table whose first cell that is: their first cell → their last one."""
    rows = (DOCS / page).read_text().split(f"| {first} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return dict(re.fullmatch(r"\| (.*?) \|(?: (.*))? \|", row).groups("") for row in rows)  # type: ignore[union-attr]


def test_every_field_of_a_request_is_documented_and_every_documented_one_exists() -> None:
    rows = {field.strip("`"): told for field, told in table("http-api.md", "field of `POST /api/runs`").items()}
    assert set(rows) == set(RunRequest.__struct_fields__)
    options = set(re.findall(r"`([a-z_]+)`", rows["options"])) - {"false", *get_args(ReasoningEffort)}
    assert options == set(RunOptions.__struct_fields__)


def test_every_operation_of_the_websocket_is_documented_and_every_documented_one_exists() -> None:
    frames = [re.findall(r'"(\w+)"', frame) for frame in table("http-api.md", "frame")]
    existing = [kind for kind in vars(websocket).values() if hasattr(kind, "__struct_config__")]
    assert {(operation, *fields) for _, operation, *fields in frames} == {
        (kind.__struct_config__.tag, *kind.__struct_fields__) for kind in existing
    }


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


# Their status is not their error's: HTTP's own, or none, since they never come over HTTP.
OF_HTTP = {"method-not-allowed", "not-acceptable", "http-error", "configuration"}


def statuses() -> set[tuple[str, int]]:
    """Each code with the status of the error that has it, or that is raised with it."""
    kinds = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    failed = errors.RunError("")
    found = {(kind.code, kind.status) for kind in kinds.values()} | {(failed.code, failed.status)}
    for path in SOURCE.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                given = {each.arg: each.value.value for each in call.keywords if isinstance(each.value, ast.Constant)}
                code, name = str(given.get("code", "")), call.func.id
                if code and name in ("ModelError", "RunFailed"):
                    found.add((code, errors.status_of(code)))
                elif code and name in kinds:
                    found.add((code, given.get("status", kinds[name].status)))
    return {(code, status) for code, status in found if code not in OF_HTTP and "_" not in code}


def test_every_documented_status_of_a_refusal_and_of_a_failed_run_is_the_actual_one() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d{3})\b", (DOCS / "errors.md").read_text(), flags=re.MULTILINE)
    assert {(code, int(status)) for code, status in rows if code not in OF_HTTP} == statuses()
