"""Both hosts over real sockets."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from cio_fake import FakeCustomerIO, host_aiohttp
from cio_fake.host_httpserver import hosted
from yarl import URL

from tests.fake.client import AUTHORIZATION, ULID

REQUESTS: list[tuple[str, str, bytes]] = [
    ("PUT", "/api/v1/customers/a%2Fb%40c/events", b""),
    ("POST", "/api/v1/customers/a%2Fb%40c/events", b'{"name":"n","timestamp":1}'),
    ("POST", "/api/v1/customers/%C3%A9%20+%25/events?x=%2F", b'{"name":"n","timestamp":2}'),
    ("POST", "/api/v1/customers/u/events", b'{"name":"n","timestamp":3,"id":"%s"}' % ULID.encode()),
    ("POST", "/api/v1/customers/u/events", b'{"name":"n","timestamp":3,"id":"%s"}' % ULID.encode()),
    ("POST", "/api/v1/customers/a/b/events", b'{"name":"n"}'),
    ("PUT", "/api/v1/customers/u", b'{"n":1,"f":1.0}'),
    ("PUT", "/api/v1/customers/u", b"no"),
    ("PUT", "/api/v1/customers/%FF", b"{}"),
    ("DELETE", "/api/v1/customers/u/devices/t%2Fu", b""),
    ("DELETE", "/api/v1/customers/u", b"{}"),
    ("POST", "/api/v1/customers/u/suppress", b""),
    ("POST", "/api/v1/customers/u/unsuppress", b"{}"),
    ("GET", "/api/v1/accounts/region", b""),
    ("POST", "/api/v1/segments/7/add_customers?id_type=email", b'{"ids":["a@b.co"]}'),
    ("POST", "/api/v1/segments/7/add_customers?id_type=phone", b'{"ids":["a@b.co"]}'),
    ("POST", "/api/v1/forms/f/submit", b'{"data":{"id":"f"}}'),
    ("POST", "/api/v2/batch", b'{"batch":[{"type":"person"}]}'),
    ("POST", "/api/v2/batch", b" " * (3 * 1024 * 1024)),
    ("PATCH", "/api/v2/batch", b""),
    ("GET", "/", b""),
    ("GET", "/_fake/people", b""),
    ("GET", "/_fake/events", b""),
    ("GET", "/_fake/suppressed", b""),
    ("GET", "/_fake/stats", b""),
    ("POST", "/_fake/scenario", b'{"status":503,"retry_after":2}'),
    ("PUT", "/api/v1/customers/u", b"{}"),
    ("GET", "/_fake/nothing", b""),
]


@asynccontextmanager
async def served(host: str, fake: FakeCustomerIO, port: int = 0) -> AsyncIterator[str]:
    if host == "aiohttp":
        running = await host_aiohttp.start(fake, port=port)
        try:
            yield running.url
        finally:
            await running.stop()
    else:
        with hosted(fake, port=port) as url:
            yield url


async def ask(
    session: aiohttp.ClientSession, base: str, method: str, target: str, body: bytes
) -> tuple[int, bytes, str | None, str | None]:
    url = URL(base + target, encoded=True)
    async with session.request(method, url, data=io.BytesIO(body) if body else None) as response:
        headers = response.headers
        kind = headers.get("Content-Type") if response.status != 204 else None
        return response.status, await response.read(), headers.get("Retry-After"), kind


def client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"Authorization": AUTHORIZATION})


async def test_both_hosts_give_the_same_answers() -> None:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(client())
        fakes = FakeCustomerIO("site", "key"), FakeCustomerIO("site", "key")
        one = await stack.enter_async_context(served("aiohttp", fakes[0]))
        two = await stack.enter_async_context(served("httpserver", fakes[1]))
        for request in REQUESTS:
            assert await ask(session, one, *request) == await ask(session, two, *request)
        assert [r.operations for r in fakes[0].received] == [
            r.operations for r in fakes[1].received
        ]
        assert [r.request.query for r in fakes[0].received] == [
            r.request.query for r in fakes[1].received
        ]
        assert fakes[0].stats == fakes[1].stats


@pytest.mark.parametrize("host", ["aiohttp", "httpserver"])
async def test_an_encoded_path_arrives_whole(host: str) -> None:
    fake = FakeCustomerIO("site", "key")
    path = "/api/v1/customers/a%2Fb%40c/events"
    async with served(host, fake) as base, client() as session:
        answer = await ask(session, base, "POST", path, b'{"name":"n"}')
    assert answer == (200, b"{}", None, "application/json")
    assert fake.received[0].request.path == path
    assert fake.people[0]["identifiers"]["id"] == "a/b@c"


@pytest.mark.parametrize("host", ["aiohttp", "httpserver"])
async def test_a_body_over_the_batch_limit_gets_the_fakes_own_answer(host: str) -> None:
    fake = FakeCustomerIO("site", "key")
    async with served(host, fake) as base, client() as session:
        body = b'{"batch":[7]}' + b" " * (4 * 1024 * 1024)
        status, answer, _, _ = await ask(session, base, "POST", "/api/v2/batch", body)
    assert status == 400
    assert b"too_large" in answer


@pytest.mark.parametrize("host", ["aiohttp", "httpserver"])
async def test_requests_at_once_are_all_counted(host: str) -> None:
    fake = FakeCustomerIO("site", "key")
    async with served(host, fake) as base, client() as session:
        path = "/api/v1/customers/u/events"
        asked = [ask(session, base, "POST", path, b'{"name":"n"}') for _ in range(50)]
        answers = await asyncio.gather(*asked)
    assert {status for status, *_ in answers} == {200}
    assert (fake.stats["requests"], len(fake.events)) == (50, 50)


@pytest.mark.parametrize("host", ["aiohttp", "httpserver"])
async def test_neither_host_writes_a_log(
    host: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    async with served(host, FakeCustomerIO("site", "key")) as base, client() as session:
        await ask(session, base, "GET", "/", b"")
    assert [r.name for r in caplog.records if r.name.startswith(("werkzeug", "aiohttp"))] == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("host", ["aiohttp", "httpserver"])
async def test_a_taken_port_is_an_os_error(host: str) -> None:
    async with served(host, FakeCustomerIO("site", "key")) as base:
        port = URL(base).port
        with pytest.raises(OSError, match="in use"):
            async with served(host, FakeCustomerIO("site", "key"), port or 0):
                pass


async def test_the_aiohttp_host_keeps_connections_alive() -> None:
    reused: list[object] = []

    async def note(*told: object) -> None:
        reused.append(told)

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(note)
    async with (
        served("aiohttp", FakeCustomerIO("site", "key")) as base,
        aiohttp.ClientSession(trace_configs=[trace]) as session,
    ):
        for _ in range(3):
            await ask(session, base, "POST", "/unsubscribe/d", b"{}")
    assert len(reused) == 2
