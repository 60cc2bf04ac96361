"""The paths that SDKs post to, and what becomes of others."""

import logging

import orjson
import pytest
from cio_sidecar.http_ingest.handlers import _shown

from tests.http_ingest.support import HttpCaller, exchange


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("/v1/import/", "import"),
        ("//v1/batch", "batch"),
        ("//v1//batch//", "batch"),
        ("/v1/b", "batch"),
        ("/v1/b/", "batch"),
        ("/v1/t", "track"),
        ("/v1/i/", "identify"),
        ("/v1/p", "page"),
        ("/v1/g", "group"),
        ("/v1/s", "screen"),
        ("/v1/a", "alias"),
        ("/v1/track/?from=here", "track"),
    ],
)
async def test_a_call_is_taken_by_every_path_that_sdks_use(
    http_api: HttpCaller, path: str, call: str
) -> None:
    event = {"type": "track", "userId": "u1", "event": "E", "name": "N", "groupId": "g1"}
    event |= {"previousId": "u0"}
    batch = call in ("batch", "import")
    body = orjson.dumps({"batch": [event]} if batch else event)
    data = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    assert await exchange(http_api.url, data.encode() + body) == (200, {"success": True})
    await http_api.grpc.settled(1)
    operation = http_api.grpc.operations[0]
    actions = {"batch": "event", "import": "event", "track": "event"}
    actions |= {"group": "identify", "alias": "merge"}
    assert operation["body"]["action"] == actions.get(call, call)


async def test_unknown_paths_are_logged_once_a_minute_without_data(
    http_api: HttpCaller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "cio_sidecar.http_ingest")
    for path in (
        "/v2/batch?key=privat-5d41402a",
        "/v1/people/privat-5d41402a",
        "/%0aprivat-5d41402a",
    ):
        data = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        status, body = await exchange(http_api.url, data)
        assert (status, body["code"]) == (404, "NOT_FOUND")
    (line,) = [each.getMessage() for each in caplog.records]
    assert line.startswith("HTTP request to the unknown path /v2/batch rejected; there are POST ")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/people/ann@example.com", "/v1/people/…"),
        ("/v1/people/privat-5d41402a/batch", "/v1/people/privat-5d41402a/…"),
        ("/" + "x" * 8_000, "/…"),
        ("/a%0d%0aWARNING", "/…"),
        ("/a/b/c/d/e", "/a/b/c/…"),
        ("/1234567/4111111111111111", "/…/…"),
    ],
)
def test_a_path_is_logged_in_short(path: str, shown: str) -> None:
    assert _shown(path) == shown
