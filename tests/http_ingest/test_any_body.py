"""Whatever comes as a body: an answer in JSON that says what is wrong, and nothing lost."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http_ingest.support import HttpCaller

MANY = settings(
    max_examples=150,
    deadline=None,
    # The sidecar and its fake serve all the examples of a test.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
CALLS = ("identify", "track", "page", "screen", "group", "alias", "batch", "import")
FIELDS = (
    *("type", "messageId", "userId", "anonymousId", "event", "name", "groupId", "previousId"),
    *("timestamp", "originalTimestamp", "sentAt", "receivedAt", "properties", "traits", "context"),
    *("integrations", "writeKey", "batch"),
)

# Half surrogate pairs too, as JavaScript writes them, and null bytes.
TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "\0", "\ud83d", "track", "identify", "a@example.com", "2026-03-02", "1e9"]
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
LOOSE = st.dictionaries(st.sampled_from(FIELDS) | TEXT, JSON, max_size=8)
GOOD = st.fixed_dictionaries(
    {"type": st.sampled_from(CALLS[:6]), "userId": TEXT, "event": TEXT, "groupId": TEXT},
    optional={"properties": JSON, "traits": JSON, "context": JSON, "integrations": JSON},
)
EVENT = LOOSE | GOOD
BATCH = st.fixed_dictionaries(
    {"batch": st.lists(EVENT | JSON, max_size=4)}, optional={"context": JSON, "integrations": JSON}
)


def encoded(value: Any) -> bytes:
    """As Python's SDKs write it: with NaN, and escapes for whatever is not ASCII."""
    return json.dumps(value).encode()


@st.composite
def cut(draw: st.DrawFn) -> bytes:
    """A good batch with a few of its bytes changed, put in or taken out."""
    data = bytearray(encoded(draw(BATCH)))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        data[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


async def everything_is_well(http_api: HttpCaller, accepted: int) -> None:
    """What was accepted came to Customer.io or is not to be sent, and was not rejected there."""
    await http_api.grpc.settled()
    assert (await http_api.grpc.sidecar.queue.stats()).dead_letters == 0
    assert http_api.counters.requests[500] == 0
    assert http_api.counters.events["accepted"] >= accepted


@pytest.mark.parametrize("call", CALLS)
@MANY
@given(value=st.one_of(EVENT, BATCH, JSON))
async def test_of_any_json_each_event_is_accepted_or_named(
    http_api: HttpCaller, call: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    before = dict(http_api.counters.events)
    answer = await http_api.post(call, encoded(value))
    assert answer.status in (200, 400), answer
    settled = sum(http_api.counters.events.values()) - sum(before.values())
    rejected = http_api.counters.events["rejected"] - before["rejected"]
    if answer.status == 200:
        expected = len(value["batch"]) if call in ("batch", "import") else 1
        assert settled == expected
        assert len(answer.body.get("rejected", [])) == rejected
        assert all(each["violations"] for each in answer.body.get("rejected", []))
    else:
        assert rejected == settled
    await everything_is_well(http_api, before["accepted"])
    assert "please report it" not in caplog.text


@pytest.mark.parametrize("packed", [False, True])
@MANY
@given(data=st.one_of(st.binary(max_size=60), cut(), BATCH.map(encoded).map(gzip.compress)))
async def test_any_bytes_get_an_answer_that_explains(
    http_api: HttpCaller, data: bytes, packed: bool
) -> None:
    headers = {"Content_Encoding": "gzip"} if packed else {}
    answer = await http_api.post("batch", data, **headers)
    assert answer.status in (200, 400), answer
    await everything_is_well(http_api, 0)


@MANY
@given(batch=BATCH, end=st.integers(0, 200))
async def test_a_gzip_body_cut_short_is_never_taken(
    http_api: HttpCaller, batch: Any, end: int
) -> None:
    whole = gzip.compress(encoded(batch))
    answer = await http_api.post(
        "batch", whole[: min(end, len(whole) - 1)], Content_Encoding="gzip"
    )
    assert (answer.status, answer.body["code"]) == (400, "INVALID_ENCODING")
    assert sum(http_api.counters.events.values()) == 0


@pytest.mark.parametrize(
    ("event", "field", "reason"),
    [
        ({"properties": {"a": {str(n): 0 for n in range(10_000)}}}, None, None),
        ({"properties": {str(n): "x" * 20 for n in range(10_000)}}, "properties", "TOO_LARGE"),
        ({"properties": {"a": "\0"}}, "properties.a", "INVALID_VALUE"),
        ({"properties": {"a": float("nan")}}, "properties.a", "INVALID_VALUE"),
        ({"properties": [1]}, "properties", "WRONG_TYPE"),
        ({"context": "here"}, "context", "WRONG_TYPE"),
        ({"messageId": "m" * 256}, "messageId", "TOO_LARGE"),
        ({"messageId": ["m"]}, "messageId", "WRONG_TYPE"),
    ],
)
async def test_a_strange_event_spoils_nothing_for_its_neighbours(
    http_api: HttpCaller, event: Any, field: str | None, reason: str | None
) -> None:
    good = {"type": "track", "event": "Order Completed", "userId": "u1"}
    answer = await http_api.post("batch", encoded({"batch": [good, {**good, **event}, good]}))
    assert answer.status == 200
    rejected = [
        (each["index"], [(v["field"], v["reason"]) for v in each["violations"]])
        for each in answer.body.get("rejected", [])
    ]
    assert rejected == ([(1, [(field, reason)])] if field else [])
    await http_api.grpc.delivered(2 if field else 3)


async def test_an_event_that_nests_too_deep_for_customer_io_is_rejected_alone(
    http_api: HttpCaller,
) -> None:
    good = b'{"type":"track","event":"E","userId":"u1"}'
    deep = b'{"type":"track","event":"E","userId":"u1","properties":{"a":%s%s}}'
    bad = deep % (b"[" * 300, b"]" * 300)
    answer = await http_api.post("batch", b'{"batch":[%s,%s]}' % (bad, good))
    assert answer.status == 200
    assert [each["index"] for each in answer.body["rejected"]] == [0]
    await http_api.grpc.delivered(1)
