"""Ships events: makes their requests, sends them, and tells what came of each event."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cio_sidecar.customerio import track_v1, track_v2
from cio_sidecar.customerio.limits import REQUESTS_PER_SECOND
from cio_sidecar.customerio.outcome import (
    Answer,
    Outcome,
    classify,
    reason,
    refusals,
    retry_after_seconds,
)
from cio_sidecar.customerio.request import Request
from cio_sidecar.delivery.policy import Pacer, Shipment
from cio_sidecar.delivery.queue.entry import Leased
from cio_sidecar.delivery.sender import Unreachable


class Sends(Protocol):
    """What shipping needs of a sender."""

    async def send(self, request: Request) -> Answer:
        """Send a request and read its answer. Raises Unreachable."""

    async def region(self) -> Answer:
        """Ask which region the credentials belong to. Raises Unreachable."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one event."""

    outcome: Outcome
    """DELIVERED, RETRY, REFUSED or PAUSE."""
    why: str = ""
    status: int = 0
    """Of the HTTP answer; 0 for none."""
    request: Request | None = None
    response: bytes = b""
    wait_seconds: float | None = None
    """How long the server asked to wait (``Retry-After``)."""


DELIVERED: Final = Result(Outcome.DELIVERED)


class Shipper:
    """Sends shipments at the pace that Customer.io allows."""

    def __init__(
        self, sender: Sends, *, clock: Callable[[], float], wall_clock: Callable[[], float]
    ) -> None:
        """``clock`` is monotonic, ``wall_clock`` Unix time, both in seconds."""
        self.answers: dict[int, int] = {}
        """How many answers came, by HTTP status; 0 is no answer."""
        self._sender = sender
        self._clock = clock
        self._wall_clock = wall_clock
        self._pacer = Pacer(REQUESTS_PER_SECOND)

    async def ship(self, shipment: Shipment) -> list[Result]:
        """Send the events of a shipment; a result for each, in order."""
        if shipment.by_v1:
            return await self._by_v1(shipment.events)
        return await self._by_batch(shipment.events)

    async def probe(self) -> Result:
        """Ask whether the credentials are good: DELIVERED, RETRY (no answer) or PAUSE."""
        try:
            answer = await self._sender.region()
        except Unreachable as error:
            return Result(Outcome.RETRY, str(error))
        self._count(answer.status)
        if classify(answer.status) is Outcome.PAUSE:
            return Result(Outcome.PAUSE, refused_credentials(answer.status), answer.status)
        return DELIVERED

    async def _by_v1(self, events: Sequence[Leased]) -> list[Result]:
        """Send each operation of a single event as a request of its own, in order."""
        (event,) = events
        for operation in event.operations:
            request = track_v1.request(operation)
            result = await self._request(request)
            if result.outcome is Outcome.PARTIAL:
                result = _retry_later(Answer(result.status))
            if result.outcome is not Outcome.DELIVERED:
                return [result]
        return [DELIVERED]

    async def _by_batch(self, events: Sequence[Leased]) -> list[Result]:
        """Send events as one batch; if the whole of it is refused, its halves, one after the other,
        so that a bad event takes no good one along.
        """
        operations = [operation for event in events for operation in event.operations]
        request = track_v2.batch(operations)
        result = await self._request(request)
        if result.outcome is Outcome.PARTIAL:
            return self._partly(events, request, Answer(result.status, result.response))
        if result.outcome is not Outcome.REFUSED or len(events) == 1:
            return [result] * len(events)
        middle = len(events) // 2
        first = await self._by_batch(events[:middle])
        if first[-1].outcome in (Outcome.RETRY, Outcome.PAUSE):
            # The rest waits with it: its first event may be of the same person as the last here.
            return first + [first[-1]] * (len(events) - middle)
        return first + await self._by_batch(events[middle:])

    def _partly(self, events: Sequence[Leased], request: Request, answer: Answer) -> list[Result]:
        """The results of the events of a batch that was answered with 207."""
        count = sum(len(event.operations) for event in events)
        reasons = refusals(answer, count)
        if reasons is None:
            return [_retry_later(answer)] * len(events)
        results: list[Result] = []
        index = 0
        for event in events:
            mine = range(index, index + len(event.operations))
            index = mine.stop
            refused = next((place for place in mine if place in reasons), None)
            if refused is None:
                results.append(DELIVERED)
                continue
            item = track_v2.single(event.operations[refused - mine.start])
            results.append(
                Result(
                    Outcome.REFUSED,
                    f"HTTP {answer.status}: {reasons[refused]}"[:1000],
                    answer.status,
                    Request(request.method, request.path, item.body),
                    answer.body,
                )
            )
        return results

    async def _request(self, request: Request) -> Result:
        """Send a request when the pace allows; what came of it as a whole."""
        wait = self._pacer.reserve(self._clock())
        if wait:
            await asyncio.sleep(wait)
        try:
            answer = await self._sender.send(request)
        except Unreachable as error:
            self._count(0)
            return Result(Outcome.RETRY, str(error))
        self._count(answer.status)
        outcome = classify(answer.status)
        if outcome is Outcome.DELIVERED:
            return DELIVERED
        if outcome is Outcome.RETRY:
            wait_seconds = retry_after_seconds(answer, self._wall_clock())
            # The server's own words stay out of it: this goes to the log.
            why = f"Customer.io answered HTTP {answer.status}"
            return Result(Outcome.RETRY, why, answer.status, wait_seconds=wait_seconds)
        why = reason(answer)
        if outcome is Outcome.PAUSE:
            why = refused_credentials(answer.status)
        return Result(outcome, why, answer.status, request, answer.body)

    def _count(self, status: int) -> None:
        self.answers[status] = self.answers.get(status, 0) + 1


def refused_credentials(status: int) -> str:
    """Why delivery is paused, and what to do."""
    return (
        f"Customer.io refused the credentials (HTTP {status}): check CIO_SITE_ID, CIO_API_KEY and "
        "CIO_REGION"
    )


def _retry_later(answer: Answer) -> Result:
    return Result(
        Outcome.RETRY, f"HTTP {answer.status} without a usable list of errors", answer.status
    )
