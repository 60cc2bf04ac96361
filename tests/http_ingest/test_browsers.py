"""Web pages may not send events, unless a setting allows them."""

from collections.abc import Callable

import pytest
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import ConfigError, Settings, load_settings
from cio_sidecar.http_ingest.browsers import Browsers
from cio_sidecar.http_ingest.errors import RequestError

from tests.http_ingest.support import HttpCaller, http_api_of

Make = Callable[..., Settings]
EVENT = {"userId": "u1", "event": "Viewed"}
PAGE = "https://app.example.com"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": PAGE},
        {"Origin": "null"},
        {"Origin": "http://localhost:8088"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example.com"},
        {"Host": "127.0.0.1.evil.example.com:80"},
        {"Host": "10.1.2.3"},
    ],
)
async def test_a_browser_request_is_rejected_before_it_is_read(
    http_api: HttpCaller, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    answer = await http_api.post("track", EVENT, **headers)
    assert (answer.status, answer.body["code"]) == (403, "BROWSER_REQUEST")
    assert "CIO_HTTP_INGEST_ORIGINS" in answer.body["message"]
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert sum(http_api.counters.events.values()) == 0
    assert "HTTP request from a web page (CIO_HTTP_INGEST_ORIGINS) rejected" in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        # Node's fetch sends Sec-Fetch-Mode.
        {"Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "none"},
        {"Host": "localhost"},
        {"Host": "app.localhost:80"},
        {"Host": "[::1]:8088"},
        {"Host": "127.9.9.9"},
    ],
)
async def test_a_request_of_a_service_is_accepted(
    http_api: HttpCaller, headers: dict[str, str]
) -> None:
    assert (await http_api.post("track", EVENT, **headers)).status == 200


async def test_a_page_of_an_allowed_origin_sends_events_and_reads_the_answer(
    http_api_settings: Make, fake: FakeCustomerIO
) -> None:
    settings = http_api_settings(http_ingest_origins=f"http://localhost:3000, {PAGE}")
    headers = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}
    async with http_api_of(settings, fake) as http_api:
        preflight = await http_api.request("OPTIONS", "/v1/t", None, headers)
        assert preflight.status == 200
        assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
        assert "Content-Type" in preflight.headers["Access-Control-Allow-Headers"]
        good = await http_api.request("POST", "/v1/t", b'{"userId":"u1","event":"E"}', headers)
        bad = await http_api.request("POST", "/v1/t", b"{", headers)
        assert (good.status, bad.status) == (200, 400)
        for answer in (preflight, good, bad):
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            assert answer.headers["Vary"] == "Origin"
        other = await http_api.request("POST", "/v1/t", b"{}", {"Origin": f"{PAGE}.evil.com"})
        assert other.status == 403
        await http_api.grpc.delivered(1)


def test_any_origin_allows_everything() -> None:
    browsers = Browsers(["*"], loopback=True)
    browsers.require_allowed(["null"], ["cross-site"], ["evil.example.com"])
    assert browsers.answer_headers("null")["Access-Control-Allow-Origin"] == "null"


def test_the_host_of_an_allowed_origin_is_accepted_on_loopback() -> None:
    Browsers(["http://sidecar:8088"], loopback=True).require_allowed([], [], ["sidecar:8088"])


def test_any_host_is_accepted_beyond_loopback() -> None:
    browsers = Browsers([], loopback=False)
    browsers.require_allowed([], [], ["events.internal"])
    with pytest.raises(RequestError, match="web page"):
        browsers.require_allowed(["http://events.internal"], [], ["events.internal"])


@pytest.mark.parametrize("host", ["[", "a b", "@evil.example.com", "x:9@y", "\ud83d"])
def test_a_host_that_is_none_is_rejected(host: str) -> None:
    with pytest.raises(RequestError, match="header Host"):
        Browsers([], loopback=True).require_allowed([], [], [host])


@pytest.mark.parametrize(
    "origin", ["app.example.com", "https://a.example.com/page", "ftp://a", "a"]
)
def test_an_origin_that_is_none_is_rejected_at_the_start(origin: str) -> None:
    with pytest.raises(ConfigError, match="CIO_HTTP_INGEST_ORIGINS: expected http://host"):
        load_settings({"http_ingest_origins": f"{PAGE},{origin}"})
