"""Lanes: the order of each person's events, and who may go next."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import pytest
from cio_sidecar.customerio import requests
from cio_sidecar.delivery import lanes as lanes_module
from cio_sidecar.delivery.lane import Shipment
from cio_sidecar.delivery.lanes import Lanes
from cio_sidecar.event_queue.model import Leased
from hypothesis import given
from hypothesis import strategies as st

from tests.delivery.leases import BATCH_BYTES, body_bytes, leased, seqs

Tracer = Callable[[FrameType, str, Any], Any]


def lanes_of(*events: Leased, v1: bool = False, lane_events: int = 1000) -> Lanes:
    lanes = Lanes(v1=v1, batch_bytes=BATCH_BYTES, lane_events=lane_events)
    lanes.add(events)
    return lanes


def taken(lanes: Lanes, now: float = 0.0, *, most: int | None = None) -> Shipment:
    shipment = lanes.take(now, most=most)
    assert shipment is not None
    return shipment


def fails(lanes: Lanes, shipment: Shipment, ready_at: float, *, most: int = 0) -> None:
    lanes.returned(shipment, shipment.events, ready_at=ready_at, most=most)


def feed(lanes: Lanes) -> list[int]:
    """Read what a lane asks for; gives which events these are."""
    hungry = lanes.hungry()
    assert hungry is not None
    lane, places = hungry
    lanes.feed(lane, places, [leased(seq, lane.names[0]) for seq in places])
    return list(places)


def drained(lanes: Lanes, now: float = 0.0) -> list[int]:
    """Deliver all that is ready, one shipment after the other."""
    order: list[int] = []
    while (shipment := lanes.take(now)) is not None:
        order += seqs(shipment)
        lanes.returned(shipment)
    return order


class TestOrder:
    def test_a_lone_event_makes_a_shipment(self) -> None:
        lanes = lanes_of(leased(1, "a"))
        assert seqs(lanes.take(0)) == [1]
        assert lanes.take(0) is None

    def test_events_of_one_lane_go_together(self) -> None:
        lanes = lanes_of(leased(1, "a"), leased(2, "b"), leased(3, "a"))
        assert seqs(lanes.take(0)) == [1, 3, 2]

    def test_a_lane_in_flight_waits_though_more_of_it_comes(self) -> None:
        lanes = lanes_of(leased(1, "a"))
        first = taken(lanes)
        lanes.add([leased(2, "a"), leased(3, "b")])
        assert seqs(lanes.take(0)) == [3]
        assert lanes.take(0) is None
        lanes.returned(first)
        assert seqs(lanes.take(0)) == [2]

    def test_what_failed_goes_before_all_that_is_later(self) -> None:
        lanes = lanes_of(leased(1, "a"), leased(2, "a"))
        first = taken(lanes)
        lanes.add([leased(3, "a")])
        fails(lanes, first, 5.0)
        assert seqs(lanes.take(5.0)) == [1, 2, 3]

    def test_a_lane_that_backs_off_holds_back_nobody_else(self) -> None:
        lanes = lanes_of(leased(1, "a"), leased(2, "b"))
        shipment = taken(lanes)
        lanes.returned(shipment, shipment.events[:1], ready_at=10.0)
        lanes.add([leased(3, "a"), leased(4, "b")])
        assert seqs(lanes.take(9.9)) == [4]
        assert lanes.take(9.9) is None
        assert lanes.next_time() == 10.0
        assert seqs(lanes.take(10.0)) == [1, 3]

    def test_lanes_take_turns(self) -> None:
        lanes = lanes_of(*(leased(n, "busy", size=100) for n in range(50)), leased(50, "quiet"))
        lanes.returned(taken(lanes))
        assert seqs(lanes.take(0))[0] == 50

    def test_a_success_ends_the_count_of_failures_in_a_row(self) -> None:
        lanes = lanes_of(leased(1, "a"), leased(2, "a"))
        for failures in (1, 2):
            shipment = taken(lanes)
            fails(lanes, shipment, 0.0, most=1)
            assert (shipment.lanes[0].failures, shipment.lanes[0].most) == (failures, 1)
            if lanes.parked:
                assert lanes.take(0) is None
                feed(lanes)
        lanes.returned(taken(lanes))
        assert (shipment.lanes[0].failures, shipment.lanes[0].most) == (0, 0)

    def test_what_is_sent_again_without_a_fault_of_its_own_waits_for_nothing(self) -> None:
        lanes = lanes_of(leased(1, "a"))
        shipment = taken(lanes)
        lanes.returned(shipment, shipment.events, failed=False)
        assert shipment.lanes[0].failures == 0
        assert seqs(lanes.take(0)) == [1]


class TestBatches:
    def test_a_backlog_of_many_lanes_fills_a_batch_to_its_last_byte(self) -> None:
        size = 48
        count, rest = divmod(BATCH_BYTES - requests.ENVELOPE_BYTES, size + 1)
        assert rest == 0
        lanes = lanes_of(*(leased(n, f"lane-{n}", size=size) for n in range(100)))
        shipment = taken(lanes)
        assert seqs(shipment) == list(range(count))
        assert BATCH_BYTES - 1 <= body_bytes(shipment) <= BATCH_BYTES

    @given(st.integers(2, BATCH_BYTES - 20), st.booleans())
    def test_a_batch_is_never_a_byte_too_large(self, size: int, fits: bool) -> None:
        rest = BATCH_BYTES - requests.ENVELOPE_BYTES - size - 1
        first = leased(1, "a", size=size)
        second = leased(2, "b", size=rest - 1 if fits else rest + 1)
        both = Shipment([first, second], by_v1=False)
        assert body_bytes(both) == BATCH_BYTES + (-1 if fits else 1)
        assert seqs(lanes_of(first, second).take(0)) == ([1, 2] if fits else [1])

    def test_an_event_of_several_operations_counts_with_all_of_them(self) -> None:
        event = leased(1, "a", size=100, parts=6)
        lanes = lanes_of(event, leased(2, "b"))
        assert lanes.bytes == 6 * 101 + 21
        assert seqs(lanes.take(0)) == [1]

    def test_an_event_larger_than_a_batch_goes_all_the_same(self) -> None:
        lanes = lanes_of(leased(1, "a", size=BATCH_BYTES * 2), leased(2, "a"))
        assert seqs(lanes.take(0)) == [1]

    def test_a_count_bounds_a_batch_over_all_its_lanes(self) -> None:
        lanes = lanes_of(*(leased(n, f"lane-{n // 2}") for n in range(10)))
        assert seqs(lanes.take(0, most=3)) == [0, 1, 2]

    def test_an_event_that_only_v1_can_carry_goes_alone_between_its_neighbours(self) -> None:
        lanes = lanes_of(
            leased(1, "a"), leased(2, "a", v1_only=True), leased(3, "a"), leased(4, "b")
        )
        order = []
        while (shipment := lanes.take(0)) is not None:
            order.append((seqs(shipment), shipment.by_v1))
            lanes.returned(shipment)
        assert order == [([1, 4], False), ([2], True), ([3], False)]

    def test_others_fill_the_batch_of_one_whose_next_goes_alone(self) -> None:
        big = leased(2, "a", size=BATCH_BYTES * 2, v1_only=True)
        lanes = lanes_of(leased(1, "a"), big, leased(3, "b"))
        assert seqs(lanes.take(0)) == [1, 3]

    def test_by_v1_every_event_goes_alone(self) -> None:
        lanes = lanes_of(leased(1, "a"), leased(2, "b"), leased(3, "a"), v1=True)
        assert [seqs(lanes.take(0)) for _ in range(2)] == [[1], [2]]
        assert lanes.take(0) is None


class TestSuspects:
    def suspects(self) -> Lanes:
        """Lanes a and b are suspect, of four and of one event; c is not."""
        lanes = lanes_of(*(leased(n, "a") for n in range(4)))
        first = taken(lanes)
        lanes.add([leased(4, "b")])
        second = taken(lanes)
        lanes.returned(first, first.events, failed=False, most=3)
        lanes.returned(second, second.events, failed=False, most=2)
        lanes.add([leased(5, "c")])
        return lanes

    def test_go_apart_from_the_others(self) -> None:
        lanes = self.suspects()
        assert [(seqs(taken(lanes)), suspect) for suspect in (False,)] == [([5], False)]
        shipment = taken(lanes)
        assert shipment.suspect
        assert seqs(shipment) == [0, 1, 2]

    def test_have_the_first_turn_where_it_is_theirs(self) -> None:
        shipment = self.suspects().take(0, suspects_first=True)
        assert seqs(shipment) == [0, 1, 2]

    def test_wait_where_they_have_their_share(self) -> None:
        lanes = self.suspects()
        assert seqs(lanes.take(0, suspects=False)) == [5]
        assert lanes.take(0, suspects=False) is None

    def test_are_limited_by_the_least_of_their_limits(self) -> None:
        lanes = lanes_of(leased(1, "a"), leased(2, "a"))
        first = taken(lanes)
        lanes.add([leased(3, "b"), leased(4, "b")])
        second = taken(lanes)
        lanes.returned(first, first.events, failed=False, most=4)
        lanes.returned(second, second.events, failed=False, most=3)
        assert seqs(lanes.take(0)) == [1, 2, 3]

    def test_make_suspects_of_those_whom_they_are_joined_to(self) -> None:
        lanes = lanes_of(leased(1, "p:1"))
        first = taken(lanes)
        lanes.add([leased(2, "p:2")])
        lanes.returned(first, first.events, failed=False, most=1)
        lanes.add([leased(3, "p:2", "p:1"), leased(4, "p:3")])
        shipment = taken(lanes)
        assert (seqs(shipment), shipment.suspect) == ([4], False)
        shipment = taken(lanes)
        assert (seqs(shipment), shipment.suspect) == ([1], True)

    def test_that_fail_alone_are_not_held_in_memory_meanwhile(self) -> None:
        lanes = lanes_of(*(leased(n, "a") for n in range(5)))
        fails(lanes, taken(lanes, most=1), 9.0, most=1)
        assert (lanes.size, lanes.bytes, lanes.parked) == (0, 0, 5)
        assert lanes.hungry() is None
        assert lanes.take(9.0) is None
        assert feed(lanes) == [0, 1, 2, 3, 4]
        assert seqs(lanes.take(9.0)) == [0]

    def test_come_back_with_the_number_of_their_attempts(self) -> None:
        lanes = lanes_of(leased(1, "a"))
        fails(lanes, taken(lanes), 9.0, most=1)
        assert lanes.take(9.0) is None
        feed(lanes)
        assert [event.attempts for event in taken(lanes, 9.0).events] == [1]

    def test_that_are_delivered_in_part_by_v1_stay_in_memory(self) -> None:
        lanes = lanes_of(leased(1, "a", parts=2), v1=True)
        shipment = taken(lanes)
        shipment.events[0].done = 1
        fails(lanes, shipment, 9.0, most=1)
        assert (lanes.size, lanes.parked) == (1, 0)


class TestJoinedLanes:
    def test_the_visitors_events_go_before_the_identify_and_the_persons_after(self) -> None:
        lanes = lanes_of(leased(1, "a:1"), leased(2, "p:1", "a:1"), leased(3, "p:1"), v1=True)
        first = taken(lanes)
        assert seqs(first) == [1]
        assert lanes.take(0) is None
        lanes.returned(first)
        assert drained(lanes) == [2, 3]

    def test_both_identities_are_in_one_order_from_then_on(self) -> None:
        lanes = lanes_of(leased(1, "p:1", "a:1"), leased(2, "a:1"), leased(3, "p:1"), v1=True)
        assert seqs(lanes.take(0)) == [1]
        assert lanes.take(0) is None

    def test_wait_for_all_that_was_in_flight_of_each(self) -> None:
        lanes = lanes_of(leased(1, "p:1"), leased(2, "p:2"), v1=True)
        first, second = taken(lanes), taken(lanes)
        lanes.add([leased(3, "p:1", "p:2"), leased(4, "p:2")])
        assert lanes.take(0) is None
        lanes.returned(second)
        assert lanes.take(0) is None
        fails(lanes, first, 5.0)
        assert lanes.take(4.9) is None
        assert drained(lanes, 5.0) == [1, 3, 4]

    def test_wait_for_what_backs_off_of_each(self) -> None:
        lanes = lanes_of(leased(1, "p:1"))
        fails(lanes, taken(lanes), 5.0)
        lanes.add([leased(2, "p:2"), leased(3, "p:2", "p:1")])
        assert lanes.take(4.9) is None
        assert drained(lanes, 5.0) == [1, 2, 3]

    def test_wait_for_a_suspect_of_which_nothing_is_held(self) -> None:
        lanes = lanes_of(leased(1, "p:1"))
        fails(lanes, taken(lanes), 5.0, most=1)
        lanes.add([leased(2, "p:2"), leased(3, "p:1", "p:2")])
        assert lanes.take(4.9) is None
        assert (lanes.size, lanes.parked) == (0, 3)
        assert lanes.take(5.0) is None
        assert feed(lanes) == [1, 2, 3]
        assert drained(lanes, 5.0) == [1, 2, 3]

    def test_chains_of_merges_make_one_lane(self) -> None:
        pairs = [leased(n, f"p:{n}", f"p:{n + 1}") for n in range(20)]
        lanes = lanes_of(*pairs, leased(20, "p:20"), leased(21, "p:0"), v1=True)
        first = taken(lanes)
        assert seqs(first) == [0]
        assert lanes.take(0) is None
        lanes.returned(first)
        assert drained(lanes) == list(range(1, 22))

    def test_part_again_when_nothing_of_them_waits(self) -> None:
        lanes = lanes_of(leased(1, "p:1", "a:1"))
        assert drained(lanes) == [1]
        lanes.add([leased(2, "p:1"), leased(3, "a:1")])
        assert len(taken(lanes).lanes) == 2

    def test_of_one_shipment_come_back_together(self) -> None:
        lanes = lanes_of(leased(1, "a"), leased(2, "b"))
        shipment = taken(lanes)
        lanes.add([leased(3, "b", "a")])
        fails(lanes, shipment, 5.0)
        assert seqs(lanes.take(5.0)) == [1, 2, 3]


class TestParkedEvents:
    def test_of_events_beyond_the_limit_only_the_places_are_held(self) -> None:
        lanes = lanes_of(*(leased(n, "a") for n in range(10)), lane_events=4)
        assert (lanes.size, lanes.parked) == (4, 6)
        lanes.add([leased(10, "b")])
        assert (lanes.size, lanes.parked) == (5, 6)

    def test_are_asked_for_when_half_of_the_lane_is_sent(self) -> None:
        lanes = lanes_of(*(leased(n, "a") for n in range(10)), lane_events=4)
        assert lanes.hungry() is None
        lanes.returned(taken(lanes, most=1))
        assert lanes.hungry() is None
        lanes.returned(taken(lanes, most=1))
        assert feed(lanes) == [4, 5]
        assert (lanes.size, lanes.parked) == (4, 4)
        assert lanes.hungry() is None

    def test_are_sent_in_their_order(self) -> None:
        lanes = lanes_of(*(leased(n, "a") for n in range(30)), lane_events=4)
        order = drained(lanes)
        while lanes.parked:
            feed(lanes)
            order += drained(lanes)
        assert order == list(range(30))

    def test_stay_behind_what_is_sent_again(self) -> None:
        lanes = lanes_of(*(leased(n, "a") for n in range(6)), lane_events=2)
        shipment = taken(lanes)
        fails(lanes, shipment, 1.0)
        lanes.add([leased(6, "a")])
        assert seqs(lanes.take(1.0)) == [0, 1]

    def test_that_can_not_be_read_are_given_up(self) -> None:
        lanes = lanes_of(*(leased(n, "a") for n in range(4)), lane_events=1)
        lanes.returned(taken(lanes))
        for _ in range(3):
            hungry = lanes.hungry()
            assert hungry is not None
            lanes.feed(*hungry, [])
        assert (lanes.size, lanes.parked, lanes.hungry()) == (0, 0, None)
        lanes.add([leased(9, "a")])
        assert seqs(lanes.take(0)) == [9]

    def test_of_joined_lanes_are_in_one_order(self) -> None:
        events = [leased(n, "ab"[n % 2]) for n in range(10)]
        lanes = lanes_of(*events, leased(10, "a", "b"), lane_events=3)
        order = drained(lanes)
        while lanes.parked:
            feed(lanes)
            order += drained(lanes)
        assert order == list(range(11))

    def test_of_a_joined_lane_go_before_what_another_holds(self) -> None:
        first = [leased(n, "a") for n in range(3)]
        lanes = lanes_of(*first, leased(3, "b"), leased(4, "a", "b"), lane_events=1)
        assert (lanes.size, lanes.parked) == (1, 4)
        order = drained(lanes)
        while lanes.parked:
            feed(lanes)
            order += drained(lanes)
        assert order == [0, 1, 2, 3, 4]

    def test_are_not_read_while_the_lane_backs_off(self) -> None:
        lanes = lanes_of(*(leased(n, "a") for n in range(6)), lane_events=4)
        lanes.returned(taken(lanes, most=2))
        fails(lanes, taken(lanes, most=1), 9.0, most=1)
        assert (lanes.size, lanes.parked) == (0, 4)
        assert lanes.hungry() is None
        assert lanes.take(9.0) is None
        assert feed(lanes) == [2, 3, 4, 5]

    def test_are_read_when_the_lane_is_ready_again(self) -> None:
        lanes = lanes_of(*(leased(n, "a") for n in range(6)), lane_events=4)
        lanes.returned(taken(lanes, most=2))
        fails(lanes, taken(lanes, most=1), 9.0)
        assert lanes.hungry() is None
        assert seqs(lanes.take(9.0, most=1)) == [2]
        assert feed(lanes) == [4, 5]

    def test_are_in_order_though_more_was_parked_between_question_and_answer(self) -> None:
        lanes = lanes_of(*(leased(n, "a") for n in range(6)), lane_events=2)
        lanes.returned(taken(lanes, most=1))
        hungry = lanes.hungry()
        assert hungry is not None
        assert list(hungry[1]) == [2]
        fails(lanes, taken(lanes, most=1), 9.0, most=1)
        lanes.feed(*hungry, [leased(2, "a")])
        assert lanes.take(9.0) is None
        order: list[int] = []
        while lanes.parked:
            feed(lanes)
            order += drained(lanes, 9.0)
        assert order == [1, 2, 3, 4, 5]

    def test_are_held_once_though_they_are_given_twice(self) -> None:
        lanes = lanes_of(*(leased(n, "a") for n in range(4)), lane_events=2)
        lanes.returned(taken(lanes))
        questions = [lanes.hungry(), lanes.hungry()]
        for question in questions:
            if question is not None:
                lanes.feed(*question, [leased(seq, "a") for seq in question[1]])
        assert (lanes.size, lanes.parked) == (2, 0)
        assert drained(lanes) == [2, 3]


class TestExpiry:
    def test_takes_out_what_is_old_and_not_in_flight(self) -> None:
        lanes = lanes_of(leased(1, "a", accepted_at=10), leased(2, "b", accepted_at=10))
        shipment = taken(lanes, most=1)
        lanes.add([leased(3, "b", accepted_at=20), leased(4, "a", accepted_at=10)])
        assert [event.seq for event in lanes.expired(20)] == [2]
        assert (lanes.size, lanes.bytes) == (3, 63)
        lanes.returned(shipment)
        assert [event.seq for event in lanes.expired(20)] == [4]
        assert drained(lanes) == [3]

    def test_takes_out_what_backs_off(self) -> None:
        lanes = lanes_of(leased(1, "a", accepted_at=10))
        fails(lanes, taken(lanes), 100.0)
        assert [event.seq for event in lanes.expired(11)] == [1]
        assert lanes.take(100.0) is None
        lanes.add([leased(2, "a", accepted_at=12)])
        assert seqs(lanes.take(0)) == [2]

    def test_asks_for_what_is_parked_behind(self) -> None:
        lanes = lanes_of(leased(1, "a"), leased(2, "a"), lane_events=1)
        assert [event.seq for event in lanes.expired(1)] == [1]
        assert lanes.take(0) is None
        assert feed(lanes) == [2]
        assert drained(lanes) == [2]


class TestWaking:
    def test_makes_all_ready_that_back_off(self) -> None:
        lanes = lanes_of(leased(1, "a"), leased(2, "b"), v1=True)
        for shipment in (taken(lanes), taken(lanes)):
            fails(lanes, shipment, 50.0)
        lanes.wake()
        assert drained(lanes) == [1, 2]
        assert lanes.next_time() is None

    def test_leaves_the_suspects_alone(self) -> None:
        lanes = lanes_of(leased(1, "a"), leased(2, "b"), v1=True)
        first, second = taken(lanes), taken(lanes)
        fails(lanes, first, 50.0, most=1)
        fails(lanes, second, 60.0)
        lanes.wake()
        assert drained(lanes) == [2]
        assert lanes.next_time() == 50.0


def steps(work: Callable[[], object]) -> int:
    """How many instructions of lanes.py a piece of work executes, with one more for each item that
    it sorts."""
    count = 0

    def step(frame: FrameType, event: str, _: object) -> Tracer | None:
        nonlocal count
        if frame.f_code.co_filename != lanes_module.__file__:
            return None
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return step

    def counted(items: Iterable[Any], **options: Any) -> list[Any]:
        nonlocal count
        items = list(items)
        count += len(items)
        return sorted(items, **options)

    before = sys.gettrace()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes_module, "sorted", counted, raising=False)
        sys.settrace(step)
        try:
            work()
        finally:
            sys.settrace(before)
    return count


class TestCost:
    """What is counted here is instructions, not time: it is the same on every machine."""

    @staticmethod
    def per_event(work: Callable[[int], object], count: int) -> float:
        return steps(lambda: work(count)) / count

    @staticmethod
    def distinct_people(count: int) -> None:
        lanes = lanes_of(*(leased(n, f"p:{n}") for n in range(count)))
        assert len(drained(lanes)) == count

    @staticmethod
    def people_who_fail(count: int) -> None:
        lanes = lanes_of(*(leased(n, f"p:{n}") for n in range(count)))
        while (shipment := lanes.take(0)) is not None:
            fails(lanes, shipment, 9.0, most=1)
        assert lanes.take(9.0) is None
        while lanes.parked:
            feed(lanes)
        assert len(drained(lanes, 9.0)) == count

    @staticmethod
    def one_person(count: int) -> None:
        lanes = lanes_of(*(leased(n, "p:1") for n in range(count)), lane_events=50)
        order = drained(lanes)
        while lanes.parked:
            feed(lanes)
            order += drained(lanes)
        assert order == list(range(count))

    @staticmethod
    def visitors_who_become_one_person(count: int) -> None:
        lanes = Lanes(v1=False, batch_bytes=BATCH_BYTES, lane_events=50)
        for n in range(0, count, 2):
            lanes.add([leased(n, f"a:{n}"), leased(n + 1, "p:1", f"a:{n}")])
        assert lanes.size + lanes.parked == count

    @pytest.mark.parametrize(
        "work",
        [distinct_people, people_who_fail, one_person, visitors_who_become_one_person],
        ids=lambda work: work.__name__,
    )
    def test_of_an_event_does_not_grow_with_the_number_of_events(
        self, work: Callable[[int], object]
    ) -> None:
        few, many = self.per_event(work, 200), self.per_event(work, 2000)
        assert many < 1.2 * few

    def test_of_a_hundred_thousand_people_in_memory_is_bounded(self) -> None:
        """A lane and its place in the queue, for each person that fails."""
        count = 100_000
        lanes = Lanes(v1=False, batch_bytes=BATCH_BYTES)
        tracemalloc.start()
        try:
            for start in range(0, count, 1000):
                lanes.add(leased(n, f"p:{n}") for n in range(start, start + 1000))
                while (shipment := lanes.take(0)) is not None:
                    fails(lanes, shipment, 9.0, most=1)
            held, _ = tracemalloc.get_traced_memory()
            assert (lanes.size, lanes.parked) == (0, count)
            assert held < 900 * count
        finally:
            tracemalloc.stop()
