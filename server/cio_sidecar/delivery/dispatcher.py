"""Takes events out of the queue, ships them, and settles them by what comes of it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from cio_sidecar.customerio import track_v1, track_v2
from cio_sidecar.customerio.limits import BATCH_BYTES, REQUESTS_PER_SECOND
from cio_sidecar.customerio.outcome import (
    Answer,
    Outcome,
    classify,
    reason,
    refusals,
    retry_after_seconds,
)
from cio_sidecar.customerio.request import Request
from cio_sidecar.delivery.policy import Lanes, Pacer, Shipment, backoff_seconds
from cio_sidecar.delivery.queue.entry import Burial, Leased, QueueError
from cio_sidecar.delivery.queue.sqlite import SqliteQueue
from cio_sidecar.delivery.sender import Unreachable

WINDOW_EVENTS: Final = 10_000
"""How many leased events are held in memory at the most."""
_KEPT_BYTES: Final = 64 * 1024
"""How much of a request and of an answer a dead letter keeps."""
_RETRY_AFTER_CAP_SECONDS: Final = 3600.0
_SETTLE_AGAIN_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class Sends(Protocol):
    """What the dispatcher needs of a sender."""

    async def send(self, request: Request) -> Answer:
        """Send a request and read its answer. Raises Unreachable."""

    async def region(self) -> Answer:
        """Ask which region the credentials belong to. Raises Unreachable."""


@dataclass(slots=True)
class Counters:
    """What happened since the start. ``answers`` counts by HTTP status; 0 is no answer."""

    delivered: int = 0
    retried: int = 0
    dead_letters: int = 0
    answers: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Result:
    """What came of one event."""

    outcome: Outcome
    why: str = ""
    status: int = 0
    request: Request | None = None
    response: bytes = b""
    wait_seconds: float | None = None


_DELIVERED: Final = _Result(Outcome.DELIVERED)


class Dispatcher:
    """Delivers what the queue holds, until it is stopped."""

    def __init__(
        self,
        queue: SqliteQueue,
        sender: Sends,
        *,
        v1: bool,
        concurrency: int,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        """``v1``: send everything by Track API v1. ``concurrency``: requests in flight at the most.

        ``clock`` is monotonic, ``wall_clock`` Unix time, both in seconds; ``random`` is uniform in
        [0, 1).
        """
        self.counters = Counters()
        self.paused_because: str | None = None
        """Why delivery is paused: the credentials were refused. None while it is not."""
        self._queue = queue
        self._sender = sender
        self._concurrency = concurrency
        self._clock = clock
        self._wall_clock = wall_clock
        self._random = random
        self._lanes = Lanes(v1=v1, batch_bytes=BATCH_BYTES)
        self._pacer = Pacer(REQUESTS_PER_SECOND)
        self._more = True
        self._hold_until = 0.0
        self._pauses = 0
        self._trouble: str | None = None
        self._stopping = False
        self._wake = asyncio.Event()
        self._shipping: set[asyncio.Task[None]] = set()
        queue.on_committed = self._on_committed

    async def run(self) -> None:
        """Deliver until stop() is called and what is in flight has come back.

        Cancelled, it gives up what is in flight: that stays in the queue.
        """
        try:
            while not self._stopping:
                self._wake.clear()
                await self._lease()
                self._start_shipments()
                await self._sleep()
            if self._shipping:
                await asyncio.wait(self._shipping)
        finally:
            for task in self._shipping:
                task.cancel()

    def stop(self) -> None:
        """Start nothing more. Events that are not settled stay in the queue."""
        self._stopping = True
        self._wake.set()

    def pause(self, why: str) -> None:
        """Hold everything back, and try from time to time whether the credentials are good: with
        a single event, or, where none waits, by asking for their region. Without the latter a
        sidecar that is not ready, and so gets no events, would never be ready again.
        """
        if self.paused_because is None:
            log.error("delivery is PAUSED, events are kept: %s", why)
        self.paused_because = why
        if self._clock() < self._hold_until:
            return
        self._pauses += 1
        self._hold(max(1.0, backoff_seconds(self._pauses + 3, self._random())))
        self._wake.set()

    def _on_committed(self) -> None:
        self._more = True
        self._wake.set()

    async def _lease(self) -> None:
        room = WINDOW_EVENTS - self._lanes.size
        if not self._more or room < WINDOW_EVENTS // 4:
            return
        self._more = False
        try:
            events = await self._queue.lease(room)
        except QueueError as error:
            self._say_trouble(f"the queue can't be read: {error}")
            self._more = True
            self._hold(5.0)
            return
        self._more = self._more or len(events) == room
        self._lanes.add(events)

    def _start_shipments(self) -> None:
        now = self._clock()
        if now < self._hold_until:
            return
        probing = self.paused_because is not None
        while len(self._shipping) < (1 if probing else self._concurrency):
            shipment = self._lanes.take(now, most=1 if probing else None)
            if shipment is None and not probing:
                return
            task = asyncio.create_task(self._ship(shipment) if shipment else self._probe())
            self._shipping.add(task)
            task.add_done_callback(self._shipped)

    def _shipped(self, task: asyncio.Task[None]) -> None:
        self._shipping.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()):
            # Its events stay leased and on disk: the next start delivers them.
            self._say_unforeseen(error)

    async def _sleep(self) -> None:
        """Wait for news, or until the next lane is ready or the hold is over."""
        now = self._clock()
        next_time = self._hold_until if self._hold_until > now else self._lanes.next_time()
        # A shipment that comes back wakes this up: where one must, there is no use in a time.
        slots = 1 if self.paused_because else self._concurrency
        if len(self._shipping) >= slots:
            next_time = None
        try:
            async with asyncio.timeout(None if next_time is None else max(next_time - now, 0.001)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _ship(self, shipment: Shipment) -> None:
        events = shipment.events
        for event in events:
            event.attempts += 1
        send = self._by_v1 if shipment.by_v1 else self._by_batch
        try:
            results = await send(events)
        except Exception as error:
            # A mistake of ours must not hold a person's events back until a restart.
            self._say_unforeseen(error)
            results = [_Result(Outcome.RETRY, "a mistake within the sidecar")] * len(events)
        now = self._clock()
        again = [
            (event, result)
            for event, result in zip(events, results, strict=True)
            if result.outcome in (Outcome.RETRY, Outcome.PAUSE)
        ]
        if again:
            self._again(again, now)
        elif self._trouble or self.paused_because:
            self._say_well()
        settled = [
            (event, result)
            for event, result in zip(events, results, strict=True)
            if result.outcome in (Outcome.DELIVERED, Outcome.REFUSED)
        ]
        self._lanes.done(event for event, _ in settled)
        await self._settle(settled)

    async def _probe(self) -> None:
        try:
            answer = await self._sender.region()
        except Unreachable as error:
            self._say_trouble(str(error))
            self._hold(max(1.0, backoff_seconds(self._pauses + 3, self._random())))
            return
        self._count(answer.status)
        if classify(answer.status) is Outcome.PAUSE:
            self.pause(refused_credentials(answer.status))
        else:
            self._say_well()

    def _again(self, failed: "list[tuple[Leased, _Result]]", now: float) -> None:
        events = [event for event, _ in failed]
        result = failed[0][1]
        self.counters.retried += len(events)
        # One wait for the whole shipment, so that its events can go together again.
        wait = backoff_seconds(max(event.attempts for event in events), self._random())
        if result.outcome is Outcome.PAUSE:
            self.pause(result.why)
            wait = 0.0
        elif result.wait_seconds is not None:
            self._hold(min(result.wait_seconds, _RETRY_AFTER_CAP_SECONDS))
        elif self.paused_because is not None:
            # The single event that was tried met other trouble: the next one waits as well.
            self._hold(max(1.0, wait))
        if result.outcome is Outcome.RETRY:
            self._say_trouble(result.why)
        self._lanes.retry(events, now + wait)

    async def _settle(self, settled: "list[tuple[Leased, _Result]]") -> None:
        delivered = [event.seq for event, result in settled if result.outcome is Outcome.DELIVERED]
        buried = [
            Burial(
                seq=event.seq,
                reason=result.why,
                status=result.status,
                attempts=event.attempts,
                method=result.request.method,
                path=result.request.path,
                request=result.request.body[:_KEPT_BYTES],
                response=result.response[:_KEPT_BYTES],
            )
            for event, result in settled
            if result.outcome is Outcome.REFUSED and result.request
        ]
        self.counters.delivered += len(delivered)
        self.counters.dead_letters += len(buried)
        if buried:
            log.warning(
                "%d event(s) refused by Customer.io and kept as dead letters; HTTP %d",
                len(buried),
                buried[0].status,
            )
        said = False
        while True:
            try:
                await self._queue.settle(delivered, buried)
            except QueueError as error:
                if not said:
                    log.error("delivered events can't be settled, tried again: %s", error)
                    said = True
                if self._stopping:
                    # They stay in the file and are sent again after a restart: repeats, no loss.
                    return
                # Meanwhile this shipment keeps its place among those in flight: there is no use in
                # sending more of what can't be settled.
                await asyncio.sleep(_SETTLE_AGAIN_SECONDS)
            else:
                return

    async def _by_v1(self, events: Sequence[Leased]) -> list[_Result]:
        """Send each operation of a single event as a request of its own, in order."""
        (event,) = events
        for operation in event.operations:
            request = track_v1.request(operation)
            result = await self._request(request)
            if result.outcome is Outcome.PARTIAL:
                result = _retry_later(Answer(result.status))
            if result.outcome is not Outcome.DELIVERED:
                return [result]
        return [_DELIVERED]

    async def _by_batch(self, events: Sequence[Leased]) -> list[_Result]:
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

    def _partly(self, events: Sequence[Leased], request: Request, answer: Answer) -> list[_Result]:
        """The results of the events of a batch that was answered with 207."""
        count = sum(len(event.operations) for event in events)
        reasons = refusals(answer, count)
        if reasons is None:
            return [_retry_later(answer)] * len(events)
        results: list[_Result] = []
        index = 0
        for event in events:
            mine = range(index, index + len(event.operations))
            index = mine.stop
            refused = next((place for place in mine if place in reasons), None)
            if refused is None:
                results.append(_DELIVERED)
                continue
            item = track_v2.single(event.operations[refused - mine.start])
            results.append(
                _Result(
                    Outcome.REFUSED,
                    f"HTTP {answer.status}: {reasons[refused]}"[:1000],
                    answer.status,
                    Request(request.method, request.path, item.body),
                    answer.body,
                )
            )
        return results

    async def _request(self, request: Request) -> _Result:
        """Send a request when the pace allows; what came of it as a whole."""
        wait = self._pacer.reserve(self._clock())
        if wait:
            await asyncio.sleep(wait)
        try:
            answer = await self._sender.send(request)
        except Unreachable as error:
            self._count(0)
            return _Result(Outcome.RETRY, str(error))
        self._count(answer.status)
        outcome = classify(answer.status)
        if outcome is Outcome.DELIVERED:
            return _DELIVERED
        if outcome is Outcome.RETRY:
            wait_seconds = retry_after_seconds(answer, self._wall_clock())
            # The server's own words stay out of it: this goes to the log.
            why = f"Customer.io answered HTTP {answer.status}"
            return _Result(Outcome.RETRY, why, answer.status, wait_seconds=wait_seconds)
        why = reason(answer)
        if outcome is Outcome.PAUSE:
            why = refused_credentials(answer.status)
        return _Result(outcome, why, answer.status, request, answer.body)

    def _count(self, status: int) -> None:
        self.counters.answers[status] = self.counters.answers.get(status, 0) + 1

    def _hold(self, seconds: float) -> None:
        self._hold_until = max(self._hold_until, self._clock() + seconds)

    def _say_unforeseen(self, error: BaseException) -> None:
        # Its words may hold a person's data.
        log.error("a shipment failed in an unforeseen way: %s", type(error).__name__)

    def _say_trouble(self, why: str) -> None:
        if self._trouble != why:
            log.warning("delivery is held up, events are kept and tried again: %s", why)
            self._trouble = why

    def _say_well(self) -> None:
        log.info("delivery goes on: Customer.io takes events again")
        self._trouble = None
        self.paused_because = None
        self._pauses = 0


def refused_credentials(status: int) -> str:
    """Why delivery is paused, and what to do."""
    return (
        f"Customer.io refused the credentials (HTTP {status}): check CIO_SITE_ID, CIO_API_KEY and "
        "CIO_REGION"
    )


def _retry_later(answer: Answer) -> _Result:
    return _Result(
        Outcome.RETRY, f"HTTP {answer.status} without a usable list of errors", answer.status
    )
