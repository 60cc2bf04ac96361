"""Large bodies: what is counted before it is parsed, and what one bad event costs the others."""

import json
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings
from cio_sidecar.http_ingest.body import (
    AT_ONCE_BYTES,
    BODY_BYTES,
    KEYLESS_BODY_BYTES,
    LENIENT_BYTES,
    Body,
    read_batch,
)
from cio_sidecar.http_ingest.errors import RequestError
from cio_sidecar.intake import CallLimits
from cio_sidecar.renderer import Rejected
from pydantic import SecretStr

from tests.http_ingest.support import HttpCaller, basic, http_api_of, zipped

Make = Callable[..., Settings]
GOOD = b'{"type":"track","userId":"u1","event":"Viewed"}'
LIMITS = CallLimits()


def batch(*events: bytes, more: bytes = b"") -> bytes:
    """A batch that is too large to be parsed at once, whatever its events are."""
    padding = b" " * max(0, AT_ONCE_BYTES - sum(map(len, events)))
    return b'{"batch":[%s]%s%s}' % (b",".join(events), padding, more)


def padded(size: int, value: bytes = b'"%s"') -> bytes:
    """An event of about so many bytes."""
    value = value.replace(b"%s", b"x" * size)
    return b'{"type":"track","userId":"u1","event":"Viewed","properties":{"a":%s}}' % value


def read(data: bytes, limits: CallLimits = LIMITS) -> tuple[dict[str, Any], list[Any]]:
    """The object without its batch, and the batch."""

    def run() -> Iterator[None]:
        bodies.append((yield from read_batch(data, limits)))

    bodies: list[Body] = []
    deque(run(), maxlen=0)
    (body,) = bodies
    events = list(body.events)
    assert len(events) == body.count
    return body.fields, events


@pytest.mark.parametrize("event", [b"0", b"{}", b"[]", GOOD])
@pytest.mark.parametrize("packed", [False, True])
async def test_more_events_than_the_limit_are_rejected_with_413(
    http_api: HttpCaller, event: bytes, packed: bool
) -> None:
    body = b'{"batch":[%s]}' % b",".join([event] * 10_001)
    headers = {"Content_Encoding": "gzip"} if packed else {}
    answer = await http_api.post("batch", zipped(body) if packed else body, **headers)
    assert (answer.status, answer.body["code"]) == (413, "TOO_MANY_EVENTS")
    assert "10,000 events (CIO_CALL_MAX_EVENTS)" in answer.body["message"]
    assert sum(http_api.counters.events.values()) == 0


async def test_as_many_events_as_the_limit_are_accepted(http_api: HttpCaller) -> None:
    body = b'{"batch":[%s]}' % b",".join([b"0"] * 9_999 + [GOOD])
    answer = await http_api.post("batch", body)
    assert answer.status == 200
    rejected = answer.body["rejected"]
    assert [each["index"] for each in rejected] == list(range(9_999))
    assert {each["violations"][0]["reason"] for each in rejected} == {"WRONG_TYPE"}
    assert rejected[0]["violations"][0]["description"]
    assert len(json.dumps(answer.body)) < 2_000_000


async def test_an_event_over_the_limit_is_rejected_alone(http_api: HttpCaller) -> None:
    answer = await http_api.post("batch", batch(GOOD, padded(1_000_001), GOOD))
    assert answer.status == 200
    ((index, reason),) = [
        (each["index"], each["violations"][0]["reason"]) for each in answer.body["rejected"]
    ]
    assert (index, reason) == (1, "TOO_LARGE")
    await http_api.grpc.settled(2)


async def test_a_call_of_one_event_over_the_limit_is_rejected_unparsed(
    http_api: HttpCaller,
) -> None:
    answer = await http_api.post("track", padded(AT_ONCE_BYTES, b"[%s"))
    assert (answer.status, answer.body["code"]) == (400, "EVENT_REJECTED")
    assert "CIO_EVENT_MAX_BYTES" in answer.body["violations"][0]["description"]


async def test_in_a_large_body_a_bad_event_is_rejected_alone(http_api: HttpCaller) -> None:
    surrogate = padded(0, rb'"\ud83d"')
    deep = padded(0, b"[" * 300 + b"]" * 300)
    answer = await http_api.post(
        "batch", batch(GOOD, surrogate, padded(0, b"NaN"), deep, b"7", GOOD)
    )
    assert answer.status == 200
    assert [each["index"] for each in answer.body["rejected"]] == [1, 2, 3, 4]
    await http_api.grpc.delivered(2)


async def test_a_large_body_that_ends_early_stores_nothing(http_api: HttpCaller) -> None:
    answer = await http_api.post("batch", batch(*[GOOD] * 200)[:-1])
    assert (answer.status, answer.body["code"]) == (400, "INVALID_JSON")
    bad = batch(*[GOOD] * 200, b'{"type":}')
    answer = await http_api.post("batch", bad)
    assert (answer.status, answer.body["code"]) == (400, "INVALID_JSON")
    assert "batch.200" in answer.body["message"]
    assert sum(http_api.counters.events.values()) == 0


async def test_what_a_large_batch_shares_is_applied_wherever_it_is_written(
    http_api: HttpCaller,
) -> None:
    page = b'{"type":"page","userId":"u1"}'
    more = b',"context":{"page":{"url":"https://example.com/a"}},"writeKey":"k"'
    assert (await http_api.post("batch", batch(page, more=more))).body == {"success": True}
    assert (await http_api.grpc.delivered_one())["name"] == "https://example.com/a"


@pytest.mark.parametrize("field", ["context", "integrations"])
async def test_what_a_batch_shares_is_bounded_by_what_it_becomes(
    http_api: HttpCaller, field: str
) -> None:
    shared = {field: {"a": "x" * 90_000}}
    answer = await http_api.batch(*[orjson.loads(GOOD)] * 200, **shared)
    assert (answer.status, answer.body["code"]) == (413, "TOO_LARGE")
    assert (await http_api.batch(*[orjson.loads(GOOD)] * 2, **shared)).body == {"success": True}


async def test_integrations_are_bounded_in_number(http_api: HttpCaller) -> None:
    many = {f"k{index}": False for index in range(1_001)}
    event = {**orjson.loads(GOOD), "messageId": "m1"}
    answer = await http_api.batch(event, {**event, "messageId": "m2", "integrations": many})
    ((index, violation),) = [
        (each["index"], each["violations"][0]) for each in answer.body["rejected"]
    ]
    assert (index, violation["field"], violation["reason"]) == (1, "integrations", "TOO_MANY")
    name = {"Customer.io" + " " * 100_000: False}
    assert (await http_api.batch({**event, "integrations": name})).body == {"success": True}


@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_without_the_header_is_bounded_by_what_is_read_to_find_the_key(
    http_api_settings: Make, fake: FakeCustomerIO, packed: bool
) -> None:
    body = b'{"writeKey":"key","batch":[],"a":"%s"}' % (b"x" * KEYLESS_BODY_BYTES)
    headers = {"Content_Encoding": "gzip"} if packed else {}
    async with http_api_of(
        http_api_settings(http_ingest_write_key=SecretStr("key")), fake
    ) as http_api:
        data = zipped(body) if packed else body
        answer = await http_api.post("batch", data, **headers)
        assert (answer.status, answer.body["code"]) == (413, "TOO_LARGE")
        assert "Basic authorization" in answer.body["message"]
        answer = await http_api.post("batch", data, Authorization=basic("key"), **headers)
        assert answer.status == 200


def test_a_body_is_split_as_a_parser_reads_it() -> None:
    """Brackets, quotes and commas in text, escapes, space, and nesting of every depth."""
    values: list[Any] = [
        {"a": '[{",\\"}]'},
        {"]": {"[": [{}, [], "", {"\\": '"'}]}},
        {"a": [[[[[[[[[[[[1, {"b": ","}]]]]]]]]]]]]},
        {"😀": "\u2028\t\\\\"},
        "text, [with] {all}",
        [],
        -1.5e10,
        None,
    ]
    for indent in (None, 1):
        text = json.dumps({"batch": values, "sentAt": [1, "]"]}, indent=indent)
        data = text.encode() + b" " * AT_ONCE_BYTES
        assert read(data) == ({"sentAt": [1, "]"]}, values)


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"{",
        b"{}{",
        b'{"batch":[1,]}',
        b'{"batch":[1 2]}',
        b'{"batch":[[}]}',
        b'{"batch":[}',
        b'{"batch":["]}',
        b'{"batch":[1]]}',
        b'{"batch":[1]} {}',
        b'{"batch" [1]}',
        b"{batch:[1]}",
        b'{"batch":[1],}',
        b'{"batch":[1]"a":1}',
        b'{"batch":[{"a":1]}',
        b'{"batch":[' + b"[" * 2_000_000,
        b'{"batch":["' + b"\\" * 2_000_000,
        b'"' * 2_000_001,
    ],
)
def test_a_large_body_that_is_not_json_is_rejected(data: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        read(data[:1] + b" " * AT_ONCE_BYTES + data[1:])
    assert caught.value.status in (400, 413)


def test_of_two_batches_the_last_counts_as_for_a_parser() -> None:
    data = b'{"batch":[1],"batch":[2,3]%s}' % (b" " * AT_ONCE_BYTES)
    assert read(data) == ({}, [2, 3])


def test_an_event_that_only_the_lenient_parser_reads_is_rejected_alone_if_it_is_long() -> None:
    long = padded(LENIENT_BYTES, b'["%s",NaN]')
    _, (good, rejected) = read(batch(GOOD, long))
    assert good == orjson.loads(GOOD)
    assert isinstance(rejected, Rejected)
    assert [each.reason for each in rejected.violations] == ["INVALID_JSON"]


def test_reading_a_large_body_yields_between_its_events() -> None:
    steps = read_batch(batch(*[padded(100_000)] * 20), LIMITS)
    assert sum(1 for _ in steps) >= 19


def test_the_largest_body_of_the_smallest_events_stops_at_the_limit() -> None:
    data = b'{"batch":[%s0]}' % (b"0," * (BODY_BYTES // 2 - 10))
    with pytest.raises(RequestError, match="more than 10,000 events"):
        read(data)
