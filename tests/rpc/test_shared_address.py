"""Several sidecars that listen on one address, among which the system spreads connections."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cio.sidecar.v1 import delivery_pb2, delivery_pb2_grpc, event_pb2, mapping_pb2, mapping_pb2_grpc
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import ConfigError, Settings
from cio_sidecar.app.sidecar import Sidecar
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.conformance.support import free_address
from tests.rpc.harness import ACCEPTED, Caller, rejection, track

Make = Callable[..., Settings]
CONNECTIONS = 40
"""So many that one of two sidecars has all of them once in 2**39 runs."""


@pytest.fixture
def make_sidecar(make_settings: Make, tmp_path: Path) -> Callable[..., Sidecar]:
    """A sidecar of a name, with a queue and an address of its own."""

    def make(name: str, shared: str, **changes: Any) -> Sidecar:
        own = {"listen": f"unix:{tmp_path}/{name}.sock", "data_dir": tmp_path / name}
        return Sidecar(make_settings(shared_listen=shared, **own, **changes))

    return make


@asynccontextmanager
async def callers(sidecar: Sidecar, fake: FakeCustomerIO) -> AsyncIterator[list[Caller]]:
    """Callers of the shared address, each with a connection of its own."""
    assert sidecar.shared_address is not None
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(CONNECTIONS):
            channel = grpc.aio.insecure_channel(
                sidecar.shared_address, options=[("grpc.use_local_subchannel_pool", 1)]
            )
            found.append(Caller(sidecar, await stack.enter_async_context(channel), fake))
        yield found


async def is_accepted(caller: Caller, event: event_pb2.Event) -> bool:
    """Send an event; False where its sidecar has gone."""
    try:
        result = await caller.send(event)
    except grpc.aio.AioRpcError as error:
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return False
        raise
    assert result.status == ACCEPTED
    return True


async def send_each(callers: list[Caller], prefix: str) -> set[str]:
    """Send an event by each, and again where its sidecar has gone; their ids."""

    async def send(number: int, caller: Caller) -> str:
        event = track(user_id=f"u{number}", message_id=f"{prefix}{number}")
        while not await is_accepted(caller, event):  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.01)
        return event.message_id

    async with asyncio.timeout(60):
        return set(await asyncio.gather(*(send(*each) for each in enumerate(callers))))


def ids_of(operations: list[dict[str, Any]]) -> set[str]:
    return {operation["body"]["id"] for operation in operations}


async def test_connections_are_spread_over_sidecars_and_every_event_is_delivered(
    make_sidecar: Callable[..., Sidecar], fake: FakeCustomerIO
) -> None:
    shared = free_address()
    async with make_sidecar("a", shared) as first, make_sidecar("b", shared) as second:
        assert first.shared_address == second.shared_address == shared
        async with callers(first, fake) as all_of_them:
            sent = await send_each(all_of_them, "m")
            assert ids_of(await all_of_them[0].delivered(CONNECTIONS)) == sent
            assert first.dispatcher.counters.delivered > 0
            assert second.dispatcher.counters.delivered > 0


async def test_callers_that_stay_connected_are_taken_over_while_one_stops(
    make_sidecar: Callable[..., Sidecar], fake: FakeCustomerIO
) -> None:
    shared = free_address()
    async with AsyncExitStack() as stack:
        staying = await stack.enter_async_context(make_sidecar("a", shared))
        leaving = make_sidecar("b", shared)
        await leaving.__aenter__()
        try:
            all_of_them = await stack.enter_async_context(callers(staying, fake))
            sent = await send_each(all_of_them, "before")
        finally:
            await leaving.__aexit__(None, None, None)
        assert leaving.dispatcher.counters.delivered > 0
        sent |= await send_each(all_of_them, "after")
        assert ids_of(await all_of_them[0].delivered(2 * CONNECTIONS)) == sent


async def test_the_shared_address_serves_all_but_what_is_of_a_single_sidecar(
    make_sidecar: Callable[..., Sidecar],
) -> None:
    async with make_sidecar("a", free_address()) as sidecar:
        assert sidecar.shared_address is not None
        async with grpc.aio.insecure_channel(sidecar.shared_address) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            tables = await mapping_pb2_grpc.MappingServiceStub(channel).ListTables(
                mapping_pb2.ListTablesRequest()
            )
            assert tables.tables
            stub = delivery_pb2_grpc.DeliveryServiceStub(channel)
            error = await rejection(stub.GetStats(delivery_pb2.GetStatsRequest()))
            assert error.code is grpc.StatusCode.UNIMPLEMENTED
        async with grpc.aio.insecure_channel(sidecar.address) as channel:
            stub = delivery_pb2_grpc.DeliveryServiceStub(channel)
            assert (await stub.GetStats(delivery_pb2.GetStatsRequest())).waiting_events == 0


async def test_an_address_that_another_program_has_can_not_be_shared(
    make_sidecar: Callable[..., Sidecar], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"CIO_SHARED_LISTEN: .*{address}.* in use"):
            async with make_sidecar("a", address):
                pass
    assert "stopped" not in caplog.text


async def test_an_address_of_a_single_sidecar_is_not_to_be_shared_by_another(
    make_sidecar: Callable[..., Sidecar], tmp_path: Path, make_settings: Make
) -> None:
    async with Sidecar(make_settings(listen="127.0.0.1:0")) as alone:
        with pytest.raises(ConfigError, match=r"CIO_SHARED_LISTEN: .* in use"):
            async with make_sidecar("b", alone.address):
                pass
    async with make_sidecar("a", free_address()) as sharing:
        other = make_settings(listen=sharing.shared_address, data_dir=tmp_path / "other")
        with pytest.raises(ConfigError, match=r"CIO_LISTEN: .* in use"):
            async with Sidecar(other):
                pass
