"""What an operator may do to delivery: pause it, and watch what comes of each event."""

from __future__ import annotations

from pathlib import Path

from cio_sidecar.customerio.answers import Outcome
from cio_sidecar.delivery.hold import HoldReason
from cio_sidecar.delivery.result import Result
from cio_sidecar.event_queue.model import Leased

from tests.delivery.support import (
    Clock,
    Delivery,
    Script,
    delivering,
    event,
    malformed,
    until,
)


async def test_a_paused_delivery_sends_nothing_until_it_is_resumed(
    path: Path, url: str, fake: Script
) -> None:
    async with delivering(path, url) as delivery:
        delivery.dispatcher.pause()
        await delivery.put(event("ann", "m1"))
        await delivery.has_nothing_to_do(url)
        assert fake.asked == []
        delivery.dispatcher.resume()
        await delivery.drained()
    assert fake.event_ids == ["m1"]


async def test_a_paused_delivery_does_not_try_the_credentials_either(
    path: Path, url: str, fake: Script, clock: Clock
) -> None:
    async with delivering(path, url, clock=clock) as delivery:
        delivery.dispatcher.pause()
        delivery.dispatcher.hold_back(HoldReason.CREDENTIALS, "the credentials were rejected")
        clock.now += 3600
        delivery.look_at_the_clock()
        await delivery.has_nothing_to_do(url)
        assert fake.asked == []
        delivery.dispatcher.resume()
        await until(lambda: delivery.dispatcher.hold is None, "a probe")


async def test_an_event_that_backs_off_waits_for_the_operator_too(
    path: Path, url: str, fake: Script, clock: Clock
) -> None:
    fake.fail_next(500, 1)
    async with delivering(path, url, clock=clock, random=0.5) as delivery:
        await delivery.put(event("ann", "m1"))
        await until(lambda: delivery.counters.retried == 1, "the first attempt")
        delivery.dispatcher.pause()
        clock.now += 3600
        delivery.look_at_the_clock()
        await delivery.has_nothing_to_do(url)
        assert len(fake.asked) == 1
        delivery.dispatcher.resume()
        await delivery.drained()


def watched(delivery: Delivery) -> list[tuple[str, Outcome, int, int]]:
    seen: list[tuple[str, Outcome, int, int]] = []

    def note(event: Leased, result: Result) -> None:
        seen.append((event.message_id, result.outcome, result.status, event.attempts))

    delivery.dispatcher.on_outcome = note
    return seen


async def test_every_outcome_is_told_with_its_event_once_it_is_settled(
    path: Path, url: str, fake: Script
) -> None:
    fake.fail_next(500, 1)
    async with delivering(path, url) as delivery:
        seen = watched(delivery)
        await delivery.put(event("ann", "m1"))
        await delivery.drained()
        await delivery.put(malformed("ann", "m2"))
        await delivery.drained()
        await until(lambda: len(seen) == 3, "three outcomes")
        assert [each[:2] for each in seen] == [
            ("m1", Outcome.RETRY),
            ("m1", Outcome.DELIVERED),
            ("m2", Outcome.REJECTED),
        ]
        assert [each[3] for each in seen] == [1, 2, 1]
