"""Delivery policy: what is sent when, and what becomes of it. PURE: no I/O, clock and randomness
come as arguments.

A state machine. ``next`` gives a shipment, or asks for a probe; ``returned`` takes what came of it
and says what is settled; ``settled`` lets its people's next events go, once that is on disk.
Times are seconds of a monotonic clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from cio_sidecar.customerio.answers import Outcome
from cio_sidecar.delivery.hold import PROBED, CircuitBreaker, Hold, HoldReason
from cio_sidecar.delivery.lane import Shipment
from cio_sidecar.delivery.lanes import Lanes
from cio_sidecar.delivery.rate_control import Concurrency
from cio_sidecar.delivery.result import Result, Returned
from cio_sidecar.event_queue.model import Leased

BACKOFF_BASE_SECONDS: Final = 0.5
BACKOFF_CAP_SECONDS: Final = 60.0
RETRY_AFTER_MAX_SECONDS: Final = 300.0
"""The longest ``Retry-After`` that is honoured, unless set (``CIO_RETRY_AFTER_MAX_SECONDS``)."""
BREAKER_REJECTIONS: Final = 20
"""The threshold of the circuit breaker, unless set (``CIO_BREAKER_REJECTIONS``)."""
TROUBLE_FAILURES: Final = 3
"""After how many failures without a success between them the server is taken to be in trouble."""
_TROUBLE_HOLD_SECONDS: Final = 2.0
"""The longest pause between two requests to a server in trouble, unless it asks for more."""
HTTP_TOO_MANY: Final = 429
HTTP_FORBIDDEN: Final = 403
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
class Settlement:
    """What is to be settled after a shipment."""

    shipment: Shipment
    delivered: list[Leased]
    rejected: list[tuple[Leased, Result]]
    again: list[Leased] = field(default_factory=list)
    """To be sent again, in the order of the queue."""
    kept: list[tuple[Leased, Result]] = field(default_factory=list)
    """Those of ``again`` that were rejected while the circuit breaker was open."""
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
        retry_after_max_seconds: float = RETRY_AFTER_MAX_SECONDS,
        breaker_rejections: int = BREAKER_REJECTIONS,
    ) -> None:
        """``v1``: send everything by Track API v1. ``concurrency``: the ceiling of requests in
        flight. ``random`` is uniform in [0, 1). ``retry_after_max_seconds``: how long the server
        can ask to wait. ``breaker_rejections``: the threshold of the circuit breaker, 0 for none.
        """
        self.lanes = Lanes(v1=v1, batch_bytes=batch_bytes)
        self.concurrency = Concurrency(concurrency)
        self.hold: Hold | None = None
        """Why delivery is on hold. None while it is not."""
        self.paused = False
        """Whether an operator has paused delivery."""
        self._random = random
        self._retry_after_max_seconds = retry_after_max_seconds
        self._breaker = CircuitBreaker(breaker_rejections)
        self._hold_until = float("-inf")
        self._probes = 0
        """How many there were since the hold began."""
        self._has_delivered = False
        """Whether anything was delivered since the start, and since the last hold."""
        self._successes = 0
        self._failures = 0
        self._suspects_in_flight = 0
        self._was_suspect = False
        self._most: int | None = None

    @property
    def in_trouble(self) -> bool:
        """Whether nothing succeeds any more: the server is down, or all that is sent is bad."""
        return self._most is not None

    @property
    def accepts_rejections(self) -> bool:
        """Whether the circuit breaker stays closed until the next delivery, by resume()."""
        return self._breaker.accepts_rejections

    @property
    def is_probing(self) -> bool:
        """Whether only single events are tried, one after the other."""
        return self.hold is not None and self.hold.reason in PROBED

    @property
    def _asks(self) -> bool:
        """Whether the API itself is asked if no event can be tried: a hold must not outlast the
        last event that waited.
        """
        is_empty = not self.lanes.size and not self.lanes.parked
        return self.hold is not None and (self.hold.reason in _ASKED or is_empty)

    def next(self, now: float) -> Shipment | Probe | None:
        """What to send now; None if nothing may be, or nothing is ready."""
        if now < self._hold_until or self.paused:
            return None
        if self.hold and self.hold.reason is HoldReason.RETRY_AFTER:
            # The wait is over. The next answer says whether all is well.
            self.hold.reason = HoldReason.OUTAGE
        probing = self.is_probing
        slots = self.concurrency.limit
        if self.concurrency.in_flight >= (1 if probing else slots):
            return None
        shipment = self.lanes.take(
            now,
            most=1 if probing else self._most,
            # Those who fail while others don't never have all the slots, nor every turn.
            suspects=self._suspects_in_flight < max(1, slots // 2),
            suspects_first=not self._was_suspect,
            # Where nothing succeeds, those at the head of the queue may be why.
            turn=self._random() if self.in_trouble and not probing else 0.0,
        )
        if shipment is not None:
            self._was_suspect = shipment.suspect
            self._suspects_in_flight += shipment.suspect
        elif not self._asks or self.concurrency.in_flight:
            return None
        self.concurrency.started()
        return shipment or Probe()

    def next_time(self, now: float) -> float | None:
        """When next() has something new to say; None if only news can change its mind."""
        if self.paused:
            return None
        if now < self._hold_until:
            return self._hold_until
        slots = 1 if self.is_probing else self.concurrency.limit
        return None if self.concurrency.in_flight >= slots else self.lanes.next_time()

    def next_attempt(self, now: float) -> float | None:
        """When the next request may leave, whatever news come; None while nothing waits for its
        time: a request is under way, nothing is to be sent, or an operator has to resume.
        """
        if self.paused or (self.concurrency.in_flight and now >= self._hold_until):
            return None
        ready_at = now if self._asks else self.lanes.ready_at(now)
        return None if ready_at is None else max(ready_at, self._hold_until, now)

    def resume(self, now: float, *, accept_rejections: bool = False) -> Hold | None:
        """End an operator's pause and any hold at once; returns the hold that was ended.

        Everything that waits for its next attempt is tried now. ``accept_rejections`` keeps the
        circuit breaker closed until the next delivery: what is rejected becomes a dead letter.
        Without it, the next rejection opens it again.
        """
        ended, self.hold = self.hold, None
        self.paused = False
        self._hold_until = now
        self._failures = self._probes = 0
        self._most = None
        self.lanes.wake(suspects=True)
        if accept_rejections:
            self._breaker.accept_rejections()
        return ended

    def returned(self, shipment: Shipment, returned: Returned, now: float) -> Settlement:
        """Take in what came of a shipment. What is to be settled must be on disk before settled()
        is called, which ends the shipment.
        """
        self._suspects_in_flight -= shipment.suspect
        events, results = shipment.events, returned.results
        for event in events:
            event.attempts += 1
        settlement = Settlement(shipment, [], [])
        if returned.whole:
            whole = self._judged(results[0])
            if whole.outcome is Outcome.DELIVERED:
                settlement.delivered = events
                self._delivered(now, returned.seconds)
                return settlement
            if whole.outcome in _HOLDS:
                # Each keeps its place in the queue.
                settlement.again = events
                settlement.failed = False
                settlement.why = _why_on_hold(whole)
                self.concurrency.left()
                self.hold_back(_HOLDS[whole.outcome], settlement.why, now, whole.wait_seconds)
                return settlement
            if whole.outcome is Outcome.REJECTED and len(events) > 1:
                # One of them is bad, and must take none of the good ones along.
                settlement.again = events
                settlement.most = len(events) // 2
                settlement.failed = False
                self._answered(now, returned.seconds)
                return settlement
            results = [whole] * len(events)
        first: Result | None = None
        for event, result in zip(events, results, strict=True):
            if result.outcome is Outcome.DELIVERED:
                settlement.delivered.append(event)
            elif result.outcome is Outcome.REJECTED:
                settlement.rejected.append((event, result))
            else:
                first = first or result
                settlement.again.append(event)
        if first is not None:
            self._failed(settlement, first, now, returned.seconds)
        elif settlement.delivered:
            self._delivered(now, returned.seconds)
        else:
            self._answered(now, returned.seconds)
            self._rejected(settlement, now)
        return settlement

    def _judged(self, result: Result) -> Result:
        """A result whose meaning depends on whether anything was delivered."""
        is_open = self.hold is not None and self.hold.reason is HoldReason.CIRCUIT_BREAKER
        if not self._has_delivered and not (is_open and result.outcome is Outcome.NOT_FOUND):
            return result
        if result.outcome is Outcome.NOT_FOUND:
            return replace(result, outcome=Outcome.REJECTED)
        if result.outcome is Outcome.MISDIRECTED or result.status == HTTP_FORBIDDEN:
            # The credentials were good just now: a firewall in between may reject this event.
            return replace(result, outcome=Outcome.RETRY)
        return result

    def _rejected(self, settlement: Settlement, now: float) -> None:
        """Let rejected events become dead letters, unless the circuit breaker is open."""
        rejected = settlement.rejected
        is_open = self.hold is not None and self.hold.reason is HoldReason.CIRCUIT_BREAKER
        if not self._breaker.opens(event.lane for event, _ in rejected) and not is_open:
            return
        settlement.kept, settlement.rejected = rejected, []
        settlement.again = [event for event, _ in rejected]
        settlement.failed = False
        # Customer.io's own words stay out of it: this goes to the log.
        why = (
            f"{self._breaker.rejected} events in a row were rejected, of different persons, and "
            f"none delivered; the last by HTTP {rejected[-1][1].status}: see cio-sidecar "
            "dead-letters list, and check what changed (CIO_BASE_URL, the mapping tables). If the "
            "events are at fault: cio-sidecar delivery resume --accept-rejections"
        )
        settlement.why = why
        self.hold_back(HoldReason.CIRCUIT_BREAKER, why, now)

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
        self.concurrency.left()
        if result.outcome in _HOLDS:
            self.hold_back(_HOLDS[result.outcome], _why_on_hold(result), now, result.wait_seconds)
        elif result.outcome is Outcome.RETRY:
            self._note_failure(HoldReason.OUTAGE, result.why, now)
            self._probes += 1
            self._wait_for_probe(now)
        else:
            self._end_hold()

    def hold_back(
        self, reason: HoldReason, why: str, now: float, wait_seconds: float | None = None
    ) -> None:
        """Hold everything back, and try a single event from time to time; where none waits, and the
        API itself can be asked whether all is well, a probe.

        ``wait_seconds``: how long the server asked to wait at least.
        """
        self._has_delivered = False
        self._note_failure(reason, why, now)
        if wait_seconds is not None:
            self._wait(now, min(wait_seconds, self._retry_after_max_seconds))
        if now >= self._hold_until:
            self._probes += 1
            self._wait_for_probe(now)

    def _delivered(self, now: float, seconds: float) -> None:
        """Customer.io took at least one event of a request."""
        self._answered(now, seconds)
        self._has_delivered = True
        self._breaker.delivered()
        if self.is_probing:
            self._end_hold()

    def _answered(self, now: float, seconds: float) -> None:
        """Customer.io took a request, or said what is wrong with an event."""
        self.concurrency.ended(now, seconds, overloaded=False)
        self._successes += 1
        if self._failures >= TROUBLE_FAILURES:
            self.lanes.wake()
        self._failures = 0
        self._most = None
        if self.hold and self.hold.reason in _ENDED_BY_ANSWER:
            self._end_hold()

    def _end_hold(self) -> None:
        if self.is_probing:
            self.lanes.wake()
        self._hold_until = float("-inf")
        self.hold = None
        self._probes = 0

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
        if suspect:
            if why.status == HTTP_TOO_MANY:
                self.concurrency.ended(now, seconds, overloaded=True)
            else:
                self.concurrency.left()
            wait = max(wait, min(why.wait_seconds or 0.0, self._retry_after_max_seconds))
        else:
            self.concurrency.ended(now, seconds, overloaded=True)
            self._failures += 1
            reason = HoldReason.OUTAGE
            said = why.why
            if why.wait_seconds and self._retry_after_max_seconds:
                reason = HoldReason.RETRY_AFTER
                seconds = min(why.wait_seconds, self._retry_after_max_seconds)
                said += f" and asked to wait {why.wait_seconds:,.0f} s"
                if seconds < why.wait_seconds:
                    said += f"; waiting {seconds:,.0f} s (CIO_RETRY_AFTER_MAX_SECONDS)"
                self._wait(now, seconds)
            if self._failures >= TROUBLE_FAILURES:
                # Nothing succeeds: the server is in trouble, or all there is to send is bad. Small
                # shipments, one after the other, find out which.
                self._has_delivered = False
                self._most = max(1, min(count, self._most or count) // _SPLIT)
                hold = BACKOFF_BASE_SECONDS * 2.0 ** min(self._failures - TROUBLE_FAILURES, 16)
                self._wait(now, self._random() * min(_TROUBLE_HOLD_SECONDS, hold))
            self._note_failure(reason, said, now)
        if self.is_probing:
            # The single event that was tried met other trouble: the next one waits as well.
            self._wait(now, max(1.0, wait))
        # One wait for the whole shipment, so that its events can go together again.
        settlement.ready_at = now + wait
        settlement.why = why.why

    def _note_failure(self, reason: HoldReason, why: str, now: float) -> None:
        """Begin a hold, or note in the one that there is what came of a request."""
        hold = self.hold
        if hold is None or (reason in PROBED and reason is not hold.reason):
            self.hold = hold = Hold(reason, why, now)
        elif hold.reason is HoldReason.OUTAGE:
            hold.reason = reason
        if reason is hold.reason:
            hold.why = why
        hold.failures += 1

    def _wait_for_probe(self, now: float) -> None:
        self._wait(now, max(1.0, backoff_seconds(self._probes + 3, self._random())))

    def _wait(self, now: float, seconds: float) -> None:
        self._hold_until = max(self._hold_until, now + seconds)


def _why_on_hold(result: Result) -> str:
    if result.outcome is Outcome.NOT_FOUND:
        # Customer.io's own words stay out of it: this goes to the log.
        return (
            f"HTTP {result.status} came, and nothing was delivered since the start or the last "
            "hold: check CIO_BASE_URL, CIO_REGION, and any proxy in between"
        )
    return result.why


_HOLDS: Final = {
    Outcome.UNAUTHORIZED: HoldReason.CREDENTIALS,
    Outcome.NOT_FOUND: HoldReason.WRONG_ADDRESS,
    Outcome.MISDIRECTED: HoldReason.WRONG_ADDRESS,
}
_ASKED: Final = frozenset({HoldReason.CREDENTIALS, HoldReason.WRONG_ADDRESS})
"""Holds that the credentials' region can be asked about where no event waits."""
_ENDED_BY_ANSWER: Final = frozenset(
    {HoldReason.CREDENTIALS, HoldReason.WRONG_ADDRESS, HoldReason.OUTAGE}
)
"""Holds that end when the API answers, be it by a rejection."""
