"""The sidecar as a process that is killed and stopped: what it acknowledged is delivered.

Real processes, real gRPC over a Unix socket, a real queue file; the fake Customer.io runs here.
"""

from __future__ import annotations

import asyncio
import random
import signal
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from cio.sidecar.v1 import event_pb2, ingest_pb2
from cio_fake import Received

from tests.delivery.process import Caller, Sidecar, sidecar, track
from tests.delivery.support import (
    DEADLINE_SECONDS,
    Held,
    Script,
    held,
    rows,
    stored_ids,
    until,
)

EVENTS = 10_000
PEOPLE = 400
CALLERS = 4
BATCH = 100


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short: a Unix socket's path has little room."""
    with tempfile.TemporaryDirectory(prefix="cio-") as name:
        yield Path(name)


@pytest.fixture
def fake() -> Script:
    return Script()


class Workload:
    """Events of many people, and callers who send them."""

    def __init__(self) -> None:
        chance = random.Random(1)
        self.shares: list[list[event_pb2.Event]] = [[] for _ in range(CALLERS)]
        self.numbers: dict[str, list[int]] = defaultdict(list)
        """Each person's events in the order of sending."""
        self.acknowledged: set[str] = set()
        self.go_on = asyncio.Event()
        """The callers wait for this when three fifths are sent."""
        for number in range(EVENTS):
            person = chance.randrange(PEOPLE)
            # One caller for a person, or there would be no order to keep.
            self.shares[person % CALLERS].append(track(f"p{person}", number))
            self.numbers[f"p{person}"].append(number)

    @property
    def ids(self) -> set[str]:
        return {each.message_id for share in self.shares for each in share}

    async def send(self, caller: Caller) -> None:
        async with asyncio.TaskGroup() as group:
            for share in self.shares:
                group.create_task(self._send(caller, share))

    async def _send(self, caller: Caller, share: list[event_pb2.Event]) -> None:
        for start in range(0, len(share), BATCH):
            if start > len(share) * 0.6:
                await self.go_on.wait()
            batch = share[start : start + BATCH]
            await caller.send(batch)
            self.acknowledged.update(each.message_id for each in batch)


async def killed_when(
    condition: Callable[[], bool], running: Sidecar, fake: Script, exits: list[int]
) -> None:
    """Kill it in the middle of a delivery, before it hears the answer; then start it again."""
    killed = asyncio.Event()

    def look(_: Received) -> None:
        if not killed.is_set() and condition():
            running.kill()
            killed.set()

    fake.on_received = look
    async with asyncio.timeout(DEADLINE_SECONDS):
        await killed.wait()
    exits.append(await running.ended())
    await running.start()


async def test_a_sidecar_that_is_killed_loses_nothing_it_acknowledged(
    folder: Path, url: str, fake: Script
) -> None:
    load = Workload()
    exits: list[int] = []
    fake.fail_next(503)
    async with sidecar(folder, url) as running, Caller(running.target) as caller:
        sending = asyncio.create_task(load.send(caller))

        # While Customer.io is in trouble, and events come in.
        await until(lambda: len(load.acknowledged) >= EVENTS * 0.3)
        assert not sending.done()
        await killed_when(lambda: True, running, fake, exits)
        # A caller that did not hear an ack sends again, and is told so by the next process, too.
        await caller.send(load.shares[0][:BATCH])
        assert caller.statuses[ingest_pb2.EVENT_STATUS_DUPLICATE] >= BATCH
        await until(lambda: len(load.acknowledged) >= EVENTS * 0.55)
        assert fake.stats["by_status"].keys() == {"503"}

        # While events come in and go out.
        fake.heal()
        await until(lambda: fake.events)
        load.go_on.set()
        await killed_when(lambda: len(load.acknowledged) >= EVENTS * 0.65, running, fake, exits)
        assert not sending.done()

        # While a backlog goes out.
        await killed_when(lambda: fake.stats["events"] >= EVENTS * 0.75, running, fake, exits)

        await sending
        await until(lambda: fake.stats["events"] == EVENTS, "all events to arrive")
        await running.drained()
        running.terminate()
        exits.append(await running.ended())

    assert exits == [-signal.SIGKILL] * 3 + [0]
    assert load.acknowledged == load.ids
    assert sorted(fake.event_ids) == sorted(load.ids)
    assert fake.numbers() == load.numbers
    assert rows(running.queue, "SELECT count(*) FROM events") == [(0,)]
    assert rows(running.queue, "SELECT count(*) FROM dead_letters") == [(0,)]
    # It was no gentle test: calls failed, and what Customer.io had got was sent again.
    assert caller.failed_calls > 0
    assert fake.stats["ignored_repeats"] > 0
    accepted = {ingest_pb2.EVENT_STATUS_ACCEPTED, ingest_pb2.EVENT_STATUS_DUPLICATE}
    assert set(caller.statuses) <= accepted
    log = running.log.read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log


class TestSIGTERM:
    @pytest.fixture
    async def server(self) -> AsyncIterator[Held]:
        async with held() as server:
            yield server

    async def test_lets_requests_in_flight_end_and_leaves_the_rest_for_the_next_start(
        self, folder: Path, server: Held
    ) -> None:
        events = [track(f"p{number}", number) for number in range(2_000)]
        async with (
            sidecar(
                folder, server.url, CIO_API="v1", CIO_CONCURRENCY="2", CIO_SHUTDOWN="leave"
            ) as running,
            Caller(running.target) as caller,
        ):
            await caller.send(events)
            await until(lambda: len(server.held) == 2)
            running.terminate()
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not (await caller.is_turned_away() and running.has_stopped_accepting()):
                    pass
            assert running.process is not None
            assert running.process.returncode is None
            server.release()
            assert await running.ended() == 0
            # Nothing is in both, nothing in neither: whatever was in flight came to its end.
            delivered = len(server.paths)
            left = stored_ids(running.queue)
            assert delivered >= 2
            assert left == [each.message_id for each in events[delivered:]]
            assert len(left) > len(events) / 2
            assert f"{len(left)} event(s) left in the queue" in running.log.read_text()

            await running.start()
            await until(lambda: len(server.paths) == len(events))
            await running.drained()
            running.terminate()
            assert await running.ended() == 0
        assert stored_ids(running.queue) == []
        assert sorted(server.paths) == sorted(
            f"/api/v1/customers/p{number}/events" for number in range(len(events))
        )
        assert "ERROR" not in running.log.read_text()

    async def test_sends_what_can_be_sent_within_the_grace_period(
        self, folder: Path, server: Held
    ) -> None:
        events = [track(f"p{number}", number) for number in range(200)]
        async with (
            sidecar(folder, server.url, CIO_API="v1", CIO_CONCURRENCY="2") as running,
            Caller(running.target) as caller,
        ):
            await caller.send(events)
            await until(lambda: len(server.held) == 2)
            running.terminate()
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not (await caller.is_turned_away() and running.has_stopped_accepting()):
                    pass
            server.release()
            assert await running.ended() == 0
        assert len(server.paths) == len(events)
        assert stored_ids(running.queue) == []
        assert "0 event(s) left in the queue" in running.log.read_text()

    async def test_does_not_wait_for_an_answer_beyond_the_grace_period(
        self, folder: Path, server: Held
    ) -> None:
        lone = track("ann", 1)
        async with (
            sidecar(folder, server.url, CIO_SHUTDOWN_GRACE_SECONDS="0.2") as running,
            Caller(running.target) as caller,
        ):
            await caller.send([lone])
            await until(lambda: len(server.held) == 1)
            running.terminate()
            assert await running.ended() == 0
            assert stored_ids(running.queue) == [lone.message_id]
            server.release()
            await running.start()
            await until(lambda: len(server.paths) == 2)
            await running.drained()
        log = running.log.read_text()
        assert "Traceback" not in log
        assert "ERROR" not in log

    async def test_does_not_wait_for_a_customer_io_that_is_in_trouble(
        self, folder: Path, url: str, fake: Script
    ) -> None:
        fake.fail_next(503, retry_after=3600)
        events = [track(f"p{number}", number) for number in range(5)]
        async with sidecar(folder, url) as running, Caller(running.target) as caller:
            await caller.send(events)
            await until(lambda: any(fake.bodies))
            running.terminate()
            assert await running.ended() == 0
            assert stored_ids(running.queue) == [each.message_id for each in events]
            fake.heal()
            await running.start()
            await until(lambda: len(fake.events) == 5)
            await running.drained()
            running.terminate()
            assert await running.ended() == 0
        assert stored_ids(running.queue) == []


async def test_a_second_sidecar_on_the_folder_does_not_start(folder: Path, url: str) -> None:
    async with sidecar(folder, url) as first, Caller(first.target) as caller:
        await caller.send([track("ann", 1)])
        async with sidecar(folder, url, CIO_LISTEN=f"unix:{folder}/other.sock") as second:
            assert await second.ended() == 2
            log = second.log.read_text()
        await caller.send([track("ann", 2)])
    assert "in use by another cio-sidecar" in log
