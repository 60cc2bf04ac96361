"""HTTP ingest over TLS: the SDKs trust an authority, callers must show a certificate, renewal."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import rudderstack.analytics.request
import segment.analytics.request
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import ConfigError, Settings
from cio_sidecar.app.sidecar import Sidecar

from tests.certificates import Files, serial
from tests.http_ingest.test_sdks import PROMPT, Send, events, requests_of, send

__all__ = ["send"]  # a fixture

Make = Callable[..., Settings]
Until = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "tls")


async def post(address: str, context: ssl.SSLContext, *, scheme: str = "https") -> int:
    """Sends an event by a connection of its own; the status of the answer."""
    event = {"userId": "u1", "event": "e"}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
        session.post(f"{scheme}://{address}/v1/track", json=event) as answer,
    ):
        return answer.status


@pytest.fixture
def trusted(files: Files, monkeypatch: pytest.MonkeyPatch) -> Files:
    """The files, of an authority that the environment tells the SDKs to trust."""
    for variable in ("REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        monkeypatch.setenv(variable, str(files.ca))
    return files


# Java reads its authorities from a key store.
@pytest.mark.parametrize("send", PROMPT, indirect=True)
async def test_an_sdk_that_is_told_of_the_authority_delivers(
    send: Send, http_api_settings: Make, trusted: Files, fake: FakeCustomerIO, until: Until
) -> None:
    given = events(2)
    async with Sidecar(http_api_settings(**trusted.settings)) as sidecar:
        await asyncio.to_thread(send, f"https://{sidecar.http_ingest_address}", given)
        await until(lambda: len(requests_of(fake)) == len(given), "all of them")
        # Python's SDKs keep their connections for as long as the process lasts.
        segment.analytics.request._session.close()
        rudderstack.analytics.request._session.close()


async def test_plain_text_is_not_served(http_api_settings: Make, files: Files) -> None:
    async with Sidecar(http_api_settings(**files.settings)) as sidecar:
        assert sidecar.http_ingest_address
        with pytest.raises(aiohttp.ClientError):
            await post(sidecar.http_ingest_address, files.context(), scheme="http")
        assert await post(sidecar.http_ingest_address, files.context()) == 200


async def test_a_caller_must_show_a_certificate_where_it_is_asked_for_one(
    http_api_settings: Make, files: Files, tmp_path: Path
) -> None:
    stranger = Files(tmp_path / "stranger").context(shown=True)
    stranger.load_verify_locations(files.ca)
    settings = http_api_settings(**files.settings, tls_client_ca_file=files.ca)
    async with Sidecar(settings) as sidecar:
        assert sidecar.http_ingest_address
        for context in (files.context(), stranger):
            # TLS 1.3 tells a caller of it at the first read, not at the handshake.
            with pytest.raises((aiohttp.ClientError, OSError)):
                await post(sidecar.http_ingest_address, context)
        assert await post(sidecar.http_ingest_address, files.context(shown=True)) == 200


async def test_a_renewed_certificate_is_taken_up_without_a_restart(
    http_api_settings: Make, files: Files
) -> None:
    async with Sidecar(http_api_settings(**files.settings)) as sidecar:
        assert sidecar.http_ingest_address
        address = sidecar.http_ingest_address
        first = await asyncio.to_thread(serial, address, files)
        assert await asyncio.to_thread(serial, address, files) == first
        files.cert.write_bytes(b"half a certificate")
        os.utime(files.cert, ns=(1, 1))
        assert await asyncio.to_thread(serial, address, files) == first
        files.issue(files.cert, files.key)
        second = await asyncio.to_thread(serial, address, files)
        assert second != first
        assert await asyncio.to_thread(serial, address, files) == second


async def test_another_authority_of_the_callers_is_taken_up_without_a_restart(
    http_api_settings: Make, files: Files, tmp_path: Path
) -> None:
    other = Files(tmp_path / "other")
    client_ca = tmp_path / "client-ca.pem"
    client_ca.write_bytes(files.ca.read_bytes())
    by_other = other.context(shown=True)
    by_other.load_verify_locations(files.ca)
    settings = http_api_settings(**files.settings, tls_client_ca_file=client_ca)
    async with Sidecar(settings) as sidecar:
        assert sidecar.http_ingest_address
        assert await post(sidecar.http_ingest_address, files.context(shown=True)) == 200
        client_ca.write_bytes(other.ca.read_bytes())
        os.utime(client_ca, ns=(1, 1))
        assert await post(sidecar.http_ingest_address, by_other) == 200
        with pytest.raises((aiohttp.ClientError, OSError)):
            await post(sidecar.http_ingest_address, files.context(shown=True))


async def test_an_authority_that_is_none_is_named(
    http_api_settings: Make, files: Files, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n")
    with pytest.raises(ConfigError) as caught:
        async with Sidecar(http_api_settings(**files.settings, tls_client_ca_file=broken)):
            pass
    assert f"{broken}: can't be used" in str(caught.value)
