"""The policy of what is sent when, and of what becomes of it: pure, so a test is the server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from cio_sidecar.customerio.answers import Outcome
from cio_sidecar.delivery.hold import Hold, HoldReason
from cio_sidecar.delivery.lane import Shipment
from cio_sidecar.delivery.policy import (
    BACKOFF_BASE_SECONDS,
    BACKOFF_CAP_SECONDS,
    RETRY_AFTER_MAX_SECONDS,
    Policy,
    Probe,
    Settlement,
    backoff_seconds,
)
from cio_sidecar.delivery.result import DELIVERED, Result, Returned
from cio_sidecar.event_queue.model import Leased
from hypothesis import given
from hypothesis import strategies as st

from tests.delivery.leases import delivered, ends, leased, rejected, retry, seqs, whole

NEARLY_ONE = 0.999
randoms = st.floats(0, 1, exclude_max=True)


def policy_of(
    *events: Leased,
    concurrency: int = 8,
    random: float = 0.0,
    batch_bytes: int = 100_000,
    **settings: Any,
) -> Policy:
    policy = Policy(
        v1=False,
        batch_bytes=batch_bytes,
        concurrency=concurrency,
        random=lambda: random,
        **settings,
    )
    policy.lanes.add(events)
    return policy


def people(seqs: Iterable[int]) -> list[Leased]:
    """An event of each person."""
    return [leased(seq, f"p:{seq}") for seq in seqs]


def sent(policy: Policy, now: float = 0.0) -> Shipment:
    item = policy.next(now)
    if item is None:
        read(policy)
        item = policy.next(now)
    assert isinstance(item, Shipment), f"expected a shipment, got {item}"
    return item


def read(policy: Policy) -> None:
    """Give the lanes what they ask for."""
    while (hungry := policy.lanes.hungry()) is not None:
        lane, places = hungry
        policy.lanes.feed(lane, places, [leased(seq, lane.names[0]) for seq in places])


def one_succeeds(policy: Policy, seq: int, now: float) -> None:
    policy.lanes.add(people([seq]))
    shipment = sent(policy, now)
    assert seqs(shipment) == [seq]
    ends(policy, shipment, delivered(shipment), now)


def suspicious() -> Policy:
    """A person failed, and another succeeded since."""
    policy = policy_of(leased(0, "p:0"), random=0.5)
    shipment = sent(policy)
    assert ends(policy, shipment, retry(shipment), 0.0).most == 0
    one_succeeds(policy, 1, 0.0)
    return policy


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
        assert backoff_seconds(attempts, NEARLY_ONE) >= NEARLY_ONE * BACKOFF_BASE_SECONDS

    def test_doubles_with_every_attempt_up_to_the_cap(self) -> None:
        waits = [backoff_seconds(attempts, 0.5) * 2 for attempts in range(1, 12)]
        assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]

    def test_grows_with_the_failures_of_a_person_in_a_row(self) -> None:
        policy = policy_of(leased(0, "p:0"), random=0.5)
        now = 0.0
        waits = []
        for other in range(1, 9):
            shipment = sent(policy, now)
            settlement = ends(policy, shipment, retry(shipment), now)
            waits.append((settlement.ready_at - now) * 2)
            one_succeeds(policy, other, now)
            now = settlement.ready_at
        assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60]


class TestSettling:
    def test_a_delivered_shipment_lets_the_next_events_of_its_people_go(self) -> None:
        policy = policy_of(leased(1, "p:1"))
        shipment = sent(policy)
        policy.lanes.add([leased(2, "p:1")])
        settlement = policy.returned(shipment, delivered(shipment), 0.0)
        assert [event.seq for event in settlement.delivered] == [1]
        assert policy.next(0.0) is None
        policy.settled(settlement)
        assert seqs(policy.next(0.0)) == [2]

    def test_a_batch_of_which_some_are_rejected_settles_each_by_its_own(self) -> None:
        policy = policy_of(*people(range(3)))
        bad = Result(Outcome.REJECTED, "HTTP 207: no name", 207)
        settlement = ends(policy, sent(policy), Returned([DELIVERED, bad, DELIVERED]), 0.0)
        assert [event.seq for event in settlement.delivered] == [0, 2]
        assert [(event.seq, result) for event, result in settlement.rejected] == [(1, bad)]
        assert settlement.again == []
        assert policy.lanes.size == 0

    def test_attempts_are_counted(self) -> None:
        policy = policy_of(*people(range(2)))
        for attempts in (1, 2, 3):
            shipment = sent(policy)
            ends(policy, shipment, retry(shipment), 0.0)
            assert [event.attempts for event in shipment.events] == [attempts] * 2

    @given(st.sets(st.integers(0, 63), max_size=6), st.integers(1, 64))
    def test_a_rejected_batch_is_halved_until_the_bad_are_alone(
        self, bad: set[int], count: int
    ) -> None:
        policy = policy_of(*people(range(count)))
        bad = {seq for seq in bad if seq < count}
        good_ones: list[int] = []
        bad_ones: list[int] = []
        requests = 0
        while (item := policy.next(0.0)) is not None:
            assert isinstance(item, Shipment)
            requests += 1
            is_bad = not bad.isdisjoint(seqs(item))
            settlement = ends(policy, item, rejected(item) if is_bad else delivered(item), 0.0)
            good_ones += [event.seq for event in settlement.delivered]
            bad_ones += [event.seq for event, _ in settlement.rejected]
            if settlement.again:
                assert settlement.most == len(item.events) // 2
        assert sorted(good_ones) == sorted(set(range(count)) - bad)
        assert sorted(bad_ones) == sorted(bad)
        # Each bad event costs a request or two on each level of a tree of halves.
        assert requests <= 1 + 14 * len(bad)

    def test_a_rejected_batch_counts_as_no_failure(self) -> None:
        policy = policy_of(*people(range(4)), random=NEARLY_ONE)
        shipment = sent(policy)
        settlement = ends(policy, shipment, rejected(shipment), 0.0)
        assert not settlement.failed
        assert policy.hold is None
        assert len(sent(policy).events) == 2


class TestPeopleWhoWereJoined:
    """The success of one's event says nothing of the other's."""

    def both_in_flight(self) -> tuple[Policy, Shipment, Shipment]:
        """Two people's events, each on its own, and one behind them that joins the two."""
        two = [leased(seq, name, v1_only=True) for seq, name in enumerate(["p:a", "p:b"])]
        policy = policy_of(*two, random=0.5)
        shipments = sent(policy), sent(policy)
        policy.lanes.add([leased(2, "p:a", "p:b")])
        return policy, *shipments

    def test_back_off_for_what_failed_though_the_other_succeeds_after_it(self) -> None:
        policy, failing, other = self.both_in_flight()
        settlement = ends(policy, failing, retry(failing), 0.0)
        ends(policy, other, delivered(other), 0.0)
        assert policy.next(0.0) is None
        assert policy.next_time(0.0) == settlement.ready_at > 0
        assert seqs(policy.next(settlement.ready_at)) == [0]

    def test_back_off_for_what_failed_though_the_other_is_split_after_it(self) -> None:
        policy = policy_of(leased(0, "p:a", v1_only=True), *people([1, 2]), random=0.5)
        others = sent(policy)
        failing = sent(policy)
        if seqs(others) == [0]:
            others, failing = failing, others
        policy.lanes.add([leased(3, "p:a", "p:1")])
        settlement = ends(policy, failing, retry(failing), 0.0)
        ends(policy, others, rejected(others), 0.0)
        assert seqs(policy.next(0.0)) == [2]
        assert policy.next(0.0) is None
        assert seqs(sent(policy, settlement.ready_at)) == [0]

    def test_wait_longer_each_time_though_the_other_succeeds_before_it(self) -> None:
        policy = policy_of(leased(0, "p:a", v1_only=True), random=0.5)
        now = 0.0
        for _ in range(2):
            shipment = sent(policy, now)
            now = ends(policy, shipment, retry(shipment), now).ready_at
        failing = sent(policy, now)
        policy.lanes.add([leased(1, "p:b", v1_only=True)])
        other = sent(policy, now)
        policy.lanes.add([leased(2, "p:a", "p:b")])
        ends(policy, other, delivered(other), now)
        settlement = ends(policy, failing, retry(failing), now)
        assert (settlement.ready_at - now) * 2 == 2

    def test_back_off_to_the_end_where_one_did_when_they_were_joined(self) -> None:
        policy = policy_of(leased(0, "p:a", v1_only=True), random=0.5)
        failing = sent(policy)
        settlement = ends(policy, failing, retry(failing), 0.0)
        policy.lanes.add([leased(1, "p:b", v1_only=True)])
        other = sent(policy)
        policy.lanes.add([leased(2, "p:a", "p:b")])
        ends(policy, other, delivered(other), 0.0)
        assert policy.next(0.0) is None
        assert seqs(policy.next(settlement.ready_at)) == [0]

    def test_are_woken_with_the_others_when_the_trouble_is_over(self) -> None:
        policy, failing, other = self.both_in_flight()
        ends(policy, failing, retry(failing), 0.0)
        policy.lanes.wake()
        ends(policy, other, delivered(other), 0.0)
        assert seqs(policy.next(0.0)) == [0]


class TestRetryAfter:
    def test_holds_everybody_back(self) -> None:
        policy = policy_of(*people(range(2)))
        shipment = sent(policy)
        ends(policy, shipment, retry(shipment, 429, wait_seconds=30.0), 100.0)
        policy.lanes.add(people([7]))
        assert policy.next(129.9) is None
        assert policy.next_time(101.0) == 130.0
        assert policy.next(130.0) is not None

    def test_is_capped(self) -> None:
        policy = policy_of(*people(range(2)))
        shipment = sent(policy)
        ends(policy, shipment, retry(shipment, 503, wait_seconds=1e12), 100.0)
        assert policy.next_time(101.0) == 100.0 + RETRY_AFTER_MAX_SECONDS
        assert policy.next(100.0 + RETRY_AFTER_MAX_SECONDS) is not None

    def test_is_never_shortened_by_another_answer(self) -> None:
        policy = policy_of(leased(1, "p:1"), batch_bytes=60)
        first = sent(policy)
        policy.lanes.add([leased(2, "p:2")])
        second = sent(policy)
        ends(policy, first, retry(first, 429, wait_seconds=30.0), 0.0)
        ends(policy, second, retry(second, 429, wait_seconds=5.0), 0.0)
        assert policy.next(29.9) is None

    def test_for_a_suspect_holds_back_the_suspect_alone(self) -> None:
        policy = suspicious()
        shipment = sent(policy, 1.0)
        settlement = ends(policy, shipment, retry(shipment, 503, wait_seconds=30.0), 1.0)
        assert settlement.ready_at == 31.0
        one_succeeds(policy, 6, 1.0)
        assert policy.next(30.9) is None
        assert policy.next_time(30.9) == 31.0


class TestHoldForCredentials:
    def paused(self, count: int = 3, wait_seconds: float | None = None) -> Policy:
        policy = policy_of(*people(range(count)))
        shipment = sent(policy)
        ends(policy, shipment, whole(shipment, Outcome.UNAUTHORIZED, 401, wait_seconds), 0.0)
        return policy

    def test_holds_everything_back_and_says_why(self) -> None:
        policy = self.paused()
        assert policy.hold == Hold(HoldReason.CREDENTIALS, "HTTP 401", since=0.0, failures=1)
        assert policy.next(0.9) is None
        assert policy.next_time(0.0) == 1.0
        assert policy.lanes.size == 3

    def test_tries_a_single_event_and_no_more_until_it_is_taken(self) -> None:
        policy = self.paused()
        shipment = sent(policy, 1.0)
        assert len(shipment.events) == 1
        assert policy.next(100.0) is None
        ends(policy, shipment, delivered(shipment), 100.0)
        assert policy.hold is None
        assert len(sent(policy, 100.0).events) == 2

    def test_asks_for_the_region_where_nothing_waits(self) -> None:
        policy = policy_of()
        policy.hold_back(HoldReason.CREDENTIALS, "HTTP 403", 0.0)
        assert policy.next(0.5) is None
        assert isinstance(policy.next(1.0), Probe)
        assert policy.next(1.0) is None
        policy.probed(Result(Outcome.UNAUTHORIZED, "HTTP 403", 403), 1.0)
        assert policy.next(1.9) is None
        assert isinstance(policy.next(2.0), Probe)
        policy.probed(DELIVERED, 2.0)
        assert policy.hold is None
        assert policy.next(2.0) is None

    def test_goes_on_while_no_answer_comes(self) -> None:
        policy = policy_of()
        policy.hold_back(HoldReason.CREDENTIALS, "HTTP 403", 0.0)
        policy.next(1.0)
        policy.probed(Result(Outcome.RETRY, "no answer"), 1.0)
        assert policy.hold == Hold(HoldReason.CREDENTIALS, "HTTP 403", since=0.0, failures=2)
        assert policy.next_time(1.0) == 2.0

    def test_waits_longer_each_time(self) -> None:
        policy = policy_of(random=NEARLY_ONE)
        policy.hold_back(HoldReason.CREDENTIALS, "HTTP 401", 0.0)
        now = 0.0
        waits = []
        for _ in range(7):
            next_time = policy.next_time(now)
            assert next_time is not None
            waits.append(round((next_time - now) / NEARLY_ONE))
            now = next_time
            policy.next(now)
            policy.probed(Result(Outcome.UNAUTHORIZED, "HTTP 401", 401), now)
        assert waits == [4, 8, 16, 32, 60, 60, 60]

    def test_honours_what_the_server_asks_for(self) -> None:
        assert self.paused(wait_seconds=90.0).next_time(0.0) == 90.0
        assert self.paused(wait_seconds=1e9).next_time(0.0) == RETRY_AFTER_MAX_SECONDS

    def test_spares_the_server_though_it_asks_for_no_wait(self) -> None:
        assert self.paused(wait_seconds=0.0).next_time(0.0) == 1.0

    def test_spares_the_server_when_the_single_event_fails_otherwise(self) -> None:
        policy = self.paused()
        shipment = sent(policy, 1.0)
        ends(policy, shipment, retry(shipment), 1.0)
        assert policy.next(1.9) is None
        assert policy.next(2.0) is not None

    def test_ends_when_an_event_is_rejected_for_itself(self) -> None:
        policy = self.paused()
        shipment = sent(policy, 1.0)
        ends(policy, shipment, rejected(shipment), 1.0)
        assert policy.hold is None

    def test_counts_suspects_as_ever(self) -> None:
        policy = policy_of(*people(range(8)), concurrency=2)
        shipment = sent(policy)
        ends(policy, shipment, rejected(shipment), 0.0)
        policy.hold_back(HoldReason.CREDENTIALS, "HTTP 401", 0.0)
        shipment = sent(policy, 1.0)
        assert shipment.suspect
        ends(policy, shipment, delivered(shipment), 1.0)
        assert sent(policy, 1.0).suspect
        assert policy.next(1.0) is None, "suspects have taken more than half of the slots"


class TestSuspects:
    def test_are_those_who_fail_while_others_succeed(self) -> None:
        policy = suspicious()
        shipment = sent(policy, 1.0)
        assert not shipment.suspect
        assert ends(policy, shipment, retry(shipment), 1.0).most == 1
        shipment = sent(policy, 10.0)
        assert shipment.suspect
        assert policy.concurrency.decreases["overload"] == 1

    def test_are_not_those_who_fail_as_all_do(self) -> None:
        policy = policy_of(*people(range(8)))
        for _ in range(2):
            shipment = sent(policy)
            assert ends(policy, shipment, retry(shipment), 0.0).most == 0

    def test_are_split_until_the_one_that_fails_is_alone(self) -> None:
        poison = 37
        policy = policy_of(*people(range(64)), random=NEARLY_ONE)
        now = 0.0
        other = 100
        left = set(range(64))
        while left != {poison}:
            assert now < 60, f"{sorted(left)} wait for {poison}"
            policy.lanes.add(people([other]))
            other += 1
            while (item := policy.next(now)) is not None:
                assert isinstance(item, Shipment)
                fails = poison in seqs(item)
                settlement = ends(policy, item, retry(item) if fails else delivered(item), now)
                left -= {event.seq for event in settlement.delivered}
            read(policy)
            now += 0.25
        assert policy.hold is None

    @pytest.mark.parametrize(("slots", "share"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4)])
    def test_never_have_more_than_half_of_the_slots(self, slots: int, share: int) -> None:
        policy = policy_of(*people(range(32)), concurrency=slots)
        shipment = sent(policy)
        ends(policy, shipment, rejected(shipment), 0.0)
        shipment = sent(policy)
        ends(policy, shipment, rejected(shipment), 0.0)
        in_flight = []
        while isinstance(item := policy.next(0.0), Shipment):
            in_flight.append(item)
        assert [item.suspect for item in in_flight] == [True] * min(share, 3)
        policy.lanes.add(people([100]))
        if slots > share:
            assert seqs(policy.next(0.0)) == [100]

    def test_have_no_more_than_every_other_turn(self) -> None:
        policy = policy_of(*people(range(16)), concurrency=1, batch_bytes=16 * 21 + 12)
        shipment = sent(policy)
        ends(policy, shipment, rejected(shipment), 0.0)
        policy.lanes.add([leased(seq, f"good:{seq}", size=200) for seq in range(100, 104)])
        turns = []
        while isinstance(item := policy.next(0.0), Shipment):
            turns.append(item.suspect)
            ends(policy, item, delivered(item), 0.0)
        assert sorted(turns[:4]) == [False, False, True, True]
        assert turns[0] != turns[1]

    def test_that_are_asked_to_wait_wait_alone(self) -> None:
        policy = suspicious()
        shipment = sent(policy, 1.0)
        ends(policy, shipment, retry(shipment, 429, wait_seconds=10.0), 1.0)
        assert policy.hold is None
        assert policy.next_time(1.0) == 11.0
        policy.lanes.add(people([2]))
        assert seqs(policy.next(1.0)) == [2]


class TestTrouble:
    def troubled(self, policy: Policy, failures: int = 3) -> list[int]:
        """Fail some times in a row; the sizes of the shipments that did."""
        sizes = []
        for now in range(failures):
            shipment = sent(policy, 100.0 * now)
            sizes.append(len(shipment.events))
            ends(policy, shipment, retry(shipment), 100.0 * now)
        return sizes

    def test_makes_shipments_small_after_three_failures_in_a_row(self) -> None:
        assert self.troubled(policy_of(*people(range(128))), 6) == [128, 128, 128, 16, 2, 1]

    def test_holds_back_for_two_seconds_at_the_most(self) -> None:
        policy = policy_of(*people(range(4)), random=NEARLY_ONE)
        now = 0.0
        shipment = sent(policy, now)
        for failures in range(1, 12):
            policy.lanes.add(people([failures * 10]))
            ends(policy, shipment, retry(shipment), now)
            if failures >= 3:
                hold = min(2.0, 0.5 * 2 ** (failures - 3)) * NEARLY_ONE
                assert policy.next_time(now) == pytest.approx(now + hold)
                assert policy.next(now + hold - 0.001) is None
            now += 2.0
            shipment = sent(policy, now)

    def test_is_told(self) -> None:
        policy = policy_of(*people(range(4)))
        self.troubled(policy, 3)
        assert policy.hold == Hold(HoldReason.OUTAGE, "HTTP 503", since=0.0, failures=3)
        shipment = sent(policy, 300.0)
        ends(policy, shipment, delivered(shipment), 300.0)
        assert policy.hold is None

    def test_gives_way_to_a_hold_that_says_more(self) -> None:
        policy = policy_of(*people(range(4)))
        self.troubled(policy, 3)
        shipment = sent(policy, 300.0)
        ends(policy, shipment, whole(shipment, Outcome.UNAUTHORIZED, 401), 300.0)
        assert policy.hold == Hold(HoldReason.CREDENTIALS, "HTTP 401", since=300.0, failures=1)

    def test_says_when_the_next_attempt_is(self) -> None:
        policy = policy_of(leased(0, "p:0"), random=0.5)
        assert policy.next_attempt(0.0) == 0.0
        shipment = sent(policy)
        assert policy.next_attempt(0.0) is None
        settlement = ends(policy, shipment, retry(shipment), 0.0)
        assert policy.next_attempt(0.0) == settlement.ready_at > 0
        shipment = sent(policy, settlement.ready_at)
        ends(policy, shipment, retry(shipment, 429, wait_seconds=100), 1.0)
        assert policy.next_attempt(1.0) == 101.0
        policy.paused = True
        assert policy.next_attempt(1.0) is None

    def test_ends_with_the_first_success_which_wakes_all(self) -> None:
        policy = policy_of(*people(range(4)), random=NEARLY_ONE)
        now = 0.0
        while now < 300:
            while isinstance(item := policy.next(now), Shipment):
                ends(policy, item, retry(item), now)
            now = policy.next_time(now) or 0.0
        ends(policy, item := sent(policy, now), retry(item), now)
        policy.lanes.add(people([100]))
        now = policy.next_time(now) or 0.0
        while isinstance(item := policy.next(now), Shipment):
            ends(policy, item, delivered(item), now)
        assert policy.lanes.size == 0

    def test_of_a_person_while_others_wait_is_found_by_them(self) -> None:
        """With a single request at a time, and all of them in one batch."""
        policy = policy_of(*people(range(20)), concurrency=1, random=NEARLY_ONE)
        now = 0.0
        left = set(range(20))
        while left != {0}:
            assert now < 60, f"{sorted(left)} wait for the one that fails"
            while (item := policy.next(now)) is not None:
                assert isinstance(item, Shipment)
                fails = 0 in seqs(item)
                settlement = ends(policy, item, retry(item) if fails else delivered(item), now)
                left -= {event.seq for event in settlement.delivered}
            read(policy)
            now += 0.25

    def test_does_not_come_of_failures_with_a_success_between_them(self) -> None:
        policy = policy_of(random=NEARLY_ONE)
        for seq in range(0, 60, 20):
            policy.lanes.add(people(range(seq, seq + 10)))
            shipment = sent(policy, 0.0)
            assert len(shipment.events) == 10
            ends(policy, shipment, retry(shipment), 0.0)
            one_succeeds(policy, seq + 10, 0.0)


class TestSlots:
    def test_are_as_many_as_the_concurrency_allows(self) -> None:
        policy = policy_of(
            *(leased(seq, f"p:{seq}", size=90) for seq in range(9)),
            concurrency=3,
            batch_bytes=110,
        )
        shipments = [sent(policy) for _ in range(3)]
        assert policy.next(0.0) is None
        assert policy.next_time(0.0) is None
        ends(policy, shipments[0], delivered(shipments[0], 0.01), 0.0)
        assert policy.next(0.0) is not None

    def test_are_halved_by_an_overloaded_server(self) -> None:
        policy = policy_of(*people(range(2)))
        shipment = sent(policy)
        ends(policy, shipment, retry(shipment, 429), 1.0)
        assert policy.concurrency.limit == 4


class TestPause:
    def test_sends_nothing_and_has_no_next_time(self) -> None:
        policy = policy_of(*people(range(2)))
        policy.paused = True
        assert policy.next(0.0) is None
        assert policy.next_time(0.0) is None
        policy.paused = False
        assert seqs(policy.next(0.0)) == [0, 1]

    def test_does_not_even_try_the_credentials(self) -> None:
        policy = policy_of()
        policy.hold_back(HoldReason.CREDENTIALS, "HTTP 401", 0.0)
        policy.paused = True
        assert policy.next(1000.0) is None
        policy.paused = False
        assert isinstance(policy.next(1000.0), Probe)

    def test_lets_what_is_in_flight_end(self) -> None:
        policy = policy_of(*people(range(2)))
        shipment = sent(policy)
        policy.paused = True
        settlement = ends(policy, shipment, delivered(shipment), 0.0)
        assert len(settlement.delivered) == 2


def rejected_alone(policy: Policy, now: float = 0.0, status: int = 400) -> Settlement:
    shipment = sent(policy, now)
    assert len(shipment.events) == 1
    return ends(policy, shipment, whole(shipment, Outcome.REJECTED, status), now)


def one_by_one(count: int, **settings: Any) -> Policy:
    """So many people with an event each, which never share a batch."""
    events = [leased(seq, f"p:{seq}", size=100) for seq in range(count)]
    return policy_of(*events, batch_bytes=130, **settings)


class TestCircuitBreaker:
    def test_opens_at_the_threshold_and_keeps_that_event(self) -> None:
        policy = one_by_one(5, breaker_rejections=3)
        assert [len(rejected_alone(policy).rejected) for _ in range(2)] == [1, 1]
        settlement = rejected_alone(policy)
        assert (settlement.rejected, len(settlement.kept)) == ([], 1)
        assert policy.hold is not None
        assert policy.hold.reason is HoldReason.CIRCUIT_BREAKER
        assert "HTTP 400" in policy.hold.why
        assert "--accept-rejections" in policy.hold.why

    def test_is_not_opened_by_the_events_of_one_person(self) -> None:
        events = [leased(seq, "p:ann", size=100) for seq in range(9)]
        policy = policy_of(*events, batch_bytes=130, breaker_rejections=3)
        assert [len(rejected_alone(policy).rejected) for _ in range(9)] == [1] * 9

    def test_counts_joined_identities_once(self) -> None:
        events = [leased(seq, "p:ann", f"a:{seq}", size=100) for seq in range(5)]
        policy = policy_of(*events, batch_bytes=130, breaker_rejections=3)
        assert [len(rejected_alone(policy).rejected) for _ in range(5)] == [1] * 5

    def test_counts_anew_after_a_delivery(self) -> None:
        policy = one_by_one(6, breaker_rejections=3)
        rejected_alone(policy)
        rejected_alone(policy)
        shipment = sent(policy)
        ends(policy, shipment, delivered(shipment), 0.0)
        rejected_alone(policy)
        rejected_alone(policy)
        assert policy.hold is None

    def test_counts_the_items_of_a_batch_that_is_rejected_item_by_item(self) -> None:
        policy = policy_of(*people(range(5)), breaker_rejections=5)
        shipment = sent(policy)
        bad = Result(Outcome.REJECTED, "HTTP 207", 207)
        settlement = ends(policy, shipment, Returned([bad] * 5), 0.0)
        assert (settlement.rejected, len(settlement.kept)) == ([], 5)

    def test_takes_one_delivered_item_as_a_success(self) -> None:
        policy = policy_of(*people(range(5)), breaker_rejections=3)
        shipment = sent(policy)
        bad = Result(Outcome.REJECTED, "HTTP 207", 207)
        settlement = ends(policy, shipment, Returned([bad] * 4 + [DELIVERED]), 0.0)
        assert len(settlement.rejected) == 4

    def test_keeps_what_was_in_flight_when_it_opened(self) -> None:
        policy = one_by_one(8, breaker_rejections=3)
        shipments = [sent(policy) for _ in range(8)]
        for shipment in shipments:
            ends(policy, shipment, whole(shipment, Outcome.REJECTED, 400), 0.0)
        assert policy.lanes.size == 6

    def test_probes_with_a_different_event_each_time_and_closes_by_a_delivery(self) -> None:
        policy = one_by_one(6, breaker_rejections=3)
        for _ in range(3):
            rejected_alone(policy)
        now, probes = 0.0, []
        for _ in range(4):
            assert policy.next(now) is None
            now = policy.next_time(now) or 0.0
            shipment = sent(policy, now)
            assert policy.next(now) is None, "one at a time"
            probes += seqs(shipment)
            ends(policy, shipment, whole(shipment, Outcome.REJECTED, 400), now)
        assert sorted(probes) == [2, 3, 4, 5]
        now = policy.next_time(now) or 0.0
        shipment = sent(policy, now)
        ends(policy, shipment, delivered(shipment), now)
        assert policy.hold is None
        assert policy.next(now) is not None

    def test_opens_again_at_the_first_rejection_after_a_plain_resume(self) -> None:
        policy = one_by_one(6, breaker_rejections=3)
        for _ in range(3):
            rejected_alone(policy)
        assert policy.resume(5.0) is not None
        assert rejected_alone(policy, 5.0).rejected == []
        assert policy.hold is not None

    def test_stays_closed_while_rejections_are_accepted(self) -> None:
        policy = one_by_one(6, breaker_rejections=3)
        for _ in range(3):
            rejected_alone(policy)
        policy.resume(5.0, accept_rejections=True)
        assert [len(rejected_alone(policy, 5.0).rejected) for _ in range(4)] == [1] * 4
        assert policy.lanes.size == 0

    def test_is_disabled_by_0(self) -> None:
        policy = one_by_one(30, breaker_rejections=0)
        assert [len(rejected_alone(policy).rejected) for _ in range(30)] == [1] * 30


class TestWrongAddress:
    @pytest.mark.parametrize(
        ("outcome", "status"), [(Outcome.NOT_FOUND, 404), (Outcome.MISDIRECTED, 302)]
    )
    def test_is_a_hold_before_anything_was_delivered(self, outcome: Outcome, status: int) -> None:
        policy = policy_of(*people(range(4)))
        shipment = sent(policy)
        settlement = ends(policy, shipment, whole(shipment, outcome, status), 0.0)
        assert len(settlement.again) == 4
        assert policy.hold is not None
        assert policy.hold.reason is HoldReason.WRONG_ADDRESS
        assert f"HTTP {status}" in policy.hold.why
        assert len(sent(policy, 1.0).events) == 1

    def test_of_one_event_is_a_rejection_after_a_delivery(self) -> None:
        policy = policy_of()
        one_succeeds(policy, 100, 0.0)
        policy.lanes.add(people(range(1)))
        shipment = sent(policy)
        settlement = ends(policy, shipment, whole(shipment, Outcome.NOT_FOUND, 404), 0.0)
        assert len(settlement.rejected) == 1
        assert policy.hold is None

    def test_is_a_hold_again_after_another_hold(self) -> None:
        policy = policy_of()
        one_succeeds(policy, 100, 0.0)
        policy.lanes.add(people(range(2)))
        policy.hold_back(HoldReason.CREDENTIALS, "HTTP 401", 0.0)
        shipment = sent(policy, 1.0)
        ends(policy, shipment, whole(shipment, Outcome.NOT_FOUND, 404), 1.0)
        assert policy.hold is not None
        assert policy.hold.reason is HoldReason.WRONG_ADDRESS

    def test_of_one_redirect_is_tried_again_after_a_delivery(self) -> None:
        policy = policy_of()
        one_succeeds(policy, 100, 0.0)
        policy.lanes.add(people(range(1)))
        shipment = sent(policy)
        settlement = ends(policy, shipment, whole(shipment, Outcome.MISDIRECTED, 302), 0.0)
        assert (len(settlement.again), settlement.failed) == (1, True)


class TestRetryAfterOfOneRequest:
    def asked_to_wait(self, **settings: Any) -> Policy:
        """One request is asked to wait for an hour, while another succeeds."""
        policy = one_by_one(3, **settings)
        first, second = sent(policy), sent(policy)
        ends(policy, first, retry(first, 429, wait_seconds=3600.0), 0.0)
        ends(policy, second, delivered(second), 0.5)
        return policy

    def test_is_a_hold_that_no_other_success_hides(self) -> None:
        policy = self.asked_to_wait()
        why = "HTTP 429 and asked to wait 3,600 s; waiting 300 s (CIO_RETRY_AFTER_MAX_SECONDS)"
        assert policy.hold == Hold(HoldReason.RETRY_AFTER, why, 0.0, failures=1)
        assert policy.next(299.0) is None
        assert policy.next_attempt(1.0) == 300.0

    def test_is_over_when_the_wait_is(self) -> None:
        policy = self.asked_to_wait()
        shipment = sent(policy, 300.0)
        ends(policy, shipment, delivered(shipment), 300.0)
        assert policy.hold is None

    def test_is_capped_by_its_setting(self) -> None:
        assert self.asked_to_wait(retry_after_max_seconds=7.0).next_attempt(1.0) == 7.0

    def test_is_ended_by_an_operator(self) -> None:
        policy = self.asked_to_wait()
        ended = policy.resume(1.0)
        assert ended is not None
        assert ended.reason is HoldReason.RETRY_AFTER
        assert policy.hold is None
        assert sorted(seqs(sent(policy, 1.0)) + seqs(sent(policy, 1.0))) == [0, 2]


class TestForbiddenEvent:
    def test_of_one_person_holds_nobody_else_back_once_others_were_delivered(self) -> None:
        policy = policy_of(*people(range(200)), random=NEARLY_ONE, batch_bytes=100_000)
        now, good = 0.0, set(range(1, 200))
        for _ in range(300):
            item = policy.next(now)
            if not isinstance(item, Shipment):
                read(policy)
                now += 1.0
                continue
            if 0 in seqs(item):
                ends(policy, item, whole(item, Outcome.UNAUTHORIZED, 403), now)
            else:
                good -= set(seqs(item))
                ends(policy, item, delivered(item), now)
        assert not good

    def test_of_all_is_a_hold_for_the_credentials(self) -> None:
        policy = policy_of(*people(range(40)), batch_bytes=1)
        first = sent(policy)
        ends(policy, first, delivered(first), 0.0)
        for now in range(100, 600, 100):
            item = policy.next(float(now))
            if isinstance(item, Shipment):
                ends(policy, item, whole(item, Outcome.UNAUTHORIZED, 403), float(now))
        assert policy.hold is not None
        assert policy.hold.reason is HoldReason.CREDENTIALS


@pytest.mark.parametrize("reason", list(HoldReason))
def test_a_hold_does_not_outlast_what_waited(reason: HoldReason) -> None:
    policy = policy_of()
    policy.hold_back(reason, "trouble", 0.0)
    assert isinstance(policy.next(100.0), Probe)
    assert policy.next(100.0) is None  # One at a time.
    policy.probed(Result(Outcome.RETRY, "trouble"), 100.0)
    assert policy.next(100.0) is None
    assert isinstance(policy.next(200.0), Probe)
    policy.probed(DELIVERED, 200.0)
    assert policy.hold is None
