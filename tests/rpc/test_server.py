"""Health checking, reflection, and the addresses that a server listens on."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cio_conformance.fake import FakeCustomerIO
from cio_sidecar.app.config import ConfigError, Settings
from cio_sidecar.app.sidecar import Sidecar
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.rpc.harness import ACCEPTED, Caller, calling, refusal, track

SERVICES = [
    f"cio.sidecar.v1.{name}" for name in ("IngestService", "MappingService", "DeliveryService")
]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def health(channel: grpc.aio.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


async def test_every_service_and_the_whole_report_serving(caller: Caller) -> None:
    for name in ("", *SERVICES):
        request = health_pb2.HealthCheckRequest(service=name)
        assert (await health(caller.channel).Check(request)).status == SERVING


async def test_an_unknown_service_has_no_health(caller: Caller) -> None:
    request = health_pb2.HealthCheckRequest(service="cio.sidecar.v1.Nonsense")
    error = await refusal(health(caller.channel).Check(request))
    assert error.code is grpc.StatusCode.NOT_FOUND


async def test_health_turns_to_not_serving_at_shutdown_while_calls_at_hand_go_on(
    make_settings: Callable[..., Settings],
) -> None:
    sidecar = Sidecar(make_settings(shutdown_grace_seconds=30))
    async with sidecar, grpc.aio.insecure_channel(sidecar.address) as channel:
        watches = {
            name: health(channel).Watch(health_pb2.HealthCheckRequest(service=name))
            for name in ("", *SERVICES)
        }
        for watch in watches.values():
            assert (await watch.read()).status == SERVING
        stopping = asyncio.create_task(sidecar.__aexit__(None, None, None))
        for watch in watches.values():
            assert (await watch.read()).status == NOT_SERVING
            watch.cancel()
        await stopping


async def test_a_call_of_an_unknown_method_is_unimplemented(caller: Caller) -> None:
    error = await refusal(caller.raw("/cio.sidecar.v1.IngestService/Nonsense", b""))
    assert error.code is grpc.StatusCode.UNIMPLEMENTED


async def test_reflection_lists_the_services(caller: Caller) -> None:
    channel: Any = caller.channel
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)

    async def requests() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    (response,) = [answer async for answer in stub.ServerReflectionInfo(requests())]
    names = {service.name for service in response.list_services_response.service}
    assert names >= {
        *SERVICES,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_reflection_describes_the_services_well_enough_to_call_them(caller: Caller) -> None:
    def describe() -> dict[str, str]:
        with grpc.insecure_channel(caller.sidecar.address) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            methods: dict[str, str] = {}
            for service in SERVICES:
                file = database.FindFileContainingSymbol(service)
                methods |= {
                    f"{found.name}.{method.name}": method.input_type
                    for found in file.service
                    for method in found.method
                }
                # Whatever a file imports is there too, from the server alone.
                for name in file.dependency:
                    assert database.FindFileByName(name).name == name
            return methods

    methods = await asyncio.to_thread(describe)
    assert methods["IngestService.Send"] == ".cio.sidecar.v1.SendRequest"
    assert methods["MappingService.Render"] == ".cio.sidecar.v1.RenderRequest"


async def test_a_port_of_zero_takes_a_free_one_and_tells_which(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    async with calling(make_settings(listen="127.0.0.1:0"), fake) as caller:
        host, _, port = caller.sidecar.address.rpartition(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        assert (await caller.send(track())).status == ACCEPTED


async def test_a_port_in_use_is_a_setting_that_can_not_be_used(
    make_settings: Callable[..., Settings],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"CIO_LISTEN: .*{address}.* in use"):
            async with Sidecar(make_settings(listen=address)):
                pass


async def test_two_sidecars_can_not_share_a_port(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    async with Sidecar(make_settings(listen="127.0.0.1:0")) as first:
        second = make_settings(listen=first.address, data_dir=tmp_path / "other")
        with pytest.raises(ConfigError, match="CIO_LISTEN"):
            async with Sidecar(second):
                pass


async def test_two_sidecars_can_not_share_a_unix_socket(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO, tmp_path: Path
) -> None:
    async with calling(make_settings(), fake) as caller:
        second = make_settings(data_dir=tmp_path / "other")
        with pytest.raises(ConfigError, match=r"CIO_LISTEN: .*grpc\.sock.* in use"):
            async with Sidecar(second):
                pass
        # The first one's callers still find it.
        async with grpc.aio.insecure_channel(caller.sidecar.address) as channel:
            assert (await Caller(caller.sidecar, channel, fake).send(track())).status == ACCEPTED


async def test_a_socket_left_behind_by_a_crash_is_no_hindrance(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    settings = make_settings()
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(settings.listen.removeprefix("unix:"))
    async with calling(settings, fake) as caller:
        assert (await caller.send(track())).status == ACCEPTED


async def test_a_refused_start_leaves_nothing_behind(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError):
            async with Sidecar(make_settings(listen=address)):
                pass
    # The data folder is free again, and so is the address.
    async with calling(make_settings(listen=address), fake) as caller:
        assert (await caller.send(track())).status == ACCEPTED
