"""The sidecar's way to Customer.io as a process: TLS with a certificate of one's own, a proxy."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme
from cio_fake import host_aiohttp

from tests.delivery.process import Caller, sidecar, track
from tests.delivery.support import Script, until

HOST = "track.test"
"""A name that no resolver knows: the proxy alone can reach it."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short: a Unix socket's path has little room."""
    with tempfile.TemporaryDirectory(prefix="cio-") as name:
        yield Path(name)


@pytest.fixture
def authority(folder: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(folder / "ca.pem"))
    return made


@pytest.fixture
def fake() -> Script:
    return Script()


@pytest.fixture
async def port(fake: Script, authority: trustme.CA) -> AsyncIterator[int]:
    """Where the fake is served over TLS, as localhost and as HOST."""
    running = await host_aiohttp.start(fake)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", HOST).configure_cert(context)
    plain_port = int(running.url.rpartition(":")[2])
    async with relaying(plain_port, context) as port:
        yield port
    await running.stop()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Make one connection of two, until either ends."""
    there = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))


@asynccontextmanager
async def relaying(to_port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """A TLS front end of a port; yields its own."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        await join(reader, writer, to_port)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()


class Proxy:
    """A proxy that tunnels to a port of this machine, whatever the name that it is asked for."""

    def __init__(self, to_port: int) -> None:
        self.to_port = to_port
        self.asked: list[str] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.decode().splitlines()[0])
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await join(reader, writer, self.to_port)


async def test_a_certificate_of_ones_own_is_trusted_by_ssl_cert_file(
    folder: Path, fake: Script, port: int
) -> None:
    async with (
        sidecar(
            folder, f"https://localhost:{port}", SSL_CERT_FILE=str(folder / "ca.pem")
        ) as running,
        Caller(running.target) as caller,
    ):
        event = track("ann", 1)
        await caller.send([event])
        await running.drained()
    assert fake.event_ids == [event.message_id]


async def test_a_certificate_that_is_not_trusted_loses_nothing(
    folder: Path, fake: Script, port: int
) -> None:
    async with (
        sidecar(folder, f"https://localhost:{port}") as running,
        Caller(running.target) as caller,
    ):
        await caller.send([track("ann", 1)])
        await until(lambda: "its TLS certificate is not trusted" in running.log.read_text())
        assert await running.waiting() == 1
    assert fake.event_ids == []


async def test_a_proxy_of_the_environment_is_the_way_out(
    folder: Path, fake: Script, port: int
) -> None:
    async with (
        Proxy(port) as proxy,
        sidecar(
            folder,
            f"https://{HOST}",
            SSL_CERT_FILE=str(folder / "ca.pem"),
            # Without a scheme, as curl takes it.
            HTTPS_PROXY=f"127.0.0.1:{proxy.port}",
        ) as running,
        Caller(running.target) as caller,
    ):
        events = [track("ann", number) for number in range(3)]
        await caller.send(events)
        await running.drained()
        assert set(proxy.asked) == {f"CONNECT {HOST}:443 HTTP/1.1"}
    assert fake.event_ids == [event.message_id for event in events]


async def test_a_proxy_that_is_not_there_is_named_without_its_credentials(
    folder: Path, fake: Script
) -> None:
    async with (
        sidecar(folder, f"https://{HOST}", HTTPS_PROXY="http://user:secret@127.0.0.1:1") as running,
        Caller(running.target) as caller,
    ):
        await caller.send([track("ann", 1)])
        said = "its proxy http://127.0.0.1:1 (HTTPS_PROXY, HTTP_PROXY) can't be reached"
        await until(lambda: said in running.log.read_text())
        assert await running.waiting() == 1
    assert "secret" not in running.log.read_text()
    assert fake.event_ids == []
