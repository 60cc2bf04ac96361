"""Holds, against a fake Customer.io: nothing is lost by a mistake that an operator can fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from cio_fake import Response
from cio_sidecar.delivery.hold import HoldReason
from cio_sidecar.event_queue.model import Entry

from tests.delivery.support import (
    Clock,
    Delivery,
    Script,
    delivering,
    event,
    rows,
    until,
)

REJECTIONS = 20


def dead_letters(path: Path) -> int:
    ((count,),) = rows(path, "SELECT count(*) FROM dead_letters")
    return int(count)


def backlog(count: int) -> list[Entry]:
    return [event(f"p{number % 60}", number=number) for number in range(count)]


async def has_recovered(delivery: Delivery, clock: Clock) -> None:
    """Let the next probe go, and everything after it."""
    clock.now += 61
    delivery.look_at_the_clock()
    await delivery.drained()


@pytest.mark.parametrize("v1", [False, True])
@pytest.mark.parametrize("status", [400, 404])
async def test_breaker_keeps_the_queue_when_everything_is_rejected(
    path: Path, url: str, fake: Script, *, clock: Clock, status: int, v1: bool
) -> None:
    async with delivering(path, url, clock=clock, v1=v1) as delivery:
        await delivery.put(event("first", number=0))
        await delivery.drained()
        fake.script = lambda _: Response(status)
        await delivery.put(*backlog(300))
        await until(lambda: delivery.dispatcher.hold)
        await until(lambda: not delivery.dispatcher.in_flight)
        dead = delivery.counters.dead_letters
        assert dead < REJECTIONS
        fake.script = lambda _: None
        await has_recovered(delivery, clock)
        assert delivery.dispatcher.hold is None
        assert delivery.counters.dead_letters == dead
    numbers = [number for each in fake.numbers().values() for number in each]
    assert len(numbers) == 301 - dead
    for person, delivered in fake.numbers().items():
        assert delivered == sorted(delivered), f"{person} is out of order"


async def test_breaker_is_closed_by_a_good_event_behind_bad_ones(
    path: Path, url: str, fake: Script, clock: Clock
) -> None:
    fake.script = lambda request: Response(400) if b"poison" in request.body else None
    bad = [event(f"bad{number}", poison=1) for number in range(REJECTIONS + 5)]
    async with delivering(path, url, clock=clock, before=bad) as delivery:
        await until(lambda: delivery.dispatcher.hold)
        hold = delivery.dispatcher.hold
        assert hold is not None
        assert hold.reason is HoldReason.CIRCUIT_BREAKER
        assert delivery.counters.dead_letters == REJECTIONS - 1
        await delivery.put(event("good"))
        for _ in range(10):
            clock.now += 61
            delivery.look_at_the_clock()
            await delivery.has_nothing_to_do(url)
            if delivery.counters.delivered:
                break
        await delivery.drained()
        assert delivery.counters.delivered == 1
    assert dead_letters(path) == len(bad)


async def test_resume_accepts_rejections(path: Path, url: str, fake: Script, clock: Clock) -> None:
    fake.script = lambda _: Response(422)
    async with delivering(path, url, clock=clock, before=backlog(100)) as delivery:
        await until(lambda: delivery.dispatcher.hold)
        ended = delivery.dispatcher.resume(accept_rejections=True)
        assert ended is not None
        assert ended.reason is HoldReason.CIRCUIT_BREAKER
        assert delivery.dispatcher.accepts_rejections
        await delivery.drained()
        fake.script = lambda _: None
        await delivery.put(event("good"))
        await delivery.drained()
        assert not delivery.dispatcher.accepts_rejections
    assert dead_letters(path) == 100


@pytest.mark.parametrize("status", [404, 405, 410])
async def test_wrong_address_at_the_start_keeps_everything(
    path: Path, url: str, fake: Script, clock: Clock, status: int
) -> None:
    fake.script = lambda _: Response(status)
    async with delivering(path, url, clock=clock, before=backlog(300)) as delivery:
        await until(lambda: delivery.dispatcher.hold)
        hold = delivery.dispatcher.hold
        assert hold is not None
        assert hold.reason is HoldReason.WRONG_ADDRESS
        assert "CIO_BASE_URL" in hold.why
        fake.script = lambda _: None
        await has_recovered(delivery, clock)
    assert dead_letters(path) == 0


@pytest.mark.parametrize(
    ("status", "words"),
    [(302, ("redirect", "to elsewhere.example)", "CIO_BASE_URL")), (407, ("HTTPS_PROXY",))],
)
async def test_misdirected_answers_say_what_to_check(
    path: Path, url: str, fake: Script, *, clock: Clock, status: int, words: tuple[str, ...]
) -> None:
    location = {"Location": "https://ann:secret@elsewhere.example/x?token=secret"}
    fake.script = lambda _: Response(status, headers=location)
    async with delivering(path, url, clock=clock, before=backlog(3)) as delivery:
        await until(lambda: delivery.dispatcher.hold)
        hold = delivery.dispatcher.hold
        assert hold is not None
        assert hold.reason is HoldReason.WRONG_ADDRESS
        assert all(word in hold.why for word in words)
        assert "secret" not in hold.why
        fake.script = lambda _: None
        await has_recovered(delivery, clock)


async def test_retry_after_of_one_request_is_seen_and_ended_by_resume(
    path: Path, url: str, fake: Script, clock: Clock
) -> None:
    asked: list[bytes] = []

    def waits(request: object) -> Response | None:
        body = getattr(request, "body", b"")
        if b"slow" in body and not asked:
            asked.append(body)
            return Response(429, headers={"Retry-After": "3600"})
        return None

    fake.script = waits
    async with delivering(path, url, clock=clock) as delivery:
        await delivery.put(event("slow"))
        await until(lambda: delivery.dispatcher.hold)
        await delivery.put(event("other"))
        await delivery.has_nothing_to_do(url)
        hold = delivery.dispatcher.hold
        assert hold is not None
        assert hold.reason is HoldReason.RETRY_AFTER
        assert "asked to wait 3,600 s; waiting 300 s (CIO_RETRY_AFTER_MAX_SECONDS)" in hold.why
        assert hold.next_attempt_seconds == pytest.approx(300)
        delivery.dispatcher.resume()
        await delivery.drained()
        assert delivery.dispatcher.hold is None


async def test_active_seconds_start_again_after_a_hold_and_a_pause(
    path: Path, url: str, clock: Clock
) -> None:
    async with delivering(path, url, clock=clock) as delivery:
        dispatcher = delivery.dispatcher
        clock.now += 10
        assert dispatcher.active_seconds == 10
        for begin in (
            dispatcher.pause,
            lambda: dispatcher.hold_back(HoldReason.CREDENTIALS, "HTTP 401"),
        ):
            begin()
            clock.now += 50
            dispatcher.resume()
            clock.now += 7
            assert dispatcher.active_seconds == 7


async def test_dead_letters_of_a_burst_are_logged_without_another_event(
    path: Path, url: str, fake: Script, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    fake.script = lambda request: Response(400) if b"poison" in request.body else None
    async with delivering(path, url, clock=clock) as delivery:
        await delivery.put(event("good"), *(event("bad", poison=number) for number in range(5)))
        await delivery.drained()
        assert "1 event(s) rejected" in caplog.text
        clock.now += 10
        delivery.look_at_the_clock()
        await until(lambda: "4 event(s) rejected" in caplog.text)
