"""A caller of the HTTP door, beside one of gRPC."""

import base64
import gzip
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import orjson
from cio_conformance.fake import FakeCustomerIO
from cio_sidecar.app.config import Settings

from tests.rpc.harness import Caller, calling


class Answer(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]


class Door:
    """Posts to a sidecar's HTTP door; ``grpc`` calls the same sidecar and sees the fake."""

    def __init__(self, grpc: Caller, session: aiohttp.ClientSession) -> None:
        self.grpc = grpc
        self._session = session
        assert grpc.sidecar.door
        self.counters = grpc.sidecar.door.counters
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
async def door_of(settings: Settings, fake: FakeCustomerIO) -> AsyncIterator[Door]:
    async with calling(settings, fake) as grpc, aiohttp.ClientSession() as session:
        yield Door(grpc, session)
