"""The HTTP client: against a real server, through a real proxy, over TLS."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import orjson
import pytest
from cio_fake import Response
from cio_sidecar.customerio.http_request import Request as Asked
from cio_sidecar.delivery.http_client import Sender, Unreachable

from tests.delivery.support import API_KEY, DEADLINE_SECONDS, SITE_ID, Script, free_port


@pytest.fixture
def fake() -> Script:
    return Script()


OK = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def answering(raw: bytes, *, closes: bool = True) -> AsyncIterator[str]:
    """A server that answers every request with these bytes."""

    tasks: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(ConnectionError):
            await reader.read(65_536)
            writer.write(raw)
            if not closes:
                await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.wait(tasks, timeout=DEADLINE_SECONDS)


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
        assert set(answer.body) == {ord("x")}
        assert 1_000_000 < len(answer.body) <= 1024 * 1024

    async def test_says_where_it_could_not_go_but_not_with_what(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        async with self.sender(url) as sender:
            with pytest.raises(Unreachable, match=url) as caught:
                await sender.send(Asked("PUT", "/api/v1/customers/ann%40example.com", b"{}"))
        assert "ann" not in str(caught.value)
        assert caught.value.__cause__ is None

    async def test_redacts_credentials_that_the_server_or_the_proxy_echoes(
        self, url: str, fake: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", url.replace("://", "://operator:proxy-pass-77@"))
        monkeypatch.delenv("no_proxy", raising=False)
        names = ("authorization", "proxy-authorization")
        fake.script = lambda asked: Response(
            400, " ".join(asked.headers[name] for name in names).encode()
        )
        async with self.sender("http://track.test") as sender:
            answer = await sender.send(Asked("POST", "/api/v2/batch", b"{}"))
        assert answer.body == b"Basic [redacted] Basic [redacted]"

    async def test_leaves_no_start_of_a_secret_where_an_answer_is_cut(
        self, url: str, fake: Script
    ) -> None:
        token = b64encode(f"{SITE_ID}:{API_KEY}".encode())
        async with self.sender(url) as sender:
            for kept in range(1, len(token)):
                body = b"x" * (1024 * 1024 - kept) + token
                fake.script = lambda _, body=body: Response(400, body)  # type: ignore[misc]
                answer = await sender.send(Asked("POST", "/api/v2/batch", b"{}"))
                assert set(answer.body[-100:]) == {ord("x")}

    async def test_send_accepts_large_headers(self, url: str, fake: Script) -> None:
        many = {f"X-{number}": "x" for number in range(200)}
        fake.script = lambda _: Response(200, b"{}", {"X-Long": "x" * 60_000, **many})
        async with self.sender(url) as sender:
            assert (await sender.send(Asked("POST", "/api/v2/batch", b"{}"))).status == 200

    @pytest.mark.parametrize(
        ("location", "host"),
        [
            ("https://ann:secret@other.example:8443/x?token=1", "other.example"),
            ("//other.example/x", "other.example"),
            ("/x?token=1", ""),
            ("http://[::1", ""),
            ("http://a b/", ""),
        ],
    )
    async def test_send_reports_the_host_of_a_redirect(
        self, url: str, fake: Script, location: str, host: str
    ) -> None:
        fake.script = lambda _: Response(302, b"", {"Location": location})
        async with self.sender(url) as sender:
            answer = await sender.send(Asked("POST", "/api/v2/batch", b"{}"))
        assert (answer.status, answer.location_host) == (302, host)

    @pytest.mark.parametrize(
        ("encoding", "sent", "read"),
        [
            ("gzip", gzip.compress(b"{}"), b"{}"),
            ("gzip", gzip.compress(b"x" * 50_000_000), b"x" * 1024 * 1024),
            ("gzip", b"{}", b"{}"),
            ("deflate", zlib.compress(b"{}"), b"{}"),
            ("deflate", zlib.compress(b"{}", wbits=-15), b"{}"),
            ("unknown", b"{}", b"{}"),
        ],
        ids=["small", "bomb", "broken", "zlib", "raw_deflate", "unknown"],
    )
    async def test_send_bounds_a_decompressed_answer(
        self, url: str, fake: Script, encoding: str, sent: bytes, read: bytes
    ) -> None:
        fake.script = lambda _: Response(400, sent, {"Content-Encoding": encoding})
        async with self.sender(url) as sender:
            answer = await sender.send(Asked("POST", "/api/v2/batch", b"{}"))
        assert answer.status == 400
        # One that is cut ends before where a secret might begin.
        assert answer.body == read[: len(answer.body)]
        assert len(answer.body) > len(read) - 1000

    @pytest.mark.parametrize(
        ("raw", "why"),
        [
            (OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n", "headers is over 64 KB"),
            (OK + b"a: b\r\n" * 300 + b"\r\n", "over 256 headers"),
            (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "does not speak HTTP"),
            (b"HTTP/1.1 2xx OK\r\n\r\n", "does not speak HTTP"),
            (OK + b"Content-Length: ann\r\n\r\n", r"\(Invalid character in Content-Length\)"),
            (OK + b"X ann: b\r\n\r\n", r"\(Invalid header token\)"),
            (OK + b"X: ann\0\r\n\r\n", "not valid HTTP/1.1$"),
            (OK + b"Transfer-Encoding: chunked\r\n\r\nann\r\n", r"\(Invalid .* chunk size\)"),
            (OK + b"Content-Length: 9\r\n\r\n{}", "closed before the end of the answer"),
            (OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}", "closed before the end"),
            (b"", "closed before the answer"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_send_reports_what_is_wrong_with_an_answer(self, raw: bytes, why: str) -> None:
        async with answering(raw) as url, self.sender(url) as sender:
            with pytest.raises(Unreachable, match=why) as caught:
                await sender.send(Asked("GET", "/", b""))
        assert "ann" not in str(caught.value)

    async def test_send_reports_an_answer_that_does_not_end(self) -> None:
        raw = OK + b"Content-Length: 9\r\n\r\n{}"
        async with answering(raw, closes=False) as url, self.sender(url, 0.2) as sender:
            with pytest.raises(Unreachable, match=r"answered HTTP 200, but .*CIO_TIMEOUT_SECONDS"):
                await sender.send(Asked("GET", "/", b""))

    async def test_send_reports_tls_that_the_server_does_not_speak(self) -> None:
        async with answering(OK) as url, self.sender(url.replace("http", "https")) as sender:
            with pytest.raises(Unreachable, match="TLS handshake failed"):
                await sender.send(Asked("GET", "/", b""))

    async def test_send_returns_a_407_of_a_tunnel_as_an_answer(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        raw = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
        async with answering(raw) as proxy:
            monkeypatch.setenv("https_proxy", proxy.removeprefix("http://"))
            monkeypatch.setenv("no_proxy", "")
            async with self.sender("https://cio.invalid") as sender:
                assert (await sender.send(Asked("GET", "/", b""))).status == 407

    async def test_send_reports_a_proxy_that_rejects_the_host(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with answering(b"HTTP/1.1 403 Forbidden\r\n\r\n") as proxy:
            monkeypatch.setenv("https_proxy", proxy.replace("://", "://ann:secret@"))
            monkeypatch.setenv("no_proxy", "")
            async with self.sender("https://cio.invalid") as sender:
                with pytest.raises(Unreachable, match=f"{proxy} answered HTTP 403") as caught:
                    await sender.send(Asked("GET", "/", b""))
        assert "secret" not in str(caught.value)
