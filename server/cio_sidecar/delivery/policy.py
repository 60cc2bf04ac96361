"""Delivery policy: what is sent when, and what becomes of it. PURE: no I/O, clock and randomness
come as arguments.

A state machine. ``next`` gives a shipment, or asks for a probe; ``returned`` takes what came of it
and says what is settled; ``settled`` lets its people's next events go, once that is on disk.
Times are seconds of a monotonic clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cio_sidecar.customerio.outcome import Outcome
from cio_sidecar.delivery.concurrency import Concurrency
from cio_sidecar.delivery.lane import Shipment
from cio_sidecar.delivery.lanes import Lanes
from cio_sidecar.delivery.queue.entry import Leased
from cio_sidecar.delivery.result import Result, Returned

BACKOFF_BASE_SECONDS: Final = 0.5
BACKOFF_CAP_SECONDS: Final = 60.0
RETRY_AFTER_CAP_SECONDS: Final = 3600.0
"""The longest time that a server can ask for."""
TROUBLE_FAILURES: Final = 3
"""After how many failures without a success between them the server is taken to be in trouble."""
_TROUBLE_HOLD_SECONDS: Final = 2.0
"""The longest pause between two requests to a server in trouble, unless it asks for more."""
HTTP_TOO_MANY: Final = 429
_SPLIT: Final = 8
"""Into how many parts a suspect batch is split."""


def backoff_seconds(attempts: int, random: float) -> float:
    """How long to wait after the n-th failed attempt (from 1): exponential with full jitter.

    ``random`` is uniform in [0, 1).
    """
    # Beyond 2**16 half-seconds the cap holds anyway, and a power of thousands would overflow.
    return random * min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2.0 ** min(attempts - 1, 16))


class Probe:
    """A request for the credentials' region, where no event is there to try them with."""


@dataclass(slots=True)
class Trouble:
    """Why nothing gets through."""

    why: str
    """What came of the last attempt; without a person's data."""
    since: float
    """When the first one failed."""
    failures: int = 0
    """How many did, with no success between them."""


@dataclass(slots=True)
class Settlement:
    """What is to be settled after a shipment."""

    shipment: Shipment
    delivered: list[Leased]
    refused: list[tuple[Leased, Result]]
    again: list[Leased] = field(default_factory=list)
    """To be sent again, in the order of the queue."""
    ready_at: float = 0.0
    failed: bool = True
    """Whether ``again`` counts as a failed attempt."""
    most: int = 0
    """Of how many events a shipment of ``again`` may be; 0 for no limit of its own."""
    why: str = ""
    """Why ``again`` failed."""


class Policy:
    """Decides what is sent when."""

    def __init__(
        self,
        *,
        v1: bool,
        batch_bytes: int,
        concurrency: int,
        random: Callable[[], float],
    ) -> None:
        """``v1``: send everything by Track API v1. ``concurrency``: the ceiling of requests in
        flight. ``random`` is uniform in [0, 1).
        """
        self.lanes = Lanes(v1=v1, batch_bytes=batch_bytes)
        self.concurrency = Concurrency(concurrency)
        self.paused_because: str | None = None
        """Why delivery is paused: the credentials were refused. None while it is not."""
        self.trouble: Trouble | None = None
        """What holds delivery up. None while nothing does."""
        self.suspended = False
        """Whether somebody told it to send nothing."""
        self._random = random
        self._hold_until = 0.0
        self._pauses = 0
        self._successes = 0
        self._failures = 0
        self._suspects_in_flight = 0
        self._was_suspect = False
        self._most: int | None = None

    @property
    def in_trouble(self) -> bool:
        """Whether nothing succeeds any more: the server is down, or all that is sent is bad."""
        return self._most is not None

    def next(self, now: float) -> Shipment | Probe | None:
        """What to send now; None if nothing may be, or nothing is ready."""
        if now < self._hold_until or self.suspended:
            return None
        paused = self.paused_because is not None
        slots = self.concurrency.limit
        if self.concurrency.in_flight >= (1 if paused else slots):
            return None
        shipment = self.lanes.take(
            now,
            most=1 if paused else self._most,
            # Those who fail while others don't never have all the slots, nor every turn.
            suspects=self._suspects_in_flight < max(1, slots // 2),
            suspects_first=not paused and not self._was_suspect,
            # Where nothing succeeds, those at the head of the queue may be why.
            turn=self._random() if self.in_trouble else 0.0,
        )
        if shipment is not None:
            self._was_suspect = shipment.suspect
            self._suspects_in_flight += shipment.suspect
        elif not paused:
            return None
        self.concurrency.started()
        return shipment or Probe()

    def next_time(self, now: float) -> float | None:
        """When next() has something new to say; None if only news can change its mind."""
        if self.suspended:
            return None
        if now < self._hold_until:
            return self._hold_until
        slots = 1 if self.paused_because is not None else self.concurrency.limit
        return None if self.concurrency.in_flight >= slots else self.lanes.next_time()

    def next_attempt(self, now: float) -> float | None:
        """When the next request may leave, whatever news come; None while nothing waits for its
        time: a request is under way, nothing is to be sent, or somebody has to end a pause.
        """
        if self.suspended or self.concurrency.in_flight:
            return None
        ready_at = now if self.paused_because is not None else self.lanes.ready_at(now)
        return None if ready_at is None else max(ready_at, self._hold_until, now)

    def returned(self, shipment: Shipment, returned: Returned, now: float) -> Settlement:
        """Take in what came of a shipment. What is to be settled must be on disk before settled()
        is called, which ends the shipment.
        """
        self._suspects_in_flight -= shipment.suspect
        events, results = shipment.events, returned.results
        for event in events:
            event.attempts += 1
        settlement = Settlement(shipment, [], [])
        if returned.whole and results[0].outcome is Outcome.DELIVERED:
            settlement.delivered = events
            self._well(now, returned.seconds)
            return settlement
        if returned.whole and results[0].outcome is Outcome.REFUSED and len(events) > 1:
            # One of them is bad, and must take none of the good ones along.
            settlement.again = events
            settlement.most = len(events) // 2
            settlement.failed = False
            self._well(now, returned.seconds)
            return settlement
        first: Result | None = None
        for event, result in zip(events, results, strict=True):
            if result.outcome is Outcome.DELIVERED:
                settlement.delivered.append(event)
            elif result.outcome is Outcome.REFUSED:
                settlement.refused.append((event, result))
            else:
                first = first or result
                settlement.again.append(event)
        if first is None:
            self._well(now, returned.seconds)
        elif first.outcome is Outcome.PAUSE:
            self.concurrency.left()
            settlement.failed = False
            self.pause(first.why, now, first.wait_seconds)
        else:
            self._failed(settlement, first, now, returned.seconds)
        return settlement

    def settled(self, settlement: Settlement) -> None:
        """End a shipment: what was to be settled is."""
        self.lanes.returned(
            settlement.shipment,
            settlement.again,
            ready_at=settlement.ready_at,
            failed=settlement.failed,
            most=settlement.most,
            seen=self._successes,
        )

    def probed(self, result: Result, now: float) -> None:
        """Take in what came of a probe."""
        if result.outcome is Outcome.PAUSE:
            self.concurrency.left()
            self.pause(result.why, now, result.wait_seconds)
        elif result.outcome is Outcome.RETRY:
            self.concurrency.left()
            self._note_failure(result.why, now)
            self._hold_for_pause(now)
        else:
            self._well(now, 0.0)

    def pause(self, why: str, now: float, wait_seconds: float | None = None) -> None:
        """Hold everything back, and try from time to time whether the credentials are good: with
        a single event, or, where none waits, by a probe. Without the latter a sidecar that is not
        ready, and so gets no events, would never be ready again.

        ``wait_seconds``: how long the server asked to wait at least.
        """
        self.paused_because = why
        # It can be reached, and has said what is wrong.
        self.trouble = None
        if wait_seconds is not None:
            self._hold(now, min(wait_seconds, RETRY_AFTER_CAP_SECONDS))
        if now >= self._hold_until:
            self._pauses += 1
            self._hold_for_pause(now)

    def _well(self, now: float, seconds: float) -> None:
        """Customer.io took a request, or said what is wrong with an event."""
        self.concurrency.ended(now, seconds, overloaded=False)
        self._successes += 1
        if self._failures >= TROUBLE_FAILURES or self.paused_because is not None:
            self.lanes.wake()
        self._failures = 0
        self._most = None
        self._pauses = 0
        self.trouble = None
        self.paused_because = None

    def _failed(self, settlement: Settlement, why: Result, now: float, seconds: float) -> None:
        """Customer.io could not be reached, or could not take a request at the moment."""
        lanes = [lane.current for lane in settlement.shipment.lanes]
        count = len(settlement.shipment.events)
        failures = 1 + max(lane.failures for lane in lanes)
        # Others succeeded since these failed: the trouble comes with one of these.
        suspect = failures > 1 and any(
            lane.failures and self._successes > lane.seen for lane in lanes
        )
        wait = backoff_seconds(failures, self._random())
        if suspect:
            settlement.most = max(1, count // _SPLIT)
            if count > 1:
                # The good ones among them are to be found soon.
                wait = backoff_seconds(1, self._random())
        if suspect and why.status != HTTP_TOO_MANY:
            self.concurrency.left()
            wait = max(wait, min(why.wait_seconds or 0.0, RETRY_AFTER_CAP_SECONDS))
        else:
            self.concurrency.ended(now, seconds, overloaded=True)
            self._failures += 1
            if why.wait_seconds is not None:
                self._hold(now, min(why.wait_seconds, RETRY_AFTER_CAP_SECONDS))
            if self._failures >= TROUBLE_FAILURES:
                # Nothing succeeds: the server is in trouble, or all there is to send is bad. Small
                # shipments, one after the other, find out which.
                self._most = max(1, min(count, self._most or count) // _SPLIT)
                hold = BACKOFF_BASE_SECONDS * 2.0 ** min(self._failures - TROUBLE_FAILURES, 16)
                self._hold(now, self._random() * min(_TROUBLE_HOLD_SECONDS, hold))
        if self.paused_because is not None:
            # The single event that was tried met other trouble: the next one waits as well.
            self._hold(now, max(1.0, wait))
        # One wait for the whole shipment, so that its events can go together again.
        settlement.ready_at = now + wait
        settlement.why = why.why
        if not suspect:
            self._note_failure(why.why, now)

    def _note_failure(self, why: str, now: float) -> None:
        if self.trouble is None:
            self.trouble = Trouble(why, now)
        self.trouble.why = why
        self.trouble.failures += 1

    def _hold_for_pause(self, now: float) -> None:
        self._hold(now, max(1.0, backoff_seconds(self._pauses + 3, self._random())))

    def _hold(self, now: float, seconds: float) -> None:
        self._hold_until = max(self._hold_until, now + seconds)
