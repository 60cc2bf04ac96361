"""Types, required keys, unknown keys and limits of each call."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from cio_fake.shapes import Shape, fields_with_source, load

from tests.fake.client import Api

BAD_SECONDS = [-(10**11), 10**11, 1696161600.0, 1.5, "1696161600", True, {}, []]
EVENTS = "/api/v1/customers/u/events"
CUSTOMER = "/api/v1/customers/u"
TO_OBJECT = {"identifiers": {"object_type_id": "1", "object_id": "acme"}}


def event(**rest: Any) -> dict[str, Any]:
    return {"name": "n", **rest}


def test_every_limit_and_field_says_where_it_comes_from() -> None:
    shapes = load()
    assert all(limit.source for limit in shapes.limits.values())
    assert all(endpoint.source for endpoint in shapes.endpoints.values())
    bodies: list[Shape] = [e.body for e in shapes.endpoints.values() if e.body]
    bodies += [shape for actions in shapes.operations.values() for shape in actions.values()]
    assert [path for body in bodies for path, f in fields_with_source(body) if not f.source] == []


# Timestamps


@pytest.mark.parametrize("value", BAD_SECONDS)
def test_a_timestamp_that_is_not_whole_unix_seconds_is_rejected(api: Api, value: Any) -> None:
    message = "must be a whole number of Unix seconds"
    device = {"id": "t", "platform": "ios", "last_used": value}
    assert api.errors("POST", EVENTS, event(timestamp=value)) == [f"timestamp: {message}"]
    assert api.errors("PUT", CUSTOMER, {"_timestamp": value}) == [f"_timestamp: {message}"]
    assert api.errors("PUT", CUSTOMER, {"created_at": value}) == [f"created_at: {message} or null"]
    assert api.errors("PUT", f"{CUSTOMER}/devices", {"device": device}) == [
        f"device.last_used: {message}"
    ]
    assert api.person("event", name="n", timestamp=value) == [("invalid", "timestamp")]
    assert api.person("identify", timestamp=value) == [("invalid", "timestamp")]
    assert api.person("identify", attributes={"created_at": value}) == [
        ("invalid", "attributes.created_at")
    ]


@pytest.mark.parametrize("value", [-1, 0, 1696161600, 10**11 - 1])
def test_whole_unix_seconds_are_taken(api: Api, value: int) -> None:
    api.ok("POST", EVENTS, event(timestamp=value))
    api.ok("PUT", CUSTOMER, {"created_at": value})
    assert api.person("event", name="n", timestamp=value) == []
    assert [e["timestamp"] for e in api.fake.events] == [value, value]


def test_created_at_may_be_null_and_an_event_timestamp_may_not(api: Api) -> None:
    api.ok("PUT", CUSTOMER, {"created_at": None})
    assert api.errors("POST", EVENTS, event(timestamp=None))


# Events


@pytest.mark.parametrize("value", [None, "", "  ", 1, True, {}])
def test_an_event_needs_a_name_that_is_not_blank(api: Api, value: Any) -> None:
    assert api.errors("POST", EVENTS, {"name": value}) == [
        "name: must be a string that is not blank"
    ]
    assert api.person("event", name=value)[0][1] == "name"


def test_an_event_without_a_name_is_rejected(api: Api) -> None:
    assert api.errors("POST", EVENTS, {}) == ["name: is required"]
    for action in ("event", "page", "screen"):
        assert api.person(action) == [("required", "name")]


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("id", 1),
        ("id", None),
        ("type", "click"),
        ("type", 1),
        ("data", []),
        ("data", None),
        ("data", "x"),
        ("anonymous_id", 7),
        ("anonymous_id", ""),
        ("anonymous_id", None),
    ],
)
def test_the_other_keys_of_an_event_have_types(api: Api, key: str, bad: Any) -> None:
    (error,) = api.errors("POST", EVENTS, event(**{key: bad}))
    assert error.startswith(f"{key}: must be")


@pytest.mark.parametrize("kind", ["event", "page", "screen"])
def test_an_event_has_one_of_three_types(api: Api, kind: str) -> None:
    api.ok("POST", EVENTS, event(type=kind))
    assert api.person(kind, name="n") == []
    assert [e["type"] for e in api.fake.events] == [kind, kind]


@pytest.mark.parametrize("key", ["recipient", "from_address", "reply_to"])
def test_reserved_event_data_may_be_anything(api: Api, key: str) -> None:
    values: list[Any] = ["a@b.co", 1, None, {}]
    for value in values:
        api.ok("POST", EVENTS, event(data={key: value}))
        assert api.person("event", name="n", attributes={key: value}) == []


def test_unknown_keys_beside_an_events_own_are_rejected(api: Api) -> None:
    assert api.errors("POST", EVENTS, event(properties={})) == [
        "properties: is not a key of this request"
    ]
    assert api.person("event", name="n", data={}) == [("unknown", "data")]


def test_an_anonymous_event_needs_an_anonymous_id_or_a_recipient(api: Api) -> None:
    api.ok("POST", "/api/v1/events", event(anonymous_id="a"))
    api.ok("POST", "/api/v1/events", event(data={"recipient": "a@b.co"}))
    assert api.errors("POST", "/api/v1/events", event(data={"recipient": ""})) == [
        "anonymous_id: or data.recipient is required"
    ]


# Persons


@pytest.mark.parametrize(
    "who", [{"id": "u"}, {"email": "a@b.co"}, {"cio_id": "1"}, {"phone": "+14155552671"}]
)
@pytest.mark.parametrize("action", ["identify", "delete", "suppress", "unsuppress"])
def test_v2_names_a_person_by_any_one_identifier(
    api: Api, who: dict[str, str], action: str
) -> None:
    assert api.person(action, who) == []


@pytest.mark.parametrize(
    ("who", "problem"),
    [
        ({}, ("required", "identifiers")),
        ({"id": "u", "email": "a@b.co"}, ("invalid", "identifiers")),
        ({"id": 1}, ("invalid", "identifiers.id")),
        ({"id": ""}, ("invalid", "identifiers.id")),
        ({"phone": "0123"}, ("invalid", "identifiers.phone")),
        ("u", ("invalid", "identifiers")),
    ],
)
def test_v2_rejects_other_ways_to_name_a_person(
    api: Api, who: Any, problem: tuple[str, str]
) -> None:
    assert api.person("identify", who) == [problem]


def test_only_events_may_be_of_an_anonymous_id(api: Api) -> None:
    who = {"anonymous_id": "a"}
    for action in ("event", "page", "screen"):
        assert api.person(action, who, name="n") == []
    assert ("unknown", "identifiers.anonymous_id") in api.person("identify", who)
    assert api.person("event", {"id": "u", "anonymous_id": "a"}, name="n") == [
        ("invalid", "identifiers")
    ]


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"id": 7}, "id"),
        ({"email": 7}, "email"),
        ({"anonymous_id": 7}, "anonymous_id"),
        ({"_update": 1}, "_update"),
        ({"cio_subscription_preferences": {"topics": {"topic_1": 1}}}, None),
    ],
)
def test_reserved_attributes_have_types(
    api: Api, attributes: dict[str, Any], field: str | None
) -> None:
    field = field or "cio_subscription_preferences.topics.topic_1"
    (error,) = api.errors("PUT", CUSTOMER, attributes)
    assert error.startswith(f"{field}: ")
    assert api.person("identify", attributes=attributes) == [("invalid", f"attributes.{field}")]


def test_a_timestamp_steers_v1s_identify_and_is_rejected_among_v2s_attributes(api: Api) -> None:
    api.ok("PUT", CUSTOMER, {"_timestamp": 1, "plan": "pro"})
    assert api.fake.people[0]["attributes"] == {"plan": "pro"}
    assert api.person("identify", timestamp=2, attributes={"plan": "free"}) == []
    values: list[Any] = [3, "3", None]
    for value in values:
        assert messages(api, identify(attributes={"_timestamp": value})) == [
            "is a key of v1 alone: in v2 the operation has timestamp, beside its attributes"
        ]
    assert api.person("event", name="n", attributes={"_timestamp": "only data"}) == []


def test_relationships_among_v2s_attributes_are_rejected(api: Api) -> None:
    given: list[Any] = [[TO_OBJECT], relationships("add_relationships", [TO_OBJECT])]
    for value in given:
        assert messages(api, identify(attributes={"cio_relationships": value})) == [
            "must be beside the attributes, as a list"
        ]
    assert api.person("identify", cio_relationships=[TO_OBJECT]) == []
    assert api.person("identify", **relationships("add_relationships", [TO_OBJECT])) == [
        ("invalid", "cio_relationships")
    ]


def identify(**rest: Any) -> dict[str, Any]:
    return {"type": "person", "action": "identify", "identifiers": {"id": "u"}, **rest}


def messages(api: Api, item: dict[str, Any]) -> list[str]:
    response = api.call("POST", "/api/v2/entity", item)
    assert response.status == 400
    return [error["message"] for error in orjson.loads(response.body)["errors"]]


def test_identify_takes_any_other_attribute_of_any_type(api: Api) -> None:
    attributes = {"s": "x", "i": 2**53 + 1, "f": 1.5, "b": False, "o": {"a": [1]}, "a": []}
    api.ok("PUT", CUSTOMER, attributes)
    assert api.fake.people[0]["attributes"] == attributes


def test_v1_relationships_have_an_action_and_objects(api: Api) -> None:
    api.ok("PUT", CUSTOMER, relationships("add_relationships", [TO_OBJECT]))
    assert api.errors("PUT", CUSTOMER, relationships("remove", [TO_OBJECT]))
    assert api.errors("PUT", CUSTOMER, relationships("add_relationships", [{}])) == [
        "cio_relationships.relationships[0].identifiers: is required"
    ]
    assert api.errors("PUT", CUSTOMER, {"cio_relationships": {}}) == [
        "cio_relationships.action: is required",
        "cio_relationships.relationships: is required",
    ]


def relationships(action: str, entries: list[Any]) -> dict[str, Any]:
    return {"cio_relationships": {"action": action, "relationships": entries}}


# Devices


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"platform": "windows"}, "platform"),
        ({"platform": None}, "platform"),
        ({"attributes": []}, "attributes"),
        ({"model": "x"}, "model"),
    ],
)
def test_a_device_has_a_token_a_platform_and_nothing_unknown(
    api: Api, change: dict[str, Any], field: str
) -> None:
    good: dict[str, Any] = {"platform": "ios", "attributes": {"app_version": "1"}, "last_used": 1}
    path = f"{CUSTOMER}/devices"
    api.ok("PUT", path, {"device": {"id": "t", **good}})
    assert api.person("add_device", device={"token": "t", **good}) == []
    (error,) = api.errors("PUT", path, {"device": {"id": "t", **good, **change}})
    assert error.startswith(f"device.{field}: ")
    ((_, at),) = api.person("add_device", device={"token": "t", **good, **change})
    assert at == f"device.{field}"


@pytest.mark.parametrize("value", [1, 1.5, True, None, {}, ["x"]])
def test_the_attributes_of_a_device_are_strings(api: Api, value: Any) -> None:
    def device(given: Any) -> dict[str, Any]:
        return {"platform": "ios", "attributes": {"app_version": "1", "own": given}}

    path = f"{CUSTOMER}/devices"
    for text in ("", "x" * 2000):
        api.ok("PUT", path, {"device": {"id": "t", **device(text)}})
        assert api.person("add_device", device={"token": "t", **device(text)}) == []
    assert api.errors("PUT", path, {"device": {"id": "t", **device(value)}}) == [
        "device.attributes.own: must be a string"
    ]
    assert api.person("add_device", device={"token": "t", **device(value)}) == [
        ("invalid", "device.attributes.own")
    ]


@pytest.mark.parametrize(("value", "good"), [("true", True), ("false", True), ("yes", False)])
def test_whether_a_device_takes_pushes_is_true_or_false_as_text(
    api: Api, value: str, good: bool
) -> None:
    device = {"token": "t", "platform": "ios", "attributes": {"push_enabled": value}}
    assert (api.person("add_device", device=device) == []) is good


def test_a_device_without_token_or_platform_is_rejected(api: Api) -> None:
    assert sorted(api.errors("PUT", f"{CUSTOMER}/devices", {"device": {}})) == [
        "device.id: is required",
        "device.platform: is required",
    ]
    assert api.errors("PUT", f"{CUSTOMER}/devices", {}) == ["device: is required"]
    assert api.person("add_device", device={"id": "t", "platform": "ios"}) == [
        ("required", "device.token"),
        ("unknown", "device.id"),
    ]
    assert api.person("delete_device", device={}) == [("required", "device.token")]
    assert api.person("delete_device", device={"token": "t"}) == []


# Merge, metrics, segments, forms, unsubscribe


@pytest.mark.parametrize(
    "side", [{}, {"id": "a", "email": "a@b.co"}, {"phone": "+1"}, {"id": None}, "a", None]
)
def test_a_merge_names_each_person_by_exactly_one_identifier(api: Api, side: Any) -> None:
    good = {"id": "a"}
    response = api.call("POST", "/api/v1/merge_customers", {"primary": good, "secondary": side})
    assert response.status == 400
    assert "secondary" in orjson.loads(response.body)["meta"]["error"]
    assert api.entity({"type": "person", "action": "merge", "primary": good, "secondary": side})
    assert api.entity({"type": "person", "action": "merge", "primary": side, "secondary": good})
    assert api.entity({"type": "person", "action": "merge", "primary": good}) == [
        ("required", "secondary")
    ]


@pytest.mark.parametrize("change", [{"metric": "read"}, {"delivery_id": 1}, {"x": 1}, {"href": 1}])
def test_a_metric_has_a_delivery_and_a_known_name(api: Api, change: dict[str, Any]) -> None:
    good = {"delivery_id": "d", "metric": "clicked", "recipient": 49123, "timestamp": 1}
    api.ok("POST", "/api/v1/metrics", good)
    assert api.errors("POST", "/api/v1/metrics", {**good, **change})
    assert api.errors("POST", "/api/v1/push/events", {"event": "clicked"})


@pytest.mark.parametrize("missing", ["delivery_id", "metric"])
def test_a_metric_without_its_delivery_or_its_name_is_rejected(api: Api, missing: str) -> None:
    body = {"delivery_id": "d", "metric": "clicked"}
    del body[missing]
    assert api.errors("POST", "/api/v1/metrics", body) == [f"{missing}: is required"]


@pytest.mark.parametrize(
    "metric",
    [
        *("bounced", "clicked", "converted", "deferred"),
        *("delivered", "dropped", "opened", "spammed"),
    ],
)
def test_v2_takes_three_of_the_eight_metrics(api: Api, metric: str) -> None:
    api.ok("POST", "/api/v1/metrics", {"delivery_id": "d", "metric": metric, "recipient": "a"})
    good = metric in ("opened", "converted", "delivered")
    assert (api.entity(delivery(name=metric)) == []) is good


def test_a_delivery_of_v2_has_a_device_and_no_place_for_a_time(api: Api) -> None:
    assert api.entity(delivery(name="opened")) == []
    assert api.entity(delivery(name="bounced", attributes={})) == [
        ("invalid", "name"),
        ("required", "attributes.device_token"),
    ]
    assert api.entity(delivery(name="opened", timestamp=1)) == [("unknown", "timestamp")]
    assert api.entity(delivery()) == [("required", "name")]
    for identifiers in ({}, {"delivery_id": "d"}):
        assert api.entity(delivery(name="opened", identifiers=identifiers))


def delivery(**rest: Any) -> dict[str, Any]:
    item = {"type": "delivery", "action": "event", "identifiers": {"id": "d"}}
    return {**item, "attributes": {"device_token": "t"}, **rest}


@pytest.mark.parametrize("ids", [None, [], [1], "u", ["u"] * 1001])
def test_a_segment_takes_one_to_a_thousand_strings(api: Api, ids: Any) -> None:
    path = "/api/v1/segments/7/add_customers"
    api.ok("POST", path, {"ids": ["u"] * 1000})
    assert api.errors("POST", path, {"ids": ids})


def test_a_segment_has_a_number_and_a_known_id_type(api: Api) -> None:
    assert api.errors("POST", "/api/v1/segments/x/add_customers", {"ids": ["u"]})
    path = "/api/v1/segments/7/add_customers?id_type="
    assert api.errors("POST", f"{path}phone", {"ids": ["u"]}) == [
        "id_type: must be one of id, email, cio_id"
    ]
    api.ok("POST", f"{path}cio_id", {"ids": ["u"]})


@pytest.mark.parametrize(
    "data", [None, {}, {"name": "A"}, {"id": "a", "email": "a@b.co"}, {"id": "a", "n": 1}]
)
def test_a_form_names_one_person_and_holds_strings(api: Api, data: Any) -> None:
    assert api.errors("POST", "/api/v1/forms/f/submit", {"data": data})


def test_unsubscribe_takes_a_boolean(api: Api) -> None:
    assert api.errors("POST", "/unsubscribe/d", {"unsubscribe": "yes"})


# Operations of v2


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({}, ("required", "type")),
        ({"type": "car", "action": "identify"}, ("invalid", "type")),
        ({"type": ["person"], "action": "identify"}, ("invalid", "type")),
        ({"type": "person"}, ("required", "action")),
        ({"type": "person", "action": "fly"}, ("invalid", "action")),
        ({"type": "object", "action": "event"}, ("invalid", "action")),
        ({"type": "person", "action": "delete"}, ("required", "identifiers")),
    ],
)
def test_an_operation_has_a_known_type_and_action(
    api: Api, item: dict[str, Any], problem: tuple[str, str]
) -> None:
    assert api.entity(item) == [problem]


@pytest.mark.parametrize("kind", ["person", "object", "delivery"])
def test_every_operation_rejects_unknown_keys(api: Api, kind: str) -> None:
    for action in load().operations[kind]:
        problems = api.entity({"type": kind, "action": action, "surprise": 1})
        assert ("unknown", "surprise") in problems


@pytest.mark.parametrize("action", ["identify", "identify_anonymous", "delete"])
@pytest.mark.parametrize(
    ("identifiers", "good"),
    [
        ({"object_type_id": "1", "object_id": "acme"}, True),
        ({"cio_object_id": "ob1"}, True),
        ({"object_type_id": 1, "object_id": "acme"}, False),
        ({"object_type_id": "0", "object_id": "acme"}, False),
        ({"object_type_id": "1"}, False),
        ({"object_type_id": "1", "object_id": "acme", "cio_object_id": "ob1"}, False),
        ({"id": "acme"}, False),
    ],
)
def test_an_object_is_named_by_type_and_id_or_by_cio_object_id(
    api: Api, action: str, identifiers: dict[str, Any], good: bool
) -> None:
    problems = api.entity({"type": "object", "action": action, "identifiers": identifiers})
    assert (problems == []) is good


@pytest.mark.parametrize("action", ["identify", "add_relationships", "delete_relationships"])
@pytest.mark.parametrize(
    ("who", "good"),
    [
        ({"id": "u"}, True),
        ({"email": "a@b.co"}, True),
        ({"cio_id": "1"}, True),
        ({"phone": "+14155552671"}, False),
        ({"anonymous_id": "a"}, False),
        ({}, False),
    ],
)
def test_an_object_relates_people_by_id_email_or_cio_id(
    api: Api, action: str, who: dict[str, str], good: bool
) -> None:
    thing = {"type": "object", "action": action, **TO_OBJECT}
    assert (api.entity({**thing, "cio_relationships": [{"identifiers": who}]}) == []) is good


@pytest.mark.parametrize("action", ["add_relationships", "delete_relationships"])
def test_relationships_are_required_where_the_action_is_about_them(api: Api, action: str) -> None:
    assert api.person(action) == [("required", "cio_relationships")]
    assert api.person(action, cio_relationships=[TO_OBJECT]) == []
    to_person = {"identifiers": {"id": "u"}}
    thing = {"type": "object", "action": action, **TO_OBJECT}
    assert api.entity(thing) == [("required", "cio_relationships")]
    assert api.entity({**thing, "cio_relationships": [to_person]}) == []
    assert api.entity({**thing, "cio_relationships": ["u"]}) == [
        ("invalid", "cio_relationships[0]")
    ]


def test_identify_anonymous_relates_anonymous_ids_only(api: Api) -> None:
    thing = {"type": "object", "action": "identify_anonymous", **TO_OBJECT}
    assert (
        api.entity({**thing, "cio_relationships": [{"identifiers": {"anonymous_id": "a"}}]}) == []
    )
    assert api.entity({**thing, "cio_relationships": [{"identifiers": {"id": "u"}}]})


# Limits, in bytes of UTF-8: é is two


def test_an_id_of_a_person_has_at_most_150_bytes(api: Api) -> None:
    fits, over = "é" * 75, "é" * 75 + "x"
    encoded = "%C3%A9" * 75
    api.ok("PUT", f"/api/v1/customers/{encoded}", {"id": fits})
    assert api.person("identify", {"id": fits}) == []
    assert api.errors("PUT", f"/api/v1/customers/{encoded}x", {}) == [
        "identifier.id: is 151 bytes; at most 150 are allowed"
    ]
    assert api.errors("PUT", CUSTOMER, {"id": over})
    assert api.person("identify", {"id": over}) == [("too_large", "identifiers.id")]


def test_an_id_of_an_object_has_at_most_150_bytes(api: Api) -> None:
    def identify(object_id: str) -> list[tuple[str, str]]:
        identifiers = {"object_type_id": "1", "object_id": object_id}
        return api.entity({"type": "object", "action": "identify", "identifiers": identifiers})

    assert identify("é" * 75) == []
    assert identify("é" * 75 + "x") == [("too_large", "identifiers.object_id")]


@pytest.mark.parametrize(
    ("fits", "over"),
    [
        ({"é" * 75: 1}, {"é" * 76: 1}),
        ({"a": "é" * 500}, {"a": "é" * 500 + "x"}),
        ({"a": ["x" * 996]}, {"a": ["x" * 997]}),
        ({"a": {"k": "x" * 992}}, {"a": {"k": "x" * 993}}),
        ({str(n): n for n in range(300)}, {str(n): n for n in range(301)}),
    ],
)
def test_attributes_have_limits_for_people_objects_and_relationships(
    api: Api, fits: dict[str, Any], over: dict[str, Any]
) -> None:
    thing = {"type": "object", "action": "identify", **TO_OBJECT}
    api.ok("PUT", CUSTOMER, fits)
    assert api.person("identify", attributes=fits) == []
    assert api.entity({**thing, "attributes": fits}) == []
    assert "at most" in api.errors("PUT", CUSTOMER, over)[0]
    assert api.person("identify", attributes=over)[0][0] == "too_large"
    assert api.entity({**thing, "attributes": over})[0][0] == "too_large"
    related = [{**TO_OBJECT, "relationship_attributes": over}]
    assert api.person("add_relationships", cio_relationships=related)[0][0] == "too_large"


def test_what_steers_a_call_does_not_count_as_an_attribute(api: Api) -> None:
    many = [{"identifiers": {"object_type_id": "1", "object_id": str(n)}} for n in range(100)]
    body = {**{str(n): n for n in range(300)}, "_update": False, "_timestamp": 1}
    api.ok("PUT", CUSTOMER, {**body, **relationships("add_relationships", many)})


def test_the_attributes_of_an_object_have_at_most_100_kb_together(api: Api) -> None:
    # By v2 the limit of 32 KB an operation is met first; v1 has none, so relationships reach it.
    def relate(count: int) -> Any:
        given = {f"{n:04}": "x" * 990 for n in range(count)}
        return relationships("add_relationships", [{**TO_OBJECT, "relationship_attributes": given}])

    api.ok("PUT", CUSTOMER, relate(102))
    assert api.errors("PUT", CUSTOMER, relate(103)) == [
        "cio_relationships.relationships[0].relationship_attributes: "
        "is 103,001 bytes; at most 102,400 are allowed"
    ]


def test_an_event_name_has_at_most_100_bytes_after_trimming(api: Api) -> None:
    fits, over = f"  {'é' * 50}  ", "é" * 50 + "x"
    api.ok("POST", EVENTS, {"name": fits})
    assert api.person("page", name=fits) == []
    assert api.errors("POST", EVENTS, {"name": over}) == [
        "name: is 101 bytes; at most 100 are allowed"
    ]
    assert api.person("screen", name=over) == [("too_large", "name")]


def test_the_data_of_a_v1_event_has_at_most_100000_bytes_of_compact_json(api: Api) -> None:
    fits = {"k": "é" * 49_996}  # 8 bytes around 99,992
    api.ok("POST", EVENTS, b" " * 5000 + orjson.dumps(event(data=fits)))
    assert api.errors("POST", EVENTS, event(data={"k": "é" * 49_996 + "x"})) == [
        "data: is 100,001 bytes; at most 100,000 are allowed"
    ]


def test_a_v2_operation_has_at_most_32_kb_of_compact_json(api: Api) -> None:
    item = {"type": "person", "action": "event", "identifiers": {"id": "u"}, "name": "n"}
    room = 32 * 1024 - len(orjson.dumps({**item, "attributes": {"k": ""}}))
    fits = {**item, "attributes": {"k": "x" * room}}
    over = {**item, "attributes": {"k": "x" * (room + 1)}}
    assert api.call("POST", "/api/v2/entity", b" " * 99 + orjson.dumps(fits)).status == 200
    assert api.entity(over) == [("too_large", "")]
    response = api.batch(fits, over)
    assert response.status == 207
    assert orjson.loads(response.body)["errors"][0]["batch_index"] == 1


def test_a_v2_batch_has_at_most_500_kb_as_sent(api: Api) -> None:
    item = b'{"type":"person","action":"delete","identifiers":{"id":"u"}}'
    body = b'{"batch":[' + item + b"]}"
    fits = body + b" " * (500 * 1024 - len(body))
    assert api.call("POST", "/api/v2/batch", fits).status == 200
    response = api.call("POST", "/api/v2/batch", fits + b" ")
    assert response.status == 400
    assert orjson.loads(response.body)["errors"][0]["reason"] == "too_large"


@pytest.mark.parametrize("body", [{}, {"batch": []}, {"batch": {}}, {"batch": None}, {"b": []}])
def test_a_malformed_batch_is_rejected_whole(api: Api, body: Any) -> None:
    response = api.call("POST", "/api/v2/batch", body)
    assert response.status == 400
    assert "batch_index" not in orjson.loads(response.body)["errors"][0]
