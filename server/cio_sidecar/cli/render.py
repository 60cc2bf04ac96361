"""``cio-sidecar render``: events on standard input, their requests on standard output."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import orjson
from ulid import ULID

from cio_sidecar.cli.options import EXIT_REJECTED, EXIT_USAGE, fail, require_input
from cio_sidecar.cli.settings import MAPPING_FLAGS, settings_from, settings_options, tables_from
from cio_sidecar.customerio.requests import requests
from cio_sidecar.intake import complete, iso_time
from cio_sidecar.mapping.errors import Violation
from cio_sidecar.mapping.running.transforms import NoValue, unix_seconds
from cio_sidecar.renderer import Rejected, Renderer


@click.command()
@click.option("--api", default="v2", show_default=True, type=click.Choice(["v1", "v2"]))
@click.option("--explain", is_flag=True, help="Show which row set each output key.")
@click.option("--now", help="Time of receipt: ISO 8601 or Unix seconds.  [default: now]")
@settings_options(MAPPING_FLAGS)
def render(api: str, explain: bool, now: str | None, config: Path | None, **flags: Any) -> None:
    """Print the requests that events become: NDJSON in on standard input, one JSON line per event.

    Nothing is stored or sent. Exits 1 if any event is rejected.
    """
    renderer = Renderer(tables_from(settings_from(config, flags)))
    received_at = _moment(now)
    require_input()
    all_good = True
    output = sys.stdout.buffer
    for good, line in render_lines(
        sys.stdin.buffer,
        renderer,
        v1=api == "v1",
        explain=explain,
        received_at=iso_time(received_at),
        new_message_id=lambda: str(ULID()),
    ):
        all_good = all_good and good
        output.write(line + b"\n")
        output.flush()
    if not all_good:
        sys.exit(EXIT_REJECTED)


def _moment(now: str | None) -> float:
    if now is None:
        return time.time()
    seconds = unix_seconds(now)
    if isinstance(seconds, NoValue):
        fail(f"--now: expected an ISO 8601 date-time or Unix seconds, got {now!r}", EXIT_USAGE)
    return float(seconds)


def render_lines(
    lines: Iterable[bytes],
    renderer: Renderer,
    *,
    v1: bool,
    explain: bool = False,
    received_at: str,
    new_message_id: Callable[[], str],
) -> Iterator[tuple[bool, bytes]]:
    """For each NDJSON line: whether its event can be delivered, and the JSON line to print.

    ``received_at`` is the ISO 8601 time that stands for the time of receipt. Blank lines are left
    out.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            what = f"line {number} is not JSON: {error.msg}"
            yield False, _error([Violation("", "INVALID_JSON", what)])
            continue
        if isinstance(event, dict):
            complete(event, received_at, new_message_id)
        rendered = renderer.render(event)
        if isinstance(rendered, Rejected):
            yield False, _error(rendered.violations)
            continue
        shown: dict[str, Any] = {
            "requests": [
                {
                    "method": request.method,
                    "path": request.path,
                    "body": orjson.Fragment(request.body or b"null"),
                }
                for request in requests(rendered.operations, v1=v1)
            ],
            "warnings": [warning._asdict() for warning in rendered.warnings],
        }
        if explain:
            shown["explanations"] = [
                {
                    "operation": each.operation,
                    "key": each.key,
                    "row": each.row.name,
                    "origin": each.row.origin,
                    "field": each.field,
                }
                for each in renderer.explain(event)
            ]
        yield True, orjson.dumps(shown)


def _error(violations: Iterable[Violation]) -> bytes:
    return orjson.dumps(
        {"error": {"violations": [violation._asdict() for violation in violations]}}
    )
