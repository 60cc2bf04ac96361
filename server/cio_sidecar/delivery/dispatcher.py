"""Takes events out of the queue, ships them, and settles them by what comes of it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

from cio_sidecar.customerio.answers import Outcome
from cio_sidecar.customerio.limits import BATCH_BYTES
from cio_sidecar.delivery.delivery_log import News
from cio_sidecar.delivery.hold import HoldReason
from cio_sidecar.delivery.lane import Lane, Shipment
from cio_sidecar.delivery.lanes import LANE_EVENTS
from cio_sidecar.delivery.policy import (
    BREAKER_REJECTIONS,
    RETRY_AFTER_MAX_SECONDS,
    Policy,
    Probe,
    Settlement,
)
from cio_sidecar.delivery.result import DELIVERED, Result, Returned
from cio_sidecar.delivery.shipper import Sends, Shipper
from cio_sidecar.event_queue.errors import QueueError
from cio_sidecar.event_queue.model import FinalFailure, Leased
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue

WINDOW_EVENTS: Final = 10_000
"""How many leased events are held in memory at most."""
WINDOW_BYTES: Final = 64 * 1024 * 1024
"""At how many bytes of them no more are leased."""
PARKED_EVENTS: Final = 1_000_000
"""Of how many events behind those of failing or busy people the places are held in memory."""
_KEPT_BYTES: Final = 64 * 1024
"""How much of a request and of an answer a dead letter keeps."""
_QUEUE_AGAIN_SECONDS: Final = 1.0
_EXPIRE_EVERY_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counters:
    """What happened since the start. ``answers`` is the shipper's."""

    answers: dict[int, int]
    delivered: int = 0
    retried: int = 0
    dead_letters: int = 0
    expired: int = 0
    """Those of the dead letters that were over the age limit."""


@dataclass(frozen=True, slots=True)
class OnHold:
    """Delivery is on hold, as of a moment."""

    reason: HoldReason
    why: str
    """What came of the last request, and what to do; without a person's data."""
    seconds: float
    """For how long it has been."""
    failures: int
    """How many requests have failed since it began."""
    next_attempt_seconds: float | None
    """In how many seconds the next one leaves; None while one is under way, or there is nothing to
    wait for."""


class Dispatcher:
    """Delivers what the queue holds, until it is stopped."""

    def __init__(
        self,
        queue: SqliteQueue,
        sender: Sends,
        *,
        v1: bool,
        concurrency: int,
        per_second: float,
        max_age_seconds: int,
        retry_after_max_seconds: float = RETRY_AFTER_MAX_SECONDS,
        breaker_rejections: int = BREAKER_REJECTIONS,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        age_clock: Callable[[], float] | None = None,
        random: Callable[[], float],
    ) -> None:
        """``v1``: send everything by Track API v1. ``concurrency``: the ceiling of requests in
        flight, ``per_second`` of requests a second. ``max_age_seconds``: how old an event may
        become before it is a dead letter; 0 for no limit. ``retry_after_max_seconds``: the longest
        ``Retry-After`` that is honoured. ``breaker_rejections``: how many events of distinct keys
        are rejected in a row before delivery goes on hold; 0 for any number.

        ``clock`` is monotonic, ``wall_clock`` Unix time, both in seconds; ``age_clock`` gives
        the Unix time by which ages are measured (default: ``wall_clock``); ``random`` is uniform
        in [0, 1).
        """
        self._shipper = Shipper(sender, per_second=per_second, clock=clock, wall_clock=wall_clock)
        self.counters = Counters(answers=self._shipper.answers)
        self.policy = Policy(
            v1=v1,
            batch_bytes=BATCH_BYTES,
            concurrency=concurrency,
            random=random,
            retry_after_max_seconds=retry_after_max_seconds,
            breaker_rejections=breaker_rejections,
        )
        self.on_outcome: Callable[[Leased, Result], None] | None = None
        """Called with what came of each event: one that is settled once that is on disk, one that
        will be tried again at once. May be set and unset at any time."""
        self._queue = queue
        self._max_age_seconds = max_age_seconds
        self._clock = clock
        self._age_clock = age_clock or wall_clock
        self._more = True
        self._news = News(self.policy, clock)
        self._expired_at = float("-inf")
        self._paused_at = 0.0
        self._is_active = True
        self._active_at = clock()
        self._stopping = False
        self._draining = False
        self._wake = asyncio.Event()
        self._filling: asyncio.Task[None] | None = None
        self._shipping: set[asyncio.Task[None]] = set()
        queue.on_committed = self._on_committed

    @property
    def paused_seconds(self) -> float | None:
        """For how long an operator has paused delivery; None while it is not paused."""
        return self._clock() - self._paused_at if self.policy.paused else None

    @property
    def active_seconds(self) -> float:
        """For how long delivery has been neither paused nor on hold, if it is not."""
        return self._clock() - self._active_at

    @property
    def hold(self) -> OnHold | None:
        """Why delivery is on hold, as of now; None while it is not."""
        hold = self.policy.hold
        if hold is None:
            return None
        now = self._clock()
        next_time = self.policy.next_attempt(now)
        return OnHold(
            hold.reason,
            hold.why,
            seconds=now - hold.since,
            failures=hold.failures,
            next_attempt_seconds=None if next_time is None else next_time - now,
        )

    @property
    def in_flight(self) -> int:
        """Requests that have no answer yet."""
        return self.policy.concurrency.in_flight

    async def run(self) -> None:
        """Deliver until stop() is called and what is in flight has come back.

        Cancelled, it gives up what is in flight: that stays in the queue.
        """
        try:
            while not self._stopping:
                self._wake.clear()
                self._news.say_due()
                if self._max_age_seconds:
                    self._expire()
                self._start_shipments()
                # After them, as starting may find that a lane's events have to be fetched.
                self._fill()
                if self._draining and not self._shipping and not self._filling:
                    break
                await self._sleep()
            if self._shipping:
                await asyncio.wait(self._shipping)
        finally:
            self._news.say_unsaid()
            for task in (*self._shipping, *filter(None, [self._filling])):
                task.cancel()

    def stop(self, *, drain: bool = False) -> None:
        """Start nothing more; with ``drain``, only when nothing is left that could be sent at once.

        Events that are not settled stay in the queue, those whose last attempt failed included.
        """
        if drain:
            self._draining = True
        else:
            self._stopping = True
        self._wake.set()

    def pause(self) -> None:
        """Start nothing more until resume(); what is in flight ends as usual. It ends with the
        process: the next one delivers.
        """
        if not self.policy.paused:
            log.warning("delivery paused by an operator, events are kept")
            self._paused_at = self._clock()
        self.policy.paused = True
        self._say()

    def resume(self, *, accept_rejections: bool = False) -> OnHold | None:
        """End an operator's pause and any hold at once; returns the hold that was ended.

        ``accept_rejections``: what Customer.io rejects becomes a dead letter until the next
        delivery, however much it is.
        """
        ended = self.hold
        if accept_rejections:
            log.warning(
                "delivery resumed by an operator: rejected events become dead letters until the "
                "next delivery"
            )
        elif self.policy.paused or ended:
            log.warning("delivery resumed by an operator")
        self.policy.resume(self._clock(), accept_rejections=accept_rejections)
        self._news.resumed()
        self._say()
        self._wake.set()
        return ended

    @property
    def accepts_rejections(self) -> bool:
        """Whether the circuit breaker is off until the next delivery, by resume()."""
        return self.policy.accepts_rejections

    def hold_back(self, reason: HoldReason, why: str) -> None:
        """Put delivery on hold, as Policy.hold_back() does."""
        self.policy.hold_back(reason, why, self._clock())
        self._say()
        self._wake.set()

    def _say(self, settlement: Settlement | None = None) -> None:
        """Log what has changed, and note since when delivery is active."""
        is_active = self.policy.hold is None and not self.policy.paused
        if is_active and not self._is_active:
            self._active_at = self._clock()
        self._is_active = is_active
        self._news.say(settlement)

    def _on_committed(self) -> None:
        self._more = True
        self._wake.set()

    def _fill(self) -> None:
        """See to it that there is something to send."""
        lanes = self.policy.lanes
        if self._filling:
            return
        if wanted := self._wanted():

            async def feed() -> None:
                places = sorted(chain.from_iterable(wanted.values()))
                events = await self._young(await self._queue.fetch(places))
                read = {event.seq: event for event in events}
                for lane, mine in wanted.items():
                    lanes.feed(lane, mine, [read[seq] for seq in mine if seq in read])

            self._filling = self._start(self._read_queue(feed))
        elif (
            self._more
            and lanes.parked < PARKED_EVENTS
            and (self._has_room() or (self._make_room() and self._has_room()))
        ):
            room = WINDOW_EVENTS - lanes.size

            async def lease() -> None:
                self._more = False
                events = await self._queue.lease(room, WINDOW_BYTES - lanes.bytes)
                self._more = self._more or self._queue.has_unleased
                lanes.add(await self._young(events))

            self._filling = self._start(self._read_queue(lease))

    def _has_room(self) -> bool:
        """Whether so many events more can be held that reading them is worth it."""
        lanes = self.policy.lanes
        return lanes.size <= WINDOW_EVENTS - WINDOW_EVENTS // 4 and lanes.bytes < WINDOW_BYTES

    def _wanted(self) -> dict[Lane, Sequence[int]]:
        """Lanes that need events back, and their places in the queue: so many that it is worth it
        to read them."""
        wanted: dict[Lane, Sequence[int]] = {}
        count = 0
        while count < LANE_EVENTS and (hungry := self.policy.lanes.hungry()):
            lane, wanted[lane] = hungry
            count += len(wanted[lane])
        return wanted

    def _make_room(self) -> bool:
        return self.policy.lanes.make_room(trouble=self.policy.in_trouble)

    async def _read_queue(self, read: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await read()
            except QueueError as error:
                log.error("the queue can't be read, tried again: %s", error)
            except Exception as error:
                # A mistake of ours must not hold a person's events back until a restart.
                self._news.unforeseen(error)
            else:
                return
            await asyncio.sleep(_QUEUE_AGAIN_SECONDS)

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._shipping.discard(task)
        if task is self._filling:
            self._filling = None
        self._wake.set()
        if not task.cancelled() and (error := task.exception()):
            # Its events stay leased and on disk: the next start delivers them.
            self._news.unforeseen(error)

    def _start_shipments(self) -> None:
        while (item := self.policy.next(self._clock())) is not None:
            work = self._probe() if isinstance(item, Probe) else self._ship(item)
            self._shipping.add(self._start(work))

    async def _sleep(self) -> None:
        """Wait for news, or until the policy has something new to say."""
        now = self._clock()
        next_time = self.policy.next_time(now)
        if self._max_age_seconds:
            next_time = min(next_time or float("inf"), now + _EXPIRE_EVERY_SECONDS)
        due_at = self._news.due_at()
        if due_at is not None:
            next_time = min(next_time or float("inf"), due_at)
        try:
            async with asyncio.timeout(None if next_time is None else max(next_time - now, 0.001)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _ship(self, shipment: Shipment) -> None:
        try:
            returned = await self._shipper.ship(shipment)
        except Exception as error:
            # A mistake of ours must not hold a person's events back until a restart.
            self._news.unforeseen(error)
            failed = Result(Outcome.RETRY, "a mistake within the sidecar")
            returned = Returned([failed] * len(shipment.events), whole=True)
        settlement = self.policy.returned(shipment, returned, self._clock())
        self.counters.retried += len(settlement.again)
        self._say(settlement)
        if settlement.failed:
            self._tell(
                (event, result)
                for event, result in zip(shipment.events, returned.results, strict=True)
                if result.outcome is Outcome.RETRY
            )
        self._tell(
            (event, replace(result, outcome=Outcome.RETRY)) for event, result in settlement.kept
        )
        # Its slot is free now. Its people's next events wait until it is settled: whoever starts
        # again after a crash repeats an event at most before their next is sent.
        self._wake.set()
        if await self._settle(settlement.delivered, settlement.rejected):
            self.policy.settled(settlement)

    async def _probe(self) -> None:
        self.policy.probed(await self._shipper.probe(), self._clock())
        self._say()

    def _expire(self) -> None:
        """Make dead letters of what is over the age limit, of what is held in memory."""
        now = self._clock()
        if now - self._expired_at < _EXPIRE_EVERY_SECONDS:
            return
        self._expired_at = now
        if events := self.policy.lanes.expired(self._oldest()):
            self._shipping.add(self._start(self._dead_letter(events)))

    async def _young(self, events: "list[Leased]") -> "list[Leased]":
        """Of what was read from the queue, that within the age limit; the rest is dead_lettered."""
        if not self._max_age_seconds:
            return events
        oldest = self._oldest()
        if old := [event for event in events if event.accepted_at < oldest]:
            await self._dead_letter(old)
        return [event for event in events if event.accepted_at >= oldest]

    def _oldest(self) -> int:
        """When what is just within the age limit was accepted, in Unix seconds."""
        return int(self._age_clock()) - self._max_age_seconds

    async def _dead_letter(self, events: "list[Leased]") -> None:
        """Make dead letters of events that are over the age limit."""
        self.counters.expired += len(events)
        why = f"not delivered within {self._max_age_seconds} s (CIO_MAX_AGE_SECONDS)"
        if self.policy.hold:
            why = f"{why}; delivery is on hold: {self.policy.hold.why}"
        log.warning("%d event(s) kept as dead letters: %s", len(events), why)
        await self._settle([], [(event, Result(Outcome.REJECTED, why)) for event in events])

    async def _settle(
        self, delivered: "list[Leased]", rejected: "list[tuple[Leased, Result]]"
    ) -> bool:
        """Write down what became of events; whether that is on disk."""
        if not delivered and not rejected:
            return True
        self.counters.delivered += len(delivered)
        self.counters.dead_letters += len(rejected)
        if rejected and (status := rejected[0][1].status):
            self._news.rejected(len(rejected), status)
        gone = [event.seq for event in delivered]
        dead_lettered = [_final_failure(event, result) for event, result in rejected]
        said = False
        while True:
            try:
                await self._queue.settle(gone, dead_lettered)
            except QueueError as error:
                if not said:
                    log.error("delivered events can't be settled, tried again: %s", error)
                    said = True
                if self._stopping or self._draining:
                    # They stay in the file and are sent again after a restart: repeats, no loss.
                    return False
                await asyncio.sleep(_QUEUE_AGAIN_SECONDS)
            else:
                self._tell((event, DELIVERED) for event in delivered)
                self._tell(rejected)
                return True

    def _tell(self, ended: "Iterable[tuple[Leased, Result]]") -> None:
        if self.on_outcome is not None:
            for event, result in ended:
                self.on_outcome(event, result)


def _final_failure(event: Leased, result: Result) -> FinalFailure:
    request = result.request
    return FinalFailure(
        seq=event.seq,
        reason=result.why,
        status=result.status,
        attempts=event.attempts,
        method=request.method if request else "",
        path=request.path if request else "",
        request=request.body[:_KEPT_BYTES] if request else b"",
        response=result.response[:_KEPT_BYTES],
    )
