"""IngestService.Send: what a good event gets in return, and what the fake gets of it."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from cio.sidecar.v1 import event_pb2
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings

from tests.rpc.harness import (
    ACCEPTED,
    DUPLICATE,
    Caller,
    calling,
    identify,
    json_object,
    struct_object,
    track,
    ulid,
)

VALUES: dict[str, Any] = {
    "text": "Zoë ゾーイ 🦊",
    "empty": "",
    "whole": 42,
    "negative": -7,
    "fraction": 249.5,
    "large": 2**53,
    "true": True,
    "false": False,
    "null": None,
    "list": [1, "two", None, [3.5, []], {"four": 4}],
    "object": {"a": {"b": {"c": 1}}, "none": {}},
    "dots.in.a key": {"": "empty key"},
}


def exact(value: Any) -> str:
    """JSON in which 1 is not 1.0 and True is not 1, the order of keys aside."""
    return json.dumps(value, sort_keys=True)


async def test_an_event_gets_a_receipt_and_reaches_customer_io_whole(caller: Caller) -> None:
    event = track(
        {"total": 3, "currency": "EUR"},
        message_id=ulid(1),
        anonymous_id="a1",
        context=json_object({"ip": "10.0.0.1"}),
    )
    result = await caller.send(event)
    assert (result.message_id, result.status) == (ulid(1), ACCEPTED)
    assert not result.violations
    assert not result.warnings
    assert await caller.delivered_one() == {
        "type": "person",
        "identifiers": {"id": "u1"},
        "action": "event",
        "name": "Order Completed",
        "id": ulid(1),
        "timestamp": 1772443800,
        "attributes": {"total": 3, "currency": "EUR", "userId": "u1", "anonymous_id": "a1"},
    }


async def test_an_identify_reaches_customer_io_with_its_traits(caller: Caller) -> None:
    await caller.send(identify({"email": "a@example.com", "plan": "club"}, user_id="u7"))
    body = await caller.delivered_one()
    assert body["action"] == "identify"
    assert body["identifiers"] == {"id": "u7"}
    assert body["attributes"]["plan"] == "club"
    assert caller.fake.people[0]["attributes"]["plan"] == "club"


async def test_a_page_and_a_screen_keep_name_and_category(caller: Caller) -> None:
    await caller.send(
        event_pb2.Event(
            user_id="u1", page=event_pb2.Page(name="Pricing", properties=json_object({"a": 1}))
        )
    )
    await caller.send(
        event_pb2.Event(user_id="u1", screen=event_pb2.Screen(name="Home", category="Shop"))
    )
    page, screen = [operation["body"] for operation in await caller.delivered(2)]
    assert (page["action"], page["name"], page["attributes"]["a"]) == ("page", "Pricing", 1)
    assert (screen["action"], screen["name"]) == ("screen", "Home")
    assert screen["attributes"]["from"] == "Shop"


async def test_with_api_v1_each_event_is_a_request_of_its_own(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    async with calling(make_settings(api="v1"), fake) as caller:
        await caller.send(track({"total": 3}, message_id=ulid(1)))
        (operation,) = await caller.delivered(1)
    assert operation["path"] == "/api/v1/customers/u1/events"
    assert operation["body"]["data"] == {"total": 3, "userId": "u1"}


@pytest.mark.parametrize("blank", ["", "  ", "\t\n"])
async def test_a_missing_message_id_is_filled_in_with_a_ulid_and_returned(
    caller: Caller, blank: str
) -> None:
    first = await caller.send(track(message_id=blank))
    second = await caller.send(track(message_id=blank))
    assert first.status == second.status == ACCEPTED
    for result in (first, second):
        assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", result.message_id)
    assert first.message_id != second.message_id
    ids = [operation["body"]["id"] for operation in await caller.delivered(2)]
    assert ids == [first.message_id, second.message_id]


async def test_what_was_changed_on_the_way_is_told_as_warnings(caller: Caller) -> None:
    result = await caller.send(track(event="e" * 150, timestamp="yesterday"))
    assert result.status == ACCEPTED
    warnings = {warning.field: warning.description for warning in result.warnings}
    assert warnings.keys() == {"event", "timestamp"}
    assert "100 bytes" in warnings["event"]
    assert "ISO 8601" in warnings["timestamp"]
    assert (await caller.delivered_one())["name"] == "e" * 100


async def test_a_repeated_message_id_is_told_and_not_delivered_again(caller: Caller) -> None:
    assert (await caller.send(track({"n": 1}, message_id="m1"))).status == ACCEPTED
    repeat = await caller.send(track({"n": 2}, message_id="m1"))
    assert (repeat.message_id, repeat.status) == ("m1", DUPLICATE)
    await caller.send(track({"n": 3}, message_id="m3"))
    bodies = [operation["body"] for operation in await caller.delivered(2)]
    assert [body["attributes"]["n"] for body in bodies] == [1, 3]


async def test_a_message_id_stays_known_across_a_restart(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    async with calling(make_settings(), fake) as caller:
        assert (await caller.send(track(message_id="m1"))).status == ACCEPTED
        await caller.delivered(1)
    async with calling(make_settings(), fake) as caller:
        assert (await caller.send(track(message_id="m1"))).status == DUPLICATE


async def test_a_dedup_window_of_nothing_still_tells_a_repeat_within_one_batch(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    async with calling(make_settings(dedup_window_seconds=0), fake) as caller:
        first, second = await caller.send_batch(track(message_id="m"), track(message_id="m"))
    assert (first.status, second.status) == (ACCEPTED, DUPLICATE)


async def test_a_dedup_window_of_nothing_takes_the_repeat_of_another_call_at_once(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    async with calling(make_settings(dedup_window_seconds=0), fake) as caller:
        receipts = [await caller.send(track(message_id="m")) for _ in range(3)]
    assert [receipt.status for receipt in receipts] == [ACCEPTED, ACCEPTED, ACCEPTED]


@pytest.mark.parametrize("field", ["properties", "context"])
async def test_json_bytes_and_a_struct_give_the_same_in_customer_io(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO, tmp_path: Any, field: str
) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "context.yaml").write_text(
        "table: context\ndoc: d\nevents: [track]\nrows:\n"
        "  - {key: data.all, level: optional, from: context, doc: d}\n"
    )
    async with calling(make_settings(overlay=tmp_path / "tables"), fake) as caller:
        for make in (json_object, struct_object):
            given = make(VALUES)
            event = track(given) if field == "properties" else track(context=given)
            assert (await caller.send(event)).status == ACCEPTED
        first, second = [operation["body"]["attributes"] for operation in await caller.delivered(2)]
    if field == "context":
        first, second = first["all"], second["all"]
    for made in (first, second):
        made.pop("userId", None)
        made.pop("all", None)
    assert exact(first) == exact(second) == exact(VALUES)


async def test_traits_as_json_and_as_a_struct_give_the_same_person(caller: Caller) -> None:
    traits = {"plan": "club", "points": 1840, "vip": False, "phone": None, "sizes": {"shoe": 42}}
    for number, make in enumerate((json_object, struct_object)):
        await caller.send(identify(make(traits), user_id=f"u{number}"))
    first, second = [operation["body"]["attributes"] for operation in await caller.delivered(2)]
    assert exact(first) == exact(second) == exact(traits)


@pytest.mark.parametrize(
    ("number", "becomes"),
    [
        (3.0, "3"),
        (-3.0, "-3"),
        (0.0, "0"),
        (2.0**53, "9007199254740992"),
        (-(2.0**53), "-9007199254740992"),
        (2.5, "2.5"),
        (1e300, "1e+300"),
        (2.0**60, "1.152921504606847e+18"),
        (5e-324, "5e-324"),
    ],
)
async def test_a_whole_double_of_a_struct_becomes_an_integer_where_that_is_exact(
    caller: Caller, number: float, becomes: str
) -> None:
    await caller.send(track(struct_object({"n": number, "list": [number]})))
    attributes = (await caller.delivered_one())["attributes"]
    assert json.dumps(attributes["n"]) == becomes
    assert json.dumps(attributes["list"]) == f"[{becomes}]"


@pytest.mark.parametrize("number", ["9223372036854775807", "-9223372036854775808", "1.0", "1e2"])
async def test_a_number_of_json_bytes_stays_as_exact_as_it_came(
    caller: Caller, number: str
) -> None:
    await caller.send(track(f'{{"n":{number}}}'.encode()))
    attributes = (await caller.delivered_one())["attributes"]
    assert exact(attributes["n"]) == exact(json.loads(number))


@pytest.mark.parametrize("make", [json_object, struct_object])
async def test_an_empty_object_is_an_object(
    caller: Caller, make: Callable[[Any], event_pb2.Object]
) -> None:
    await caller.send(
        event_pb2.Event(track=event_pb2.Track(event="E", properties=make({})), anonymous_id="a1")
    )
    assert (await caller.delivered_one())["attributes"] == {}


async def test_an_object_with_neither_form_set_is_no_object(caller: Caller) -> None:
    event = track(event_pb2.Object(), context=event_pb2.Object(), user_id="", anonymous_id="a1")
    await caller.send(event)
    assert "attributes" not in await caller.delivered_one()


@pytest.mark.parametrize("make", [json_object, struct_object])
async def test_a_null_is_passed_on(caller: Caller, make: Callable[[Any], event_pb2.Object]) -> None:
    await caller.send(identify(make({"phone": None})))
    assert (await caller.delivered_one())["attributes"]["phone"] is None


async def test_a_struct_value_of_no_kind_is_null(caller: Caller) -> None:
    properties = event_pb2.Object()
    properties.struct.fields["unset"].SetInParent()
    await caller.send(track(properties))
    assert (await caller.delivered_one())["attributes"]["unset"] is None


async def test_every_text_field_finds_its_place(caller: Caller) -> None:
    event = event_pb2.Event(
        message_id=ulid(5),
        timestamp="2026-03-02T09:30:00.999+02:00",
        original_timestamp="2020-01-01T00:00:00Z",
        user_id="ünï",
        anonymous_id="ä",
        track=event_pb2.Track(event="Größe"),
    )
    result = await caller.send(event)
    assert result.message_id == ulid(5)
    assert await caller.delivered_one() == {
        "type": "person",
        "identifiers": {"id": "ünï"},
        "action": "event",
        "name": "Größe",
        "id": ulid(5),
        "timestamp": 1772436600,
        "attributes": {"userId": "ünï", "anonymous_id": "ä"},
    }


@pytest.mark.parametrize(
    ("timestamp", "original", "seconds"),
    [
        ("", "2026-03-02T09:30:00Z", 1772443800),
        ("2026-03-02T09:30:00Z", "2020-01-01T00:00:00Z", 1772443800),
        ("nonsense", "2026-03-02T09:30:00Z", 1772443800),
        ("1772443800", "", 1772443800),
        ("1772443800.9", "", 1772443800),
        ("1772443800123", "", 1772443800),
        ("1772443800123456", "", 1772443800),
        ("1772443800123456789", "", 1772443800),
        ("-1", "", -1),
    ],
)
async def test_a_timestamp_is_read_in_every_form_and_the_original_one_stands_in(
    caller: Caller, timestamp: str, original: str, seconds: int
) -> None:
    response = await caller.send(track(timestamp=timestamp, original_timestamp=original))
    assert response.status == ACCEPTED
    if seconds >= 0:  # The fake takes no time before 1970.
        assert (await caller.delivered_one())["timestamp"] == seconds


async def test_without_any_timestamp_the_time_of_receipt_stands(caller: Caller) -> None:
    before = int(time.time())
    await caller.send(track(timestamp=""))
    received_at = (await caller.delivered_one())["timestamp"]
    assert before <= received_at <= time.time()


@pytest.mark.parametrize(
    ("user_id", "identifiers"),
    [
        ("48213", {"id": "48213"}),
        ("cio_0000aa", {"cio_id": "0000aa"}),
        ("a@example.com", {"email": "a@example.com"}),
    ],
)
async def test_a_user_id_is_told_by_its_shape(
    caller: Caller, user_id: str, identifiers: dict[str, str]
) -> None:
    await caller.send(track(user_id=user_id))
    assert (await caller.delivered_one())["identifiers"] == identifiers


async def test_an_email_in_the_context_identifies_where_there_is_no_user_id(
    caller: Caller,
) -> None:
    context = struct_object({"traits": {"email": "a@example.com"}})
    await caller.send(track(user_id="", context=context))
    assert (await caller.delivered_one())["identifiers"] == {"email": "a@example.com"}


async def test_an_event_is_on_disk_when_its_receipt_comes_though_nothing_can_be_delivered(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    fake.fail_next(500)
    async with calling(make_settings(), fake) as caller:
        assert (await caller.send(track(message_id=ulid(1)))).status == ACCEPTED
    fake.reset()
    async with calling(make_settings(), fake) as caller:
        assert (await caller.delivered_one())["id"] == ulid(1)


async def test_ten_thousand_properties_are_taken_where_they_fit_the_limit(caller: Caller) -> None:
    properties = {f"{n:x}": n % 10 for n in range(10_000)}
    assert len(orjson.dumps(properties)) < 100_000
    await caller.send(track(properties))
    # Over 32 KB: only API v1 can carry it.
    body = await caller.delivered_one()
    assert body["data"] == {**properties, "userId": "u1"}


@pytest.mark.parametrize("levels", [200, 240])
async def test_json_may_nest_hundreds_of_levels_deep(caller: Caller, levels: int) -> None:
    await caller.send(track(b'{"a":' * levels + b"1" + b"}" * levels))
    value = (await caller.delivered_one())["attributes"]
    for _ in range(levels):
        value = value["a"]
    assert value == 1


async def test_a_struct_may_nest_20_levels_deep(caller: Caller) -> None:
    nested: dict[str, Any] = {"a": 1}
    for _ in range(19):
        nested = {"a": nested}
    await caller.send(track(struct_object(nested)))
    assert (await caller.delivered_one())["attributes"] == {**nested, "userId": "u1"}
