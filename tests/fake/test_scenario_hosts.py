"""What a caller sees of a scenario on the wire, with either host."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import orjson
import pytest
from cio_fake import FakeCustomerIO
from cio_fake.scenario_reader import read_scenario
from yarl import URL

from tests.fake.client import AUTHORIZATION
from tests.fake.test_fake_hosts import ask, client, served

HOSTS = pytest.mark.parametrize("host", ["aiohttp", "httpserver"])
PATH = "/api/v1/customers/u/events"
EVENT = b'{"name":"n"}'
DEADLINE_SECONDS = 20


def fake(*steps: dict[str, Any]) -> FakeCustomerIO:
    made = FakeCustomerIO("site", "key")
    made.play(read_scenario({"steps": list(steps)}))
    return made


async def exchange(base: str) -> bytes:
    """Send an event over a socket of its own; all that comes back until it is closed."""
    url = URL(base)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTHORIZATION}\r\n"
    head += f"Connection: keep-alive\r\nContent-Length: {len(EVENT)}\r\n\r\n"
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            writer.write(head.encode() + EVENT)
            return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@HOSTS
@pytest.mark.parametrize(("cut", "taken"), [("before", 0), ("after", 1)])
async def test_a_connection_is_closed_without_an_answer(host: str, cut: str, taken: int) -> None:
    cutting = fake({"cut": cut, "count": 1})
    async with served(host, cutting) as base:
        assert await exchange(base) == b""
        assert len(cutting.events) == taken
        async with client() as session:
            assert (await ask(session, base, "POST", PATH, EVENT))[0] == 200
    assert len(cutting.events) == taken + 1


@HOSTS
@pytest.mark.parametrize(
    ("step", "promised", "body"),
    [
        ({"cut": "headers"}, 2, b""),
        ({"truncate": 0}, 2, b""),
        ({"truncate": 1}, 2, b"{"),
        ({"truncate": 50}, 51, b"{}"),
    ],
)
async def test_an_answer_ends_before_what_its_headers_promise(
    host: str, step: dict[str, Any], promised: int, body: bytes
) -> None:
    cutting = fake({**step, "count": 1})
    async with served(host, cutting) as base:
        head, _, rest = (await exchange(base)).partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    assert status.split()[1] == "200"
    assert ("content-length", str(promised)) in [
        (name.lower(), value) for name, _, value in (line.partition(": ") for line in headers)
    ]
    assert rest == body
    assert len(cutting.events) == 1


@HOSTS
async def test_a_slow_answer_holds_nobody_else_up(host: str) -> None:
    # The slow one would outlast the test: it is the other that ends it.
    slow = fake({"delay_ms": 1000 * DEADLINE_SECONDS, "count": 1})
    async with served(host, slow) as base, client() as session:
        waiting = asyncio.create_task(ask(session, base, "POST", PATH, EVENT))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not slow.events:  # noqa: ASYNC110 (what is waited for tells nobody)
                await asyncio.sleep(0.001)
            assert (await ask(session, base, "POST", PATH, EVENT))[0] == 200
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])


@HOSTS
async def test_a_slow_answer_comes_in_the_end(host: str) -> None:
    slow = fake({"delay_ms": 50, "count": 1})
    async with served(host, slow) as base, client() as session, asyncio.timeout(DEADLINE_SECONDS):
        assert (await ask(session, base, "POST", PATH, EVENT))[:2] == (200, b"{}")


@HOSTS
async def test_pages_broken_json_and_rejections_go_over_the_wire(host: str) -> None:
    steps = [{"malformed": "html", "count": 1}, {"malformed": "json", "count": 1}]
    mixed = fake(*steps, {"status": 429, "retry_after": 7, "count": 1}, {"reject": [{"index": 1}]})
    items = [
        {"type": "person", "action": "event", "identifiers": {"id": "u"}, "name": name}
        for name in ("a", "b")
    ]
    batch = orjson.dumps({"batch": items})
    async with served(host, mixed) as base, client() as session:
        answers = [await ask(session, base, "POST", "/api/v2/batch", batch) for _ in range(4)]
    assert [(status, after) for status, _, after, _ in answers] == [
        (502, None),
        (207, None),
        (429, "7"),
        (207, None),
    ]
    kinds = [str(kind).partition(";")[0] for *_, kind in answers]
    assert kinds == ["text/html", "application/json", "application/json", "application/json"]
    assert answers[1][1] == b'{"errors": ['
    assert orjson.loads(answers[3][1])["errors"][0]["batch_index"] == 1


async def test_a_connection_that_was_kept_alive_is_cut_too() -> None:
    cutting = fake({"delay_ms": 0, "count": 1}, {"cut": "after", "count": 1})
    async with served("aiohttp", cutting) as base:
        url = URL(base)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTHORIZATION}\r\n"
        request = f"{head}Content-Length: {len(EVENT)}\r\n\r\n".encode() + EVENT
        async with asyncio.timeout(DEADLINE_SECONDS):
            writer.write(request)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(2) == b"{}"
            writer.write(request)
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    assert len(cutting.events) == 2
