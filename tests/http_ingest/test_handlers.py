"""HTTP ingest from outside: what is taken, what is rejected, and what is said of it."""

import asyncio
import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import ConfigError, Settings, load_settings
from cio_sidecar.app.sidecar import Sidecar
from cio_sidecar.event_queue.errors import QueueError
from cio_sidecar.http_ingest.body import BODY_BYTES
from pydantic import SecretStr

from tests.app.test_sidecar import metrics
from tests.http_ingest.support import HttpCaller, basic, http_api_of, zipped
from tests.rpc.harness import ulid

Make = Callable[..., Settings]
WHEN = "2026-03-02T09:30:00.000Z"
GOOD = {"type": "track", "event": "Order Completed", "userId": "u1", "timestamp": WHEN}
BAD = {"type": "track", "userId": "privat-5d41402a"}


async def test_a_call_is_on_disk_when_it_is_answered_and_reaches_customer_io(
    http_api: HttpCaller,
) -> None:
    answer = await http_api.post(
        "track", {"event": "Order Completed", "userId": "u1", "messageId": "m1", "timestamp": WHEN}
    )
    assert (answer.status, answer.body) == (200, {"success": True})
    (operation,) = await http_api.grpc.delivered(1)
    assert operation["body"] == {
        **{"type": "person", "identifiers": {"id": "u1"}, "action": "event"},
        **{"name": "Order Completed", "id": "m1", "timestamp": 1772443800},
        "attributes": {"userId": "u1"},
    }


async def test_the_path_says_what_the_call_is_whatever_the_body_says(http_api: HttpCaller) -> None:
    await http_api.post("identify", {"type": "track", "userId": "u1", "traits": {"plan": "pro"}})
    body = await http_api.grpc.delivered_one()
    assert body["action"] == "identify"


@pytest.mark.parametrize("call", ["batch", "import"])
async def test_a_batch_is_taken_by_either_of_its_names(http_api: HttpCaller, call: str) -> None:
    events = [{**GOOD, "messageId": f"m{number}"} for number in range(3)]
    answer = await http_api.post(call, {"batch": events})
    assert answer.body == {"success": True}
    assert [each["body"]["id"] for each in await http_api.grpc.delivered(3)] == ["m0", "m1", "m2"]


async def test_a_batch_is_taken_packed_with_gzip(http_api: HttpCaller) -> None:
    answer = await http_api.post("batch", zipped({"batch": [GOOD]}), Content_Encoding="gzip")
    assert answer.status == 200
    await http_api.grpc.delivered(1)


async def test_a_bad_event_is_named_and_the_good_ones_are_taken(http_api: HttpCaller) -> None:
    answer = await http_api.batch(GOOD, {**BAD, "messageId": "m1"}, 7, {**GOOD, "type": "nonsense"})
    assert answer.status == 200
    assert answer.body["success"] is True
    assert [
        (each["index"], each["messageId"], [v["reason"] for v in each["violations"]])
        for each in answer.body["rejected"]
    ] == [(1, "m1", ["REQUIRED"]), (2, "", ["WRONG_TYPE"]), (3, "", ["UNKNOWN_TYPE"])]
    await http_api.grpc.delivered(1)


@pytest.mark.parametrize(("call", "body"), [("track", BAD), ("batch", {"batch": [BAD, BAD]})])
async def test_where_nothing_is_good_the_sdk_hears_of_it_by_400(
    http_api: HttpCaller, call: str, body: Any
) -> None:
    answer = await http_api.post(call, body)
    assert (answer.status, answer.body["code"]) == (400, "EVENT_REJECTED")
    assert "event" in answer.body["message"]
    assert answer.body["violations"][0]["field"] == "event"


async def test_an_event_that_python_or_javascript_can_write_and_json_cannot_hold_is_rejected_alone(
    http_api: HttpCaller,
) -> None:
    bad = [b'"total":NaN', rb'"text":"\ud83d"', b'"total":-Infinity']
    events = b",".join(
        b'{"type":"track","event":"E","userId":"u1","properties":{%s}}' % each for each in bad
    )
    good = b'{"type":"track","event":"E","userId":"u1","properties":{"id":9007199254740993}}'
    answer = await http_api.post("batch", b'{"batch":[%s,%s]}' % (events, good))
    assert answer.status == 200
    named = [[v["field"] for v in each["violations"]] for each in answer.body["rejected"]]
    assert named == [["properties.total"], ["properties.text"], ["properties.total"]]
    body = await http_api.grpc.delivered_one()
    assert body["attributes"]["id"] == 9007199254740993


async def test_the_same_message_id_is_accepted_once(http_api: HttpCaller) -> None:
    for _ in range(2):
        assert (await http_api.batch({**GOOD, "messageId": ulid()})).body == {"success": True}
    await http_api.grpc.delivered(1)


async def test_what_a_batch_says_of_all_its_events_goes_behind_what_an_event_says(
    http_api: HttpCaller,
) -> None:
    await http_api.post(
        "batch",
        {
            "context": {"page": {"url": "https://example.com/a"}, "traits": {"email": "a@b.co"}},
            "batch": [
                {"type": "page", "userId": "u1"},
                {"type": "page", "userId": "u1", "context": {"page": {"url": "https://b.co"}}},
            ],
        },
    )
    operations = await http_api.grpc.delivered(2)
    assert [each["body"]["name"] for each in operations] == [
        *("https://example.com/a", "https://b.co"),
    ]


@pytest.mark.parametrize("name", ["Customer.io", "Customer IO", "Customer.io (Actions)", "All"])
async def test_an_event_that_its_integrations_keep_from_customer_io_is_not_sent(
    http_api: HttpCaller, name: str
) -> None:
    no = {**GOOD, "integrations": {name: False}}
    yes = {**GOOD, "integrations": {"All": False, "Customer.io": {"option": 1}}, "messageId": "y"}
    assert (await http_api.batch(no, yes)).body == {"success": True}
    assert (await http_api.batch(GOOD, integrations={name: False})).body == {"success": True}
    assert (await http_api.grpc.delivered_one())["id"] == "y"


async def test_the_time_of_an_event_is_the_callers_own_whatever_was_sent_when(
    http_api: HttpCaller,
) -> None:
    late = {"sentAt": "2026-03-02T11:30:00Z", "receivedAt": "2020-01-01T00:00:00Z"}
    await http_api.batch({**GOOD, **late}, sentAt="2026-03-02T12:30:00Z")
    assert (await http_api.grpc.delivered_one())["timestamp"] == 1772443800


async def test_an_original_timestamp_stands_in_for_a_timestamp(http_api: HttpCaller) -> None:
    event = {**GOOD, "timestamp": None, "originalTimestamp": WHEN}
    await http_api.batch(event)
    assert (await http_api.grpc.delivered_one())["timestamp"] == 1772443800


# The write key


async def test_without_a_key_of_its_own_the_api_takes_any(http_api: HttpCaller) -> None:
    answer = await http_api.post("track", GOOD, Authorization=basic("whatever"))
    assert answer.status == 200


@pytest.mark.parametrize("key", ["first-key", "second-key"])
async def test_an_accepted_key_comes_as_user_name_or_in_the_body(
    http_api_settings: Make, fake: FakeCustomerIO, key: str
) -> None:
    keys = SecretStr("first-key,second-key")
    async with http_api_of(http_api_settings(http_ingest_write_key=keys), fake) as http_api:
        assert (await http_api.post("track", GOOD, Authorization=basic(key))).status == 200
        assert (await http_api.batch(GOOD, writeKey=key)).status == 200
        assert (await http_api.post("track", {**GOOD, "writeKey": key})).status == 200
        await http_api.grpc.delivered(3)
        assert key not in str(http_api.grpc.operations)


async def test_a_wrong_key_or_none_is_turned_away(
    http_api_settings: Make, fake: FakeCustomerIO
) -> None:
    keys = SecretStr("first-key")
    async with http_api_of(http_api_settings(http_ingest_write_key=keys), fake) as http_api:
        answers = [
            await http_api.post("track", GOOD),
            await http_api.batch(GOOD, writeKey="first-ke"),
            await http_api.batch(GOOD, writeKey=7),
            await http_api.batch(GOOD, writeKey="\u00fc"),
            # The header goes before the body.
            await http_api.post(
                "track", {**GOOD, "writeKey": "first-key"}, Authorization=basic("wrong")
            ),
            await http_api.post("track", GOOD, Authorization="Basic ä"),
            await http_api.post("track", GOOD, Authorization="Bearer first-key"),
        ]
        for answer in answers:
            assert (answer.status, answer.body["code"]) == (401, "UNAUTHORIZED")
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
            assert "first-key" not in str(answer)
        assert http_api.grpc.sidecar.queue.waiting == 0


@pytest.mark.parametrize("listen", ["0.0.0.0:8088", "[::]:8088", "10.1.2.3:8088", "host:8088"])
def test_beyond_loopback_a_key_is_required(listen: str) -> None:
    with pytest.raises(ConfigError, match="CIO_HTTP_INGEST_WRITE_KEY") as caught:
        load_settings({"http_ingest": listen})
    assert listen in str(caught.value)
    with_key = load_settings({"http_ingest": listen, "http_ingest_write_key": "key"})
    assert with_key.write_keys == ("key",)


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "off"])
def test_on_loopback_no_key_is_required(listen: str) -> None:
    assert load_settings({"http_ingest": listen}).write_keys == ()


def test_the_keys_may_stand_in_a_file_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("old-key\nnew-key\n")
    given = {"http_ingest_write_key_file": str(file)}
    assert load_settings(given).write_keys == ("old-key", "new-key")
    with pytest.raises(ConfigError, match="CIO_HTTP_INGEST_WRITE_KEY_FILE are both set") as caught:
        load_settings({**given, "http_ingest_write_key": "third-key"})
    assert "third-key" not in str(caught.value)


# What is rejected as a whole


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"batch": [', "not valid JSON"),
        (b"\xff\xfe{}", "not valid UTF-8 (at byte 0)"),
        (b"[1]", "expected a JSON object"),
        (b"null", "expected a JSON object"),
        (b"{}", "batch: expected a list of events, got none"),
        (b'{"batch": {}}', "batch: expected a list of events, got an object"),
        (b'{"batch": [], "context": 1}', "context: expected an object, got a number"),
        (b'{"batch": [], "integrations": []}', "integrations: expected an object, got a list"),
        (b"[" * 200_000, "nests too deep"),
    ],
)
async def test_a_request_that_is_none_is_explained(
    http_api: HttpCaller, body: bytes, says: str
) -> None:
    answer = await http_api.post("batch", body)
    assert answer.status == 400
    assert says in answer.body["message"]


async def test_an_empty_batch_is_nothing_to_complain_of(http_api: HttpCaller) -> None:
    assert (await http_api.batch()).body == {"success": True}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{}", "not gzip"),
        (b"", "cut short"),
        (zipped({"batch": [GOOD]})[:-3], "cut short"),
        (zipped({"batch": [GOOD]}) + b"more", "bytes follow"),
    ],
)
async def test_a_body_that_cannot_be_unpacked_is_explained(
    http_api: HttpCaller, data: bytes, says: str
) -> None:
    answer = await http_api.post("batch", data, Content_Encoding="gzip")
    assert (answer.status, answer.body["code"]) == (400, "INVALID_ENCODING")
    assert says in answer.body["message"]


async def test_an_encoding_other_than_gzip_is_rejected_by_name(http_api: HttpCaller) -> None:
    answer = await http_api.post("batch", b"x", Content_Encoding="br")
    assert (answer.status, answer.headers["Accept-Encoding"]) == (415, "gzip")


@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_over_the_limit_is_rejected_before_it_fills_the_memory(
    http_api: HttpCaller, packed: bool
) -> None:
    body = b" " * BODY_BYTES + b'{"batch": []}'
    headers = {"Content-Encoding": "gzip"} if packed else None
    data = io.BytesIO(zipped(body) if packed else body)
    answer = await http_api.request("POST", "/v1/batch", data, headers)
    assert (answer.status, answer.body["code"]) == (413, "TOO_LARGE")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/track", 405), ("POST", "/v1/nonsense", 404), ("GET", "/", 404)],
)
async def test_a_path_that_is_none_is_told_in_json_which_there_are(
    http_api: HttpCaller, method: str, path: str, status: int
) -> None:
    answer = await http_api.request(method, path, headers={"Accept": "text/html"})
    assert answer.status == status
    assert "POST /v1/identify, /v1/track" in answer.body["message"]


async def test_bytes_that_are_no_http_get_neither_a_page_nor_a_line_in_the_log(
    http_api: HttpCaller, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = http_api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /?who=privat-5d41402a HTTP/9.9.9\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    assert answer.split(b" ")[1] == b"400"
    assert b"<html" not in answer
    assert b"Traceback" not in answer
    assert "privat-5d41402a" not in caplog.text


async def begun(http_api: HttpCaller) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request of which half the body is sent."""
    host, port = http_api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/track HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    return reader, writer


async def test_a_body_that_does_not_come_to_an_end_is_not_waited_for(
    http_api: HttpCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cio_sidecar.http_ingest.handlers.BODY_SECONDS", 0.05)
    reader, writer = await begun(http_api)
    assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_a_caller_who_goes_away_in_the_middle_costs_nobody_anything(
    http_api: HttpCaller, until: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await begun(http_api)
    writer.close()
    await until(lambda: http_api.counters.requests[400], "the end of the request")
    assert sum(http_api.counters.events.values()) == 0
    assert (await http_api.batch(GOOD)).status == 200
    assert "Traceback" not in caplog.text


async def test_a_mistake_of_the_sidecars_own_is_told_without_a_trace_and_without_data(
    http_api: HttpCaller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise KeyError("privat-5d41402a")

    monkeypatch.setattr(http_api.grpc.sidecar.queue, "put", broken)
    answer = await http_api.post("track", GOOD)
    assert (answer.status, answer.body["code"]) == (500, "INTERNAL")
    for text in (str(answer), caplog.text):
        assert "privat-5d41402a" not in text
        assert "Traceback" not in text


# What is to be tried again


async def test_while_the_queue_is_full_the_caller_is_asked_to_wait(
    http_api_settings: Make, fake: FakeCustomerIO
) -> None:
    fake.fail_next(503)
    async with http_api_of(http_api_settings(queue_max_bytes=1024 * 1024), fake) as http_api:
        await http_api.grpc.fill()
        answer = await http_api.batch({**GOOD, "properties": {"text": "x" * 30_000}})
        assert (answer.status, answer.body["code"]) == (429, "QUEUE_FULL")
        assert answer.headers["Retry-After"] == "1"


async def test_where_the_disk_fails_the_caller_is_asked_to_try_again(
    http_api: HttpCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any, **__: Any) -> None:
        raise QueueError("the disk is full")

    monkeypatch.setattr(http_api.grpc.sidecar.queue, "put", fails)
    answer = await http_api.batch(GOOD)
    assert (answer.status, answer.body["code"]) == (503, "UNAVAILABLE")
    assert answer.headers["Retry-After"] == "1"
    assert "the disk is full" in answer.body["message"]


async def test_at_shutdown_requests_at_hand_are_answered_and_new_ones_sent_elsewhere(
    http_api_settings: Make, monkeypatch: pytest.MonkeyPatch, until: Callable[..., Any]
) -> None:
    sidecar = Sidecar(http_api_settings())
    await sidecar.__aenter__()
    url = f"http://{sidecar.http_ingest_address}/v1/track"
    entered, released = asyncio.Event(), asyncio.Event()
    put = sidecar.queue.put

    async def held(*arguments: Any, **named: Any) -> list[bool]:
        entered.set()
        await released.wait()
        return await put(*arguments, **named)

    monkeypatch.setattr(sidecar.queue, "put", held)
    async with aiohttp.ClientSession() as session:
        first = asyncio.create_task(session.post(url, json=GOOD))
        await entered.wait()
        stopping = asyncio.create_task(sidecar.__aexit__(None, None, None))
        await until(lambda: sidecar._stopping)
        assert not first.done()
        released.set()
        async with await first as response:
            assert response.status == 200
        await asyncio.wait_for(stopping, 30)
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.post(url, json=GOOD)


async def test_once_the_sidecar_is_stopping_a_request_is_turned_away_with_503(
    http_api: HttpCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(http_api.grpc.sidecar, "_stopping", True)
        answer = await http_api.batch(GOOD)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert "shutting down" in answer.body["message"]


async def test_an_idle_connection_does_not_hold_a_shutdown_up(http_api_settings: Make) -> None:
    async with aiohttp.ClientSession() as session:
        sidecar = Sidecar(http_api_settings(shutdown_grace_seconds=60))
        await sidecar.__aenter__()
        url = f"http://{sidecar.http_ingest_address}/v1/track"
        async with session.post(url, json=GOOD) as response:
            assert response.status == 200
        await asyncio.wait_for(sidecar.__aexit__(None, None, None), 30)


# What an operator sees


async def test_metrics_tell_what_came_over_http(
    http_api_settings: Make, fake: FakeCustomerIO, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with http_api_of(http_api_settings(http_listen="127.0.0.1:0"), fake) as http_api:
        await http_api.batch(
            {**GOOD, "messageId": "m"}, BAD, {**GOOD, "integrations": {"All": False}}
        )
        await http_api.batch({**GOOD, "messageId": "m"})
        await http_api.batch(BAD)
        await http_api.post("batch", b"nonsense")
        found = await metrics(http_api.grpc.sidecar)
    expected = {"accepted": 1, "duplicate": 1, "rejected": 2, "excluded": 1}
    for status, count in expected.items():
        assert found[f"cio_http_ingest_events_total{{status={status}}}"] == count
    assert found["cio_http_ingest_requests_total{status=200}"] == 2
    assert found["cio_http_ingest_requests_total{status=400}"] == 2
    assert found["cio_events_received_total{status=accepted}"] == 1
    # One line for as long as the minute lasts, by reason alone.
    lines = [each.getMessage() for each in caplog.records if "rejected" in each.getMessage()]
    assert lines == ["events that came over HTTP were rejected, by reason: REQUIRED 1"]
    assert "privat-5d41402a" not in caplog.text


async def test_the_api_is_shut_by_default(make_settings: Make) -> None:
    async with Sidecar(make_settings(http_listen="127.0.0.1:0")) as sidecar:
        assert sidecar.http_ingest_address is None
        assert "cio_http_ingest_events_total" not in str(await metrics(sidecar))


@pytest.mark.parametrize("listen", ["nonsense", "localhost:99999"])
async def test_an_address_that_is_none_is_rejected_at_the_start(
    http_api_settings: Make, listen: str
) -> None:
    with pytest.raises(ConfigError, match="CIO_HTTP_INGEST"):
        async with Sidecar(http_api_settings(http_ingest=listen)):
            pass
