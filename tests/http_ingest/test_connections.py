"""What a connection may cost, and what is answered to bytes that are hardly HTTP."""

from collections.abc import Callable

import pytest
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings
from cio_sidecar.app.sidecar import Sidecar
from pydantic import SecretStr

from tests.http_ingest.support import (
    HttpCaller,
    answer,
    basic,
    connected,
    exchange,
    http_api_of,
    repeated,
)

Make = Callable[..., Settings]
EVENT = b'{"userId":"u1","event":"Viewed"}'
POST = b"POST /v1/track HTTP/1.1\r\nHost: localhost\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(EVENT)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x00\xa5\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"POST /v1/track HTTP/1.1\r\n" + LENGTH + b"\r\n" + EVENT, 400),
        (b"POST /v1/tr\x01ck HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (POST + b"Host: other\r\n" + LENGTH + b"\r\n" + EVENT, 400),
        (POST + LENGTH + b"Content-Length: 5\r\n\r\n" + EVENT, 400),
        (POST + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Content-Length: -5\r\n\r\n", 400),
        (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}more\r\n", 400),
        (POST + b"".join(b"X%d: 1\r\n" % index for index in range(200)) + b"\r\n", 400),
        (POST + b"X: " + b"x" * 9_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n\r\n", 431),
        (POST + b"Content-Length: 99999999\r\n\r\n", 413),
        (POST + b"Expect: nothing\r\n" + LENGTH + b"\r\n" + EVENT, 417),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ],
)
async def test_a_bad_request_is_answered_in_json_and_logged_without_data(
    http_api: HttpCaller, data: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    got, body = await exchange(http_api.url, data)
    assert got == status
    assert body["success"] is False
    assert body["code"]
    assert body["message"]
    assert "Traceback" not in caplog.text
    assert (await http_api.batch()).status == 200


async def test_a_chunk_extension_of_any_length_is_skipped(http_api: HttpCaller) -> None:
    chunk = b"%x;%s\r\n%s\r\n0\r\n\r\n" % (len(EVENT), b"x" * 100_000, EVENT)
    status, _ = await exchange(http_api.url, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
    assert status == 200


@pytest.mark.parametrize("path", ["/nonsense", "/livez"])
async def test_the_health_listener_answers_in_json(make_settings: Make, path: str) -> None:
    async with Sidecar(make_settings(http_listen="127.0.0.1:0")) as sidecar:
        request = f"POST {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
        status, body = await exchange(str(sidecar.http_address), request)
        assert status in (404, 405)
        assert body["success"] is False


async def test_headers_that_do_not_come_to_an_end_are_not_waited_for(
    http_api: HttpCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cio_sidecar.app.http_protocol.HEADERS_SECONDS", 0.05)
    status, body = await exchange(http_api.url, POST)
    assert (status, body["code"]) == (408, "TIMEOUT")


async def test_an_idle_connection_is_closed(
    http_api: HttpCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cio_sidecar.app.http_protocol.IDLE_SECONDS", 0.05)
    async with connected(http_api.url) as (reader, writer):
        writer.write(POST + LENGTH + b"\r\n" + EVENT)
        assert (await answer(reader))[0] == 200
        assert await reader.read() == b""


async def test_connections_over_the_limit_are_answered_503(
    http_api: HttpCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cio_sidecar.app.http_protocol.MOST_CONNECTIONS", 1)
    async with connected(http_api.url) as (reader, writer):
        writer.write(POST + LENGTH + b"\r\n" + EVENT)
        assert (await answer(reader))[0] == 200
        status, body = await exchange(http_api.url, b"")
        assert (status, body["code"]) == (503, "UNAVAILABLE")
    await repeated(http_api.url, POST + LENGTH + b"\r\n" + EVENT, 200)


# The write key


async def test_nothing_is_parsed_before_the_write_key_is_checked(
    http_api_settings: Make, fake: FakeCustomerIO
) -> None:
    """The body never comes: the answer does not wait for it."""
    async with http_api_of(
        http_api_settings(http_ingest_write_key=SecretStr("key")), fake
    ) as http_api:
        wrong = f"Authorization: {basic('wrong')}\r\nContent-Length: 1000\r\n\r\n".encode()
        assert (await exchange(http_api.url, POST + wrong))[0] == 401


async def test_two_authorization_headers_are_rejected(
    http_api_settings: Make, fake: FakeCustomerIO
) -> None:
    async with http_api_of(
        http_api_settings(http_ingest_write_key=SecretStr("key")), fake
    ) as http_api:
        header = f"Authorization: {basic('key')}\r\n".encode()
        status, body = await exchange(http_api.url, POST + header * 2 + LENGTH + b"\r\n" + EVENT)
        assert (status, body["code"]) == (401, "UNAUTHORIZED")
        assert "expected one header Authorization, got 2" in body["message"]


@pytest.mark.parametrize("name", ["BODIES_BYTES", "KEYLESS_BODIES_BYTES"])
async def test_bodies_over_the_memory_limit_are_asked_to_wait(
    http_api_settings: Make, fake: FakeCustomerIO, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(f"cio_sidecar.http_ingest.handlers.{name}", 100)
    async with http_api_of(
        http_api_settings(http_ingest_write_key=SecretStr("key")), fake
    ) as http_api:
        header = b"" if "KEYLESS" in name else f"Authorization: {basic('key')}\r\n".encode()
        second = POST + header + LENGTH + b"\r\n" + EVENT[:-1] + b" "
        async with connected(http_api.url) as (reader, writer):
            # A body that takes nearly all of the memory, but for its last byte.
            start = b'{"writeKey":"key","userId":"u1","event":"Viewed"' + b" " * 40
            writer.write(POST + header + b"Content-Length: %d\r\n\r\n" % (len(start) + 1) + start)
            await repeated(http_api.url, second, 503)
            writer.write(b"}")
            assert (await answer(reader))[0] == 200
        # The memory is given back: what is wrong now is the request itself.
        await repeated(http_api.url, second, 400)
