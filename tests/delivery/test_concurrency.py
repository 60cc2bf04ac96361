"""How many requests may be in flight, and how fast they follow."""

from __future__ import annotations

import pytest
from cio_sidecar.delivery.rate_control import START, Concurrency, Pacer
from hypothesis import given
from hypothesis import strategies as st


def flight(
    concurrency: Concurrency,
    now: float = 0.0,
    seconds: float = 0.01,
    *,
    count: int | None = None,
    overloaded: bool = False,
) -> None:
    """As many requests as may be in flight, or ``count``, leave together and come back at
    ``now``."""
    count = concurrency.limit if count is None else count
    for _ in range(count):
        concurrency.started()
    for _ in range(count):
        concurrency.ended(now, seconds, overloaded=overloaded)


class TestIncrease:
    def test_is_one_a_round_up_to_the_ceiling(self) -> None:
        concurrency = Concurrency(11)
        limits = [concurrency.limit]
        for now in range(5):
            flight(concurrency, now)
            limits.append(concurrency.limit)
        assert limits == [8, 9, 10, 11, 11, 11]

    def test_takes_a_whole_round(self) -> None:
        concurrency = Concurrency(100)
        for _ in range(8):
            concurrency.started()
        for _ in range(7):
            concurrency.ended(1.0, 0.01, overloaded=False)
        assert concurrency.limit == 8
        concurrency.ended(1.0, 0.01, overloaded=False)
        assert concurrency.limit == 9

    def test_needs_the_limit_to_have_been_reached(self) -> None:
        concurrency = Concurrency(100)
        for now in range(10):
            flight(concurrency, now, count=7)
        assert concurrency.limit == START

    def test_starts_from_a_single_one(self) -> None:
        concurrency = Concurrency(2)
        flight(concurrency, 1.0, overloaded=True)
        assert concurrency.limit == 1
        flight(concurrency, 2.0)
        assert concurrency.limit == 2


class TestDecrease:
    def test_by_overload_is_a_half_once_for_all_that_was_in_flight_together(self) -> None:
        concurrency = Concurrency(100)
        flight(concurrency, 1.0, overloaded=True)
        assert concurrency.limit == 4
        assert concurrency.decreases == {"overload": 1, "latency": 0}

    def test_by_overload_comes_again_for_what_left_afterwards(self) -> None:
        concurrency = Concurrency(100)
        flight(concurrency, 1.0, 0.5, overloaded=True)
        flight(concurrency, 1.4, 0.5, overloaded=True)
        assert concurrency.limit == 4
        flight(concurrency, 2.0, 0.5, overloaded=True)
        assert concurrency.limit == 2

    def test_never_leaves_less_than_one(self) -> None:
        concurrency = Concurrency(100)
        for now in range(1, 10):
            flight(concurrency, now, overloaded=True)
        assert concurrency.limit == 1

    def test_by_latency_is_a_tenth(self) -> None:
        concurrency = Concurrency(START)
        for now in range(5):
            flight(concurrency, now, 0.05)
        assert concurrency.limit == 8
        flight(concurrency, 10.0, 0.25)
        assert concurrency.limit == 7
        assert concurrency.decreases == {"overload": 0, "latency": 1}

    @pytest.mark.parametrize(("usual", "slower"), [(0.001, 0.1), (0.05, 0.19), (1.0, 2.05)])
    def test_by_latency_needs_twice_the_usual_and_a_tenth_of_a_second(
        self, usual: float, slower: float
    ) -> None:
        concurrency = Concurrency(START)
        for now in range(5):
            flight(concurrency, now, usual)
        flight(concurrency, 10.0, slower)
        assert concurrency.decreases["latency"] == 0

    def test_by_latency_ends_when_slow_has_become_usual(self) -> None:
        concurrency = Concurrency(100)
        flight(concurrency, 0.0, 0.01)
        for now in range(1, 100):
            flight(concurrency, now, 0.3)
        decreases = concurrency.decreases["latency"]
        limit = concurrency.limit
        flight(concurrency, 101.0, 0.3)
        assert concurrency.decreases["latency"] == decreases
        assert concurrency.limit == limit + 1

    def test_takes_nothing_from_what_teaches_nothing(self) -> None:
        concurrency = Concurrency(100)
        for _ in range(20):
            concurrency.started()
            concurrency.left()
        assert concurrency.in_flight == 0
        assert concurrency.limit == START


answers = st.tuples(st.floats(0.001, 5), st.booleans(), st.integers(1, 30), st.floats(0, 10))


@given(st.integers(1, 50), st.lists(answers, max_size=60))
def test_the_limit_stays_between_one_and_the_ceiling(
    most: int, flights: list[tuple[float, bool, int, float]]
) -> None:
    concurrency = Concurrency(most)
    now = 0.0
    for seconds, overloaded, count, gap in flights:
        now += gap
        before = concurrency.limit
        flight(concurrency, now, seconds, count=min(count, before), overloaded=overloaded)
        assert 1 <= concurrency.limit <= most
        assert before // 2 <= concurrency.limit <= before + 1
        assert concurrency.in_flight == 0


class TestPacer:
    @given(
        st.floats(1, 2000),
        st.integers(1, 50),
        st.lists(st.floats(0, 0.1) | st.just(0.0) | st.floats(0, 30), min_size=1, max_size=150),
        st.floats(0, 1e6),
    )
    def test_never_lets_more_go_than_its_ceiling_and_the_burst(
        self, per_second: float, burst: int, gaps: list[float], now: float
    ) -> None:
        pacer = Pacer(per_second, burst)
        sent: list[float] = []
        for gap in gaps:
            now += gap
            wait = pacer.reserve(now)
            assert wait >= 0
            sent.append(now + wait)
        assert sent == sorted(sent)
        for first, start in enumerate(sent):
            in_a_second = sum(start <= each < start + 1 for each in sent)
            assert in_a_second <= per_second + burst + 0.01
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
