"""The settings that change what events become, each alone and all together."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import orjson
import pytest
from cio_sidecar.customerio.limits import ATTRIBUTE_VALUE_BYTES, ATTRIBUTES, EVENT_DATA_BYTES
from cio_sidecar.mapping.authoring.profiles import PROFILES, load_profile
from cio_sidecar.mapping.running.dates import dates_to_seconds
from cio_sidecar.mapping.running.event_id import stable_ulid
from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.renderer import Rejected, Rendered, Renderer
from hypothesis import given, settings
from hypothesis import strategies as st
from ulid import ULID

from tests.customerio.support import send, shown, workspace
from tests.mapping.strategies import EVENTS, JSON
from tests.mapping.support import BASE, NOW, items, rejections

ULIDS = MappingOptions(event_id="ulid")
DATES = MappingOptions(dates="unix_seconds")
TRUNCATE = MappingOptions(limits="truncate")
PROFILE = st.sampled_from(list(PROFILES))


@cache
def renderer(profile: str, options: MappingOptions) -> Renderer:
    return Renderer(load_profile(profile, options=options))


def sent(options: MappingOptions, profile: str = "standard", **event: Any) -> list[Any]:
    """The operations of an event that is accepted."""
    return items(renderer(profile, options).tables, **event)


def attributes(options: MappingOptions, profile: str = "standard", **event: Any) -> Any:
    """The attributes, or the data, of the first operation."""
    return sent(options, profile, **event)[0].get("attributes", {})


def warned(options: MappingOptions, **event: Any) -> list[str]:
    result = renderer("standard", options).render({**BASE, **event})
    assert isinstance(result, Rendered), result
    return [warning.field for warning in result.warnings]


# All together

_PATHS = st.lists(
    st.sampled_from(["a", "b", "email", '"order.id"', "a.b", "userId", "objectId"]), max_size=2
).map(tuple)
OPTIONS: st.SearchStrategy[MappingOptions] = st.builds(
    MappingOptions,
    event_id=st.sampled_from(["as_is", "ulid"]),
    dates=st.sampled_from(["as_is", "unix_seconds"]),
    identify_timestamp=st.booleans(),
    email=st.sampled_from(["plain", "hash_only"]),
    allow_traits=_PATHS,
    deny_traits=_PATHS,
    allow_properties=_PATHS,
    deny_properties=_PATHS,
    limits=st.sampled_from(["reject", "truncate"]),
)


@settings(max_examples=300, deadline=None)
@given(profile=PROFILE, options=OPTIONS, keep=st.booleans(), event=EVENTS | JSON)
def test_no_setting_changes_the_callers_event_or_lets_an_error_through(
    profile: str, options: MappingOptions, keep: bool, event: Any
) -> None:
    options = options.model_copy(update={"keep_device_events": keep and profile == "standard"})
    if isinstance(event, dict):
        event.setdefault("messageId", "m")
    before = copy.deepcopy(event)
    result = Renderer(load_profile(profile, options=options)).render(event)
    assert repr(event) == repr(before)
    if isinstance(result, Rejected):
        assert result.violations
        return
    if options.email == "plain":
        assert orjson.loads(result.event) == event
    one, two = workspace(), workspace()
    for operation in result.operations:
        assert send(one, operation, v1=True).status == 200
        assert send(two, operation, v1=False).status == 200
    assert shown(one) == shown(two)


@settings(max_examples=200)
@given(profile=PROFILE, event=EVENTS)
def test_settings_that_name_nothing_change_nothing(profile: str, event: dict[str, Any]) -> None:
    named = MappingOptions(deny_traits=("never",), deny_properties=("never", "never.there"))
    plain = renderer(profile, MappingOptions()).render(event)
    assert repr(renderer(profile, named).render(event)) == repr(plain)


# Ids of events


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "message_id", ["01HB4HBDKTPDE3GGFBKQ41C9RZ", "01hb4hbdktpde3ggfbkq41c9rz", "7" + "Z" * 25]
)
def test_a_ulid_stays_as_it_is(profile: str, message_id: str) -> None:
    assert stable_ulid(message_id, 5) == message_id
    event: dict[str, Any] = {"type": "track", "event": "e", "messageId": message_id}
    assert sent(ULIDS, profile, **event)[0]["id"] == message_id


@pytest.mark.parametrize(
    "message_id",
    ["m", "8" + "Z" * 25, "01HB4HBDKTPDE3GGFBKQ41C9R", "01HB4HBDKTPDE3GGFBKQ41C9RI", "ü" * 26],
)
def test_any_other_id_becomes_a_ulid(message_id: str) -> None:
    made = stable_ulid(message_id, NOW)
    assert made != message_id
    assert str(ULID.from_str(made)) == made
    assert ULID.from_str(made).timestamp == NOW


@given(message_id=st.text(min_size=1), seconds=st.integers(-(10**11), 10**11))
def test_a_derived_ulid_is_one_and_always_the_same(message_id: str, seconds: int) -> None:
    made = stable_ulid(message_id, seconds)
    assert made == stable_ulid(message_id, seconds)
    parsed = ULID.from_str(made)
    assert stable_ulid(made, seconds + 1) == made
    if made != message_id:
        assert parsed.milliseconds == min(max(seconds * 1000, 0), 2**48 - 1)


def test_derived_ulids_do_not_collide() -> None:
    made = {stable_ulid(f"order-{number}", NOW) for number in range(20_000)}
    assert len(made) == 20_000
    # Not even those that differ in their time alone.
    assert len({stable_ulid("m", second) for second in range(1_000)}) == 1_000


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ({"timestamp": "2023-10-01T12:00:00Z"}, NOW),
        ({"timestamp": "2023-10-01T12:00:00.999Z"}, NOW),
        ({"timestamp": 1_696_161_600_123}, NOW),
        ({"originalTimestamp": "2023-10-01T12:00:00Z"}, NOW),
        ({"timestamp": "later", "originalTimestamp": "2023-10-01T12:00:00Z"}, NOW),
        ({"timestamp": "later"}, 0),
        ({"timestamp": " "}, 0),
        ({"timestamp": {}, "originalTimestamp": []}, 0),
        ({"timestamp": None, "originalTimestamp": None}, 0),
        ({}, 0),
    ],
)
def test_the_same_event_has_the_same_ulid_whenever_it_is_received(
    profile: str, times: dict[str, Any], seconds: int
) -> None:
    event: dict[str, Any] = {"type": "page", "name": "n", **times}
    ids = {
        sent(ULIDS, profile, **event, receivedAt=received)[0]["id"]
        for received in ("2023-10-01T12:00:00Z", "2024-01-01T00:00:00Z")
    }
    assert len(ids) == 1
    assert ULID.from_str(ids.pop()).timestamp == seconds


def test_only_an_events_id_becomes_a_ulid() -> None:
    result = renderer("standard", ULIDS).render({**BASE, "type": "identify"})
    assert isinstance(result, Rendered)
    assert result.message_id == "m"
    assert orjson.loads(result.event)["messageId"] == "m"


# Dates


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-03-02", 1_772_409_600),
        ("2026-03-02T09:30:00Z", 1_772_443_800),
        ("2026-03-02t09:30:00z", 1_772_443_800),
        ("2026-03-02T09:30Z", 1_772_443_800),
        ("2026-03-02T09:30:00", 1_772_443_800),
        ("2026-03-02T10:30:00.999+01:00", 1_772_443_800),
        ("2026-03-02T10:30:00+0100", 1_772_443_800),
        ("1969-12-31T23:59:59Z", -1),
    ],
)
def test_a_date_becomes_unix_seconds(text: str, seconds: int) -> None:
    assert dates_to_seconds({"a": text}) == {"a": seconds}


@pytest.mark.parametrize(
    "text",
    [
        *("2026-02-30", "2026-3-2", "20260302", "2026", "09:30", "2026-W10-1", "1772409600"),
        *(" 2026-03-02", "2026-03-02 09:30", "on 2026-03-02", "2026-03-02T25:00Z", "٢٠٢٦-٠٣-٠٢"),
        *("", "x" * 10),
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert dates_to_seconds({"a": text}) == {"a": text}


@given(JSON)
def test_nothing_but_text_is_taken_for_a_date(value: Any) -> None:
    given_value: dict[str, Any] = {"a": value}
    before = copy.deepcopy(given_value)
    dates_to_seconds(given_value)
    assert repr(given_value) == repr(before)
    if "-" not in orjson.dumps(value).decode():
        assert repr(dates_to_seconds(given_value)) == repr(before)


DATED: dict[str, Any] = {"d": "2026-03-02", "deep": [{"d": "2026-03-02T00:00:00Z"}], "t": "on 2026"}
SECONDS = {"d": 1_772_409_600, "deep": [{"d": 1_772_409_600}], "t": "on 2026"}


@pytest.mark.parametrize("profile", PROFILES)
def test_dates_are_converted_in_the_data_of_events(profile: str) -> None:
    for event in ({"type": "track", "event": "e"}, {"type": "page", "name": "2026-03-02"}):
        (made,) = sent(DATES, profile, **event, properties=DATED)
        assert made["attributes"] == {**SECONDS, "userId": "u"}
        assert made["name"] == event.get("name", "e")


def test_dates_are_converted_in_attributes_of_every_kind() -> None:
    assert attributes(DATES, type="identify", traits=DATED) == SECONDS
    group: dict[str, Any] = {
        "type": "group",
        "groupId": "2026-03-02",
        "traits": {**DATED, "relationshipAttributes": DATED},
    }
    (made,) = sent(DATES, **group)
    assert made["attributes"] == SECONDS
    assert made["cio_relationships"][0]["relationship_attributes"] == SECONDS
    assert made["identifiers"]["object_id"] == "2026-03-02"


def test_ids_that_look_like_dates_stay_as_they_are() -> None:
    day = "2026-03-02"
    related = [{"identifiers": {"object_type_id": "1", "object_id": day}}]
    traits = {"cio_relationships": related, "d": day}
    event: dict[str, Any] = {
        "type": "identify",
        "userId": day,
        "anonymousId": day,
        "traits": traits,
    }
    (made,) = sent(DATES, **event)
    assert made["identifiers"] == {"id": day}
    assert made["attributes"] == {"d": 1_772_409_600, "anonymous_id": day}
    assert made["cio_relationships"] == related


def test_the_attributes_of_devices_stay_text() -> None:
    context = {"device": {"token": "t", "type": "ios"}}
    event: dict[str, Any] = {"type": "track", "event": "Application Opened", "context": context}
    (made,) = sent(DATES, **event, properties={"d": "2026-03-02"})
    assert made["device"]["attributes"] == {"d": "2026-03-02"}


# When an identify happened


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("field", ["timestamp", "originalTimestamp"])
def test_an_identify_says_when_it_happened(profile: str, field: str) -> None:
    timed, event = (
        MappingOptions(identify_timestamp=True),
        {"type": "identify", field: "1970-01-01T00:01Z"},
    )
    (made,) = sent(timed, profile, **event)
    assert made["timestamp"] == 60
    assert "_timestamp" not in made["attributes"]
    assert "timestamp" not in sent(MappingOptions(), profile, **event)[0]
    # When it was received says nothing of that.
    assert "timestamp" not in sent(timed, profile, type="identify")[0]


# Allow and deny lists

NESTED: dict[str, Any] = {
    "a": 1,
    "b": {"c": 2, "d": {"e": 3, "f": 4}},
    "order.id": 5,
    "order": {"id": 6},
    "l": [{"c": 7}],
    'q"': 8,
}


def without(*names: str) -> dict[str, Any]:
    return {key: value for key, value in NESTED.items() if key not in names}


@pytest.mark.parametrize(
    ("allow", "deny", "kept"),
    [
        (["a"], [], {"a": 1}),
        (["b.c"], [], {"b": {"c": 2}}),
        (["b.c", "b.d.f"], [], {"b": {"c": 2, "d": {"f": 4}}}),
        (["b", "b.c"], [], {"b": NESTED["b"]}),
        (['"order.id"'], [], {"order.id": 5}),
        (["order.id"], [], {"order": {"id": 6}}),
        (['"q\\""'], [], {'q"': 8}),
        (["gone", "a.b", "l.c"], [], {}),
        ([], ["a", "l", '"q\\""'], without("a", "l", 'q"')),
        ([], ["b.d.e"], {**NESTED, "b": {"c": 2, "d": {"f": 4}}}),
        ([], ["b.c", "b.d.e", "b.d.f"], {**NESTED, "b": {"d": {}}}),
        ([], ["order.id"], {**NESTED, "order": {}}),
        ([], ['"order.id"'], without("order.id")),
        ([], ["gone", "a.b", "l.c", "b.gone"], NESTED),
        (["b"], ["b.d"], {"b": {"c": 2}}),
        (["a"], ["a"], {}),
    ],
)
@pytest.mark.parametrize("profile", PROFILES)
def test_lists_choose_among_properties_and_traits(
    profile: str, allow: list[str], deny: list[str], kept: dict[str, Any]
) -> None:
    given_value = copy.deepcopy(NESTED)
    properties = MappingOptions(allow_properties=tuple(allow), deny_properties=tuple(deny))
    event: dict[str, Any] = {"type": "track", "event": "e", "properties": given_value}
    assert attributes(properties, profile, **event) == {**kept, "userId": "u"}
    traits = MappingOptions(allow_traits=tuple(allow), deny_traits=tuple(deny))
    if profile == "standard":
        for where in ({"traits": given_value}, {"context": {"traits": given_value}}):
            assert attributes(traits, type="identify", **where) == kept
        group = sent(traits, type="group", groupId="g", traits=given_value)
        assert group[0].get("attributes", {}) == kept
    assert given_value == NESTED


def test_rows_that_name_a_key_still_see_it() -> None:
    traits = {"email": "a@b.co", "createdAt": "2023-10-01T12:00:00Z", "plan": "pro"}
    for options in (
        MappingOptions(allow_traits=("plan",)),
        MappingOptions(deny_traits=("email", "createdAt", "created_at")),
    ):
        made = attributes(options, type="identify", traits=traits)
        assert made.keys() == {"plan", "email_sha256", "created_at"}
        (identified,) = sent(options, type="identify", userId=None, traits=traits)
        assert identified["identifiers"] == {"email": "a@b.co"}


def test_lists_of_traits_say_nothing_of_properties_nor_the_other_way_round() -> None:
    options = MappingOptions(allow_traits=("a",), deny_properties=("b",))
    assert attributes(options, type="identify", traits={"a": 1, "b": 2}) == {"a": 1}
    made = attributes(options, type="track", event="e", properties={"a": 1, "b": 2})
    assert made == {"a": 1, "userId": "u"}


@pytest.mark.parametrize("path", ["properties", "'\"properties\"'"])
def test_a_list_holds_however_a_row_spells_what_it_copies(path: str) -> None:
    row = f"  - {{key: data, from: {path}, apply: [object], doc: d}}\n"
    overlay = [("o.yaml", f"table: default\nrows:\n{row}")]
    tables = load_profile("documented", overlay, MappingOptions(deny_properties=("secret",)))
    (made,) = items(tables, type="track", event="e", properties={"secret": 1, "a": 2})
    assert made["attributes"] == {"a": 2, "userId": "u"}


# Limits


def test_what_is_over_a_limit_is_cut_and_told() -> None:
    traits = {"text": "ü" * 600, "list": ["x" * 1_000], "n" * 151: 1, "fits": "x" * 1_000}
    made = attributes(TRUNCATE, type="identify", traits=traits)
    assert made == {"text": "ü" * 500, "fits": "x" * 1_000}
    told = ["traits.text", "traits.list", f"traits.{'n' * 151}"]
    assert warned(TRUNCATE, type="identify", traits=traits) == told


def test_of_too_many_attributes_the_first_stay_and_rows_keep_theirs() -> None:
    traits = {"_update": True, **{f"k{n}": n for n in range(ATTRIBUTES + 1)}, "email": "a@b.co"}
    made = attributes(TRUNCATE, type="identify", traits=traits)
    assert len(made) == ATTRIBUTES + 1
    assert made["_update"] is True
    assert len(made["email_sha256"]) == 64
    assert "k0" in made


def test_of_too_much_data_the_largest_values_are_left_out() -> None:
    properties = {"a": "x" * 60_000, "b": "x" * 70_000, "c": 1}
    event: dict[str, Any] = {"type": "track", "event": "e", "properties": properties}
    made = attributes(TRUNCATE, **event)
    assert made == {"a": properties["a"], "c": 1, "userId": "u"}
    assert warned(TRUNCATE, **event) == ["properties.b"]


def test_an_object_and_a_relationship_are_cut_as_a_person_is() -> None:
    traits = {"a": "x" * 1_001, "relationshipAttributes": {"b": "x" * 1_001}}
    event: dict[str, Any] = {"type": "group", "groupId": "g", "traits": traits}
    (made,) = sent(TRUNCATE, **event)
    assert made["attributes"] == {"a": "x" * 1_000}
    assert made["cio_relationships"][0]["relationship_attributes"] == {"b": "x" * 1_000}
    assert warned(TRUNCATE, **event) == ["traits.a", "traits.relationshipAttributes.b"]


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"type": "identify", "userId": "x" * 151}, "userId"),
        ({"type": "identify", "anonymousId": "x" * 151}, "anonymousId"),
        ({"type": "identify", "anonymousId": "x" * 1_001}, "anonymousId"),
        ({"type": "track", "event": "e", "anonymousId": "x" * 151}, "anonymousId"),
        ({"type": "group", "groupId": "x" * 151}, "groupId"),
        ({"type": "alias", "previousId": "x" * 151}, "previousId"),
    ],
)
def test_ids_are_never_cut(event: dict[str, Any], field: str) -> None:
    tables = renderer("standard", TRUNCATE).tables
    assert rejections(tables, **event) == [(field, "TOO_LARGE")]


@settings(max_examples=100)
@given(
    sizes=st.lists(st.integers(0, 2 * ATTRIBUTE_VALUE_BYTES), max_size=8),
    many=st.integers(0, 400),
    large=st.lists(st.integers(0, EVENT_DATA_BYTES), max_size=4),
)
def test_nothing_is_rejected_for_its_size_but_ids(
    sizes: list[int], many: int, large: list[int]
) -> None:
    traits = {f"k{n}": n for n in range(many)} | {f"t{n}": "ü" * s for n, s in enumerate(sizes)}
    made = attributes(TRUNCATE, type="identify", traits=traits)
    assert len(made) <= ATTRIBUTES
    properties = {f"p{n}": "x" * size for n, size in enumerate(large)}
    data = attributes(TRUNCATE, type="track", event="e", properties=properties)
    assert len(orjson.dumps(data)) <= EVENT_DATA_BYTES
    assert data["userId"] == "u"


# Device events


@pytest.mark.parametrize("event", ["Application Opened", "Device Deleted"])
def test_a_device_event_is_a_plain_event_as_well(event: str) -> None:
    keep = MappingOptions(keep_device_events=True)
    device: dict[str, Any] = {"context": {"device": {"token": "t", "type": "ios"}}}
    made = sent(keep, type="track", event=event, properties={"a": 1}, **device)
    assert [item["action"] for item in made] == [
        sent(MappingOptions(), type="track", event=event, **device)[0]["action"],
        "event",
    ]
    assert (made[1]["name"], made[1]["attributes"]) == (event, {"a": 1, "userId": "u"})
    # Without a device it is a plain event already, and not two.
    assert [item["name"] for item in sent(keep, type="track", event=event)] == [event]
