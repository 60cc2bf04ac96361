"""What the delivery tests share: entries, a clock moved by hand, waiting with a deadline."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from cio_fake import FakeCustomerIO, Request, Response
from cio_sidecar.customerio import encoders as cio
from cio_sidecar.customerio.encoders import Operation
from cio_sidecar.delivery.dispatcher import Counters, Dispatcher
from cio_sidecar.delivery.http_client import Sender
from cio_sidecar.delivery.shipper import Sends
from cio_sidecar.event_queue.limits import QueueLimits
from cio_sidecar.event_queue.model import Entry
from cio_sidecar.event_queue.operation_codec import pack
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue
from ulid import ULID

NOW = 1_700_000_000
DEADLINE_SECONDS = 20


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition; fails with ``what`` when it doesn't come true in good time."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():  # noqa: ASYNC110 (what is waited for tells nobody)
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"waited in vain: {what or condition}") from None


def new_id() -> str:
    return str(ULID())


def event(person: str, message_id: str | None = None, *, size: int = 0, **data: Any) -> Entry:
    """An event of a person as the intake would store it; ``size`` bytes of ballast."""
    message_id = message_id or new_id()
    fields = {
        "person": person,
        "name": "Order Completed",
        "id": message_id,
        "timestamp": NOW,
        "type": "event",
        "data": {**data, **({"ballast": "x" * size} if size else {})},
    }
    encoded = cio.event(fields)
    assert encoded.operations, encoded.problems
    return entry(message_id, encoded.operations[0])


def identify(person: str, **attributes: Any) -> Entry:
    encoded = cio.identify(person, attributes)
    assert encoded.operations, encoded.problems
    return entry(new_id(), encoded.operations[0])


def malformed(person: str, message_id: str | None = None) -> Entry:
    """An event that Customer.io rejects: it has no name."""
    message_id = message_id or new_id()
    item = b'{"type":"person","identifiers":{"id":"%s"},"action":"event","id":"%s"}' % (
        person.encode(),
        message_id.encode(),
    )
    return entry(message_id, Operation(f"p:{person}", item))


def entry(message_id: str, operation: Operation, *, remember: bool = True) -> Entry:
    canonical = b'{"type":"track","messageId":"%s"}' % message_id.encode()
    packed = pack([operation])
    return Entry(message_id, remember, operation.lane, canonical, packed, (operation,))


@contextmanager
def opened(
    path: Path,
    clock: Callable[[], float] | None = None,
    *,
    max_bytes: int = 1 << 30,
    window: int = 600,
    limits: QueueLimits | None = None,
) -> Iterator[SqliteQueue]:
    """A queue on a file, closed at the end. ``limits`` go before the others."""
    limits = limits or QueueLimits(
        max_bytes=max_bytes, dedup_window_seconds=window, min_free_bytes=0
    )
    with closing(SqliteQueue(path, limits=limits, clock=clock or Clock())) as queue:
        yield queue


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What a query finds in a queue file that nobody has open."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def rows_of_a_copy(path: Path, query: str, folder: Path) -> list[tuple[Any, ...]]:
    """What a query would find if the machine stopped now: from a copy of the file and its WAL."""
    folder.mkdir()
    copy = folder / path.name
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copy(source, copy.with_name(copy.name + suffix))
    return rows(copy, query)


def stored_ids(path: Path) -> list[str]:
    """The message ids of the events in a queue file that nobody has open, in their order."""
    return [row[0] for row in rows(path, "SELECT message_id FROM events ORDER BY seq")]


SITE_ID = "site-0f2c"
API_KEY = "key-51b7"


class Script(FakeCustomerIO):
    """The fake, whose answers a test may take over, one request at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(SITE_ID, API_KEY)
        self.clock = clock
        self.asked: list[tuple[float, Request]] = []
        """Every request in order, with the time of the clock when it came."""
        self.script: Callable[[Request], Response | None] = lambda _: None
        """Gives the answer to a request; where it gives None, the fake does."""

    def handle(self, request: Request, now: float) -> Response:
        self.asked.append((self.clock(), request))
        answer = self.script(request)
        return super().handle(request, now) if answer is None else answer

    def really(self, request: Request) -> Response:
        """What the fake itself says to a request, having done what it asks."""
        return super().handle(request, time.time())

    @property
    def bodies(self) -> list[bytes]:
        return [request.body for _, request in self.asked]

    @property
    def paths(self) -> list[str]:
        return [request.path for _, request in self.asked]

    @property
    def event_ids(self) -> list[str]:
        """The ids of the events that were taken, in order."""
        return [each["id"] for each in self.events]

    def numbers(self) -> dict[str, list[int]]:
        """What each person's events say of themselves as ``number``, in the order they came."""
        numbers: dict[str, list[int]] = {}
        for each in self.events:
            numbers.setdefault(each["person"]["id"], []).append(each["data"]["number"])
        return numbers


def sizes(bodies: Iterable[bytes]) -> list[int]:
    """How many operations there are in each body of a batch."""
    return [len(orjson.loads(body)["batch"]) for body in bodies]


@dataclass
class Delivery:
    """A dispatcher at work on a queue."""

    queue: SqliteQueue
    dispatcher: Dispatcher
    sender: Sends
    running: asyncio.Task[None]

    @property
    def counters(self) -> Counters:
        return self.dispatcher.counters

    async def put(self, *entries: Entry) -> None:
        await self.queue.put(entries)

    async def drained(self) -> None:
        """Wait until every event is settled."""
        await until(lambda: self.queue.waiting == 0, "the queue to be empty")

    def look_at_the_clock(self) -> None:
        """The dispatcher sleeps by a real clock; this wakes it when a test has moved its own."""
        self.queue.on_committed()

    async def has_nothing_to_do(self, url: str) -> None:
        """Give it every chance to do something: many trips through all that it goes through."""
        async with aiohttp.ClientSession() as session:
            for _ in range(10):
                await self.queue.stats()
                async with session.get(f"{url}/_fake/stats") as response:
                    await response.read()


@asynccontextmanager
async def delivering(
    path: Path,
    url: str,
    *,
    v1: bool = False,
    concurrency: int = 8,
    clock: Callable[[], float] = time.monotonic,
    random: float = 0.0,
    timeout_seconds: float = 20,
    max_age_seconds: int = 0,
    wall_clock: Callable[[], float] | None = None,
    sender: Sends | None = None,
    before: Sequence[Entry] = (),
) -> AsyncIterator[Delivery]:
    """Deliver from a queue on a file to a URL.

    With ``random`` 0 there is no backoff. ``before`` is in the queue before delivery starts.
    """
    async with AsyncExitStack() as stack:
        queue = stack.enter_context(opened(path))
        if before:
            await queue.put(before)
        if sender is None:
            sender = await stack.enter_async_context(
                Sender(
                    url,
                    SITE_ID,
                    API_KEY,
                    connections=concurrency,
                    timeout_seconds=timeout_seconds,
                    user_agent="cio-sidecar/test",
                )
            )
        dispatcher = Dispatcher(
            queue,
            sender,
            v1=v1,
            concurrency=concurrency,
            per_second=1000,
            max_age_seconds=max_age_seconds,
            clock=clock,
            wall_clock=wall_clock or Clock(),
            random=lambda: random,
        )
        running = asyncio.create_task(dispatcher.run())
        try:
            yield Delivery(queue, dispatcher, sender, running)
        finally:
            dispatcher.stop()
            _, pending = await asyncio.wait([running], timeout=DEADLINE_SECONDS)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        assert not pending, "the dispatcher did not stop"
        if not running.cancelled():
            running.result()


class Held:
    """A server that keeps every request waiting until it is told to answer."""

    def __init__(self) -> None:
        self.url = ""
        self.held: list[str] = []
        """Paths of the requests that wait."""
        self.paths: list[str] = []
        self.clashes: list[str] = []
        """Paths of requests that came while another of the same path waited."""
        self._go = asyncio.Event()

    def release(self) -> None:
        self._go.set()

    async def handle(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response({})
        await request.read()
        if request.path in self.held:
            self.clashes.append(request.path)
        self.paths.append(request.path)
        self.held.append(request.path)
        await self._go.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        self.held.remove(request.path)
        return web.json_response({})


@asynccontextmanager
async def held() -> AsyncIterator[Held]:
    server = Held()
    async with serving(server.handle) as server.url:
        yield server
        server.release()


@asynccontextmanager
async def serving(
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
