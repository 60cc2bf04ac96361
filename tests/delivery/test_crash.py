"""The sidecar as a process that is killed and stopped: what it acknowledged is delivered.

Real processes, real gRPC over a Unix socket, a real queue file; the fake Customer.io runs here.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import grpc
import orjson
import pytest
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from cio_conformance.fake import Received, host_aiohttp

from tests.delivery.support import (
    API_KEY,
    DEADLINE_SECONDS,
    SITE_ID,
    Held,
    Script,
    free_port,
    held,
    new_id,
    rows,
    stored_ids,
    until,
)

EVENTS = 10_000
PEOPLE = 400
CALLERS = 4
BATCH = 100
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""Before a command: its process ends with this one, should the tests themselves be killed."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short: a Unix socket's path has little room."""
    with tempfile.TemporaryDirectory(prefix="cio-") as name:
        yield Path(name)


@dataclass
class Sidecar:
    """``cio-sidecar serve`` as a process on a folder, started as often as one likes."""

    folder: Path
    url: str
    settings: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None

    def __post_init__(self) -> None:
        self.target = f"unix:{self.folder}/grpc.sock"
        self.http = f"127.0.0.1:{free_port()}"
        self.queue = self.folder / "data" / "queue.sqlite3"
        self.log = self.folder / "log"

    async def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "CIO_SITE_ID": SITE_ID,
            "CIO_API_KEY": API_KEY,
            "CIO_BASE_URL": self.url,
            "CIO_LISTEN": self.target,
            "CIO_HTTP_LISTEN": self.http,
            "CIO_DATA_DIR": str(self.folder / "data"),
            **self.settings,
        }
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(*DIES_WITH_US, sys.executable, "-m", "cio_sidecar", "serve"),
                env=environment,
                cwd=self.folder,
                stderr=log,
            )

    def kill(self) -> None:
        """SIGKILL: the process has no chance to do anything more."""
        assert self.process is not None
        assert self.process.returncode is None, self.log.read_text()
        self.process.kill()

    def terminate(self) -> None:
        assert self.process is not None
        assert self.process.returncode is None, self.log.read_text()
        self.process.terminate()

    async def ended(self) -> int:
        """Wait for its end; gives the exit code, negative for a signal."""
        assert self.process is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self.process.wait()

    async def waiting(self) -> int:
        """How many events wait in its queue, as its metrics have it."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{self.http}/metrics") as response,
        ):
            lines = (await response.text()).splitlines()
        (value,) = [line.split()[1] for line in lines if line.startswith("cio_queue_events ")]
        return int(float(value))

    async def is_silent(self) -> bool:
        """Whether it serves HTTP no more, which it ends right before it ends delivery."""
        try:
            # A connection made at the last moment may get no answer at all.
            async with asyncio.timeout(1):
                await self.waiting()
        except (aiohttp.ClientError, TimeoutError):
            return True
        return False

    async def drained(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await self.waiting():  # noqa: ASYNC110 (only its metrics tell)
                await asyncio.sleep(0.01)


@asynccontextmanager
async def sidecar(folder: Path, url: str, **settings: str) -> AsyncIterator[Sidecar]:
    """A sidecar that runs; whatever becomes of the test, no process of it is left behind."""
    running = Sidecar(folder, url, settings)
    await running.start()
    try:
        yield running
    finally:
        process = running.process
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()


class Caller:
    """A caller of the sidecar that sends each batch until it has a receipt for it."""

    def __init__(self, target: str) -> None:
        options = [
            ("grpc.initial_reconnect_backoff_ms", 20),
            ("grpc.min_reconnect_backoff_ms", 20),
            ("grpc.max_reconnect_backoff_ms", 100),
        ]
        self._channel = grpc.aio.insecure_channel(target, options=options)
        self.stub = ingest_pb2_grpc.IngestServiceStub(self._channel)
        self.statuses: Counter[int] = Counter()
        self.failed_calls = 0

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def send(self, events: Sequence[event_pb2.Event]) -> None:
        request = ingest_pb2.SendBatchRequest(events=events)
        async with asyncio.timeout(60):
            while True:
                try:
                    # Whether a call that fails was accepted, nobody knows: it is sent again.
                    response = await self.stub.SendBatch(request, wait_for_ready=True, timeout=10)
                except grpc.aio.AioRpcError as error:
                    if error.code() not in (
                        grpc.StatusCode.UNAVAILABLE,
                        grpc.StatusCode.DEADLINE_EXCEEDED,
                    ):
                        raise
                    self.failed_calls += 1
                else:
                    break
        assert [result.message_id for result in response.results] == [
            each.message_id for each in events
        ]
        self.statuses.update(result.status for result in response.results)

    async def is_turned_away(self) -> bool:
        """Whether the sidecar takes no call any more."""
        try:
            await self.stub.Send(ingest_pb2.SendRequest(), timeout=10)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNAVAILABLE
        raise AssertionError("an empty request was accepted")


def track(person: str, number: int) -> event_pb2.Event:
    properties = orjson.dumps({"number": number, "total": 99.5, "items": ["a", "b", "c"]})
    return event_pb2.Event(
        message_id=new_id(),
        timestamp="2026-03-02T09:30:00Z",
        user_id=person,
        track=event_pb2.Track(
            event="Order Completed", properties=event_pb2.Object(json=properties)
        ),
    )


@pytest.fixture
def fake() -> Script:
    return Script()


@pytest.fixture
async def url(fake: Script) -> AsyncIterator[str]:
    running = await host_aiohttp.start(fake)
    yield running.url
    await running.stop()


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
                while not (await caller.is_turned_away() and await running.is_silent()):
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
                while not (await caller.is_turned_away() and await running.is_silent()):
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
