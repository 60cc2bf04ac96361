"""Lanes: the order of each person's events. PURE: no I/O; times are a monotonic clock's seconds.

A lane is a person, or an anonymous visitor, whose events wait. It has at most one shipment in
flight, and its events leave in the order of the queue. A lane that fails holds back nobody else.
"""

import heapq
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import takewhile
from operator import attrgetter
from typing import Final

from cio_sidecar.customerio.encoders import JOINED
from cio_sidecar.customerio.requests import ENVELOPE_BYTES
from cio_sidecar.delivery.lane import Lane, Shipment, State
from cio_sidecar.event_queue.model import Leased

LANE_EVENTS: Final = 1_000
"""How many events of a lane are held in memory; of those behind them, only the places."""

_TRIED_EVENTS: Final = 10
"""How many events of a lane that failed are read from the queue again."""

_seq: Final = attrgetter("seq")


class Lanes:
    """All lanes, and who may go next."""

    def __init__(self, *, v1: bool, batch_bytes: int, lane_events: int = LANE_EVENTS) -> None:
        """``v1``: send everything by v1. ``batch_bytes``: the most bytes of a batch's body."""
        self._v1 = v1
        self._room = batch_bytes - ENVELOPE_BYTES
        self._lane_events = lane_events
        self._lanes: dict[str, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._suspects: deque[Lane] = deque()
        self._backing_off: list[tuple[float, int, Lane]] = []
        self._hungry: deque[Lane] = deque()
        self._turn = 0
        self.size = 0
        """Events held in memory, those in flight included."""
        self.bytes = 0
        """Bytes of them, as they stand in requests."""
        self.parked = 0
        """Events of which only the place in the queue is held."""

    def add(self, events: Iterable[Leased]) -> None:
        """Take in events, in the order of the queue."""
        lanes = self._lanes
        for event in events:
            lane = lanes.get(event.lane)
            if lane is None:
                lane = self._join(event.lane) if JOINED in event.lane else self._open(event.lane)
            if lane.parked is not None or len(lane.events) >= self._lane_events:
                self._park(lane, event)
                continue
            self._hold(lane, event)

    def take(
        self,
        now: float,
        *,
        most: int | None = None,
        suspects: bool = True,
        suspects_first: bool = False,
        turn: float = 0.0,
    ) -> Shipment | None:
        """The next shipment, of at most ``most`` events; None if no lane is ready.

        ``suspects``: whether it may be of suspect lanes, and ``suspects_first``, whether these have
        the turn. ``turn``: with which of the others to begin, from 0, who has waited the longest,
        to below 1.
        """
        while self._backing_off and self._backing_off[0][0] <= now:
            ready_at, _, rested = heapq.heappop(self._backing_off)
            if rested.state is State.BACKING_OFF and rested.ready_at == ready_at:
                self._land(rested, backs_off=False)
        self._ready.rotate(-int(turn * len(self._ready)))
        turns = (self._suspects, self._ready) if suspects_first else (self._ready, self._suspects)
        for waiting in turns:
            suspect = waiting is self._suspects
            if (suspects or not suspect) and (lane := _first(waiting, suspect=suspect)):
                if self._v1 or lane.events[0].v1_only:
                    waiting.popleft()
                    return Shipment([self._start(lane)], True, [lane], suspect)
                return self._batch(waiting, most, suspect=suspect)
        return None

    def next_time(self) -> float | None:
        """When the next lane will be ready again; None if none is backing off."""
        return self._backing_off[0][0] if self._backing_off else None

    def ready_at(self, now: float) -> float | None:
        """When some lane may go: ``now`` if one is ready; None if none is, nor backs off."""
        ready = _first(self._ready, suspect=False) or _first(self._suspects, suspect=True)
        return now if ready else self.next_time()

    def returned(
        self,
        shipment: Shipment,
        again: Sequence[Leased] = (),
        *,
        ready_at: float = 0.0,
        failed: bool = True,
        most: int = 0,
        seen: int = 0,
    ) -> None:
        """Take a shipment back. All its events are settled but those that are to be sent ``again``
        at ``ready_at``, which are given in their order.

        ``failed``: whether ``again`` counts as a failed attempt. ``most`` makes suspects of their
        lanes, 0 leaves them as they are; ``seen`` is noted in them.
        """
        failing: dict[Lane, list[Leased]] = {}
        kept = 0
        for event in again:
            failing.setdefault(self._lanes[event.lane], []).append(event)
            kept += event.size
        self.size -= len(shipment.events) - len(again)
        self.bytes -= sum(event.size for event in shipment.events) - kept
        for lane, events in failing.items():
            _put_back(lane, events)
            lane.failures += failed
            lane.failed = lane.failed or failed
            lane.seen = seen
            lane.most = most or lane.most
            lane.ready_at = max(lane.ready_at, ready_at)
        for taken in shipment.lanes:
            lane = taken.current
            lane.flights -= 1
            if lane.flights:
                continue
            if lane not in failing and not lane.failed:
                lane.failures = lane.most = 0
            backs_off, lane.failed = lane.failed, False
            self._land(lane, backs_off=backs_off)

    def wake(self, *, suspects: bool = False) -> None:
        """Make lanes ready that back off or are about to: Customer.io is well again. The suspects
        only if asked to.
        """
        for joined in self._lanes.values():
            joined.failed = joined.failed and bool(joined.most) and not suspects
        waiting, self._backing_off = self._backing_off, []
        for entry in waiting:
            ready_at, _, lane = entry
            if lane.state is not State.BACKING_OFF or lane.ready_at != ready_at:
                continue
            if lane.most and not suspects:
                heapq.heappush(self._backing_off, entry)
            else:
                self._land(lane, backs_off=False)

    def expired(self, before: int) -> list[Leased]:
        """Remove the events accepted before a Unix second that are not in flight."""
        gone: list[Leased] = []
        for lane in dict.fromkeys(self._lanes.values()):
            if lane.flights:
                continue
            old = list(takewhile(lambda event: event.accepted_at < before, lane.events))
            del lane.events[: len(old)]
            self.size -= len(old)
            self.bytes -= sum(event.size for event in old)
            gone += old
            if old and not lane.events:
                self._land(lane, backs_off=False)
        return gone

    def hungry(self) -> "tuple[Lane, Sequence[int]] | None":
        """A lane that needs its parked events back, and the places in the queue of the next.

        One that backs off needs none yet.
        """
        while self._hungry:
            lane = self._hungry.popleft().current
            if lane.state is State.BACKING_OFF:
                continue
            # One that failed may fail again: a few of its events will tell.
            most = min(_TRIED_EVENTS, self._lane_events) if lane.failures else self._lane_events
            if lane.parked and len(lane.events) < most:
                return lane, lane.parked[: most - len(lane.events)]
        return None

    def make_room(self, *, trouble: bool = False) -> bool:
        """Let go of events of all that failed, if nobody else is ready; whether there were any.

        What stands behind them in the queue may fare better. Those that may be tried again already
        keep the event that is next. In ``trouble``, when nobody gets anything through, they are not
        waited for: all that are ready keep no more than that.
        """
        if trouble and self.size <= 2 * len(self._lanes):
            # It would find little, and is asked again and again.
            return False
        ready = (lane for lane in self._ready if lane.state is State.READY and not lane.most)
        if not trouble and any(not lane.failures for lane in ready):
            # Nearly always the first is well: the many behind it are not looked at.
            return False
        before = self.size
        for lane in self._ready:
            if lane.state is State.READY and not lane.most:
                self._unload(lane, behind=lane.events[0].seq)
        for _, _, lane in self._backing_off:
            if lane.state is State.BACKING_OFF and lane.events and not lane.events[0].done:
                self._unload(lane)
        return self.size < before

    def feed(self, lane: Lane, places: Sequence[int], events: Iterable[Leased]) -> None:
        """Give a lane what hungry() asked for; what is missing can't be read.

        A lane that was joined to another since it asked may have to have others first: it is given
        nothing, and asks again.
        """
        lane = lane.current
        count = len(places)
        if lane.parked is None or lane.parked[:count] != array("q", places):
            self._hungry.append(lane)
            return
        del lane.parked[:count]
        lane.parked = lane.parked or None
        self.parked -= count
        for event in events:
            self._hold(lane, event)
        _sort(lane)
        if lane.events and lane.failures:
            lane.events[0].attempts = max(lane.events[0].attempts, lane.failures)
        if lane.state is State.FETCHING:
            self._land(lane, backs_off=False)

    def _open(self, name: str) -> Lane:
        lane = self._lanes[name] = Lane(name)
        self._ready.append(lane)
        return lane

    def _join(self, name: str) -> Lane:
        """The one lane of several identities, out of the lanes that they have."""
        names = name.split(JOINED)
        lane: Lane | None = None
        for each in names:
            other = self._lanes.get(each)
            if other is None or other is lane:
                continue
            if lane is None:
                lane = other
            else:
                self._absorb(lane, other)
        if lane is None:
            lane = self._open(names[0])
        for each in (*names, name):
            if self._lanes.get(each) is not lane:
                self._lanes[each] = lane
                lane.names.append(each)
        return lane

    def _absorb(self, lane: Lane, other: Lane) -> None:
        """Make one lane of two. Where one was in flight or backing off, both wait for it."""
        lane.events.extend(other.events)
        lane.parked = _merged(lane.parked, other.parked)
        _sort(lane)
        if lane.parked:
            self._unload(lane, behind=lane.parked[0])
        lane.flights += other.flights
        lane.failures = max(lane.failures, other.failures)
        lane.most = max(lane.most, other.most)
        lane.seen = max(lane.seen, other.seen)
        lane.ready_at = max(lane.ready_at, other.ready_at)
        backs_off = State.BACKING_OFF in (lane.state, other.state)
        lane.failed = bool(lane.flights) and (lane.failed or other.failed or backs_off)
        other.state = State.GONE
        other.into = lane
        other.events = []
        other.parked = None
        for name in other.names:
            self._lanes[name] = lane
        lane.names += other.names
        self._land(lane, backs_off=backs_off)

    def _hold(self, lane: Lane, event: Leased) -> None:
        lane.events.append(event)
        self.size += 1
        self.bytes += event.size

    def _park(self, lane: Lane, event: Leased) -> None:
        if lane.parked is None:
            lane.parked = array("q")
        lane.parked.append(event.seq)
        self.parked += 1

    def _start(self, lane: Lane) -> Leased:
        """Take the first event of a lane, which is in flight from now on."""
        lane.state = State.IN_FLIGHT
        lane.flights += 1
        return lane.events.pop(0)

    def _land(self, lane: Lane, *, backs_off: bool) -> None:
        """Give a lane the state that it has earned."""
        if lane.parked and len(lane.events) <= self._lane_events // 2:
            self._hungry.append(lane)
        if lane.flights:
            lane.state = State.IN_FLIGHT
        elif backs_off:
            if lane.most == 1 and lane.events and not lane.events[0].done:
                # It may fail for long, and there may be many of its kind: its events need not be
                # held in memory meanwhile.
                self._unload(lane)
            lane.state = State.BACKING_OFF
            self._turn += 1
            heapq.heappush(self._backing_off, (lane.ready_at, self._turn, lane))
        elif lane.events or lane.parked:
            self._make_ready(lane)
        else:
            lane.state = State.GONE
            for name in lane.names:
                del self._lanes[name]

    def _unload(self, lane: Lane, behind: int = -1) -> None:
        """Let go of a lane's events behind a place in the queue; all, if none is given."""
        places = array("q")
        while lane.events and lane.events[-1].seq > behind:
            event = lane.events.pop()
            self.size -= 1
            self.bytes -= event.size
            places.append(event.seq)
        places.reverse()
        lane.parked = _merged(lane.parked, places)
        self.parked += len(places)

    def _make_ready(self, lane: Lane) -> None:
        if not lane.events:
            lane.state = State.FETCHING
            self._hungry.append(lane)
            return
        lane.state = State.READY
        lane.ready_at = 0.0
        (self._suspects if lane.most else self._ready).append(lane)

    def _batch(self, waiting: deque[Lane], most: int | None, *, suspect: bool) -> Shipment:
        """Fill a batch from the ready lanes, in turn; of each, all that fits, in order."""
        events: list[Leased] = []
        lanes: list[Lane] = []
        room = self._room
        while lane := _first(waiting, suspect=suspect):
            cap = min(lane.most, most or lane.most) if lane.most else most
            mine = lane.events
            taken = 0
            full = False
            for event in mine:
                if event.v1_only:
                    break
                # The first goes whatever its size: nothing smaller can be made of it.
                full = bool(events) and (
                    event.size > room or (cap is not None and len(events) >= cap)
                )
                if full:
                    break
                room -= event.size
                events.append(event)
                taken += 1
            if taken:
                del mine[:taken]
                waiting.popleft()
                lane.state = State.IN_FLIGHT
                lane.flights += 1
                lanes.append(lane)
                most = cap
            if full or not taken:
                break
        return Shipment(events, False, lanes, suspect)


def _first(waiting: deque[Lane], *, suspect: bool) -> Lane | None:
    """The first lane that is ready; entries that tell of an earlier state are dropped."""
    while waiting:
        lane = waiting[0]
        if lane.state is State.READY and bool(lane.most) == suspect:
            return lane
        waiting.popleft()
    return None


def _merged(places: "array[int] | None", others: "array[int] | None") -> "array[int] | None":
    """Two ascending lists of places as one."""
    if not places or not others:
        return places or others or None
    at = bisect_left(places, others[0])
    if at == bisect_left(places, others[-1]):
        # The many that a lane has are not walked through for the few of each that joins it.
        places[at:at] = others
        return places
    return array("q", sorted((*places, *others)))


def _put_back(lane: Lane, events: list[Leased]) -> None:
    lane.events[:0] = events
    _sort(lane)


def _sort(lane: Lane) -> None:
    """Restore the order of the queue, which joining or feeding a lane may have broken."""
    lane.events.sort(key=_seq)
