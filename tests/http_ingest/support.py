"""A caller of HTTP ingest, beside one of gRPC."""

import asyncio
import base64
import gzip
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import orjson
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings

from tests.rpc.harness import Caller, calling


class Answer(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]


class HttpCaller:
    """Posts to a sidecar's HTTP ingest; ``grpc`` calls the same sidecar and sees the fake."""

    def __init__(self, grpc: Caller, session: aiohttp.ClientSession) -> None:
        self.grpc = grpc
        self._session = session
        assert grpc.sidecar.http_ingest
        self.counters = grpc.sidecar.http_ingest.counters
        self.url = f"http://{grpc.sidecar.http_ingest_address}"

    async def request(
        self, method: str, path: str, data: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Any request. Whatever is answered is JSON."""
        async with self._session.request(
            method, self.url + path, data=data, headers=headers
        ) as response:
            assert response.content_type == "application/json"
            body = orjson.loads(await response.read())
            if response.status != 200:
                # The SDK of RudderStack for Python fails on an answer without these.
                assert body["success"] is False
                assert body["code"]
                assert body["message"]
            return Answer(response.status, body, dict(response.headers))

    async def post(self, call: str, body: Any, **headers: str) -> Answer:
        """A call; bytes are sent as they are. ``Content_Encoding=…`` is a header."""
        # As a file: of large bytes aiohttp complains.
        data = io.BytesIO(body if isinstance(body, bytes) else orjson.dumps(body))
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.request("POST", f"/v1/{call}", data, named)

    async def batch(self, *events: Any, **more: Any) -> Answer:
        return await self.post("batch", {"batch": events, **more})


def basic(write_key: str) -> str:
    """The header's value by which SDKs show their write key."""
    return "Basic " + base64.b64encode(f"{write_key}:".encode()).decode()


def zipped(body: Any) -> bytes:
    return gzip.compress(body if isinstance(body, bytes) else orjson.dumps(body))


@asynccontextmanager
async def http_api_of(settings: Settings, fake: FakeCustomerIO) -> AsyncIterator[HttpCaller]:
    async with calling(settings, fake) as grpc, aiohttp.ClientSession() as session:
        yield HttpCaller(grpc, session)


@asynccontextmanager
async def connected(
    url: str,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection for bytes that no HTTP client would send; it lasts 30 seconds at most."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(30):
            yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    """One answer: its status and its JSON."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert "Content-Type: application/json" in head
    (length,) = [line for line in head.splitlines() if line.startswith("Content-Length: ")]
    body = orjson.loads(await reader.readexactly(int(length.split()[1])))
    return int(head.split()[1]), body


async def exchange(url: str, data: bytes) -> tuple[int, Any]:
    """Send bytes on a connection of their own, and read one answer."""
    async with connected(url) as (reader, writer):
        writer.write(data)
        return await answer(reader)


async def repeated(url: str, data: bytes, status: int) -> None:
    """Send a request again and again until it is answered with a status."""
    async with asyncio.timeout(30):
        while (await exchange(url, data))[0] != status:  # noqa: ASYNC110 (another request ends it)
            await asyncio.sleep(0.005)
