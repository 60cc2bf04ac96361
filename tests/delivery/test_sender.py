"""The HTTP client: against a real server, through a real proxy, over TLS."""

from __future__ import annotations

from base64 import b64encode
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
