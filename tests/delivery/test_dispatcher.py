"""Delivery as a whole: a real queue file, a real HTTP client, and a fake Customer.io to tell.

Where time matters the dispatcher's clock stands still until a test moves it. What a test says of
not sending, it says after the dispatcher had every chance to send.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import socket
import struct
from base64 import b64encode
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from cio_fake import Request, Response, host_aiohttp
from cio_sidecar.customerio.answers import Answer
from cio_sidecar.customerio.http_request import Request as Asked
from cio_sidecar.customerio.limits import BATCH_BYTES
from cio_sidecar.delivery import dispatcher as dispatcher_module
from cio_sidecar.delivery.hold import HoldReason
from cio_sidecar.event_queue.errors import QueueError
from cio_sidecar.event_queue.model import FinalFailure

from tests.delivery.support import (
    API_KEY,
    NOW,
    SITE_ID,
    Clock,
    Delivery,
    Script,
    delivering,
    event,
    free_port,
    held,
    identify,
    malformed,
    opened,
    rows,
    serving,
    sizes,
    stored_ids,
    until,
)

NOBODY = "http://127.0.0.1:1"


def dead_letters(path: Path) -> list[dict[str, Any]]:
    """All that a queue file that nobody has open keeps of dead letters, but for the times."""
    told = ["reason", "status", "attempts", "method", "path", "request", "response"]
    names = ["message_id", "lane", *told]
    found = rows(path, f"SELECT {', '.join(names)} FROM dead_letters ORDER BY seq")
    return [dict(zip(names, row, strict=True)) for row in found]


async def answered(delivery: Delivery, status: int, times: int) -> None:
    """Wait until so many requests had a status for an answer."""
    counts = delivery.counters.answers
    await until(lambda: counts.get(status, 0) >= times, f"{times} answers {status}")
    assert counts[status] == times


class TestALoneEvent:
    async def test_is_sent_at_once(self, path: Path, url: str, fake: Script, clock: Clock) -> None:
        async with delivering(path, url, clock=clock, random=0.999) as delivery:
            await delivery.put(lone := event("ann"))
            await delivery.drained()
            assert delivery.counters.delivered == 1
            assert delivery.counters.answers == {200: 1}
        assert fake.event_ids == [lone.message_id]
        assert stored_ids(path) == []

    async def test_that_was_left_by_an_earlier_process_is_sent(
        self, path: Path, url: str, fake: Script
    ) -> None:
        left = event("ann")
        with opened(path) as queue:
            await queue.put([left])
        async with delivering(path, url) as delivery:
            await delivery.drained()
        assert fake.event_ids == [left.message_id]


class TestABacklog:
    async def test_goes_in_few_full_batches(self, path: Path, url: str, fake: Script) -> None:
        backlog = [event(f"p{n % 50}", number=n, size=150) for n in range(5_000)]
        async with delivering(path, url, before=backlog) as delivery:
            await delivery.drained()
        assert set(fake.paths) == {"/api/v2/batch"}
        total = sum(map(len, fake.bodies))
        assert total > 3 * BATCH_BYTES
        lengths = sorted(map(len, fake.bodies), reverse=True)
        assert lengths[0] <= BATCH_BYTES
        assert lengths[2] > 0.99 * BATCH_BYTES
        # What is left of a person whose events no batch held whole goes by itself.
        assert len(lengths) <= math.ceil(total / BATCH_BYTES) + 1
        assert sum(sizes(fake.bodies)) == 5_000
        assert set(fake.event_ids) == {each.message_id for each in backlog}

    async def test_larger_than_the_window_is_delivered_to_its_end(
        self, path: Path, url: str, fake: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dispatcher_module, "WINDOW_EVENTS", 40)
        backlog = [event(f"p{n % 7}", number=n) for n in range(500)]
        async with delivering(path, url, before=backlog) as delivery:
            await delivery.drained()
        assert fake.numbers() == {f"p{n}": list(range(n, 500, 7)) for n in range(7)}
        assert max(sizes(fake.bodies)) <= 40

    async def test_uses_many_requests_at_a_time_but_no_more_than_it_may(self, path: Path) -> None:
        async with held() as server:
            backlog = [event(f"p{n}") for n in range(10)]
            async with delivering(
                path, server.url, v1=True, concurrency=4, before=backlog
            ) as delivery:
                await until(lambda: len(server.held) == 4)
                await delivery.has_nothing_to_do(server.url)
                assert len(server.held) == 4
                server.release()
                await delivery.drained()


class TestABatchOfWhichSomeIsRejected:
    async def test_delivers_the_good_and_buries_the_bad(
        self, path: Path, url: str, fake: Script
    ) -> None:
        good = [event(f"p{n}", f"good-{n}") for n in range(3)]
        bad = malformed("q", "bad")
        batch = [good[0], good[1], bad, good[2]]
        async with delivering(path, url, before=batch) as delivery:
            await delivery.drained()
            assert delivery.counters.delivered == 3
            assert delivery.counters.dead_letters == 1
        assert fake.event_ids == ["good-0", "good-1", "good-2"]
        assert sizes(fake.bodies) == [4]
        (letter,) = dead_letters(path)
        assert letter.pop("request") in bad.operations
        answer = orjson.loads(letter.pop("response"))
        assert [error["batch_index"] for error in answer["errors"]] == [2]
        assert letter == {
            "message_id": "bad",
            "lane": "p:q",
            "reason": "HTTP 207: name: is required",
            "status": 207,
            "attempts": 1,
            "method": "POST",
            "path": "/api/v2/batch",
        }

    async def test_keeps_with_each_what_the_answer_says_of_it_alone(
        self, path: Path, url: str, fake: Script
    ) -> None:
        errors = [
            {"batch_index": 2, "field": "email", "message": "cid@example.com is bad"},
            {"batch_index": 0, "field": "email", "message": "ann@example.com is bad"},
            {"batch_index": 2, "field": "name", "message": "is required"},
        ]
        body = orjson.dumps({"errors": errors})
        fake.script = lambda request: Response(207, body) if request.body else None
        batch = [event("ann"), event("bob"), event("cid")]
        async with delivering(path, url, before=batch) as delivery:
            await delivery.drained()
        first, second = (orjson.loads(letter["response"]) for letter in dead_letters(path))
        assert first == {"errors": [errors[1]]}
        assert second == {"errors": [errors[0], errors[2]]}

    async def test_goes_on_with_a_persons_later_events(
        self, path: Path, url: str, fake: Script
    ) -> None:
        batch = [event("ann", "a"), malformed("ann", "b"), event("ann", "c")]
        async with delivering(path, url, before=batch) as delivery:
            await delivery.drained()
        assert fake.event_ids == ["a", "c"]
        assert [letter["message_id"] for letter in dead_letters(path)] == ["b"]

    async def test_is_halved_when_the_answer_does_not_name_them(
        self, path: Path, url: str, fake: Script
    ) -> None:
        answers = [b"", b"{}", b"<html>", b'{"errors":[{"batch_index":7}]}']
        fake.script = lambda _: Response(207, answers.pop()) if answers else None
        async with delivering(path, url, before=[event("ann"), event("bob")]) as delivery:
            await delivery.drained()
            assert delivery.counters.delivered == 2
            # As long as it is a batch, smaller ones may tell; a single event is tried again.
            assert delivery.counters.answers == {207: 4, 200: 2}
        assert sizes(fake.bodies)[0] == 2
        assert set(sizes(fake.bodies)[1:]) == {1}
        assert dead_letters(path) == []


def rejects(marker: bytes, status: int = 400) -> Callable[[Request], Response | None]:
    """Rejects a request as a whole when it holds a marker."""
    body = b'{"errors":[{"reason":"invalid","field":"batch","message":"can\'t be read"}]}'
    return lambda request: Response(status, body) if marker in request.body else None


class TestABatchThatIsRejectedAsAWhole:
    @pytest.mark.parametrize("status", [400, 413, 422])
    async def test_is_halved_until_the_bad_event_is_alone(
        self, path: Path, url: str, fake: Script, status: int
    ) -> None:
        fake.script = rejects(b"poison", status)
        backlog = [event(f"p{n}", f"e{n}", number=n) for n in range(64)]
        backlog[37] = event("p37", "bad", poison=True)
        async with delivering(path, url, before=backlog) as delivery:
            await delivery.drained()
            assert delivery.counters.delivered == 63
        assert sorted(fake.event_ids) == sorted(f"e{n}" for n in range(64) if n != 37)
        (letter,) = dead_letters(path)
        assert letter["message_id"] == "bad"
        assert letter["status"] == status
        assert letter["reason"] == f"HTTP {status}: batch: can't be read"
        assert sizes([letter["request"]]) == [1]
        assert b"poison" in letter["request"]
        assert b"can't be read" in letter["response"]
        # The whole, and two halves at each of six levels.
        assert len(fake.asked) == 13

    async def test_buries_every_event_of_it_if_each_is_bad(
        self, path: Path, url: str, fake: Script
    ) -> None:
        fake.script = rejects(b"poison")
        backlog = [event(f"p{n}", f"bad{n}", poison=n) for n in range(5)]
        async with delivering(path, url, before=backlog) as delivery:
            await delivery.drained()
        assert fake.events == []
        assert [letter["message_id"] for letter in dead_letters(path)] == [
            f"bad{n}" for n in range(5)
        ]

    async def test_keeps_a_persons_order_when_its_first_half_must_be_tried_again(
        self, path: Path, url: str, fake: Script
    ) -> None:
        statuses = [400, 503]
        fake.script = lambda _: Response(statuses.pop(0)) if statuses else None
        backlog = [event("ann", number=n) for n in range(8)]
        async with delivering(path, url, before=backlog) as delivery:
            await delivery.drained()
        assert fake.numbers() == {"ann": list(range(8))}
        assert dead_letters(path) == []

    async def test_keeps_a_persons_order_when_delivery_pauses_at_its_first_half(
        self, path: Path, url: str, fake: Script, clock: Clock
    ) -> None:
        statuses = [400, 401]
        fake.script = lambda _: Response(statuses.pop(0)) if statuses else None
        backlog = [event("ann", number=n) for n in range(8)]
        async with delivering(path, url, before=backlog, clock=clock) as delivery:
            await until(lambda: delivery.dispatcher.hold)
            await delivery.has_nothing_to_do(url)
            assert len(fake.asked) == 2
            clock.now += 61
            delivery.look_at_the_clock()
            await delivery.drained()
        assert fake.numbers() == {"ann": list(range(8))}

    async def test_keeps_its_second_half_when_delivery_pauses_there(
        self, path: Path, url: str, fake: Script, clock: Clock
    ) -> None:
        statuses = [400, 200, 401]
        fake.script = lambda _: Response(statuses.pop(0)) if statuses else None
        backlog = [event("ann", number=n) for n in range(8)]
        async with delivering(path, url, before=backlog, clock=clock) as delivery:
            await until(lambda: delivery.dispatcher.hold)
            await until(lambda: delivery.queue.waiting == 4)
            clock.now += 61
            delivery.look_at_the_clock()
            await delivery.drained()
        assert fake.numbers() == {"ann": [4, 5, 6, 7]}


class TestAServerInTrouble:
    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 302])
    async def test_gets_everything_in_the_end(
        self, path: Path, url: str, fake: Script, status: int
    ) -> None:
        fake.fail_next(status, count=5)
        backlog = [event(f"p{n % 4}", number=n) for n in range(40)]
        async with delivering(path, url, before=backlog) as delivery:
            await delivery.drained()
            # After three failures small shipments find out whether it is the server, or an event.
            assert delivery.counters.answers == {status: 5, 200: 3}
            assert delivery.counters.delivered == 40
        assert fake.numbers() == {f"p{n}": list(range(n, 40, 4)) for n in range(4)}
        assert dead_letters(path) == []

    async def test_is_asked_again_when_the_backoff_is_over(
        self, path: Path, url: str, fake: Script, clock: Clock
    ) -> None:
        fake.fail_next(503, count=3)
        async with delivering(path, url, clock=clock, random=0.5) as delivery:
            await delivery.put(event("ann"))
            for asked, wait in enumerate([0.25, 0.5, 1.0], 1):
                await answered(delivery, 503, asked)
                clock.now += wait - 0.01
                delivery.look_at_the_clock()
                await delivery.has_nothing_to_do(url)
                assert len(fake.asked) == asked
                clock.now += 0.01
                delivery.look_at_the_clock()
            await delivery.drained()
        assert [when for when, _ in fake.asked] == [1000.0, 1000.25, 1000.75, 1001.75]

    @pytest.mark.parametrize(
        ("status", "header"), [(429, "30"), (503, "30"), (503, formatdate(NOW + 30, usegmt=True))]
    )
    async def test_gets_nothing_at_all_before_its_retry_after(  # noqa: PLR0917 (fixtures)
        self, path: Path, url: str, fake: Script, clock: Clock, status: int, header: str
    ) -> None:
        answers = [Response(status, b"", {"Retry-After": header})]
        fake.script = lambda _: answers.pop() if answers else None
        async with delivering(path, url, clock=clock) as delivery:
            await delivery.put(event("ann"))
            await until(lambda: delivery.counters.retried == 1)
            await delivery.put(event("bob"))
            await delivery.has_nothing_to_do(url)
            clock.now += 29.9
            delivery.look_at_the_clock()
            await delivery.has_nothing_to_do(url)
            assert len(fake.asked) == 1
            clock.now += 0.1
            delivery.look_at_the_clock()
            await delivery.drained()
        assert [when for when, _ in fake.asked] == [1000.0, 1030.0]

    async def test_cannot_hold_delivery_for_longer_than_an_hour(
        self, path: Path, url: str, fake: Script, clock: Clock
    ) -> None:
        answers = [Response(503, b"", {"Retry-After": "99999999"})]
        fake.script = lambda _: answers.pop() if answers else None
        async with delivering(path, url, clock=clock) as delivery:
            await delivery.put(event("ann"))
            await until(lambda: delivery.counters.retried == 1)
            clock.now += 3600
            delivery.look_at_the_clock()
            await delivery.drained()

    async def test_with_one_person_gets_the_others_events(
        self, path: Path, url: str, fake: Script, clock: Clock
    ) -> None:
        fake.script = lambda request: Response(500) if b"/ann/" in request.path.encode() else None
        entries = [event("ann", number=1), event("ann", number=2), event("bob", number=3)]
        async with delivering(
            path, url, v1=True, clock=clock, random=0.5, before=entries
        ) as delivery:
            await until(lambda: delivery.counters.delivered == 1)
            await delivery.put(event("ann", number=4), event("bob", number=5))
            await until(lambda: delivery.counters.delivered == 2)
            await delivery.has_nothing_to_do(url)
            assert fake.numbers() == {"bob": [3, 5]}
            assert fake.paths.count("/api/v1/customers/ann/events") == 1
            fake.script = lambda _: None
            clock.now += 60
            delivery.look_at_the_clock()
            await delivery.drained()
        assert fake.numbers() == {"bob": [3, 5], "ann": [1, 2, 4]}

    async def test_whose_retry_after_is_rubbish_is_asked_again_all_the_same(
        self, path: Path, url: str, fake: Script
    ) -> None:
        headers = ["soon", "-1", "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"]
        fake.script = lambda _: (
            Response(503, b"", {"Retry-After": headers.pop()}) if headers else None
        )
        async with delivering(path, url, before=[event("ann")]) as delivery:
            await delivery.drained()
        assert len(fake.asked) == 4


class TestRejectedCredentials:
    async def test_put_delivery_on_hold_and_keep_everything_until_they_are_mended(
        self, path: Path, url: str, fake: Script, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        fake.set_credentials(SITE_ID, "another")
        backlog = [event(f"p{n % 10}", number=n) for n in range(100)]
        async with delivering(path, url, clock=clock, random=0.5, before=backlog) as delivery:
            await until(lambda: delivery.dispatcher.hold)
            await delivery.put(*(event("late", number=n) for n in range(3)))
            await delivery.has_nothing_to_do(url)
            assert sizes(fake.bodies) == [100]
            assert delivery.queue.waiting == 103
            hold = delivery.dispatcher.hold
            assert hold is not None
            assert hold.reason is HoldReason.CREDENTIALS
            assert "HTTP 401" in hold.why
            assert "CIO_API_KEY" in hold.why
            assert "delivery is ON HOLD (credentials)" in caplog.text

            # From time to time a single event asks whether it is over.
            for probes in (1, 2, 3):
                clock.now += 61
                delivery.look_at_the_clock()
                await answered(delivery, 401, 1 + probes)
                await delivery.has_nothing_to_do(url)
                assert sizes(fake.bodies) == [100] + [1] * probes
            assert delivery.dispatcher.hold

            fake.set_credentials(SITE_ID, API_KEY)
            clock.now += 61
            delivery.look_at_the_clock()
            await delivery.drained()
            assert delivery.dispatcher.hold is None
        expected = {f"p{n}": list(range(n, 100, 10)) for n in range(10)} | {"late": [0, 1, 2]}
        assert fake.numbers() == expected
        assert dead_letters(path) == []

    async def test_of_403_put_it_on_hold_as_well(
        self, path: Path, url: str, fake: Script, clock: Clock
    ) -> None:
        fake.fail_next(403)
        async with delivering(path, url, clock=clock, before=[event("ann")]) as delivery:
            await until(lambda: delivery.dispatcher.hold)
            await delivery.has_nothing_to_do(url)
            assert delivery.queue.waiting == 1
        assert len(fake.asked) == 1

    async def test_found_at_the_start_hold_back_the_first_event(
        self, path: Path, url: str, fake: Script, clock: Clock
    ) -> None:
        async with delivering(path, url, clock=clock) as delivery:
            delivery.dispatcher.hold_back(HoldReason.CREDENTIALS, "they are wrong")
            await delivery.put(event("ann"), event("bob"))
            await delivery.has_nothing_to_do(url)
            assert fake.asked == []
            clock.now += 1
            delivery.look_at_the_clock()
            await delivery.drained()
            assert delivery.dispatcher.hold is None
        assert sizes(fake.bodies) == [1, 1]

    async def test_leave_a_server_in_peace_that_is_in_trouble_besides(
        self, path: Path, url: str, fake: Script, clock: Clock
    ) -> None:
        fake.fail_next(401)
        backlog = [event(f"p{n}") for n in range(20)]
        async with delivering(path, url, clock=clock, before=backlog) as delivery:
            await until(lambda: delivery.dispatcher.hold)
            fake.fail_next(503)
            clock.now += 61
            delivery.look_at_the_clock()
            await until(lambda: 503 in delivery.counters.answers)
            await delivery.has_nothing_to_do(url)
            assert sizes(fake.bodies) == [20, 1]
            assert delivery.dispatcher.hold
            fake.heal()
            clock.now += 61
            delivery.look_at_the_clock()
            await delivery.drained()


Ending = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def one_answer_a_connection(
    end: Ending, *, early: bool
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers the first request on a connection, and ends it then.

    ``early``: at once; otherwise it waits for a second request, and gives it no answer.
    """
    bodies: list[bytes] = []
    handlers: set[asyncio.Task[Any]] = set()

    async def read(reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        return await reader.readexactly(length)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            bodies.append(await read(reader))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()
            if not early:
                await read(reader)
            await end(writer)
        except asyncio.IncompleteReadError:
            writer.close()
        finally:
            handlers.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", bodies
    finally:
        server.close()
        await server.wait_closed()
        await until(lambda: not handlers, "the connections to end")


async def by_fin(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def by_reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class TestAConnection:
    async def test_that_is_rejected_is_tried_until_the_server_is_there(
        self, path: Path, fake: Script
    ) -> None:
        port = free_port()
        backlog = [event(f"p{n % 3}", number=n) for n in range(9)]
        async with delivering(path, f"http://127.0.0.1:{port}", before=backlog) as delivery:
            await until(lambda: delivery.counters.answers.get(0, 0) >= 3)
            running = await host_aiohttp.start(fake, port=port)
            try:
                await delivery.drained()
                assert delivery.counters.delivered == 9
            finally:
                await running.stop()
        assert fake.numbers() == {"p0": [0, 3, 6], "p1": [1, 4, 7], "p2": [2, 5, 8]}

    @pytest.mark.parametrize("end", [by_fin, by_reset])
    @pytest.mark.parametrize("early", [True, False], ids=["early", "late"])
    async def test_that_was_closed_while_idle_costs_no_wait(
        self, path: Path, clock: Clock, end: Ending, early: bool
    ) -> None:
        async with (
            one_answer_a_connection(end, early=early) as (url, bodies),
            delivering(path, url, clock=clock, random=0.999) as delivery,
        ):
            for number in range(4):
                await delivery.put(event("ann", number=number))
                await delivery.drained()
            assert delivery.counters.retried == 0
            assert delivery.counters.answers == {200: 4}
            assert sizes(bodies) == [1] * 4

    async def test_that_breaks_every_time_is_not_tried_without_a_pause(
        self, path: Path, clock: Clock
    ) -> None:
        broken = 0

        async def handle(request: web.Request) -> web.Response:
            nonlocal broken
            if request.path.startswith("/_fake/"):
                return web.json_response({})
            broken += 1
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        async with (
            serving(handle) as url,
            delivering(path, url, clock=clock, random=0.999) as delivery,
        ):
            await delivery.put(event("ann"))
            await until(lambda: delivery.counters.answers == {0: 1})
            await delivery.has_nothing_to_do(url)
            assert broken == 2
            assert delivery.queue.waiting == 1

    async def test_that_gives_no_answer_in_time_is_given_up_and_the_event_tried_again(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        never = asyncio.Event()
        asked = 0

        async def handle(request: web.Request) -> web.Response:
            nonlocal asked
            await request.read()
            asked += 1
            if asked == 1:
                await never.wait()
            return web.json_response({})

        async with (
            serving(handle) as url,
            delivering(path, url, timeout_seconds=0.2) as delivery,
        ):
            await delivery.put(event("ann"))
            await delivery.drained()
            assert delivery.counters.answers == {0: 1, 200: 1}
            never.set()
        assert "no answer within the timeout" in caplog.text

    async def test_whose_answer_stops_midway_is_no_answer(self, path: Path) -> None:
        asked = 0

        async def handle(request: web.Request) -> web.StreamResponse:
            nonlocal asked
            await request.read()
            asked += 1
            if asked > 1:
                return web.json_response({})
            response = web.StreamResponse(headers={"Content-Length": "100"})
            await response.prepare(request)
            await response.write(b"{")
            assert request.transport is not None
            request.transport.abort()
            return response

        async with serving(handle) as url, delivering(path, url) as delivery:
            await delivery.put(event("ann"))
            await delivery.drained()
            assert delivery.counters.answers == {0: 1, 200: 1}


class TestTheOrderOfAPerson:
    @pytest.mark.parametrize("v1", [False, True], ids=["auto", "v1"])
    @pytest.mark.parametrize("seed", range(3))
    async def test_is_kept_whatever_the_server_answers(
        self, path: Path, url: str, fake: Script, v1: bool, seed: int
    ) -> None:
        chance = random.Random(seed)
        poisoned = rejects(b"poison")

        def chaos(request: Request) -> Response | None:
            roll = chance.random()
            if roll < 0.1:
                return Response(503)
            if roll < 0.15:
                return Response(429, b"", {"Retry-After": "0"})
            if roll < 0.2:
                return Response(207, b"not a list of errors")
            if answer := poisoned(request):
                return answer
            if roll < 0.35:
                fake.really(request)  # done, but the answer is lost on the way
                return Response(504)
            return None

        fake.script = chaos
        people = [f"p{n}" for n in range(20)]
        sent: dict[str, list[int]] = defaultdict(list)
        bad = []
        async with delivering(path, url, v1=v1, concurrency=4) as delivery:
            for number in range(300):
                person = chance.choice(people)
                if chance.random() < 0.03:
                    bad.append(event(person, poison=number))
                    await delivery.put(bad[-1])
                    continue
                sent[person].append(number)
                await delivery.put(
                    event(person, number=number), identify(person, last_number=number)
                )
            await delivery.drained()
        assert fake.numbers() == sent
        assert {
            person["identifiers"]["id"]: person["attributes"]["last_number"]
            for person in fake.people
        } == {person: numbers[-1] for person, numbers in sent.items()}
        assert {letter["message_id"] for letter in dead_letters(path)} == {
            each.message_id for each in bad
        }
        assert delivery.counters.retried > 0

    async def test_is_safe_because_no_two_requests_of_one_are_in_flight(self, path: Path) -> None:
        backlog = [event(f"p{n % 10}", number=n) for n in range(100)]
        async with (
            held() as server,
            delivering(path, server.url, v1=True, before=backlog) as delivery,
        ):
            await until(lambda: len(server.held) == 8)
            assert len(set(server.held)) == 8
            server.release()
            await delivery.drained()
            assert server.clashes == []
            assert len(server.paths) == 100


class TestV1:
    async def test_sends_one_request_an_operation(self, path: Path, url: str, fake: Script) -> None:
        entries = [identify("a/b", plan="pro"), event("a/b", number=1), event("bob", number=2)]
        async with delivering(path, url, v1=True, concurrency=1, before=entries) as delivery:
            await delivery.drained()
        assert sorted(fake.paths) == [
            "/api/v1/customers/a%2Fb",
            "/api/v1/customers/a%2Fb/events",
            "/api/v1/customers/bob/events",
        ]
        assert fake.numbers() == {"a/b": [1], "bob": [2]}
        assert fake.people[0]["attributes"] == {"plan": "pro"}

    async def test_buries_what_is_rejected_with_request_answer_and_reason(
        self, path: Path, url: str, fake: Script
    ) -> None:
        body = b'{"meta":{"errors":["name is reserved"]}}'
        fake.script = lambda request: Response(400, body) if b"poison" in request.body else None
        entries = [event("ann", "a", poison=1), event("ann", "b", number=2)]
        async with delivering(path, url, v1=True, before=entries) as delivery:
            await delivery.drained()
        assert fake.numbers() == {"ann": [2]}
        (letter,) = dead_letters(path)
        assert orjson.loads(letter.pop("request"))["data"] == {"poison": 1}
        assert letter == {
            "message_id": "a",
            "lane": "p:ann",
            "reason": "HTTP 400: name is reserved",
            "status": 400,
            "attempts": 1,
            "method": "POST",
            "path": "/api/v1/customers/ann/events",
            "response": body,
        }

    @pytest.mark.parametrize("size", [33_000, 99_900])
    async def test_carries_what_is_too_large_for_v2_in_its_place(
        self, path: Path, url: str, fake: Script, size: int
    ) -> None:
        entries = [
            event("ann", number=1),
            event("ann", number=2, size=size),
            event("ann", number=3),
            event("bob", number=4),
        ]
        async with delivering(path, url, before=entries) as delivery:
            await delivery.drained()
        assert fake.numbers() == {"ann": [1, 2, 3], "bob": [4]}
        large = [request for _, request in fake.asked if len(request.body) > 32_768]
        assert [request.path for request in large] == ["/api/v1/customers/ann/events"]
        assert fake.paths.count("/api/v2/batch") == 2
        assert dead_letters(path) == []


class TestStopping:
    async def test_lets_what_is_in_flight_end_and_leaves_the_rest(self, path: Path) -> None:
        backlog = [event(f"p{n}", f"e{n}") for n in range(10)]
        async with held() as server:
            async with delivering(
                path, server.url, v1=True, concurrency=3, before=backlog
            ) as delivery:
                await until(lambda: len(server.held) == 3)
                delivery.dispatcher.stop()
                await delivery.put(event("late", "late"))
                await delivery.has_nothing_to_do(server.url)
                assert not delivery.running.done()
                server.release()
                await until(delivery.running.done)
                assert delivery.counters.delivered == 3
            assert len(server.paths) == 3
        assert stored_ids(path) == [*(f"e{n}" for n in range(3, 10)), "late"]

    async def test_does_not_wait_for_a_backoff(
        self, path: Path, url: str, fake: Script, clock: Clock
    ) -> None:
        fake.fail_next(503)
        async with delivering(
            path, url, clock=clock, random=0.999, before=[event("ann", "a")]
        ) as delivery:
            await until(lambda: delivery.counters.retried == 1)
            delivery.dispatcher.stop()
            await until(delivery.running.done)
        assert stored_ids(path) == ["a"]

    async def test_in_a_hurry_gives_up_what_is_in_flight_and_keeps_it(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with held() as server, delivering(path, server.url) as delivery:
            await delivery.put(event("ann", "a"))
            await until(lambda: len(server.held) == 1)
            in_flight = set(delivery.dispatcher._shipping)
            delivery.running.cancel()
            await until(lambda: all(task.done() for task in {delivery.running, *in_flight}))
        assert stored_ids(path) == ["a"]
        assert caplog.text == ""

    async def test_before_it_began_sends_nothing(self, path: Path, url: str, fake: Script) -> None:
        async with delivering(path, url, before=[event("ann", "a")]) as delivery:
            delivery.dispatcher.stop()
            await until(delivery.running.done)
        assert fake.asked == []
        assert stored_ids(path) == ["a"]


class Breaks:
    """A sender with a bug: for one person it fails in a way that nobody foresaw."""

    def __init__(self, person: bytes) -> None:
        self.person = person
        self.sent: list[str] = []

    async def send(self, request: Asked) -> Answer:
        if self.person in request.path.encode():
            raise LookupError(f"{request.path} {request.body!r}")
        self.sent.append(request.path)
        return Answer(200, b"{}")

    async def region(self) -> Answer:
        return Answer(200, b"{}")


class TestTheUnforeseen:
    async def test_in_a_shipment_does_not_end_delivery(
        self, path: Path, url: str, fake: Script, caplog: pytest.LogCaptureFixture
    ) -> None:
        breaks = Breaks(b"ann")
        entries = [event("ann", "a"), event("bob", "b")]
        async with delivering(path, NOBODY, v1=True, sender=breaks, before=entries) as delivery:
            await until(lambda: delivery.counters.delivered == 1)
            for number in range(20):
                await delivery.put(event(f"p{number}"))
            await until(lambda: delivery.counters.delivered == 21)
            assert not delivery.running.done()
        assert "LookupError" in caplog.text
        assert "customers" not in caplog.text
        assert stored_ids(path) == ["a"]
        async with delivering(path, url) as delivery:
            await delivery.drained()
        assert fake.event_ids == ["a"]

    async def test_in_a_shipment_is_tried_again(
        self, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        breaks = Breaks(b"ann")
        entries = [event("ann", "a"), event("bob", "b")]
        async with delivering(
            path, NOBODY, v1=True, sender=breaks, before=entries, clock=clock
        ) as delivery:
            await until(lambda: "LookupError" in caplog.text)
            await until(lambda: delivery.counters.delivered == 1)
            breaks.person = b"nobody"
            clock.now += 61
            delivery.look_at_the_clock()
            await delivery.drained()
        assert stored_ids(path) == []

    async def test_trouble_with_the_queue_sends_nothing_twice(
        self, path: Path, url: str, fake: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dispatcher_module, "_QUEUE_AGAIN_SECONDS", 0.001)
        fake.script = rejects(b"poison")
        async with delivering(path, url) as delivery:
            settle = delivery.queue.settle
            failures = 5

            async def full(delivered: list[int], dead_lettered: list[FinalFailure]) -> None:
                nonlocal failures
                if failures:
                    failures -= 1
                    raise QueueError("the disk is full")
                await settle(delivered, dead_lettered)

            monkeypatch.setattr(delivery.queue, "settle", full)
            await delivery.put(event("ann", "a"))
            await delivery.drained()
            await delivery.put(event("bob", "b", poison=1))
            await delivery.drained()
        assert failures == 0
        assert sizes(fake.bodies) == [1, 1]
        assert fake.event_ids == ["a"]
        assert [letter["message_id"] for letter in dead_letters(path)] == ["b"]

    async def test_trouble_with_the_queue_does_not_keep_it_from_stopping(
        self, path: Path, url: str, fake: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failed = asyncio.Event()

        async def full(*_: object) -> None:
            failed.set()
            raise QueueError("the disk is full")

        async with delivering(path, url) as delivery:
            monkeypatch.setattr(delivery.queue, "settle", full)
            await delivery.put(event("ann", "a"))
            await failed.wait()
            delivery.dispatcher.stop()
            await until(delivery.running.done)
        assert fake.event_ids == ["a"]
        assert stored_ids(path) == ["a"]


class TestTheLog:
    async def test_holds_nothing_of_a_person_and_no_credentials(
        self, path: Path, url: str, fake: Script, caplog: pytest.LogCaptureFixture, clock: Clock
    ) -> None:
        caplog.set_level(logging.DEBUG)
        told = (
            b'{"errors":[{"field":"ann@example.com","message":"secret-user of Order Completed"}]}'
        )
        statuses = [503, 429, 500, 400, 400, 302, 422]
        fake.script = lambda _: Response(statuses.pop(), told) if statuses else None

        async def work(delivery: Delivery) -> None:
            for person in ("ann@example.com", "secret-user", "cio_5ec2e7"):
                await delivery.put(
                    event(person, "secret-message", colour="secret-data"),
                    identify(person, email="ann@example.com"),
                    malformed("secret-user", "secret-message-2"),
                )

        async with delivering(path, url) as delivery:
            await work(delivery)
            await delivery.drained()
        fake.script = lambda _: None
        fake.set_credentials("other", "other")
        async with delivering(path, url, clock=clock) as delivery:
            await work(delivery)
            await until(lambda: delivery.dispatcher.hold)
        async with delivering(path, f"http://127.0.0.1:{free_port()}") as delivery:
            await work(delivery)
            await until(lambda: delivery.counters.answers.get(0, 0) > 2)
        async with delivering(path, NOBODY, v1=True, sender=Breaks(b"/")) as delivery:
            await until(lambda: "unforeseen" in caplog.text)

        text = "\n".join(
            f"{record.getMessage()} {record.exc_text} {record.exc_info} {record.stack_info}"
            for record in caplog.records
        )
        for word in (
            "ON HOLD",
            "rejected by Customer.io",
            "credentials",
            "resumed",
            "can't be reached",
        ):
            assert word in text
        token = b64encode(f"{SITE_ID}:{API_KEY}".encode()).decode()
        for secret in (SITE_ID, API_KEY, token, "ann", "example.com", "secret", "5ec2e7", "Order"):
            assert secret not in text, secret
