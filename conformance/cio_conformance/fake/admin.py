"""What the fake holds and does, over HTTP under `/_fake/`, without credentials.

GET people, events, devices, objects, deliveries, suppressed, requests, stats. POST reset, scenario
(one step, or `{"steps": […]}`: see `scenario_form`), credentials (`{"site_id", "api_key"}`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cio_conformance.fake.checks import check
from cio_conformance.fake.messages import Request, Response, decode, encode
from cio_conformance.fake.scenario_form import read_scenario
from cio_conformance.fake.shapes import Shape

if TYPE_CHECKING:
    from cio_conformance.fake.server import FakeCustomerIO

_PREFIX = "/_fake/"

_CREDENTIALS = Shape(
    type="object",
    fields={
        "site_id": Shape(type="identifier", required=True),
        "api_key": Shape(type="identifier", required=True),
    },
)


def is_admin(path: str) -> bool:
    """Whether a path belongs to the fake itself and not to the API."""
    return path.startswith(_PREFIX)


def handle(fake: FakeCustomerIO, request: Request) -> Response:
    """Answer a request to `/_fake/…`: 200, or 400, 404, 405 with what is wrong."""
    name = request.path.removeprefix(_PREFIX)
    if name in _VIEWS:
        if request.method != "GET":
            return _trouble(405, "use GET", headers={"Allow": "GET"})
        return Response(200, encode(_VIEWS[name](fake)))
    if name in _ACTIONS:
        if request.method != "POST":
            return _trouble(405, "use POST", headers={"Allow": "POST"})
        shape, act = _ACTIONS[name]
        return _act(fake, request, shape, act)
    return _trouble(404, "no such path")


def _act(
    fake: FakeCustomerIO,
    request: Request,
    shape: Shape,
    act: Callable[[FakeCustomerIO, dict[str, Any]], None],
) -> Response:
    try:
        body = decode(request.body or b"{}")
        if problems := list(check(body, shape)):
            return _trouble(400, *map(str, problems))
        act(fake, body)
    except ValueError as error:
        return _trouble(400, *str(error).splitlines())
    return Response(200)


def _trouble(status: int, *errors: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, encode({"meta": {"errors": errors}}), headers or {})


_VIEWS: Mapping[str, Callable[[FakeCustomerIO], Any]] = {
    "people": lambda fake: {"people": fake.people},
    "events": lambda fake: {"events": fake.events},
    "devices": lambda fake: {"devices": fake.devices},
    "objects": lambda fake: {"objects": fake.objects},
    "deliveries": lambda fake: {"deliveries": fake.deliveries},
    "suppressed": lambda fake: {"suppressed": fake.suppressed},
    "requests": lambda fake: {"requests": [received.view() for received in list(fake.received)]},
    "stats": lambda fake: fake.stats,
}

_ACTIONS: Mapping[str, tuple[Shape, Callable[[FakeCustomerIO, dict[str, Any]], None]]] = {
    "reset": (Shape(type="any"), lambda fake, _: fake.reset()),
    "scenario": (Shape(type="any"), lambda fake, body: fake.play(read_scenario(body))),
    "credentials": (_CREDENTIALS, lambda fake, body: fake.set_credentials(**body)),
}
