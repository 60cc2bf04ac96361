"""The sidecar as a process whose disk fails or is full for a while: it says so, loses nothing, and
goes on by itself.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from cio.sidecar.v1 import event_pb2, ingest_pb2
from cio_fake import Response, host_aiohttp
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from reliability.shim import Shim
from tests.delivery.process import Caller, Sidecar, sidecar, track
from tests.delivery.support import DEADLINE_SECONDS, Script, stored_ids, until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short: a Unix socket's path has little room."""
    with tempfile.TemporaryDirectory(prefix="cio-") as name:
        yield Path(name)


@pytest.fixture
def disk(tmp_path: Path) -> Shim:
    if not (shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("there is no C compiler (cc), which the faults of the disk need")
    return Shim(tmp_path)


@pytest.fixture
def fake() -> Script:
    return Script()


@pytest.fixture
async def running(folder: Path, fake: Script, disk: Shim) -> AsyncIterator[Sidecar]:
    """A sidecar on that disk, which delivers to the fake."""
    server = await host_aiohttp.start(fake)
    async with sidecar(folder, server.url, **disk.environment) as started:
        yield started
    await server.stop()


async def ready(running: Sidecar) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{running.http}/readyz") as response,
    ):
        return response.status, await response.json()


async def health_becomes(running: Sidecar, expected: int) -> None:
    async with (
        grpc.aio.insecure_channel(running.target) as channel,
        asyncio.timeout(DEADLINE_SECONDS),
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        while (await watch.read()).status != expected:
            pass


async def turned_away(caller: Caller, event: event_pb2.Event) -> tuple[str, str]:
    """The reason and the words with which an event is rejected as UNAVAILABLE."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.stub.Send(ingest_pb2.SendRequest(event=event), timeout=DEADLINE_SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details), status
    return info.reason, status.message


@pytest.mark.parametrize("fault", ["fsync", "full"])
@pytest.mark.parametrize("delivers", [False, True], ids=["and_no_delivery", "and_delivery"])
async def test_a_disk_that_fails_is_told_and_all_is_well_when_it_works_again(
    fault: str, delivers: bool, running: Sidecar, fake: Script, disk: Shim
) -> None:
    """Delivery goes on meanwhile, or doesn't: both end with each event delivered once."""
    fake.script = lambda _: Response(503)
    before = [track("ann", number) for number in range(5)]
    given_up, again, after = (track("ann", number) for number in (5, 6, 7))
    async with Caller(running.target) as caller:
        await caller.send(before)
        await until(lambda: fake.asked, "delivery to be tried")
        assert (await ready(running))[0] == 200
        await health_becomes(running, SERVING)

        disk.set(disk=fault)
        for event in (given_up, again):
            reason, words = await turned_away(caller, event)
            assert reason == "QUEUE_UNAVAILABLE"
            assert "can't be written, the disk is full" in words
        await health_becomes(running, NOT_SERVING)
        status, body = await ready(running)
        assert status == 503
        assert body["ready"] is False
        failing = [check for check in body["checks"] if check["state"] == "failing"]
        assert "can't be written" in failing[0]["message"]
        if delivers:
            fake.script = lambda _: None
            await until(lambda: fake.event_ids == [each.message_id for each in before])
            assert await running.waiting() == len(before)

        disk.set()
        await health_becomes(running, SERVING)
        assert (await ready(running))[0] == 200
        await caller.send([again])
        await caller.send([after])
        # That of an event which was rejected is no repeat.
        assert dict(caller.statuses) == {ingest_pb2.EVENT_STATUS_ACCEPTED: len(before) + 2}
        fake.script = lambda _: None
        await running.drained()
        running.terminate()
        assert await running.ended() == 0
    assert fake.event_ids == [each.message_id for each in (*before, again, after)]
    assert stored_ids(running.queue) == []
    assert "Traceback" not in running.log.read_text()
