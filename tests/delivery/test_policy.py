"""The policy of who is sent when: pure, so its promises are held against any order of events."""

from __future__ import annotations

from collections import defaultdict

from cio_sidecar.customerio import track_v2
from cio_sidecar.customerio.operation import V1_ONLY, Operation
from cio_sidecar.delivery.policy import (
    BACKOFF_BASE_SECONDS,
    BACKOFF_CAP_SECONDS,
    Lanes,
    Pacer,
    Shipment,
    backoff_seconds,
)
from cio_sidecar.delivery.queue.entry import Leased
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

randoms = st.floats(0, 1, exclude_max=True)


class TestBackoff:
    @given(st.integers(1, 10_000), randoms)
    def test_stays_between_zero_and_its_cap(self, attempts: int, random: float) -> None:
        wait = backoff_seconds(attempts, random)
        assert 0 <= wait < BACKOFF_CAP_SECONDS
        assert wait <= BACKOFF_BASE_SECONDS * 2 ** min(attempts - 1, 100)

    @given(st.integers(1, 1000), randoms, randoms)
    def test_takes_its_jitter_from_the_whole_range(self, attempts: int, a: float, b: float) -> None:
        assert backoff_seconds(attempts, 0.0) == 0
        assert backoff_seconds(attempts, min(a, b)) <= backoff_seconds(attempts, max(a, b))
        assert backoff_seconds(attempts, 0.999) >= 0.999 * BACKOFF_BASE_SECONDS

    def test_doubles_with_every_attempt_up_to_the_cap(self) -> None:
        waits = [backoff_seconds(attempts, 0.5) * 2 for attempts in range(1, 12)]
        assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


class TestPacer:
    @given(
        st.floats(1, 2000),
        st.integers(1, 50),
        st.lists(st.floats(0, 0.1) | st.just(0.0) | st.floats(0, 30), min_size=1, max_size=150),
        st.floats(0, 1e6),
    )
    def test_never_exceeds_its_ceiling_beyond_the_burst(
        self, per_second: float, burst: int, gaps: list[float], now: float
    ) -> None:
        pacer = Pacer(per_second, burst)
        sent = []
        for gap in gaps:
            now += gap
            wait = pacer.reserve(now)
            assert wait >= 0
            sent.append(now + wait)
        for first, start in enumerate(sent):
            for last in range(first, len(sent)):
                allowed = burst + per_second * (sent[last] - start)
                assert last - first + 1 <= allowed + 0.01

    @given(st.floats(1, 2000), st.integers(1, 50), st.floats(0, 1e6))
    def test_lets_a_burst_go_at_once_and_no_more(
        self, per_second: float, burst: int, now: float
    ) -> None:
        pacer = Pacer(per_second, burst)
        waits = [pacer.reserve(now) for _ in range(burst + 3)]
        assert max(waits[:burst]) < 1e-6
        assert all(wait > 0.4 / per_second for wait in waits[burst:])

    def test_of_a_thousand_a_second_delays_a_backlog_by_its_share(self) -> None:
        pacer = Pacer(1000, burst=20)
        waits = [pacer.reserve(0.0) for _ in range(3020)]
        assert round(waits[-1], 6) == 3.0

    def test_gives_an_idle_second_no_credit_beyond_the_burst(self) -> None:
        pacer = Pacer(10, burst=2)
        assert [pacer.reserve(0.0) for _ in range(3)] == [0.0, 0.0, 0.1]
        assert [round(pacer.reserve(1000.0), 6) for _ in range(4)] == [0.0, 0.0, 0.1, 0.2]


LIMIT = 600
"""Bytes of a batch in these tests."""


def leased(seq: int, lane: str, size: int = 20, *, v1_only: bool = False, parts: int = 1) -> Leased:
    item = b'"%s"' % (b"x" * (size - 2))
    operation = Operation(lane, item, V1_ONLY if v1_only else 0)
    return Leased(seq, lane, (operation,) * parts)


def body_size(shipment: Shipment) -> int:
    operations = [operation for each in shipment.events for operation in each.operations]
    return len(track_v2.batch(operations).body)


def seqs(shipment: Shipment | None) -> list[int]:
    assert shipment is not None
    return [each.seq for each in shipment.events]


class LanesMachine(RuleBasedStateMachine):
    """Any order of arriving, taking, delivering, failing and waiting, against a plain model."""

    all_by_v1 = False

    def __init__(self) -> None:
        super().__init__()
        self.lanes = Lanes(v1=self.all_by_v1, batch_bytes=LIMIT)
        self.now = 0.0
        self.last_seq = 0
        self.waiting: dict[str, list[Leased]] = defaultdict(list)
        self.in_flight: dict[str, list[Leased]] = {}
        self.not_before: dict[str, float] = {}
        self.shipments: list[Shipment] = []
        self.first_taken: dict[str, int] = defaultdict(int)
        self.finished: list[int] = []

    def ready(self) -> list[str]:
        return [
            lane
            for lane, events in self.waiting.items()
            if events and lane not in self.in_flight and self.not_before.get(lane, 0) <= self.now
        ]

    @rule(
        kinds=st.lists(
            st.tuples(
                st.sampled_from("abcdefg"),
                st.integers(2, 200) | st.integers(180, LIMIT + 50),
                st.sampled_from([False] * 4 + [True]),
                st.sampled_from([1, 1, 1, 2]),
            ),
            min_size=1,
            max_size=8,
        )
    )
    def events_arrive(self, kinds: list[tuple[str, int, bool, int]]) -> None:
        events = []
        for lane, size, v1_only, parts in kinds:
            self.last_seq += 1
            events.append(leased(self.last_seq, lane, size, v1_only=v1_only, parts=parts))
        self.lanes.add(events)
        for each in events:
            self.waiting[each.lane].append(each)

    @rule(seconds=st.floats(0.01, 50))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(most=st.none() | st.integers(1, 4))
    def a_shipment_is_taken(self, most: int | None) -> None:
        shipment = self.take(most)
        if shipment is None:
            return
        if most is not None:
            assert len(shipment.events) <= most

    def take(self, most: int | None = None) -> Shipment | None:
        ready = self.ready()
        shipment = self.lanes.take(self.now, most)
        if shipment is None:
            assert not ready, "a lane that could go was held back"
            assert self.lanes.next_time() == min(self.not_before.values(), default=None)
            return None
        by_lane: dict[str, list[Leased]] = defaultdict(list)
        for each in shipment.events:
            by_lane[each.lane].append(each)
        assert by_lane
        for lane, events in by_lane.items():
            assert lane not in self.in_flight, "two shipments of one lane in flight"
            assert lane in ready, "a lane went before its time"
            # The oldest of the lane, in order: what is tried again is before all that is later.
            assert events == self.waiting[lane][: len(events)]
            del self.waiting[lane][: len(events)]
            for each in events:
                if each.attempts == 0:
                    assert each.seq > self.first_taken[lane]
                    self.first_taken[lane] = each.seq
                each.attempts += 1
            self.in_flight[lane] = events
            self.not_before.pop(lane, None)
        v1_only = [
            each
            for each in shipment.events
            if any(operation.marks & V1_ONLY for operation in each.operations)
        ]
        if shipment.by_v1:
            assert len(shipment.events) == 1
            assert v1_only or self.all_by_v1
        else:
            assert not v1_only
            assert not self.all_by_v1
            assert len(shipment.events) == 1 or body_size(shipment) <= LIMIT
        self.shipments.append(shipment)
        return shipment

    def finish(self, shipment: Shipment, failed: list[Leased], wait: float) -> None:
        self.shipments.remove(shipment)
        done = [each for each in shipment.events if each not in failed]
        if failed:
            self.lanes.retry(failed, self.now + wait)
        self.lanes.done(done)
        self.finished += [each.seq for each in done]
        for lane in {each.lane for each in shipment.events}:
            del self.in_flight[lane]
            again = [each for each in failed if each.lane == lane]
            if again:
                self.waiting[lane][:0] = again
                self.not_before[lane] = self.now + wait

    @precondition(lambda self: self.shipments)
    @rule(data=st.data())
    def a_shipment_is_delivered(self, data: st.DataObject) -> None:
        self.finish(data.draw(st.sampled_from(self.shipments)), [], 0)

    @precondition(lambda self: self.shipments)
    @rule(data=st.data(), wait=st.floats(0, 40))
    def a_shipment_fails(self, data: st.DataObject, wait: float) -> None:
        shipment = data.draw(st.sampled_from(self.shipments))
        self.finish(shipment, shipment.events, wait)

    @precondition(lambda self: self.shipments)
    @rule(data=st.data(), wait=st.floats(0, 40))
    def a_part_of_a_shipment_fails(self, data: st.DataObject, wait: float) -> None:
        shipment = data.draw(st.sampled_from(self.shipments))
        fates = data.draw(
            st.lists(st.booleans(), min_size=len(shipment.events), max_size=len(shipment.events))
        )
        failed = [each for each, fails in zip(shipment.events, fates, strict=True) if fails]
        self.finish(shipment, failed, wait)

    @invariant()
    def what_is_held_adds_up(self) -> None:
        in_flight = sum(map(len, self.in_flight.values()))
        assert self.lanes.size == sum(map(len, self.waiting.values())) + in_flight
        assert self.lanes.size == self.last_seq - len(self.finished)

    def teardown(self) -> None:
        """In the end everything is delivered, each event once."""
        for shipment in list(self.shipments):
            self.finish(shipment, [], 0)
        while self.lanes.size:
            if (taken := self.take()) is not None:
                self.finish(taken, [], 0)
                continue
            next_time = self.lanes.next_time()
            assert next_time is not None, "events are held that nothing will send"
            assert next_time > self.now
            self.now = next_time
        assert sorted(self.finished) == list(range(1, self.last_seq + 1))
        assert self.lanes.take(self.now + 1e9) is None


class V1LanesMachine(LanesMachine):
    """The same, where everything goes by v1."""

    all_by_v1 = True


TestLanesInAnyOrderOfEvents = LanesMachine.TestCase
TestLanesByV1InAnyOrderOfEvents = V1LanesMachine.TestCase


class TestLanes:
    def lanes(self, *events: Leased, v1: bool = False) -> Lanes:
        lanes = Lanes(v1=v1, batch_bytes=LIMIT)
        lanes.add(events)
        return lanes

    def test_a_lone_event_makes_a_batch(self) -> None:
        lanes = self.lanes(leased(1, "a"))
        assert seqs(lanes.take(0)) == [1]
        assert lanes.take(0) is None

    def test_a_backlog_of_many_lanes_fills_a_batch_to_its_last_byte(self) -> None:
        size = 48
        count, rest = divmod(LIMIT - track_v2.ENVELOPE_BYTES, size + 1)
        assert rest == 0
        lanes = self.lanes(*(leased(n, f"lane-{n}", size) for n in range(100)))
        shipment = lanes.take(0)
        assert seqs(shipment) == list(range(count))
        assert shipment is not None
        assert LIMIT - 1 <= body_size(shipment) <= LIMIT

    @given(st.integers(2, LIMIT - 20), st.booleans())
    def test_a_batch_is_never_a_byte_too_large(self, size: int, fits: bool) -> None:
        first = leased(1, "a", size)
        rest = LIMIT - track_v2.ENVELOPE_BYTES - size - 1
        second = leased(2, "b", rest - 1 if fits else rest + 1)
        assert body_size(Shipment([first, second], by_v1=False)) == LIMIT + (-1 if fits else 1)
        assert seqs(self.lanes(first, second).take(0)) == ([1, 2] if fits else [1])

    def test_events_of_one_lane_go_together(self) -> None:
        lanes = self.lanes(leased(1, "a"), leased(2, "b"), leased(3, "a"))
        assert seqs(lanes.take(0)) == [1, 3, 2]

    def test_a_lane_in_flight_waits_though_more_of_it_comes(self) -> None:
        lanes = self.lanes(leased(1, "a"))
        assert seqs(lanes.take(0)) == [1]
        lanes.add([leased(2, "a"), leased(3, "b")])
        assert seqs(lanes.take(0)) == [3]
        assert lanes.take(0) is None

    def test_a_lane_that_backs_off_holds_back_nobody_else(self) -> None:
        lanes = self.lanes(leased(1, "a"), leased(2, "b"))
        shipment = lanes.take(0)
        assert shipment is not None
        lanes.retry(shipment.events[:1], 10.0)
        lanes.done(shipment.events[1:])
        lanes.add([leased(3, "a"), leased(4, "b")])
        assert seqs(lanes.take(9.9)) == [4]
        assert lanes.take(9.9) is None
        assert lanes.next_time() == 10.0
        assert seqs(lanes.take(10.0)) == [1, 3]

    def test_a_large_event_goes_alone_between_its_neighbours(self) -> None:
        lanes = self.lanes(
            leased(1, "a"), leased(2, "a", v1_only=True), leased(3, "a"), leased(4, "b")
        )
        taken = []
        while (shipment := lanes.take(0)) is not None:
            taken.append((seqs(shipment), shipment.by_v1))
            lanes.done(shipment.events)
        assert taken == [([1, 4], False), ([2], True), ([3], False)]

    def test_an_event_larger_than_a_batch_goes_all_the_same(self) -> None:
        lanes = self.lanes(leased(1, "a", LIMIT * 2), leased(2, "a"))
        assert seqs(lanes.take(0)) == [1]

    def test_by_v1_every_event_goes_alone(self) -> None:
        lanes = self.lanes(leased(1, "a"), leased(2, "b"), leased(3, "a"), v1=True)
        assert [seqs(lanes.take(0)) for _ in range(2)] == [[1], [2]]
        assert lanes.take(0) is None

    def test_lanes_take_turns(self) -> None:
        lanes = self.lanes(*(leased(n, "busy", 100) for n in range(50)), leased(50, "quiet"))
        first = lanes.take(0)
        assert first is not None
        lanes.done(first.events)
        assert seqs(lanes.take(0))[0] == 50
