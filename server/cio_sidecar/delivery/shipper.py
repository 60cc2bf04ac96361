"""Ships events: makes their requests, sends them, and tells what came of each event."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from cio_sidecar.customerio import requests
from cio_sidecar.customerio.answers import (
    Answer,
    Outcome,
    classify,
    is_page,
    parts,
    reason,
    rejections,
    retry_after_seconds,
)
from cio_sidecar.customerio.http_request import Request
from cio_sidecar.customerio.requests import REGION_PATH
from cio_sidecar.delivery.http_client import Unreachable
from cio_sidecar.delivery.lane import Shipment
from cio_sidecar.delivery.rate_control import Pacer
from cio_sidecar.delivery.result import DELIVERED, Result, Returned
from cio_sidecar.event_queue.model import Leased


class Sends(Protocol):
    """What shipping needs of a sender."""

    async def send(self, request: Request) -> Answer:
        """Send a request and read its answer. Raises Unreachable."""

    async def region(self) -> Answer:
        """Ask which region the credentials belong to. Raises Unreachable."""


class Shipper:
    """Sends shipments at the pace that Customer.io allows."""

    def __init__(
        self,
        sender: Sends,
        *,
        per_second: float,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        """``per_second``: the ceiling of requests a second. ``clock`` is monotonic, ``wall_clock``
        Unix time, both in seconds.
        """
        self.answers: dict[int, int] = {}
        """How many answers came, by HTTP status; 0 is no answer."""
        self._sender = sender
        self._clock = clock
        self._wall_clock = wall_clock
        self._pacer = Pacer(per_second)

    async def ship(self, shipment: Shipment) -> Returned:
        """Send the events of a shipment, and say what came of each."""
        if shipment.by_v1:
            return await self._by_v1(shipment.events[0])
        return await self._by_batch(shipment.events)

    async def probe(self) -> Result:
        """Ask which region the credentials belong to, and say what came of it."""
        try:
            answer = await self._sender.region()
        except Unreachable as error:
            return Result(Outcome.RETRY, str(error))
        return self._result(Request("GET", REGION_PATH, b""), answer)

    async def _by_v1(self, event: Leased) -> Returned:
        """Send each operation of a single event as a request of its own, in order, from the first
        that is not delivered yet."""
        seconds = 0.0
        for operation in event.operations[event.done :]:
            result, seconds = await self._request(requests.v1_request(operation))
            if result.outcome is Outcome.PARTIAL:
                result = _unusable(result)
            if result.outcome is not Outcome.DELIVERED:
                return Returned([result], whole=True, seconds=seconds)
            event.done += 1
        return Returned([DELIVERED], whole=True, seconds=seconds)

    async def _by_batch(self, events: Sequence[Leased]) -> Returned:
        operations = [operation for event in events for operation in event.operations]
        request = requests.v2_batch(operations)
        result, seconds = await self._request(request)
        if result.outcome is not Outcome.PARTIAL:
            return Returned([result] * len(events), whole=True, seconds=seconds)
        answer = Answer(result.status, result.response)
        reasons = rejections(answer, len(operations))
        if reasons is not None:
            return Returned(_partly(events, request, answer, reasons), seconds=seconds)
        # Smaller batches will tell whom it means, down to a single event.
        unusable = _unusable(result, Outcome.RETRY if len(events) == 1 else Outcome.REJECTED)
        return Returned([unusable] * len(events), whole=True, seconds=seconds)

    async def _request(self, request: Request) -> tuple[Result, float]:
        """Send a request when the pace allows; what came of it as a whole, after how many
        seconds."""
        wait = self._pacer.reserve(self._clock())
        if wait:
            await asyncio.sleep(wait)
        start = self._clock()
        try:
            answer = await self._sender.send(request)
        except Unreachable as error:
            self._count(0)
            return Result(Outcome.RETRY, str(error)), self._clock() - start
        return self._result(request, answer), self._clock() - start

    def _result(self, request: Request, answer: Answer) -> Result:
        self._count(answer.status)
        outcome = classify(answer)
        if outcome is Outcome.DELIVERED:
            return DELIVERED
        if outcome in (Outcome.REJECTED, Outcome.PARTIAL, Outcome.NOT_FOUND):
            return Result(outcome, reason(answer), answer.status, request, answer.body)
        # The server's own words stay out of it: this goes to the log.
        wait_seconds = retry_after_seconds(answer, self._wall_clock())
        return Result(outcome, why_not(outcome, answer), answer.status, wait_seconds=wait_seconds)

    def _count(self, status: int) -> None:
        self.answers[status] = self.answers.get(status, 0) + 1


def why_not(outcome: Outcome, answer: Answer) -> str:
    """What came in place of a good answer, and what to do."""
    if outcome is Outcome.UNAUTHORIZED:
        return (
            f"Customer.io rejected the credentials (HTTP {answer.status}): check CIO_SITE_ID, "
            "CIO_API_KEY and CIO_REGION"
        )
    if answer.status == 407:
        return (
            "the proxy rejected its credentials, or has none (HTTP 407): check HTTPS_PROXY or "
            "HTTP_PROXY, which take them as http://user:password@host:port"
        )
    if is_page(answer):
        return (
            f"a web page came (HTTP {answer.status}) in place of Customer.io's answer: check "
            "CIO_BASE_URL, and any proxy in between"
        )
    if outcome is Outcome.MISDIRECTED:
        host = f" to {answer.location_host}" if answer.location_host else ""
        return (
            f"a redirect came (HTTP {answer.status}{host}) in place of Customer.io's answer: check "
            "CIO_BASE_URL, CIO_REGION, and any proxy in between"
        )
    if outcome is Outcome.NOT_FOUND:
        return (
            f"HTTP {answer.status} came in place of Customer.io's answer: check CIO_BASE_URL, "
            "CIO_REGION, and any proxy in between"
        )
    return f"Customer.io answered HTTP {answer.status}"


def _partly(
    events: Sequence[Leased], request: Request, answer: Answer, reasons: Mapping[int, str]
) -> list[Result]:
    """The results of the events of a batch of which some operations were rejected (207)."""
    results: list[Result] = []
    # What it says of others is theirs: it may name them, and nothing of them is masked here.
    answers = parts(answer, sum(len(event.operations) for event in events))
    index = 0
    for event in events:
        mine = range(index, index + len(event.operations))
        index = mine.stop
        rejected = next((place for place in mine if place in reasons), None)
        if rejected is None:
            results.append(DELIVERED)
            continue
        item = requests.v2_item(event.operations[rejected - mine.start])
        results.append(
            Result(
                Outcome.REJECTED,
                f"HTTP {answer.status}: {reasons[rejected]}"[:1000],
                answer.status,
                Request(request.method, request.path, item.body),
                answers[rejected],
            )
        )
    return results


def _unusable(result: Result, outcome: Outcome = Outcome.RETRY) -> Result:
    return Result(outcome, f"HTTP {result.status} without a usable list of errors", result.status)
