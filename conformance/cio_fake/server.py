"""The fake Customer.io: takes a request, gives the Track API's answer, remembers both.

No I/O and no clock: a host (`host_aiohttp`, `host_httpserver`) carries the requests and says what
time it is. A `FakeCustomerIO` is not safe across threads by itself; a host with threads holds a
lock around `handle`. The views copy before they look, so that reading them meanwhile is fine.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

from cio_fake import misanswers, routes
from cio_fake.effects import apply_call, apply_operation
from cio_fake.http_messages import (
    NotJSONError,
    Problem,
    Received,
    Request,
    Response,
    decode,
    encode,
)
from cio_fake.rules import Call, check_operation, read_call
from cio_fake.scenario import Scenario, Step
from cio_fake.scenario_reader import read_scenario
from cio_fake.shapes import Endpoint
from cio_fake.store import Store

_REGION_URLS = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}
_TOLD_TO_REJECT = Problem("invalid", "", "rejected, as told to")


class FakeCustomerIO:
    """A workspace of Customer.io behind its Track API, v1 and v2."""

    def __init__(
        self,
        site_id: str,
        api_key: str,
        *,
        region: str = "us",
        keep_requests: int | None = None,
        on_received: Callable[[Received], None] | None = None,
    ) -> None:
        """Start an empty workspace.

        Args:
            site_id: the user name of HTTP Basic authentication.
            api_key: its password.
            region: what the region endpoint answers, `us` or `eu`.
            keep_requests: how many of the latest requests `received` keeps; None keeps all.
            on_received: called with every request, after it was answered; what it raises, `handle`
                raises.

        Raises:
            ValueError: the region is neither.
        """
        if region not in _REGION_URLS:
            raise ValueError(f"region must be us or eu, not {region!r}")
        self.region = region
        self.on_received = on_received
        self.received: list[Received] = []
        """Every request to the API in order; those under `/_fake/` aren't among them."""
        self._keep_requests = keep_requests
        self.set_credentials(site_id, api_key)
        self.reset()

    def handle(self, request: Request, now: float) -> Response:
        """Answer a request, whatever bytes it is made of.

        Args:
            request: what came.
            now: the time of its receipt in Unix seconds.
        """
        document, malformed = _read(request.body)
        operations = _operations(request, document)
        response, accepted = misanswers.answer(
            self.scenario.next(operations, now),
            lambda rejected: self._answer(request, document, malformed, now, rejected),
            operations,
        )
        received = Received(request, response, now, operations)
        self._remember(received, accepted)
        return response

    # What it holds

    @property
    def people(self) -> list[dict[str, Any]]:
        """People in order of creation: `identifiers`, `attributes`, `segments`."""
        return [person.view() for person in self._store.people.all()]

    @property
    def events(self) -> list[dict[str, Any]]:
        """Events in order of receipt.

        Keys: `name`, `type`, `id`, `timestamp`, `data`, `anonymous_id`, `person` (the identifiers).
        """
        return [event.view() for event in self._store.events.all()]

    @property
    def devices(self) -> list[dict[str, Any]]:
        """Devices: `person` (the identifiers), `token`, `platform`, `last_used`, `attributes`."""
        return [
            {"person": person.identifiers(), **device.view()}
            for person in self._store.people.all()
            for device in list(person.devices.values())
        ]

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Objects: `identifiers`, `attributes`, `relationships`."""
        return [held.view() for held in self._store.objects.all()]

    @property
    def suppressed(self) -> list[dict[str, str]]:
        """Identifiers that are ignored, one an item: `{"id": …}`, `{"email": …}`, …."""
        return [{who.kind: who.value} for who in self._store.people.suppressed()]

    @property
    def deliveries(self) -> list[dict[str, Any]]:
        """Reported metrics: `delivery_id`, `metric`, `timestamp`, and what else came with them."""
        return [dict(delivery) for delivery in list(self._store.deliveries)]

    @property
    def stats(self) -> dict[str, Any]:
        """Counts since the last reset.

        `requests`; `by_status`; `operations` (accepted) and `rejected_operations`; `people`;
        `events`; `ignored_repeats`; `ignored` (accepted without effect, by reason).
        """
        return {
            **self._counts,
            "by_status": {str(status): n for status, n in sorted(self._statuses.items())},
            "people": len(self._store.people),
            "events": len(self._store.events),
            "ignored_repeats": self._store.ignored["repeat"],
            "ignored": dict(self._store.ignored),
        }

    # What a test does to it

    def reset(self) -> None:
        """Forget all people, events, requests and counts, and heal; the credentials stay."""
        self._store = Store()
        self.received = []
        self._statuses: Counter[int] = Counter()
        self._counts = {"requests": 0, "operations": 0, "rejected_operations": 0}
        self.heal()

    def set_credentials(self, site_id: str, api_key: str) -> None:
        """Take these credentials from now on, and no others."""
        token = b64encode(f"{site_id}:{api_key}".encode())
        self._authorization = f"basic {token.decode()}"

    def fail_next(
        self, status: int, count: int | None = None, retry_after: int | None = None
    ) -> None:
        """Answer the next API requests with a status, and apply none of them.

        Args:
            status: 200 to 599.
            count: how many requests; None until `heal` or `reset`; 0 heals.
            retry_after: the `Retry-After` of those answers, in seconds; None sends none.

        Raises:
            ValueError: the status or the count is out of range.
        """
        self.play(read_scenario({"status": status, "count": count, "retry_after": retry_after}))

    def play(self, steps: Iterable[Step]) -> None:
        """Do what the steps say to the next API requests, in place of the scenario so far."""
        self.scenario = Scenario(steps)

    def heal(self) -> None:
        """End the scenario."""
        self.play(())

    # Within

    def _answer(
        self,
        request: Request,
        document: Any,
        malformed: Problem | None,
        now: float,
        rejected: Collection[int],
    ) -> tuple[Response, int]:
        """The answer, and how many operations were accepted; never those at the places rejected."""
        route = routes.find(request.method, request.path)
        if isinstance(route, frozenset):
            if not route:
                return Response(404, _error("no such path")), 0
            allow = {"Allow": ", ".join(sorted(route))}
            return Response(405, _error("method not allowed"), allow), 0
        if route.endpoint.auth and not self._is_authorized(request):
            return Response(401, _error("Unauthorized request")), 0
        call = read_call(route, request, document, malformed)
        if isinstance(call, list):
            return _rejection(route.endpoint, call), 0
        return self._perform(call, now, rejected)

    def _perform(self, call: Call, now: float, rejected: Collection[int]) -> tuple[Response, int]:
        if call.endpoint.name == "batch":
            return self._perform_batch(call.body["batch"], now, rejected)
        if rejected:
            return _rejection(call.endpoint, [_TOLD_TO_REJECT]), 0
        if call.endpoint.name == "entity":
            problems = list(check_operation(call.body))
            if problems:
                return _rejection(call.endpoint, problems), 0
            apply_operation(self._store, call.body, now)
            return Response(200), 1
        apply_call(self._store, call, now)
        if call.endpoint.name == "region":
            url = _REGION_URLS[self.region]
            answer = {"url": url, "region": self.region, "environment_id": 1}
            return Response(200, encode(answer)), 0
        return Response(call.endpoint.success, b"" if call.endpoint.success == 204 else b"{}"), 1

    def _perform_batch(
        self, items: list[Any], now: float, rejected: Collection[int]
    ) -> tuple[Response, int]:
        errors: list[dict[str, Any]] = []
        accepted = 0
        for index, item in enumerate(items):
            problems = [_TOLD_TO_REJECT] if index in rejected else list(check_operation(item))
            if problems:
                errors += [{"batch_index": index, **problem.view()} for problem in problems]
            else:
                apply_operation(self._store, item, now)
                accepted += 1
        return Response(207, encode({"errors": errors})) if errors else Response(200), accepted

    def _is_authorized(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return f"{scheme.lower()} {token.strip()}" == self._authorization

    def _remember(self, received: Received, accepted: int) -> None:
        self._counts["requests"] += 1
        self._counts["operations"] += accepted
        self._counts["rejected_operations"] += len(received.operations) - accepted
        self._statuses[received.response.status] += 1
        self.received.append(received)
        if self._keep_requests is not None:
            del self.received[: -self._keep_requests or None]
        if self.on_received is not None:
            self.on_received(received)


def _read(body: bytes) -> tuple[Any, Problem | None]:
    try:
        return decode(body), None
    except NotJSONError as error:
        return None, Problem("malformed", "", f"the body is not JSON: {error}")


def _operations(request: Request, document: Any) -> list[dict[str, Any]]:
    if request.method == "GET":
        return []
    bodies = [document]
    if request.path == "/api/v2/batch" and isinstance(document, dict):
        items = document.get("batch")
        bodies = items if isinstance(items, list) else bodies
    return [{"method": request.method, "path": request.path, "body": body} for body in bodies]


def _error(message: str) -> bytes:
    return encode({"meta": {"error": message}})


def _rejection(endpoint: Endpoint, problems: list[Problem]) -> Response:
    if endpoint.errors == "fields":
        return Response(400, encode({"errors": [problem.view() for problem in problems]}))
    if endpoint.errors == "single":
        return Response(400, _error("; ".join(map(str, problems))))
    return Response(400, encode({"meta": {"errors": list(map(str, problems))}}))
