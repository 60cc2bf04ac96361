"""Health checking, reflection, and the addresses that a server listens on."""

import asyncio
import os
import re
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cio.sidecar.v1 import ingest_pb2
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import ConfigError, Settings
from cio_sidecar.app.sidecar import Sidecar
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.rpc.harness import ACCEPTED, INGEST, Caller, calling, rejection, track

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
    error = await rejection(health(caller.channel).Check(request))
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
    error = await rejection(caller.raw("/cio.sidecar.v1.IngestService/Nonsense", b""))
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


async def test_a_rejected_start_leaves_nothing_behind(
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


async def test_health_lists_every_service(caller: Caller) -> None:
    listed = await caller.raw("/grpc.health.v1.Health/List", b"")
    statuses = health_pb2.HealthListResponse.FromString(listed).statuses  # type: ignore[attr-defined]
    assert {name: each.status for name, each in statuses.items()} == dict.fromkeys(
        ("", *SERVICES), SERVING
    )


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_is_served_by_both_names(caller: Caller, version: str) -> None:
    service = f"grpc.reflection.{version}.ServerReflection"
    call: Any = caller.channel.stream_stream(f"/{service}/ServerReflectionInfo")
    request = reflection_pb2.ServerReflectionRequest
    asked = [
        request(list_services=""),
        request(file_containing_symbol="cio.sidecar.v1.IngestService"),
        request(file_containing_symbol=service),
    ]
    answers = [
        reflection_pb2.ServerReflectionResponse.FromString(answer)
        async for answer in call(iter([each.SerializeToString() for each in asked]))
    ]
    names = [each.name for each in answers[0].list_services_response.service]
    assert {*SERVICES, service} <= set(names)
    assert all(answer.file_descriptor_response.file_descriptor_proto for answer in answers[1:])


def test_every_option_in_use_is_known_to_grpc() -> None:
    """gRPC ignores an option that it does not know: each name must stand in its library."""
    library = next((Path(grpc.__file__).parent / "_cython").glob("cygrpc*.so")).read_bytes()
    root = Path(__file__).parent.parent.parent
    used = {
        name
        for folder in ("server/cio_sidecar", "conformance", "reliability", "bench", "tests")
        for path in (root / folder).rglob("*.py")
        for name in re.findall(r'"(grpc\.[a-z0-9_.]+_[a-z0-9_]+)"', path.read_text())
    }
    assert len(used) > 8
    assert [name for name in sorted(used) if name.encode() + b"\0" not in library] == []


@pytest.mark.parametrize("open_stream", [False, True], ids=["idle", "open stream"])
async def test_pings_every_second_do_not_end_a_connection(
    caller: Caller, open_stream: bool
) -> None:
    """Three pings too many would do: the fifth is answered."""
    reader, writer = await asyncio.open_unix_connection(
        caller.sidecar.address.removeprefix("unix:")
    )
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS))
    if open_stream:
        headers = (":method", "POST"), (":scheme", "http"), ("content-type", "application/grpc")
        path = (":path", f"{INGEST}/Stream"), (":authority", "localhost"), ("te", "trailers")
        block = b"".join(
            b"\x00" + b"".join(bytes([len(text)]) + text.encode() for text in header)
            for header in (*headers, *path)
        )
        writer.write(frame(HEADERS, block, flags=4, stream=1))
    kinds: list[int] = []

    async def read() -> None:
        while True:
            head = await reader.readexactly(9)
            await reader.readexactly(int.from_bytes(head[:3]))
            kinds.append(head[3] if head[4] & 1 or head[3] == GOAWAY else -1)

    reading = asyncio.create_task(read())
    for number in range(5):
        await asyncio.sleep(1.05)
        writer.write(frame(PING, bytes([number] * 8)))
        async with asyncio.timeout(10):
            while kinds.count(PING) <= number and GOAWAY not in kinds:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    reading.cancel()
    writer.close()
    assert GOAWAY not in kinds
    assert kinds.count(PING) == 5


HEADERS, SETTINGS, PING, GOAWAY = 1, 4, 6, 7


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """A frame of HTTP/2."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


async def test_metadata_over_the_limit_has_an_error_of_its_own(caller: Caller) -> None:
    event = ingest_pb2.SendRequest(event=track())
    for size in (8 * 1024, 15 * 1024):
        await caller.ingest.Send(event, metadata=[("trace", "x" * size)])
    error = await rejection(caller.ingest.Send(event, metadata=[("trace", "x" * 17 * 1024)]))
    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "metadata" in error.words


@pytest.mark.parametrize(("mode", "expected"), [("0600", 0o600), ("0660", 0o660)])
async def test_unix_socket_has_the_mode_and_group_that_are_set(
    make_settings: Callable[..., Settings], tmp_path: Path, mode: str, expected: int
) -> None:
    path = tmp_path / "grpc.sock"
    group = str(os.getgid())
    settings = make_settings(listen=f"unix:{path}", socket_mode=mode, socket_group=group)
    before = os.umask(0)
    try:
        async with Sidecar(settings):
            assert stat.S_IMODE(path.stat().st_mode) == expected
            assert path.stat().st_gid == os.getgid()
    finally:
        os.umask(before)
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "words"), [("x" * 120, "at most 107"), ("file", "not a socket: move it away")]
)
async def test_unix_socket_that_cannot_be_made_is_explained(
    make_settings: Callable[..., Settings], tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=f"CIO_LISTEN: .*{words}"):
        async with Sidecar(make_settings(listen=f"unix:{tmp_path}/{name}")):
            pass
