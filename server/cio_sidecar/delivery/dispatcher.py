"""Takes events out of the queue, ships them, and settles them by what comes of it."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cio_sidecar.customerio.limits import BATCH_BYTES
from cio_sidecar.customerio.outcome import Outcome
from cio_sidecar.delivery.policy import Lanes, Shipment, backoff_seconds
from cio_sidecar.delivery.queue.entry import Burial, Leased, QueueError
from cio_sidecar.delivery.queue.sqlite import SqliteQueue
from cio_sidecar.delivery.shipper import Result, Sends, Shipper

WINDOW_EVENTS: Final = 10_000
"""How many leased events are held in memory at the most."""
_KEPT_BYTES: Final = 64 * 1024
"""How much of a request and of an answer a dead letter keeps."""
_RETRY_AFTER_CAP_SECONDS: Final = 3600.0
_SETTLE_AGAIN_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counters:
    """What happened since the start. ``answers`` is the shipper's."""

    answers: dict[int, int]
    delivered: int = 0
    retried: int = 0
    dead_letters: int = 0


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
        self._shipper = Shipper(sender, clock=clock, wall_clock=wall_clock)
        self.counters = Counters(answers=self._shipper.answers)
        self.paused_because: str | None = None
        """Why delivery is paused: the credentials were refused. None while it is not."""
        self._queue = queue
        self._concurrency = concurrency
        self._clock = clock
        self._random = random
        self._lanes = Lanes(v1=v1, batch_bytes=BATCH_BYTES)
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
        try:
            results = await self._shipper.ship(shipment)
        except Exception as error:
            # A mistake of ours must not hold a person's events back until a restart.
            self._say_unforeseen(error)
            results = [Result(Outcome.RETRY, "a mistake within the sidecar")] * len(events)
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
        result = await self._shipper.probe()
        if result.outcome is Outcome.PAUSE:
            self.pause(result.why)
        elif result.outcome is Outcome.RETRY:
            self._say_trouble(result.why)
            self._hold(max(1.0, backoff_seconds(self._pauses + 3, self._random())))
        else:
            self._say_well()

    def _again(self, failed: "list[tuple[Leased, Result]]", now: float) -> None:
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

    async def _settle(self, settled: "list[tuple[Leased, Result]]") -> None:
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
