"""The sidecar as a process, and a caller that doesn't give up."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import grpc
import orjson
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc

from tests.delivery.support import API_KEY, DEADLINE_SECONDS, SITE_ID, free_port, new_id

DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""Before a command: its process ends with this one, should the tests themselves be killed."""


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
            "CIO_QUEUE_MIN_FREE_BYTES": "0",
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

    def has_stopped_accepting(self) -> bool:
        """Whether it takes no more calls, and only ends its delivery."""
        return "no longer accepting events" in self.log.read_text()

    async def drained(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await self._is_drained():  # noqa: ASYNC110 (only its metrics tell)
                await asyncio.sleep(0.01)

    async def _is_drained(self) -> bool:
        try:
            return await self.waiting() == 0
        except aiohttp.ClientConnectorError:
            # It delivers before it serves HTTP.
            return False


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
