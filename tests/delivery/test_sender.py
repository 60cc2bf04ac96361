"""The HTTP client: against a real server, through a real proxy, over TLS."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from cio_conformance.fake import Response
from cio_sidecar.customerio.request import Request as Asked
from cio_sidecar.delivery.sender import Sender, Unreachable, proxy_of

from tests.delivery.support import API_KEY, SITE_ID, Script, free_port


@pytest.fixture
def fake() -> Script:
    return Script()


class TestTheSender:
    @asynccontextmanager
    async def sender(self, url: str, timeout_seconds: float = 10) -> AsyncIterator[Sender]:
        async with Sender(
            url,
            SITE_ID,
            API_KEY,
            connections=2,
            timeout_seconds=timeout_seconds,
            user_agent="cio-sidecar/test",
        ) as sender:
            yield sender

    async def test_sends_path_and_body_as_they_are_with_the_credentials(
        self, url: str, fake: Script
    ) -> None:
        async with self.sender(f"{url}/") as sender:
            path = "/api/v1/customers/a%2Fb%20%2B%25%40c/events"
            answer = await sender.send(Asked("POST", path, b'{"name":"n"}'))
        assert answer.status == 200
        ((_, request),) = fake.asked
        assert request.path == path
        assert request.body == b'{"name":"n"}'
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"] == "cio-sidecar/test"

    async def test_asks_for_the_region(self, url: str) -> None:
        async with self.sender(url) as sender:
            answer = await sender.region()
        assert orjson.loads(answer.body)["region"] == "us"

    async def test_follows_no_redirect(self, url: str, fake: Script) -> None:
        fake.script = lambda _: Response(302, b"", {"Location": f"{url}/elsewhere"})
        async with self.sender(url) as sender:
            answer = await sender.send(Asked("POST", "/api/v2/batch", b"{}"))
        assert answer.status == 302
        assert fake.paths == ["/api/v2/batch"]

    async def test_reads_no_more_than_a_mebibyte_of_an_answer(self, url: str, fake: Script) -> None:
        fake.script = lambda _: Response(400, b"x" * 3_000_000)
        async with self.sender(url) as sender:
            answer = await sender.send(Asked("POST", "/api/v2/batch", b"{}"))
        assert answer.body == b"x" * 1024 * 1024

    async def test_says_where_it_could_not_go_but_not_with_what(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        async with self.sender(url) as sender:
            with pytest.raises(Unreachable, match=url) as caught:
                await sender.send(Asked("PUT", "/api/v1/customers/ann%40example.com", b"{}"))
        assert "ann" not in str(caught.value)
        assert caught.value.__cause__ is None

    async def test_send_accepts_large_headers(self, url: str, fake: Script) -> None:
        many = {f"X-{number}": "x" for number in range(200)}
        fake.script = lambda _: Response(200, b"{}", {"X-Long": "x" * 60_000, **many})
        async with self.sender(url) as sender:
            assert (await sender.send(Asked("POST", "/api/v2/batch", b"{}"))).status == 200

    async def test_send_reports_the_host_of_a_redirect(self, url: str, fake: Script) -> None:
        location = {"Location": "https://ann:secret@other.example/x?token=1"}
        fake.script = lambda _: Response(302, b"", location)
        async with self.sender(url) as sender:
            answer = await sender.send(Asked("POST", "/api/v2/batch", b"{}"))
        assert answer.location_host == "other.example"

    @pytest.mark.parametrize(
        ("encoding", "sent", "read"),
        [
            ("gzip", gzip.compress(b"{}"), b"{}"),
            ("gzip", gzip.compress(b"x" * 50_000_000), b"x" * 1024 * 1024),
            ("gzip", b"not gzip", b"not gzip"),
            ("unknown", b"{}", b"{}"),
        ],
        ids=["small", "bomb", "broken", "unknown"],
    )
    async def test_send_bounds_a_decompressed_answer(
        self, url: str, fake: Script, encoding: str, sent: bytes, read: bytes
    ) -> None:
        fake.script = lambda _: Response(400, sent, {"Content-Encoding": encoding})
        async with self.sender(url) as sender:
            answer = await sender.send(Asked("POST", "/api/v2/batch", b"{}"))
        assert (answer.status, answer.body) == (400, read)

    @pytest.mark.parametrize(
        ("raw", "why"),
        [
            (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", "header over 64 KB"),
            (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1100 + b"\r\n", "over 1,000 headers"),
            (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "not HTTP"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "not HTTP"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "bad chunk"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "ends early"),
            (b"", "closed before the answer"),
        ],
        ids=["long", "many", "status", "length", "chunk", "short", "nothing"],
    )
    async def test_send_reports_what_is_wrong_with_an_answer(self, raw: bytes, why: str) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, self.sender(f"http://127.0.0.1:{port}") as sender:
            with pytest.raises(Unreachable, match=why):
                await sender.send(Asked("GET", "/", b""))


class TestTheProxy:
    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)

    def test_is_that_of_the_urls_scheme(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
        assert proxy_of("https://track.customer.io") == "http://proxy:3128"
        assert proxy_of("http://track.customer.io") is None

    def test_may_be_named_in_small_letters(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", "http://proxy:3128")
        assert proxy_of("https://track.customer.io") == "http://proxy:3128"

    @pytest.mark.parametrize(
        ("no_proxy", "used"),
        [("customer.io", False), (".customer.io", False), ("*", False), ("other.io", True)],
    )
    def test_is_not_asked_for_what_is_excepted(
        self, monkeypatch: pytest.MonkeyPatch, no_proxy: str, *, used: bool
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        assert (proxy_of("https://track.customer.io") is not None) == used

    @pytest.mark.parametrize("host", ["127.0.0.1:8099", "127.0.0.2", "localhost", "[::1]:8099"])
    def test_is_never_asked_for_what_is_here(
        self, monkeypatch: pytest.MonkeyPatch, host: str
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
        assert proxy_of(f"http://{host}") is None

    def test_without_a_scheme_is_taken_as_http(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "ann:secret@proxy:3128")
        assert proxy_of("https://track.customer.io") == "http://ann:secret@proxy:3128"

    @pytest.mark.parametrize("value", ["socks5://p:1", "http://p:secret", "http://", "p:99999"])
    def test_that_can_not_be_used_names_the_variable(
        self, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", value)
        with pytest.raises(ValueError, match="HTTPS_PROXY: expected http://host:port") as caught:
            proxy_of("https://track.customer.io")
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("url", "no_proxy"),
        [("http://10.1.2.3", "10.0.0.0/8"), ("http://cio.example:8080", "cio.example:8080")],
    )
    def test_is_not_used_for_a_network_or_port_in_no_proxy(
        self, monkeypatch: pytest.MonkeyPatch, url: str, no_proxy: str
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "proxy:3128")
        monkeypatch.setenv("NO_PROXY", f"other.example, {no_proxy}")
        assert proxy_of(url) is None

    async def test_that_wants_credentials_is_an_answer_even_for_a_tunnel(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with server, TestTheSender().sender("https://cio.invalid") as sender:
            assert (await sender.send(Asked("GET", "/", b""))).status == 407
