"""Events that fail while others don't, people with many events, old events, joined identities."""

from __future__ import annotations

import asyncio
import itertools
import logging
from pathlib import Path

import pytest
from cio_fake import Request, Response
from cio_sidecar.customerio.encoders import JOINED
from cio_sidecar.delivery import dispatcher as dispatcher_module
from cio_sidecar.delivery.lanes import LANE_EVENTS

from tests.delivery.support import (
    NOW,
    Clock,
    Script,
    delivering,
    event,
    held,
    rows,
    stored_ids,
    until,
)


def fails(marker: bytes, status: int = 500, body: bytes = b"") -> object:
    return lambda request: Response(status, body) if marker in request.body else None


class TestAnEventThatFailsAgainAndAgain:
    @pytest.mark.parametrize(
        ("status", "body"), [(500, b""), (200, b"<html>sign in</html>"), (302, b""), (404, b"<p>")]
    )
    async def test_holds_back_its_person_alone(
        self, path: Path, url: str, fake: Script, status: int, body: bytes
    ) -> None:
        fake.script = fails(b"poison", status, body)  # type: ignore[assignment]
        people = [f"p{n}" for n in range(50)]
        backlog = [event(person, number=number) for number in range(4) for person in people]
        backlog[57] = event("p7", number=1, poison=True)
        async with delivering(path, url, random=0.02, before=backlog) as delivery:
            await until(lambda: delivery.counters.delivered == len(backlog) - 3)
            assert fake.numbers().pop("p7") == [0]
            assert all(
                numbers == [0, 1, 2, 3]
                for person, numbers in fake.numbers().items()
                if person != "p7"
            )
            fake.script = lambda _: None
            await delivery.drained()
        assert fake.numbers()["p7"] == [0, 1, 2, 3]
        assert rows(path, "SELECT count(*) FROM dead_letters") == [(0,)]

    async def test_is_tried_again_where_nothing_else_ever_happens(
        self, path: Path, url: str, fake: Script
    ) -> None:
        # Its events are read from the queue again, for which nobody but the clock calls.
        answers = itertools.chain([Response(429, b"")] * 4)
        fake.script = lambda request: next(answers, None) if b"slow" in request.body else None
        async with delivering(path, url, v1=True, random=0.02) as delivery:
            await delivery.put(event("ann", number=1, slow=True))
            for number in range(3):
                await delivery.put(event("bob", number=number))
                await until(lambda: len(fake.numbers().get("bob", [])) > number)  # noqa: B023
            await delivery.drained()
        assert fake.numbers()["ann"] == [1]

    async def test_is_said_in_the_log_once_without_naming_anybody(
        self, path: Path, url: str, fake: Script, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        fake.script = fails(b"poison")  # type: ignore[assignment]
        async with delivering(path, url, v1=True, random=0.02) as delivery:
            await delivery.put(event("ann@example.com", "secret-id", poison=True))
            for number in range(30):
                await delivery.put(event("bob", number=number))
                await until(lambda: delivery.counters.delivered > number)  # noqa: B023
            await until(lambda: "again and again" in caplog.text)
            fake.script = lambda _: None
            await delivery.drained()
        assert caplog.text.count("again and again") == 1
        assert "ann@" not in caplog.text
        assert "secret-id" not in caplog.text


class TestAPersonWithMoreEventsThanAreHeld:
    @pytest.mark.parametrize("v1", [False, True], ids=["v2", "v1"])
    async def test_delays_nobody_and_keeps_the_order(
        self, path: Path, url: str, fake: Script, *, v1: bool
    ) -> None:
        fake.script = lambda request: (
            Response(503) if b"/ann/" in request.path.encode() or b'"ann"' in request.body else None
        )
        many = 3 * LANE_EVENTS
        backlog = [event("ann", number=number) for number in range(many)]
        backlog += [event("bob", number=number) for number in range(20)]
        async with delivering(path, url, v1=v1, random=0.02, before=backlog) as delivery:
            await until(lambda: fake.numbers().get("bob") == list(range(20)))
            await until(lambda: delivery.dispatcher.policy.lanes.size <= LANE_EVENTS)
            assert "ann" not in fake.numbers()
            fake.script = lambda _: None
            await delivery.drained()
        assert fake.numbers()["ann"] == list(range(many))


class TestPeopleWhoFillTheWindow:
    @pytest.mark.parametrize("v1", [False, True], ids=["v2", "v1"])
    async def test_delay_nobody_though_none_of_them_gets_anything_through(
        self, path: Path, url: str, fake: Script, monkeypatch: pytest.MonkeyPatch, *, v1: bool
    ) -> None:
        monkeypatch.setattr(dispatcher_module, "WINDOW_EVENTS", 100)
        fake.script = fails(b"stuck")  # type: ignore[assignment]
        people = [f"s{n}" for n in range(30)]
        backlog = [
            event(person, number=number, stuck=True)
            if number == 0
            else event(person, number=number)
            for number in range(10)
            for person in people
        ]
        backlog += [event("bob", number=number) for number in range(20)]
        async with delivering(path, url, v1=v1, random=0.02, before=backlog) as delivery:
            await until(lambda: fake.numbers().get("bob") == list(range(20)))
            assert set(fake.numbers()) == {"bob"}
            fake.script = lambda _: None
            await delivery.drained()
        assert all(fake.numbers()[person] == list(range(10)) for person in people)


class TestTheAgeLimit:
    async def test_makes_dead_letters_of_what_waited_too_long(
        self, path: Path, url: str, fake: Script, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        wall_clock = Clock(NOW)
        fake.fail_next(503)
        async with delivering(
            path,
            url,
            clock=clock,
            wall_clock=wall_clock,
            random=0.5,
            max_age_seconds=60,
            before=[event("ann", "a"), event("ann", "b")],
        ) as delivery:
            await until(lambda: delivery.counters.retried > 0)
            wall_clock.now += 60
            clock.now += 1.1
            delivery.look_at_the_clock()
            await delivery.has_nothing_to_do(url)
            assert delivery.counters.expired == 0
            wall_clock.now += 1
            clock.now += 1.1
            delivery.look_at_the_clock()
            await delivery.drained()
            assert delivery.counters.expired == 2
            assert delivery.counters.dead_letters == 2
        found = rows(path, "SELECT message_id, status, reason FROM dead_letters ORDER BY seq")
        why = (
            "not delivered within 60 s (CIO_MAX_AGE_SECONDS); delivery is on hold: "
            "Customer.io answered HTTP 503"
        )
        assert found == [("a", 0, why), ("b", 0, why)]
        assert "2 event(s) kept as dead letters" in caplog.text

    async def test_ends_what_fails_alone_and_what_was_left_by_an_earlier_process(
        self, path: Path, url: str, fake: Script
    ) -> None:
        wall_clock = Clock(NOW)
        fake.script = fails(b"poison")  # type: ignore[assignment]
        backlog = [event("ann", "bad", poison=True), event("ann", "later"), event("bob", "b")]
        async with delivering(
            path, url, wall_clock=wall_clock, random=0.02, max_age_seconds=60, before=backlog
        ) as delivery:
            await until(lambda: fake.event_ids == ["b"] and delivery.counters.retried > 3)
            wall_clock.now += 61
            await delivery.drained()
            assert delivery.counters.expired == 2
        assert fake.event_ids == ["b"]
        found = rows(path, "SELECT message_id FROM dead_letters ORDER BY seq")
        assert found == [("bad",), ("later",)]
        wall_clock = Clock(NOW + 61)
        fake.script = lambda _: None
        async with delivering(
            path, url, wall_clock=wall_clock, max_age_seconds=60, before=[event("cem", "old")]
        ) as delivery:
            await delivery.drained()
            assert delivery.counters.expired == 1
        assert fake.event_ids == ["b"]

    async def test_is_none_by_default(
        self, path: Path, url: str, fake: Script, clock: Clock
    ) -> None:
        wall_clock = Clock(NOW)
        fake.fail_next(503)
        async with delivering(
            path, url, clock=clock, wall_clock=wall_clock, random=0.5, before=[event("ann", "a")]
        ) as delivery:
            await until(lambda: delivery.counters.retried > 0)
            wall_clock.now += 40 * 86_400
            clock.now += 40 * 86_400
            fake.heal()
            delivery.look_at_the_clock()
            await delivery.drained()
        assert fake.event_ids == ["a"]

    async def test_takes_nothing_away_that_is_in_flight(self, path: Path, clock: Clock) -> None:
        wall_clock = Clock(NOW)
        async with (
            held() as server,
            delivering(
                path,
                server.url,
                clock=clock,
                wall_clock=wall_clock,
                max_age_seconds=1,
                before=[event("ann", "a")],
            ) as delivery,
        ):
            await until(lambda: len(server.held) == 1)
            wall_clock.now += 100
            clock.now += 100
            delivery.look_at_the_clock()
            await delivery.has_nothing_to_do(server.url)
            server.release()
            await delivery.drained()
            assert delivery.counters.delivered == 1
        assert rows(path, "SELECT count(*) FROM dead_letters") == [(0,)]


class TestIdentitiesThatAnEventJoins:
    async def test_are_one_persons_order_from_then_on(
        self, path: Path, url: str, fake: Script
    ) -> None:
        def rejects_visits(request: Request) -> Response | None:
            return Response(503) if b'"visit"' in request.body else None

        fake.script = rejects_visits
        visit = event("visitor", "visit")._replace(lane="a:visitor")
        known = event("ann", "identify")._replace(lane=f"p:ann{JOINED}a:visitor")
        after = event("ann", "after")._replace(lane="p:ann")
        other = event("bob", "other")
        async with delivering(
            path, url, v1=True, random=0.02, before=[visit, known, after, other]
        ) as delivery:
            await until(lambda: fake.event_ids == ["other"])
            await until(lambda: delivery.counters.retried > 2)
            assert fake.event_ids == ["other"]
            fake.script = lambda _: None
            await delivery.drained()
        assert fake.event_ids == ["other", "visit", "identify", "after"]


class TestStoppingByADrain:
    async def test_sends_what_can_be_sent(self, path: Path, url: str, fake: Script) -> None:
        backlog = [event(f"p{n}", f"e{n}") for n in range(30)]
        async with delivering(path, url, v1=True, concurrency=2, before=backlog) as delivery:
            delivery.dispatcher.stop(drain=True)
            await until(delivery.running.done)
        assert sorted(fake.event_ids) == sorted(f"e{n}" for n in range(30))
        assert stored_ids(path) == []

    async def test_leaves_what_failed_for_the_next_start(
        self, path: Path, url: str, fake: Script, clock: Clock
    ) -> None:
        fake.script = fails(b"poison")  # type: ignore[assignment]
        backlog = [event("ann", "bad", poison=True), event("bob", "b")]
        async with delivering(
            path, url, v1=True, clock=clock, random=0.5, before=backlog
        ) as delivery:
            await until(lambda: delivery.counters.retried and delivery.counters.delivered)
            delivery.dispatcher.stop(drain=True)
            await until(delivery.running.done)
        assert stored_ids(path) == ["bad"]

    async def test_ends_in_a_hurry_when_it_is_told_so(self, path: Path) -> None:
        backlog = [event(f"p{n}", f"e{n}") for n in range(3)]
        async with (
            held() as server,
            delivering(path, server.url, v1=True, concurrency=1, before=backlog) as delivery,
        ):
            await until(lambda: len(server.held) == 1)
            delivery.dispatcher.stop(drain=True)
            await asyncio.sleep(0)
            assert not delivery.running.done()
            delivery.dispatcher.stop()
            server.release()
            await until(delivery.running.done)
        assert stored_ids(path) == ["e1", "e2"]
