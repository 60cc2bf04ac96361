"""Policy and lanes in any order of events, against a plain model of the queue and of the server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

import pytest
from cio_sidecar.customerio.answers import Outcome
from cio_sidecar.customerio.encoders import JOINED
from cio_sidecar.delivery.hold import HoldReason
from cio_sidecar.delivery.lane import Lane, Shipment
from cio_sidecar.delivery.lanes import Lanes
from cio_sidecar.delivery.policy import RETRY_AFTER_MAX_SECONDS, Policy, Probe, Settlement
from cio_sidecar.delivery.result import DELIVERED, Result, Returned
from cio_sidecar.event_queue.model import Leased
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.delivery.leases import BATCH_BYTES, body_bytes, leased

PEOPLE = ("p:1", "p:2", "p:3", "p:4", "a:1", "a:2")
LANE_EVENTS = 3
REJECTIONS = 3
"""How many events of distinct keys the circuit breaker takes."""
OUTCOMES = (
    (Outcome.RETRY, 0),
    (Outcome.RETRY, 200),
    (Outcome.RETRY, 429),
    (Outcome.RETRY, 503),
    (Outcome.UNAUTHORIZED, 401),
    (Outcome.NOT_FOUND, 404),
    (Outcome.MISDIRECTED, 302),
    (Outcome.REJECTED, 400),
)
"""What a server in trouble says, whatever it is sent; 0 is no answer, 200 a web page."""

waits = st.sampled_from([None, None, None, None, 0.0, 3.0, 1e9])
people = st.sampled_from(PEOPLE)
names = st.one_of(
    st.tuples(people), st.tuples(people), st.lists(people, min_size=2, max_size=2, unique=True)
)


@dataclass
class Stored:
    """An event as the queue holds it."""

    names: tuple[str, ...]
    v1_only: bool
    size: int
    accepted_at: int
    nature: str
    """``good``, ``bad`` (the server rejects it) or ``poison`` (the server fails on it)."""
    before: frozenset[int] = frozenset()
    """Which events must end before it is sent."""
    not_before: float = 0.0
    """The server asked not to be sent it earlier."""
    readable: bool = True


@dataclass
class Model:
    """What is true of the events, whatever the lanes think."""

    stored: dict[int, Stored] = field(default_factory=dict)
    """The events that have not ended, by their place in the queue."""
    groups: dict[str, frozenset[str]] = field(default_factory=dict)
    """Who is one with whom, while something of them waits."""
    ended: list[int] = field(default_factory=list)
    last: int = 0

    def put(self, event: Stored) -> int:
        self.last += 1
        group = frozenset(event.names).union(*(self.group(name) for name in event.names))
        self.groups.update(dict.fromkeys(group, group))
        event.before = frozenset(self.of(group))
        self.stored[self.last] = event
        return self.last

    def group(self, name: str) -> frozenset[str]:
        return self.groups.get(name, frozenset([name]))

    def of(self, group: Iterable[str]) -> list[int]:
        return [seq for seq, event in self.stored.items() if not set(group).isdisjoint(event.names)]

    def end(self, seq: int) -> None:
        event = self.stored.pop(seq)
        self.ended.append(seq)
        group = self.group(event.names[0])
        if not self.of(group):
            for name in group:
                self.groups.pop(name, None)

    def read(self, seqs: Iterable[int]) -> list[Leased]:
        return [
            leased(
                seq,
                *event.names,
                size=event.size,
                v1_only=event.v1_only,
                accepted_at=event.accepted_at,
            )
            for seq in seqs
            if (event := self.stored.get(seq)) and event.readable
        ]

    def held_up(self) -> set[int]:
        """The events of everybody of whom there is poison, whoever they are by now one with."""
        return {
            other
            for event in self.stored.values()
            if event.nature == "poison"
            for other in self.of(self.group(event.names[0]))
        }


class DeliveryMachine(RuleBasedStateMachine):
    """Events come, are sent, meet every answer, and end; the clock moves only when it is told."""

    v1 = False

    @initialize(seed=st.integers(0, 2**32), concurrency=st.integers(1, 6))
    def start(self, seed: int, concurrency: int) -> None:
        self.now = 1000.0
        self.model = Model()
        self.policy = Policy(
            v1=self.v1,
            batch_bytes=BATCH_BYTES,
            concurrency=concurrency,
            random=Random(seed).random,
            breaker_rejections=REJECTIONS,
        )
        self.lanes = Lanes(v1=self.v1, batch_bytes=BATCH_BYTES, lane_events=LANE_EVENTS)
        self.policy.lanes = self.lanes
        self.out: list[Shipment | Probe] = []
        self.unsettled: list[Settlement] = []
        self.asked: tuple[Lane, list[int]] | None = None
        self.hold_until = 0.0
        self.rejected: set[str] = set()
        self.rejections = 0
        self.accepts_rejections = False

    # What happens

    @rule(
        kinds=st.lists(
            st.tuples(
                names,
                st.sampled_from([False] * 5 + [True]),
                st.sampled_from([10, 10, 10, 200, BATCH_BYTES + 50]),
                st.sampled_from(["good"] * 6 + ["bad", "poison"]),
            ),
            min_size=1,
            max_size=16,
        )
    )
    def events_come(self, kinds: list[tuple[tuple[str, ...], bool, int, str]]) -> None:
        self.lanes.add(
            self.model.read(
                [
                    self.model.put(Stored(tuple(who), v1_only, size, int(self.now), nature))
                    for who, v1_only, size, nature in kinds
                ]
            )
        )

    @rule(who=names, count=st.integers(LANE_EVENTS, 3 * LANE_EVENTS))
    def somebody_sends_many(self, who: tuple[str, ...], count: int) -> None:
        self.events_come([(who, False, 10, "good")] * count)

    @rule()
    def something_is_sent(self) -> None:
        self.take()

    def take(self) -> Shipment | Probe | None:
        suspects = sum(isinstance(out, Shipment) and out.suspect for out in self.out)
        slots = self.policy.concurrency.limit
        in_flight = self.in_flight()
        item = self.policy.next(self.now)
        if item is None:
            self.see_that_something_will_go_on()
            return None
        assert self.now >= self.hold_until, "the server asked to wait"
        assert len(self.out) < slots
        assert not self.policy.is_probing or not self.out
        self.out.append(item)
        if isinstance(item, Shipment):
            self.see_that_it_may_be_sent(item, in_flight)
            if item.suspect:
                assert suspects < max(1, slots // 2), "suspects have taken more than their share"
        return item

    def see_that_it_may_be_sent(self, shipment: Shipment, in_flight: set[int]) -> None:
        model = self.model
        seen: set[int] = set()
        assert shipment.events
        for event in shipment.events:
            stored = model.stored[event.seq]
            assert self.now >= stored.not_before, "the server asked to wait with this one"
            waiting = {seq for seq in stored.before if seq in model.stored} - seen
            assert not waiting, f"{event.seq} goes before {waiting}"
            others = in_flight.intersection(model.of(model.group(stored.names[0])))
            assert not others, f"{event.seq} goes while {others} are in flight"
            seen.add(event.seq)
        assert all(bool(lane.most) == shipment.suspect for lane in shipment.lanes)
        stored_events = [model.stored[event.seq] for event in shipment.events]
        alone = self.v1 or any(stored.v1_only for stored in stored_events)
        assert shipment.by_v1 == alone
        if len(stored_events) > 1:
            assert not alone
            assert body_bytes(shipment) <= BATCH_BYTES

    def see_that_something_will_go_on(self) -> None:
        idle = not self.out and not self.unsettled and self.asked is None
        if idle and self.model.stored and not self.lanes.parked:
            next_time = self.policy.next_time(self.now)
            assert next_time is not None, "events wait that nothing will send"
            assert self.now < next_time < float("inf")

    @rule(by_batch=st.booleans(), most=st.integers(2, 8))
    def some_are_sent_and_answered(self, by_batch: bool, most: int) -> None:
        for _ in range(most):
            if (item := self.take()) is None:
                break
            self.end(item, self.judged(item, by_batch=by_batch), settles=True)

    @rule(outcome=st.sampled_from([None, *OUTCOMES]))
    def all_that_may_is_sent_and_answered(self, outcome: tuple[Outcome, int] | None) -> None:
        while self.take() is not None:
            pass
        for item in list(self.out):
            if outcome is None:
                self.end(item, self.judged(item, by_batch=True), settles=True)
            else:
                self.fail(item, outcome, None, settles=True)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), settles=st.booleans())
    def the_server_answers(self, data: st.DataObject, settles: bool) -> None:
        item = data.draw(st.sampled_from(self.out))
        by_batch = data.draw(st.booleans())
        self.end(item, self.judged(item, by_batch=by_batch), settles=settles)

    def judged(self, item: Shipment | Probe, *, by_batch: bool, poison: bool = True) -> Returned:
        """What a server that is well says. ``by_batch``: of a batch with a bad event, no more than
        that it is bad."""
        if isinstance(item, Probe):
            return Returned([DELIVERED])
        natures = [self.model.stored[event.seq].nature for event in item.events]
        if poison and "poison" in natures:
            return Returned([Result(Outcome.RETRY, "HTTP 500", 500)] * len(natures), whole=True)
        bad = Result(Outcome.REJECTED, "HTTP 400", 400)
        if by_batch and "bad" in natures:
            return Returned([bad] * len(natures), whole=True)
        return Returned([bad if nature == "bad" else DELIVERED for nature in natures])

    @precondition(lambda self: self.out)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(OUTCOMES),
        wait_seconds=waits,
        settles=st.booleans(),
    )
    def the_server_is_in_trouble(
        self,
        data: st.DataObject,
        outcome: tuple[Outcome, int],
        wait_seconds: float | None,
        settles: bool,
    ) -> None:
        self.fail(data.draw(st.sampled_from(self.out)), outcome, wait_seconds, settles=settles)

    def fail(
        self,
        item: Shipment | Probe,
        outcome: tuple[Outcome, int],
        wait_seconds: float | None,
        *,
        settles: bool,
    ) -> None:
        kind, status = outcome
        if kind is Outcome.REJECTED:
            wait_seconds = None
        result = Result(kind, f"HTTP {status}", status, wait_seconds=wait_seconds)
        count = len(item.events) if isinstance(item, Shipment) else 1
        settlement = self.end(
            item, Returned([result] * count, whole=True, seconds=0.2), settles=settles
        )
        if wait_seconds is None:
            return
        until = self.now + min(wait_seconds, RETRY_AFTER_MAX_SECONDS)
        # A batch with a rejected event is split as well, and waits for nothing.
        suspect = settlement is not None and settlement.failed and settlement.most > 0
        if kind is Outcome.UNAUTHORIZED or (status == 429 and settlement and not suspect):
            self.hold_until = max(self.hold_until, until)
            assert self.policy.hold is not None, "the server asked to wait, and no view says so"
        if suspect and settlement:
            for event in settlement.again:
                self.model.stored[event.seq].not_before = until

    def end(
        self, item: Shipment | Probe, returned: Returned, *, settles: bool
    ) -> Settlement | None:
        self.out.remove(item)
        if isinstance(item, Probe):
            self.policy.probed(returned.results[0], self.now)
            self.see_whether_it_is_on_hold()
            return None
        settlement = self.policy.returned(item, returned, self.now)
        assert settlement.ready_at - self.now <= RETRY_AFTER_MAX_SECONDS
        self.see_whether_it_is_on_hold()
        self.see_that_rejections_stay_below_the_threshold(settlement)
        self.unsettled.append(settlement)
        if settles:
            self.settle(settlement)
        return settlement

    def see_whether_it_is_on_hold(self) -> None:
        if self.policy.hold is None:
            self.hold_until = 0.0

    def see_that_rejections_stay_below_the_threshold(self, settlement: Settlement) -> None:
        if settlement.delivered:
            self.rejected.clear()
            self.accepts_rejections = False
        for event, _ in settlement.rejected:
            if self.rejected.isdisjoint(keys := set(event.lane.split(JOINED))):
                self.rejected |= keys
                self.rejections += 1
        if settlement.delivered:
            self.rejections = 0
        assert self.accepts_rejections or self.rejections < REJECTIONS

    @precondition(lambda self: self.unsettled)
    @rule(data=st.data())
    def the_disk_is_done(self, data: st.DataObject) -> None:
        self.settle(data.draw(st.sampled_from(self.unsettled)))

    def settle(self, settlement: Settlement) -> None:
        self.unsettled.remove(settlement)
        gone = [*settlement.delivered, *(event for event, _ in settlement.rejected)]
        assert sorted(event.seq for event in (*gone, *settlement.again)) == sorted(
            event.seq for event in settlement.shipment.events
        )
        self.policy.settled(settlement)
        for event in gone:
            self.model.end(event.seq)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 61.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def the_next_time_comes(self) -> None:
        next_time = self.policy.next_time(self.now)
        if next_time is not None:
            self.now = max(self.now, next_time)
        self.some_are_sent_and_answered(by_batch=True, most=1)

    @precondition(lambda self: self.asked is None)
    @rule()
    def a_lane_asks(self) -> None:
        if (hungry := self.lanes.hungry()) is not None:
            lane, places = hungry
            assert 1 <= len(places) <= LANE_EVENTS
            self.asked = lane, list(places)

    @precondition(lambda self: self.asked)
    @rule()
    def the_queue_answers(self) -> None:
        assert self.asked is not None
        lane, places = self.asked
        self.asked = None
        held = self.held()
        self.lanes.feed(lane, places, self.model.read(places))
        for seq in places:
            if seq in self.model.stored and not self.model.stored[seq].readable:
                left = self.everywhere()
                if seq not in left:
                    self.model.end(seq)
        assert held <= self.held()

    @precondition(lambda self: self.lanes.parked)
    @rule(data=st.data())
    def the_disk_loses_an_event(self, data: st.DataObject) -> None:
        parked = [seq for lane in self.all_lanes() for seq in lane.parked or ()]
        self.model.stored[data.draw(st.sampled_from(parked))].readable = False

    @rule(trouble=st.booleans())
    def room_is_needed(self, trouble: bool) -> None:
        self.lanes.make_room(trouble=trouble)

    @rule(age=st.sampled_from([0, 60, 600]))
    def old_events_expire(self, age: int) -> None:
        before = int(self.now) - age
        in_flight = self.in_flight()
        for event in self.lanes.expired(before):
            assert event.seq not in in_flight
            assert self.model.stored[event.seq].accepted_at < before
            self.model.end(event.seq)

    @rule()
    def an_operator_pauses_and_resumes(self) -> None:
        self.policy.paused = True
        assert self.policy.next(self.now) is None
        assert self.policy.next_time(self.now) is None
        self.policy.paused = False

    @rule(accept_rejections=st.booleans())
    def an_operator_ends_the_hold(self, accept_rejections: bool) -> None:
        self.policy.resume(self.now, accept_rejections=accept_rejections)
        self.accepts_rejections = self.accepts_rejections or accept_rejections
        self.hold_until = 0.0
        for event in self.model.stored.values():
            event.not_before = 0.0
        if not self.out and not self.unsettled and self.asked is None and not self.lanes.parked:
            assert not self.model.stored or self.policy.next_attempt(self.now) == self.now

    @rule(wait_seconds=waits)
    def credentials_are_rejected(self, wait_seconds: float | None) -> None:
        self.policy.hold_back(HoldReason.CREDENTIALS, "rejected", self.now, wait_seconds)
        if wait_seconds is not None:
            until = self.now + min(wait_seconds, RETRY_AFTER_MAX_SECONDS)
            self.hold_until = max(self.hold_until, until)

    # What is always true

    def all_lanes(self) -> list[Lane]:
        return list(dict.fromkeys(self.lanes._lanes.values()))

    def held(self) -> set[int]:
        return {event.seq for lane in self.all_lanes() for event in lane.events}

    def in_flight(self) -> set[int]:
        shipments = [out for out in self.out if isinstance(out, Shipment)]
        shipments += [settlement.shipment for settlement in self.unsettled]
        return {event.seq for shipment in shipments for event in shipment.events}

    def everywhere(self) -> list[int]:
        """All places where the lanes have events, once for each."""
        lanes = self.all_lanes()
        waiting = [event.seq for lane in lanes for event in lane.events]
        parked = [seq for lane in lanes for seq in lane.parked or ()]
        return sorted([*waiting, *parked, *self.in_flight()])

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        assert self.everywhere() == sorted(self.model.stored)
        assert sorted([*self.model.ended, *self.model.stored]) == list(
            range(1, self.model.last + 1)
        )

    @invariant()
    def the_counters_tell_the_truth(self) -> None:
        held = self.held() | self.in_flight()
        assert self.lanes.size == len(held)
        assert self.lanes.bytes == sum(self.model.stored[seq].size + 1 for seq in held)
        assert self.lanes.parked == len(self.model.stored) - len(held)
        assert self.policy.concurrency.in_flight == len(self.out)

    # How it ends

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        for settlement in list(self.unsettled):
            self.settle(settlement)
        self.go_on(until=lambda: self.model.held_up() >= set(self.model.stored), poison=True)
        self.go_on(until=lambda: not self.model.stored, poison=False)
        assert self.lanes.size == self.lanes.bytes == self.lanes.parked == 0
        assert not self.lanes._lanes

    def go_on(self, until: Callable[[], bool], *, poison: bool) -> None:
        """Time passes, and the server is well but for poison: that must be enough."""
        for _ in range(100 + 30 * self.model.last):
            if until():
                return
            if self.asked is None:
                self.a_lane_asks()
            if self.asked is not None:
                self.the_queue_answers()
            if self.out:
                item = self.out[0]
                self.end(item, self.judged(item, by_batch=True, poison=poison), settles=True)
            elif self.policy.hold and self.policy.hold.reason is HoldReason.CIRCUIT_BREAKER:
                # There may be nothing but bad events.
                self.an_operator_ends_the_hold(accept_rejections=True)
            elif self.take() is None and not self.lanes._hungry:
                next_time = self.policy.next_time(self.now)
                if not until():
                    assert next_time is not None, "events wait that nothing will send"
                    assert next_time > self.now
                    self.now = next_time
            self.nothing_is_lost_or_doubled()
            self.the_counters_tell_the_truth()
        raise AssertionError(f"starved: {sorted(self.model.stored)}")


class V1DeliveryMachine(DeliveryMachine):
    """The same where everything goes by v1."""

    v1 = True


@pytest.mark.parametrize("machine", [DeliveryMachine, V1DeliveryMachine])
def test_any_order_of_events_keeps_order_and_loses_nothing(machine: type[DeliveryMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=150,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
