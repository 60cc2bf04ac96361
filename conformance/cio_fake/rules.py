"""Whether a request is one that the Track API takes: pure checks, no state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from cio_fake.checks import check, check_size
from cio_fake.http_messages import Problem, Request
from cio_fake.records import Identifier
from cio_fake.routes import Route, unquote
from cio_fake.shapes import Endpoint, load


@dataclass(frozen=True, slots=True)
class Call:
    """A request that passed all checks; for `entity` and `batch` the items have theirs apart."""

    endpoint: Endpoint
    segments: dict[str, str]
    """The path's variable segments, decoded."""
    id_type: str
    """What the ids of a segment's call are: `id`, `email` or `cio_id`."""
    body: Any

    @property
    def person(self) -> Identifier:
        """The person in the path."""
        return Identifier.of_segment(self.segments["identifier"])


def read_call(
    route: Route, request: Request, document: Any, malformed: Problem | None
) -> Call | list[Problem]:
    """Check a request as a whole and give it as a call, or else all that is wrong.

    `document` is the decoded body; `malformed` says why there is none.
    """
    endpoint = route.endpoint
    segments, problems = _read_segments(route)
    id_type, trouble = _read_id_type(route, request.query)
    problems += trouble
    if endpoint.name == "batch":
        problems += check_size(request.body, load().limits["batch"], "")
    if endpoint.body is not None:
        if malformed is not None:
            problems.append(malformed)
        elif not isinstance(document, dict):
            problems.append(Problem("malformed", "", "the body must be a JSON object"))
        else:
            problems += check(document, endpoint.body)
    return problems or Call(endpoint, segments, id_type, document)


def check_operation(item: Any) -> Iterator[Problem]:
    """Yield what is wrong with a v2 operation: its type and action, its keys, its size."""
    if not isinstance(item, dict):
        yield Problem("malformed", "", "an operation must be an object")
        return
    operations = load().operations
    kind, action = item.get("type"), item.get("action")
    if not (isinstance(kind, str) and kind in operations):
        yield _choice("type", kind, operations)
    elif not (isinstance(action, str) and action in operations[kind]):
        yield _choice("action", action, operations[kind])
    else:
        yield from check(item, operations[kind][action])


def _choice(field: str, value: Any, among: Any) -> Problem:
    reason = "required" if value is None else "invalid"
    return Problem(reason, field, f"must be one of {', '.join(among)}")


def _read_segments(route: Route) -> tuple[dict[str, str], list[Problem]]:
    segments: dict[str, str] = {}
    problems: list[Problem] = []
    for name, raw in route.segments.items():
        try:
            segment = segments[name] = unquote(raw)
        except UnicodeDecodeError:
            problems.append(Problem("invalid", name, "must be percent-encoded UTF-8"))
            continue
        # A person in a path obeys the same rules as one in v2's `identifiers`.
        value = dict([Identifier.of_segment(segment)]) if name == "identifier" else segment
        problems += check(value, load().parameters[name], name)
    return segments, problems


def _read_id_type(route: Route, query: str) -> tuple[str, list[Problem]]:
    id_type = "id"
    if "segment_id" in route.segments:
        id_type = parse_qs(query, keep_blank_values=True).get("id_type", ["id"])[0]
    if id_type in ("id", "email", "cio_id"):
        return id_type, []
    return "id", [Problem("invalid", "id_type", "must be one of id, email, cio_id")]
