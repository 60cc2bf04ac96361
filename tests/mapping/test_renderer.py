"""From event to operations: whatever comes, and whatever way it goes."""

from __future__ import annotations

import copy
import datetime
import os
import tracemalloc
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from cio_fake import FakeCustomerIO
from cio_sidecar.customerio import requests
from cio_sidecar.customerio.encoders import EVENT_ACTIONS, V1_ONLY, Operation
from cio_sidecar.customerio.limits import EVENT_DATA_BYTES, OPERATION_BYTES
from cio_sidecar.mapping.authoring.profiles import PROFILES, load_profile
from cio_sidecar.mapping.errors import FIELD_CHARACTERS, MOST_VIOLATIONS, Violation
from cio_sidecar.mapping.event import MAX_DEPTH, unfit
from cio_sidecar.operations import OPERATIONS
from cio_sidecar.renderer import Rejected, Rendered, Renderer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.customerio.support import send, shown
from tests.mapping.strategies import EVENTS, JSON

RENDERERS = {profile: Renderer(load_profile(profile)) for profile in PROFILES}
STANDARD = RENDERERS["standard"]
# More of them, to look for what is rare: EXAMPLES=20000 pytest tests/mapping/test_renderer.py
EXAMPLES = int(os.environ.get("EXAMPLES", "300"))
TRACK: dict[str, Any] = {
    "type": "track",
    "messageId": "m",
    "receivedAt": "2023-10-01T12:00:00Z",
    "userId": "u",
    "event": "e",
}


def track(**properties: Any) -> dict[str, Any]:
    return {**TRACK, "properties": properties}


def identify(**traits: Any) -> dict[str, Any]:
    return {**TRACK, "type": "identify", "traits": traits}


def rendered(event: Any) -> Rendered:
    result = STANDARD.render(event)
    assert isinstance(result, Rendered), result
    return result


def violations(event: Any) -> list[Violation]:
    result = STANDARD.render(event)
    assert isinstance(result, Rejected), result
    return result.violations


def rejections(event: Any) -> list[tuple[str, str]]:
    return [(violation.field, violation.reason) for violation in violations(event)]


# Properties


KNOWN = {
    *(("person", action) for action in ("identify", "event", "page", "screen")),
    *((spec.v2["type"], spec.v2["action"]) for spec in OPERATIONS.values() if spec.v2),
}


def is_for_v1(item: dict[str, Any]) -> bool:
    """Whether it is a delivery's metric for which v2 has no place."""
    of_push = item.get("name") in ("opened", "converted", "delivered")
    return item["type"] == "delivery" and not (of_push and "device_token" in item["attributes"])


def assert_within_limits(operation: Operation) -> None:
    item = orjson.loads(operation.item)
    assert (item["type"], item["action"]) in KNOWN
    nobody = item["action"] in EVENT_ACTIONS and "identifiers" not in item
    by_v1 = len(operation.item) > OPERATION_BYTES or nobody or is_for_v1(item)
    assert by_v1 == bool(operation.marks & V1_ONLY)
    assert len(item.get("name", "x").encode()) <= 100
    assert operation.lane[:2] in ("p:", "a:", "e:", "o:", "d:")


@settings(max_examples=EXAMPLES)
@given(profile=st.sampled_from(list(PROFILES)), event=EVENTS | JSON)
def test_any_event_is_rendered_or_rejected_and_stays_as_it_was(profile: str, event: Any) -> None:
    before = copy.deepcopy(event)
    if isinstance(event, dict):
        event.setdefault("messageId", "m")
        before.setdefault("messageId", "m")
    result = RENDERERS[profile].render(event)
    assert repr(event) == repr(before)
    if isinstance(result, Rejected):
        assert result.violations
        assert all(violation.reason and violation.description for violation in result.violations)
        assert len(set(result.violations)) == len(result.violations)
        return
    assert orjson.loads(result.event) == event
    assert len(result.operations) >= 1
    assert len(set(result.warnings)) == len(result.warnings)
    for operation in result.operations:
        assert_within_limits(operation)


@settings(max_examples=EXAMPLES)
@given(profile=st.sampled_from(list(PROFILES)), events=st.lists(EVENTS, min_size=1, max_size=3))
def test_v1_and_v2_leave_the_same_behind_and_the_fake_takes_all(
    profile: str, events: list[dict[str, Any]]
) -> None:
    by_v1, by_v2 = FakeCustomerIO("site", "key"), FakeCustomerIO("site", "key")
    for event in events:
        result = RENDERERS[profile].render(event)
        for operation in result.operations if isinstance(result, Rendered) else ():
            one, two = send(by_v1, operation, v1=True), send(by_v2, operation, v1=False)
            assert (one.status, one.body) == (200, b"{}")
            assert (two.status, two.body) == (200, b"{}")
    assert shown(by_v1) == shown(by_v2)


# Any row of an overlay, however careless

_FREE_KEYS = st.sampled_from(
    ["name", "id", "timestamp", "type", "person", "anonymous_id", "data", "data.x.y", "data.x"]
)
_FREE_PATHS = st.sampled_from(["properties", "properties.a", "userId", "traits", "event", "x"])


def _overlay(table: str, rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"  - {{key: {key}, from: {path}, doc: d}}" for key, path in dict(rows).items()]
    return "\n".join([f"table: {table}", "rows:", *lines])


def _careless(rows: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Renderers of a profile whose rows take values as they come."""
    inner = rows.pop("data.x.y", None)
    if inner is not None:
        rows["data.x.y"] = inner  # after data.x, which would overwrite it
    default = _overlay("default", rows.items())
    found = [("a.yaml", default if rows else "table: default\nrows: []")]
    for table in ("person", "global"):
        removed = {"person": "person", "global": "anonymous_id"}[table]
        if removed in rows:
            text = f"table: {table}\nrows:\n  - {{key: {removed}, remove: true}}"
            found.insert(0, (f"{table}.yaml", text))
    return {"overlay": {"files": found}}


@settings(max_examples=EXAMPLES // 3, deadline=None)
@given(
    # Without both, page and screen events would have neither.
    rows=st.dictionaries(_FREE_KEYS, _FREE_PATHS, max_size=4).filter(
        lambda rows: not {"person", "anonymous_id"} <= rows.keys()
    ),
    values=st.lists(JSON, max_size=6),
)
def test_rows_without_transforms_never_let_an_error_or_rubbish_through(
    rows: dict[str, str], values: list[Any]
) -> None:
    files = _careless(rows)["overlay"]["files"]
    renderer = Renderer(load_profile("documented", files))
    fake = FakeCustomerIO("site", "key")
    for value in values:
        event = {**TRACK, "properties": {"a": value}, "x": value, "traits": {"email": "a@b.co"}}
        result = renderer.render(event)
        for operation in result.operations if isinstance(result, Rendered) else ():
            assert send(fake, operation, v1=True).status == 200
            assert send(fake, operation, v1=False).status == 200


@settings(max_examples=EXAMPLES // 3, deadline=None)
@given(
    value=JSON,
    key=st.sampled_from(["id", "anonymous_id", "created_at", "_timestamp", "plan", "unsubscribed"]),
)
def test_an_identify_row_without_transforms_never_lets_rubbish_through(
    value: Any, key: str
) -> None:
    rows = f"rows:\n  - {{key: {key}, from: traits.x, doc: d}}"
    files = [("i.yaml", f"table: identify\n{rows}")]
    if key == "anonymous_id":
        files.insert(0, ("g.yaml", "table: global\nrows:\n  - {key: anonymous_id, remove: true}"))
    renderer = Renderer(load_profile("documented", files))
    result = renderer.render(identify(x=value))
    for operation in result.operations if isinstance(result, Rendered) else ():
        assert send(FakeCustomerIO("site", "key"), operation, v1=True).status == 200
        assert send(FakeCustomerIO("site", "key"), operation, v1=False).status == 200


# Size and depth


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


def test_an_event_may_nest_as_deep_as_json_can_be_written() -> None:
    event = track(a=nested(MAX_DEPTH - 2))
    (operation,) = rendered(event).operations
    assert orjson.loads(operation.item)["attributes"]["a"] == event["properties"]["a"]
    body = orjson.loads(requests.v1_request(operation).body)
    assert body["data"]["a"] == event["properties"]["a"]


@pytest.mark.parametrize("levels", [MAX_DEPTH - 1, 255, 1_000, 100_000])
def test_deeper_nesting_is_rejected_by_its_field(levels: int) -> None:
    event = {**track(b=1), "context": {"a": nested(levels)}}
    found = violations(event)
    assert found == [
        Violation(
            "context", "TOO_DEEP", "objects and lists nest deeper than 254 levels: flatten them"
        )
    ]


def test_a_row_that_makes_an_event_nest_too_deep_rejects_it() -> None:
    row = "  - {key: data.a.b.c, from: properties, doc: d}"
    tables = load_profile("documented", [("o.yaml", f"table: default\nrows:\n{row}")])
    result = Renderer(tables).render(track(a=nested(MAX_DEPTH - 2)))
    assert isinstance(result, Rejected)
    assert [violation.reason for violation in result.violations] == ["TOO_DEEP"]


def test_ten_thousand_properties_go_by_v1_alone() -> None:
    properties = {f"k{number}": 1 for number in range(9_000)}
    (operation,) = rendered(track(**properties)).operations
    assert OPERATION_BYTES < len(operation.item) <= EVENT_DATA_BYTES
    assert operation.marks & V1_ONLY
    assert send(FakeCustomerIO("site", "key"), operation, v1=False).status == 200


def test_too_many_properties_are_rejected_by_their_size() -> None:
    properties = {f"key{number}": number for number in range(10_000)}
    (found,) = violations(track(**properties))
    size = len(orjson.dumps({**properties, "userId": "u"}))
    assert found == Violation(
        "properties", "TOO_LARGE", f"{size:,} bytes, the limit is 100,000: shorten it"
    )


def test_ten_thousand_traits_are_rejected_by_their_number() -> None:
    traits = {f"key{number}": number for number in range(10_000)}
    assert rejections(identify(**traits)) == [("traits", "TOO_MANY")]


def test_a_megabyte_of_event_is_rejected_only_where_it_would_be_sent() -> None:
    assert rejections(track(a="x" * 1_000_000)) == [("properties", "TOO_LARGE")]
    assert rejections(identify(a="x" * 1_000_000)) == [("traits.a", "TOO_LARGE")]
    assert len(rendered({**TRACK, "context": {"a": "x" * 1_000_000}}).operations[0].item) < 200


def test_data_at_the_limit_passes_and_one_byte_more_does_not() -> None:
    frame = len(orjson.dumps({"a": "", "userId": "u"}))
    assert rendered(track(a="x" * (EVENT_DATA_BYTES - frame))).operations[0].marks & V1_ONLY
    assert rejections(track(a="x" * (EVENT_DATA_BYTES - frame + 1))) == [
        ("properties", "TOO_LARGE")
    ]


# What JSON or Customer.io has no place for


@pytest.mark.parametrize(
    ("properties", "fields"),
    [
        ({"a": "x\0"}, ["properties.a"]),
        ({"a": {"b": [1, ["\0"]]}}, ["properties.a.b.1.0"]),
        ({"a\0b": 1}, ["properties.a␀b"]),
        ({"a\0": {"b": "\0"}}, ["properties.a␀", "properties.a␀.b"]),
        ({"z": "\0", "a": ["\0", "\0"]}, ["properties.z", "properties.a.0", "properties.a.1"]),
    ],
)
def test_a_null_byte_is_named_by_its_path(properties: Any, fields: list[str]) -> None:
    found = violations({**TRACK, "properties": properties})
    assert [violation.field for violation in found] == fields
    assert {violation.reason for violation in found} == {"INVALID_VALUE"}
    assert all("null byte (U+0000)" in violation.description for violation in found)


def test_text_that_only_looks_like_a_null_byte_passes() -> None:
    (operation,) = rendered(track(a="\\u0000", b="null")).operations
    assert orjson.loads(operation.item)["attributes"]["a"] == "\\u0000"


@pytest.mark.parametrize("field", ["userId", "event", "messageId", "anonymousId"])
def test_a_null_byte_at_the_top_is_rejected(field: str) -> None:
    assert rejections({**TRACK, field: "a\0"}) == [(field, "INVALID_VALUE")]


HALF = "\ud800"


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"a": {"b": f"x{HALF}"}}, "properties.a.b"),
        ({f"a{HALF}": 1}, "properties.a\\ud800"),
        ({f"a{HALF}": {"b": "\0"}}, "properties.a\\ud800"),
    ],
)
def test_half_a_surrogate_pair_is_named_by_its_path(properties: Any, field: str) -> None:
    found = violations({**TRACK, "properties": properties})
    assert found[0].field == field
    assert found[0].reason == "INVALID_VALUE"
    assert "half a surrogate pair" in found[0].description
    orjson.dumps([list(violation) for violation in found])


def test_a_long_message_id_of_half_pairs_is_rejected() -> None:
    assert rejections({**TRACK, "messageId": HALF * 100}) == [("messageId", "TOO_LARGE")]
    assert rejections({**TRACK, "messageId": HALF * 80}) == [("messageId", "INVALID_VALUE")]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_lacks_is_rejected_and_never_becomes_null(number: float) -> None:
    assert violations(track(a=None, b=[{"c": number}])) == [
        Violation(
            "properties.b.0.c",
            "INVALID_VALUE",
            f"JSON has no {number}: leave the key out, or send null or text",
        )
    ]
    assert rejections({**TRACK, "timestamp": number}) == [("timestamp", "INVALID_VALUE")]


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, -(2**63), 9007199254740993])
def test_a_whole_number_of_64_bits_keeps_every_digit(number: int) -> None:
    (operation,) = rendered(track(a=number)).operations
    assert f'"a":{number},' in operation.item.decode()
    assert f'"a":{number},' in requests.v1_request(operation).body.decode()


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**400])
def test_a_whole_number_beyond_64_bits_is_rejected_by_its_field(number: int) -> None:
    assert violations(track(a={"b": number})) == [
        Violation(
            "properties.a.b", "INVALID_VALUE", "a whole number beyond 64 bits: send it as text"
        )
    ]


def test_a_number_beyond_64_bits_is_rejected_where_an_id_is_expected() -> None:
    assert rejections({**TRACK, "messageId": 2**64}) == [("messageId", "INVALID_VALUE")]
    assert rejections({**TRACK, "userId": 2**64}) == [("userId", "INVALID_VALUE")]


@pytest.mark.parametrize("key", [1, None, 1.5, True, ("a",), b"a"])
def test_a_key_that_is_no_text_is_rejected(key: Any) -> None:
    found = violations({**TRACK, "properties": {key: 1}})
    assert found == [Violation(f"properties.{key}", "INVALID_VALUE", "a key must be text")]


@pytest.mark.parametrize(
    ("value", "kind"), [({1}, "set"), (b"x", "bytes"), (object(), "object"), (1j, "complex")]
)
def test_a_value_that_is_not_json_is_rejected(value: Any, kind: str) -> None:
    assert violations(track(a=value)) == [
        Violation("properties.a", "INVALID_VALUE", f"expected a JSON value, got a {kind}")
    ]


def test_everything_that_is_unfit_is_named_at_once_in_the_order_of_the_event() -> None:
    properties = {"a": 2**64, "b": ["\0", float("nan")], "c": {HALF: 1}, "d": datetime.date.min}
    assert [field for field, _ in rejections({**TRACK, "properties": properties})] == [
        "properties.a",
        "properties.b.0",
        "properties.b.1",
        "properties.c.\\ud800",
        "properties.d",
    ]


@given(JSON)
def test_json_is_never_unfit_save_for_its_null_bytes(value: Any) -> None:
    for violation in unfit({"a": value}):
        assert "null byte" in violation.description
        assert "\0" in repr(value).replace("\\x00", "\0")


@pytest.mark.parametrize("event", [None, [], "x", 5, 1.5, True])
def test_what_is_no_object_is_no_event(event: Any) -> None:
    (found,) = violations(event)
    assert (found.field, found.reason) == ("", "WRONG_TYPE")


# What Customer.io gives a meaning of its own

OBJECT = {"object_type_id": "1", "object_id": "o"}


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("anonymous_id", ["x", None], ["", 5]),
        ("email", ["x", "a@b.co", None], ["", 5, False, []]),
        (
            "cio_subscription_preferences",
            [{}, {"topics": {"a": True}}, {"topics": {}, "x": 1}, None],
            [[], "x", {"topics": {"a": 1}}, {"topics": None}],
        ),
        ("_timestamp", [1696161600, 0, -1], [None, "1696161600", 1.5, True, 10**11, -(10**11)]),
        ("_update", [True, False], [None, 1, "true"]),
        (
            "cio_relationships",
            [
                [],
                [{"identifiers": OBJECT}],
                [{"identifiers": {"cio_object_id": "o"}, "relationship_attributes": {"a": 1}}],
                {"action": "add_relationships", "relationships": [{"identifiers": OBJECT}]},
            ],
            [
                {},
                None,
                "x",
                [{}],
                [{"identifiers": {"object_id": "o"}}],
                [{"identifiers": {**OBJECT, "object_type_id": "0"}}],
                [{"identifiers": {**OBJECT, "object_id": ""}}],
                [{"identifiers": OBJECT, "relationship_attributes": []}],
                [{"identifiers": OBJECT, "else": 1}],
                {"action": "identify", "relationships": []},
                {"action": "add_relationships"},
                {"action": "add_relationships", "relationships": [], "else": 1},
            ],
        ),
    ],
)
def test_reserved_attributes_of_a_wrong_type_are_left_out_with_a_warning(
    key: str, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        for v1 in (True, False):
            (operation,) = rendered(identify(**{key: value})).operations
            assert send(FakeCustomerIO("site", "key"), operation, v1=v1).status == 200
    for value in bad:
        result = rendered(identify(**{key: value}))
        assert f"traits.{key}" in [warning.field for warning in result.warnings], value
        assert key not in orjson.loads(result.operations[0].item)["attributes"]


def test_a_moment_after_the_year_5138_is_no_time() -> None:
    late = rendered({**TRACK, "timestamp": "5138-11-16T09:46:40Z"})
    assert [warning.field for warning in late.warnings] == ["timestamp"]
    assert rendered({**TRACK, "timestamp": "5138-11-16T09:46:39Z"}).warnings == []
    created = rendered(identify(createdAt="9999-01-01"))
    assert [warning.field for warning in created.warnings] == ["traits.createdAt"]


def test_a_field_is_named_as_the_caller_wrote_it() -> None:
    long = "x" * 1001
    assert rejections(identify(**{"": long, "a.b": long, "userId": 1})) == [
        ("traits.", "TOO_LARGE"),
        ("traits.a.b", "TOO_LARGE"),
    ]
    assert rejections({**identify(), "anonymousId": "x" * 151}) == [("anonymousId", "TOO_LARGE")]
    assert rejections(identify(anonymous_id="x" * 151)) == [("traits.anonymous_id", "TOO_LARGE")]
    event = {**TRACK, "userId": " ", "context": {"traits": {"email": f"{'x' * 150}@b.co"}}}
    assert rejections(event) == [("context.traits.email", "TOO_LARGE")]
    assert rejections({**TRACK, "userId": None}) == [("userId", "NO_PERSON")]


def test_a_warning_is_given_once() -> None:
    # person and data.userId both take userId.
    event = {**track(), "userId": True, "anonymousId": "a"}
    assert [warning.field for warning in rendered(event).warnings] == ["userId"]


def test_the_message_id_comes_back_as_text_also_when_rejected() -> None:
    assert rendered({**TRACK, "messageId": 5}).message_id == "5"
    rejected = STANDARD.render({**TRACK, "event": None})
    assert isinstance(rejected, Rejected)
    assert rejected.message_id == "m"


def test_unfit_key_of_a_megabyte_above_many_values_is_clipped() -> None:
    event = {"properties": {"k" * 1_000_000: [*range(3_000), "\0"]}}
    tracemalloc.start()
    try:
        found = unfit(event)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [violation.reason for violation in found] == ["INVALID_VALUE"]
    assert len(found[0].field) <= FIELD_CHARACTERS
    assert peak < 1_000_000


def test_unfit_values_beyond_a_dozen_are_not_collected() -> None:
    found = unfit({"properties": {"list": ["\0"] * 1_000}})
    assert [violation.field for violation in found[:2]] == [
        "properties.list.0",
        "properties.list.1",
    ]
    assert len(found) == MOST_VIOLATIONS + 1
    assert found[-1].reason == "MORE"


def test_unfit_levels_that_nest_too_deep_are_reported_once() -> None:
    deep: Any = [[]] * 1_000
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert [violation.field for violation in unfit({"properties": {"a": deep}})] == ["properties"]
