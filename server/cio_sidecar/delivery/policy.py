"""Delivery policy: who may be sent when. PURE: no I/O, clock and randomness come as arguments.

Times are seconds of a monotonic clock.
"""

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cio_sidecar.customerio.operation import V1_ONLY
from cio_sidecar.customerio.track_v2 import ENVELOPE_BYTES
from cio_sidecar.delivery.queue.entry import Leased

BACKOFF_BASE_SECONDS: Final = 0.5
BACKOFF_CAP_SECONDS: Final = 60.0


def backoff_seconds(attempts: int, random: float) -> float:
    """How long to wait after the n-th failed attempt (from 1): exponential with full jitter.

    ``random`` is uniform in [0, 1).
    """
    # Beyond 2**16 half-seconds the cap holds anyway, and a power of thousands would overflow.
    return random * min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2.0 ** min(attempts - 1, 16))


class Pacer:
    """Spaces requests evenly under a ceiling of requests a second, allowing a short burst."""

    def __init__(self, per_second: float, burst: int = 20) -> None:
        self._interval = 1 / per_second
        self._slack = self._interval * burst
        self._next = float("-inf")

    def reserve(self, now: float) -> float:
        """Take the next place; returns how many seconds to wait for it."""
        self._next = max(self._next, now - self._slack) + self._interval
        return max(0.0, self._next - now)


@dataclass(slots=True)
class Shipment:
    """Events that go together: as one v2 batch, or (a single event) by v1."""

    events: list[Leased]
    by_v1: bool


class Lanes:
    """Keeps the order of each person's events: a lane has at most one shipment in flight.

    A lane is ready, in flight, or backing off. A lane that backs off holds back nobody else.
    """

    def __init__(self, *, v1: bool, batch_bytes: int) -> None:
        """``v1``: send everything by v1. ``batch_bytes``: the most bytes of a batch's body."""
        self._v1 = v1
        self._batch_bytes = batch_bytes
        self._waiting: dict[str, deque[Leased]] = {}
        self._in_flight: set[str] = set()
        self._ready: deque[str] = deque()
        self._backing_off: list[tuple[float, int, str]] = []
        self._turn = 0
        self.size = 0
        """How many events are held, those in flight included."""

    def add(self, events: Iterable[Leased]) -> None:
        """Take in events, in the order of the queue."""
        for event in events:
            self.size += 1
            lane = self._waiting.get(event.lane)
            if lane is None:
                self._waiting[event.lane] = deque((event,))
                self._ready.append(event.lane)
            else:
                lane.append(event)

    def take(self, now: float, most: int | None = None) -> Shipment | None:
        """The next shipment, of at most ``most`` events; None if no lane is ready."""
        while self._backing_off and self._backing_off[0][0] <= now:
            self._ready.append(heapq.heappop(self._backing_off)[2])
        if not self._ready:
            return None
        first = self._waiting[self._ready[0]][0]
        if self._by_v1(first):
            lane = self._ready.popleft()
            self._in_flight.add(lane)
            return Shipment([self._waiting[lane].popleft()], by_v1=True)
        return Shipment(self._batch(most), by_v1=False)

    def next_time(self) -> float | None:
        """When the next lane will be ready again; None if none is backing off."""
        return self._backing_off[0][0] if self._backing_off else None

    def done(self, events: Iterable[Leased]) -> None:
        """Settle events of a shipment: they are delivered or buried."""
        self._finish(events, ready_at=None)

    def retry(self, events: Iterable[Leased], ready_at: float) -> None:
        """Put events of a shipment back to the front of their lanes, to be sent at ``ready_at``.

        Comes before done() for the other events of the same shipment.
        """
        self._finish(events, ready_at)

    def _finish(self, events: Iterable[Leased], ready_at: float | None) -> None:
        lanes: dict[str, list[Leased]] = {}
        for event in events:
            lanes.setdefault(event.lane, []).append(event)
        for lane, mine in lanes.items():
            waiting = self._waiting[lane]
            if ready_at is None:
                self.size -= len(mine)
            else:
                waiting.extendleft(reversed(mine))
            if lane not in self._in_flight:
                continue
            self._in_flight.discard(lane)
            if ready_at is not None:
                self._turn += 1
                heapq.heappush(self._backing_off, (ready_at, self._turn, lane))
            elif waiting:
                self._ready.append(lane)
            else:
                del self._waiting[lane]

    def _batch(self, most: int | None) -> list[Leased]:
        """Fill a batch from the ready lanes, in turn; of each, all that fits, in order."""
        events: list[Leased] = []
        room = self._batch_bytes - ENVELOPE_BYTES
        while self._ready:
            lane = self._ready[0]
            waiting = self._waiting[lane]
            taken = 0
            full = False
            while waiting and not self._by_v1(waiting[0]):
                size = sum(len(operation.item) + 1 for operation in waiting[0].operations)
                # The first goes whatever its size: nothing smaller can be made of it.
                full = bool(events) and (size > room or len(events) == most)
                if full:
                    break
                room -= size
                events.append(waiting.popleft())
                taken += 1
            if taken:
                self._ready.popleft()
                self._in_flight.add(lane)
            if full or not taken:
                break
        return events

    def _by_v1(self, event: Leased) -> bool:
        return self._v1 or any(operation.marks & V1_ONLY for operation in event.operations)
