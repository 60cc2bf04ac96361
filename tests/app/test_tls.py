"""gRPC over TLS: certificates of one's own, callers that must show one, renewal."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import ConfigError, Settings
from cio_sidecar.app.sidecar import Sidecar

from tests.app.command import run
from tests.certificates import Files, serial
from tests.delivery.support import free_port

Make = Callable[..., Settings]
EVENT = b'{"type":"track","userId":"u1","event":"e"}\n'


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "tls")


async def send(channel: grpc.aio.Channel) -> int:
    event = event_pb2.Event(user_id="u1", track=event_pb2.Track(event="e"))
    stub = ingest_pb2_grpc.IngestServiceStub(channel)
    answer: Any = await stub.Send(ingest_pb2.SendRequest(event=event), timeout=20)
    status: int = answer.result.status
    return status


async def test_a_caller_that_trusts_the_authority_is_served(
    make_settings: Make, files: Files
) -> None:
    async with (
        Sidecar(make_settings(**files.settings, listen="127.0.0.1:0")) as sidecar,
        grpc.aio.secure_channel(sidecar.address, files.credentials()) as channel,
    ):
        assert await send(channel) == ingest_pb2.EVENT_STATUS_ACCEPTED


async def test_plain_text_is_not_served(make_settings: Make, files: Files) -> None:
    async with (
        Sidecar(make_settings(**files.settings, listen="127.0.0.1:0")) as sidecar,
        grpc.aio.insecure_channel(sidecar.address) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await send(channel)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_caller_must_show_a_certificate_where_it_is_asked_for_one(
    make_settings: Make, files: Files
) -> None:
    settings = make_settings(**files.settings, tls_client_ca_file=files.ca, listen="127.0.0.1:0")
    async with Sidecar(settings) as sidecar:
        async with grpc.aio.secure_channel(sidecar.address, files.credentials()) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await send(channel)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        credentials = files.credentials(shown=True)
        async with grpc.aio.secure_channel(sidecar.address, credentials) as channel:
            assert await send(channel) == ingest_pb2.EVENT_STATUS_ACCEPTED


async def test_a_renewed_certificate_is_taken_up_without_a_restart(
    make_settings: Make, files: Files
) -> None:
    async with Sidecar(make_settings(**files.settings, listen="127.0.0.1:0")) as sidecar:
        first = await asyncio.to_thread(serial, sidecar.address, files)
        assert await asyncio.to_thread(serial, sidecar.address, files) == first
        files.cert.write_bytes(b"half a certificate")
        os.utime(files.cert, ns=(1, 1))
        assert await asyncio.to_thread(serial, sidecar.address, files) == first
        files.issue(files.cert, files.key)
        assert await asyncio.to_thread(serial, sidecar.address, files) != first


async def test_a_shared_address_speaks_tls_too_and_takes_up_the_renewed_certificate(
    make_settings: Make, files: Files
) -> None:
    shared = f"127.0.0.1:{free_port()}"
    settings = make_settings(**files.settings, listen="127.0.0.1:0", shared_listen=shared)
    async with Sidecar(settings) as sidecar:
        async with grpc.aio.secure_channel(shared, files.credentials()) as channel:
            assert await send(channel) == ingest_pb2.EVENT_STATUS_ACCEPTED
        addresses = (sidecar.address, shared)
        first = [await asyncio.to_thread(serial, address, files) for address in addresses]
        files.issue(files.cert, files.key)
        renewed = [await asyncio.to_thread(serial, address, files) for address in addresses]
        assert first[0] == first[1]
        assert renewed[0] == renewed[1] != first[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tls_key_file": None}, "CIO_TLS_CERT_FILE and CIO_TLS_KEY_FILE must both be set"),
        ({"tls_cert_file": "/nowhere"}, "can't read /nowhere: No such file"),
        ({"tls_key_file": "ca"}, "expected a PEM file with a private key"),
        ({"tls_key_file": "caller_key"}, "can't be used together: key values mismatch"),
    ],
)
async def test_files_that_can_not_be_used_are_named(
    make_settings: Make, files: Files, change: dict[str, str | None], words: str
) -> None:
    given = {
        name: value and (getattr(files, value, None) or Path(value))
        for name, value in change.items()
    }
    with pytest.raises(ConfigError) as caught:
        async with Sidecar(make_settings(**{**files.settings, **given})):
            pass
    assert words in str(caught.value)


async def test_the_commands_reach_it(
    make_settings: Make, files: Files, fake: FakeCustomerIO, until: Callable[..., Any]
) -> None:
    settings = make_settings(**files.settings, tls_client_ca_file=files.ca, listen="127.0.0.1:0")
    async with Sidecar(settings) as sidecar:
        where = ["--target", sidecar.address, "--tls-ca", str(files.ca)]
        where += ["--tls-cert", str(files.caller_cert), "--tls-key", str(files.caller_key)]
        finished = await run("send", *where, stdin=EVENT)
        assert finished.code == 0, finished.err
        await until(lambda: len(fake.events) == 1, "the event")
        finished = await run("delivery", "stats", *where)
        assert finished.code == 0, finished.err
        finished = await run("send", *where[:4], "--patience", "0.5", stdin=EVENT)
        assert finished.code == 3
        finished = await run("delivery", "stats", *where[:-2])
        assert finished.code == 2
        assert "--tls-cert and --tls-key go together" in finished.err
