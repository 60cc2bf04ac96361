"""Bad input: every mistake is named by its field, and takes no good event along."""

import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from cio.sidecar.v1 import event_pb2, ingest_pb2

from tests.rpc.harness import (
    ACCEPTED,
    INGEST,
    MAPPING,
    REJECTED,
    Caller,
    field,
    identify,
    json_object,
    rejection,
    struct_object,
    track,
    violations_of,
)

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def wire(event: event_pb2.Event, *more: bytes) -> bytes:
    """An event's bytes with raw fields after it."""
    return event.SerializeToString() + b"".join(more)


async def sent_raw(caller: Caller, event: bytes) -> list[tuple[str, str]]:
    """Send an event's bytes by Send, SendBatch and Render; gives what each of them names."""
    found = await rejection(caller.raw(f"{INGEST}/Send", field(1, event)))
    assert (found.code, found.reason) == (INVALID, "INVALID_REQUEST")
    shown = await rejection(caller.raw(f"{MAPPING}/Render", field(1, event)))
    assert (shown.code, shown.violations) == (INVALID, found.violations)
    good = track().SerializeToString()
    answer = await caller.raw(f"{INGEST}/SendBatch", field(1, event) + field(1, good))
    bad, taken = ingest_pb2.SendBatchResponse.FromString(answer).results
    assert (bad.status, taken.status) == (REJECTED, ACCEPTED)
    assert violations_of(bad) == found.fields
    assert all(violation.description for violation in found.violations)
    return found.fields


# Requests without events


@pytest.mark.parametrize("data", [b"", b"\x98\x06\x01"], ids=["empty", "an unknown field"])
@pytest.mark.parametrize(
    ("method", "named"),
    [
        (f"{INGEST}/Send", "event"),
        (f"{INGEST}/SendBatch", "events"),
        (f"{MAPPING}/Render", "event"),
    ],
)
async def test_a_request_without_an_event_is_told_so(
    caller: Caller, method: str, named: str, data: bytes
) -> None:
    found = await rejection(caller.raw(method, data))
    assert (found.code, found.reason, found.domain) == (INVALID, "INVALID_REQUEST", "cio-sidecar")
    assert found.fields == [(named, "REQUIRED")]
    assert found.words.startswith(f"{named}: ")


async def test_an_empty_event_is_told_to_set_a_call(caller: Caller) -> None:
    found = await caller.send_rejected(event_pb2.Event())
    assert found.fields == [("type", "UNKNOWN_TYPE")]
    assert "identify, track, page, screen, group, alias" in found.words


async def test_an_event_of_nobody_is_told_what_would_name_a_person(caller: Caller) -> None:
    found = await caller.send_rejected(track(user_id=""))
    assert found.fields == [("userId", "NO_PERSON")]
    for word in ("userId", "traits.email", "context.traits.email", "anonymousId"):
        assert word.split(".")[0] in found.words
    assert caller.sidecar.queue.waiting == 0


async def test_an_identify_needs_a_user_id_or_an_email(caller: Caller) -> None:
    found = await caller.send_rejected(identify({"plan": "club"}, user_id="", anonymous_id="a1"))
    assert found.fields == [("userId", "REQUIRED")]
    assert "traits.email" in found.words


async def test_a_track_needs_a_name(caller: Caller) -> None:
    assert (await caller.send_rejected(track(event=" "))).fields == [("event", "REQUIRED")]


async def test_everything_that_is_wrong_is_named_at_once(caller: Caller) -> None:
    found = await caller.send_rejected(track(event="", user_id=""))
    assert dict(found.fields).keys() == {"event", "userId"}
    found = await caller.send_rejected(track(b"[]", context=json_object(b"nope")))
    assert dict(found.fields) == {"properties": "WRONG_TYPE", "context": "INVALID_JSON"}


async def test_a_rejected_event_keeps_its_message_id_and_gets_none_where_it_had_none(
    caller: Caller,
) -> None:
    results = await caller.send_batch(
        track(user_id="", message_id="m1"), track(user_id=""), track(b"[]", message_id="m3")
    )
    assert [result.message_id for result in results] == ["m1", "", "m3"]


# Sizes


async def test_an_event_of_a_megabyte_is_rejected_with_size_and_limit(caller: Caller) -> None:
    found = await caller.send_rejected(track({"text": "x" * 1_000_000}))
    assert found.fields == [("properties", "TOO_LARGE")]
    assert "100,000" in found.words
    assert "1,000," in found.words


async def test_ten_thousand_traits_are_too_many(caller: Caller) -> None:
    found = await caller.send_rejected(identify({f"t{n}": n for n in range(10_000)}))
    assert found.fields == [("traits", "TOO_MANY")]
    assert "10,000" in found.words
    assert "300" in found.words


async def test_ten_thousand_long_properties_are_too_large(caller: Caller) -> None:
    found = await caller.send_rejected(track({f"property {n}": "a value" for n in range(10_000)}))
    assert found.fields == [("properties", "TOO_LARGE")]


@pytest.mark.parametrize(
    ("event", "named"),
    [
        (track(user_id="u" * 151), "userId"),
        (track(user_id="é" * 76), "userId"),
        (track(anonymous_id="a" * 151), "anonymousId"),
        (track(message_id="m" * 256), "messageId"),
        (track(message_id="m" * 900_000), "messageId"),
        (identify({"bio": "b" * 1001}), "traits.bio"),
        (identify({"n" * 151: 1}), f"traits.{'n' * 151}"),
    ],
)
async def test_a_field_over_its_limit_is_named(
    caller: Caller, event: event_pb2.Event, named: str
) -> None:
    assert (await caller.send_rejected(event)).fields == [(named, "TOO_LARGE")]
    (result,) = await caller.send_batch(event)
    assert violations_of(result) == [(named, "TOO_LARGE")]
    assert result.ByteSize() < 4096


async def test_what_is_just_within_the_limits_is_taken(caller: Caller) -> None:
    results = await caller.send_batch(
        track(user_id="u" * 150, anonymous_id="a" * 150, message_id="m" * 255),
        identify({"bio": "b" * 1000, "n" * 150: 1}),
    )
    assert [result.status for result in results] == [ACCEPTED, ACCEPTED]
    await caller.delivered(2)


@pytest.mark.parametrize("method", [f"{INGEST}/Send", f"{INGEST}/SendBatch", f"{MAPPING}/Render"])
async def test_a_message_over_16_mib_is_rejected(caller: Caller, method: str) -> None:
    found = await rejection(caller.raw(method, bytes(16 * 1024 * 1024 + 1)))
    assert found.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "16777216" in found.words
    assert (await caller.send(track())).status == ACCEPTED


async def test_a_message_of_nearly_16_mib_is_taken(caller: Caller) -> None:
    large = track({"text": "x" * 90_000})
    count = 16 * 1024 * 1024 // (large.ByteSize() + 4)
    results = await caller.send_batch(*[large] * count)
    assert {result.status for result in results} == {ACCEPTED}


@pytest.mark.parametrize("character", ["k", "é", "🦊", "\x01", "%", "\0"])
async def test_the_error_for_a_key_of_100_000_characters_stays_bounded(
    caller: Caller, character: str
) -> None:
    key = character * 100_000
    found = await caller.send_rejected(identify({key: "v"}))
    assert found.violations
    for violation in found.violations:
        assert violation.field.startswith("traits.")
        assert len(violation.field) <= 256
        assert len(violation.description) <= 512
    assert len(found.words) <= 1000


@pytest.mark.parametrize("character", ["k", "é", "🦊", "%"])
@pytest.mark.parametrize("count", [2, 11, 12, 13, 299])
async def test_hundreds_of_violations_fit_in_the_headers_of_an_answer(
    caller: Caller, count: int, character: str
) -> None:
    traits = {f"{n:04}{character * 300}": "x" * 1001 for n in range(count)}
    found = await caller.send_rejected(identify(traits))
    assert found.violations[0].field.startswith("traits.0000")
    named = [violation for violation in found.violations if violation.reason != "MORE"]
    more = [violation for violation in found.violations if violation.reason == "MORE"]
    # Each trait is wrong twice: its name and its value.
    assert len(named) < 13
    assert more or len(named) == 2 * count
    (result,) = await caller.send_batch(identify(traits))
    assert result.status == REJECTED
    assert result.violations[0].field.startswith("traits.0000")
    assert len(result.violations) == min(2 * count, 13)


# JSON bytes


@pytest.mark.parametrize(
    ("raw", "reason", "said"),
    [
        (b"[]", "WRONG_TYPE", "a list"),
        (b"3", "WRONG_TYPE", "a number"),
        (b'"text"', "WRONG_TYPE", "text"),
        (b"null", "WRONG_TYPE", "null"),
        (b"true", "WRONG_TYPE", "a boolean"),
        (b"", "INVALID_JSON", "got none"),
        (b"   ", "INVALID_JSON", "JSON"),
        (b"{", "INVALID_JSON", "JSON"),
        (b'{"a":1}}', "INVALID_JSON", "JSON"),
        (b'{"a":01}', "INVALID_JSON", "JSON"),
        (b"{'a':1}", "INVALID_JSON", "JSON"),
        (b"\x00\x01\x02", "INVALID_JSON", "JSON"),
        (b'\xef\xbb\xbf{"a":1}', "INVALID_JSON", "JSON"),
        (b'{"a":"\xff"}', "INVALID_JSON", "UTF-8"),
        (b'{"a":"\\ud800"}', "INVALID_JSON", "JSON"),
        (b'{"a":NaN}', "INVALID_JSON", "NaN or Infinity (at byte 5)"),
        (b'{"a":[1,{"b":Infinity}]}', "INVALID_JSON", "NaN or Infinity"),
        (b'{"a":-Infinity}', "INVALID_JSON", "NaN or Infinity"),
    ],
)
@pytest.mark.parametrize("named", ["properties", "traits", "context"])
async def test_json_bytes_that_are_no_json_object_are_named(
    caller: Caller, raw: bytes, reason: str, said: str, named: str
) -> None:
    event = {
        "properties": lambda: track(raw),
        "traits": lambda: identify(raw),
        "context": lambda: track(context=json_object(raw)),
    }[named]()
    if not raw:
        # Even empty bytes are set: a oneof tells.
        assert event.SerializeToString()
    found = await caller.send_rejected(event)
    assert found.fields == [(named, reason)]
    assert said in found.words


@pytest.mark.parametrize("levels", [300, 900, 1_010, 2_000, 20_000])
@pytest.mark.parametrize(("opened", "closed"), [(b'{"a":', b"}"), (b'{"a":[', b"]}")])
async def test_json_that_nests_too_deep_is_rejected_by_its_depth(
    caller: Caller, levels: int, opened: bytes, closed: bytes
) -> None:
    found = await caller.send_rejected(track(opened * levels + b"1" + closed * levels))
    assert found.fields == [("properties", "TOO_DEEP")]
    assert "254" in found.words
    found = await caller.send_rejected(identify(opened * levels + b"1" + closed * levels))
    assert found.fields == [("traits", "TOO_DEEP")]


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "123456789012345678901234567890", "18446744073709551616"]
)
async def test_a_number_beyond_every_type_takes_nothing_down(caller: Caller, number: str) -> None:
    (result,) = await caller.send_batch(track(f'{{"n":{number}}}'.encode()))
    assert result.status in (ACCEPTED, REJECTED)
    if result.status == REJECTED:
        assert violations_of(result) == [("properties", "INVALID_JSON")]
    else:
        body = await caller.delivered_one()
        assert body["attributes"]["n"] == float(number)


# Structs


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
async def test_nan_and_infinity_in_a_struct_are_named_by_their_path(
    caller: Caller, number: float
) -> None:
    properties = event_pb2.Object()
    properties.struct.update({"fine": 1, "cart": {"prices": [1, {"of tent": number}]}})
    found = await caller.send_rejected(track(properties))
    assert found.fields == [("properties.cart.prices.1.of tent", "INVALID_VALUE")]
    assert str(number) in found.words
    context = event_pb2.Object()
    context.struct.update({"screen": {"width": number}})
    found = await caller.send_rejected(track(context=context))
    assert found.fields == [("context.screen.width", "INVALID_VALUE")]


async def test_a_struct_that_nests_60_levels_is_rejected_by_name(caller: Caller) -> None:
    # The library can't even serialize what it could not read: so by hand.
    value = b"\x11" + bytes(8)  # number_value
    for _ in range(60):
        value = field(5, field(1, field(1, b"a") + field(2, value)))  # struct_value
    struct = field(1, field(1, b"a") + field(2, value))
    event = track().SerializeToString()
    call = field(1, b"E") + field(2, field(1, struct))
    assert await sent_raw(caller, event + field(11, call)) == [("properties", "INVALID_VALUE")]
    assert await sent_raw(caller, event + field(6, field(1, struct))) == [
        ("context", "INVALID_VALUE")
    ]


# Bytes that are no message


@pytest.mark.parametrize(
    ("number", "named"),
    [
        (1, "messageId"),
        (2, "timestamp"),
        (3, "originalTimestamp"),
        (4, "userId"),
        (5, "anonymousId"),
    ],
)
async def test_bad_utf8_in_a_text_field_is_named(caller: Caller, number: int, named: str) -> None:
    data = wire(track(user_id=""), field(number, b"caf\xe9"))
    assert await sent_raw(caller, data) == [(named, "INVALID_VALUE")]


@pytest.mark.parametrize(
    ("call", "number", "named"),
    [
        (11, 1, "event"),
        (12, 1, "name"),
        (12, 2, "category"),
        (13, 1, "name"),
        (14, 1, "groupId"),
        (15, 1, "previousId"),
    ],
)
async def test_bad_utf8_in_a_text_of_a_call_is_named(
    caller: Caller, call: int, number: int, named: str
) -> None:
    data = field(4, b"u1") + field(call, field(number, b"\xff"))
    assert await sent_raw(caller, data) == [(named, "INVALID_VALUE")]


async def test_several_bad_texts_are_all_named(caller: Caller) -> None:
    data = field(4, b"\xff") + field(5, b"\xfe") + field(11, field(1, b"\xc0\x80"))
    assert await sent_raw(caller, data) == [
        ("userId", "INVALID_VALUE"),
        ("anonymousId", "INVALID_VALUE"),
        ("event", "INVALID_VALUE"),
    ]


@pytest.mark.parametrize("where", ["key", "value"])
async def test_bad_utf8_in_a_struct_is_named_by_its_object(caller: Caller, where: str) -> None:
    key, text = (b"\xff", b"t") if where == "key" else (b"k", b"\xff")
    struct = field(1, field(1, key) + field(2, field(3, text)))
    data = track().SerializeToString() + field(11, field(1, b"E") + field(2, field(1, struct)))
    assert await sent_raw(caller, data) == [("properties", "INVALID_VALUE")]
    data = field(4, b"u1") + field(10, field(1, field(1, struct)))
    assert await sent_raw(caller, data) == [("traits", "INVALID_VALUE")]


async def test_a_message_cut_short_anywhere_is_told_so_or_read_as_far_as_it_is_whole(
    caller: Caller,
) -> None:
    whole = ingest_pb2.SendRequest(event=track({"total": 3}, message_id="m1")).SerializeToString()
    reasons = set()
    for length in range(len(whole)):
        found = await rejection(caller.raw(f"{INGEST}/Send", whole[:length]))
        assert found.code is INVALID
        assert found.violations
        reasons.add(found.violations[0].reason)
    assert "INVALID_MESSAGE" in reasons
    assert caller.sidecar.queue.waiting == 0


async def test_an_event_cut_short_inside_a_whole_request_is_told_so(caller: Caller) -> None:
    event = track().SerializeToString()
    assert await sent_raw(caller, event[:3]) == [("", "INVALID_MESSAGE")]
    cut = field(4, b"u1") + field(11, field(1, b"E") + field(2, field(1, b"\x0a\x7f")))
    assert await sent_raw(caller, cut) == [("properties", "INVALID_VALUE")]
    cut = field(4, b"u1") + field(11, field(1, b"E") + b"\x12\x7f")
    assert await sent_raw(caller, cut) == [("", "INVALID_MESSAGE")]


async def test_a_batch_cut_short_is_rejected_whole(caller: Caller) -> None:
    batch = ingest_pb2.SendBatchRequest(events=[track(), track()]).SerializeToString()
    found = await rejection(caller.raw(f"{INGEST}/SendBatch", batch[:-1]))
    assert (found.code, found.reason) == (INVALID, "INVALID_REQUEST")
    assert found.fields == [("", "INVALID_MESSAGE")]
    assert "cio.sidecar.v1" in found.words
    assert caller.sidecar.queue.waiting == 0


# Null bytes


@pytest.mark.parametrize("make", [json_object, struct_object])
async def test_null_bytes_are_named_where_they_stand(
    caller: Caller, make: Callable[[Any], event_pb2.Object]
) -> None:
    found = await caller.send_rejected(
        track(make({"a": {"b": ["x", "y\0z"]}, "n\0": 1}), user_id="u\0")
    )
    assert sorted(found.fields) == [
        ("properties.a.b.1", "INVALID_VALUE"),
        ("properties.n␀", "INVALID_VALUE"),
        ("userId", "INVALID_VALUE"),
    ]


async def test_a_backslash_before_u0000_is_no_null_byte(caller: Caller) -> None:
    await caller.send(track(json.dumps({"path": "C:\\u0000"}).encode()))
    assert (await caller.delivered_one())["attributes"]["path"] == "C:\\u0000"
