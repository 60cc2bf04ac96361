"""What the fake holds and does, over HTTP under `/_fake/`, without credentials.

GET people, events, devices, objects, deliveries, suppressed, requests, stats. POST reset, scenario
(one step, or `{"steps": […]}`: see `scenario_reader`), credentials (`{"site_id", "api_key"}`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cio_fake.checks import check
from cio_fake.http_messages import Request, Response, decode, encode
from cio_fake.scenario_reader import read_scenario
from cio_fake.server import FakeCustomerIO
from cio_fake.shapes import Shape

_PREFIX = "/_fake/"

_CREDENTIALS = Shape(
    type="object",
    fields={
        "site_id": Shape(type="identifier", required=True),
        "api_key": Shape(type="identifier", required=True),
    },
)


def respond(fake: FakeCustomerIO, request: Request, now: float) -> Response:
    """Answer any request: what is under `/_fake/` here, all else by the fake's rules.

    Args:
        fake: The fake that is served.
        request: The request, as it came.
        now: The time of its receipt in Unix seconds.
    """
    if not request.path.startswith(_PREFIX):
        return fake.handle(request, now)
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
