"""``cio-sidecar render``: events on standard input, their requests on standard output."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from cio_sidecar.intake import complete
from cio_sidecar.mapping.errors import Violation
from cio_sidecar.renderer import Refused, Renderer
from cio_sidecar.rpc.mapping_service import requests


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
        if isinstance(rendered, Refused):
            yield False, _error(rendered.violations)
            continue
        shown: dict[str, Any] = {
            "requests": [
                {
                    "method": request.method,
                    "path": request.path,
                    "body": orjson.Fragment(request.body or b"null"),
                }
                for request in requests(rendered, v1=v1)
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
