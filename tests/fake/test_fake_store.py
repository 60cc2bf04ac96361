"""What becomes of accepted calls."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from cio_fake import FakeCustomerIO

from tests.fake.client import NOW, ULID, Api

DAY = 24 * 3600
ACME = {"object_type_id": "1", "object_id": "acme"}


def identify(api: Api, who: str, **attributes: Any) -> None:
    api.ok("PUT", f"/api/v1/customers/{who}", attributes)


def track(api: Api, who: str, **rest: Any) -> None:
    api.ok("POST", f"/api/v1/customers/{who}/events", {"name": "n", **rest})


def anonymous(api: Api, anonymous_id: str, **rest: Any) -> None:
    api.ok("POST", "/api/v1/events", {"name": "n", "anonymous_id": anonymous_id, **rest})


def ids(api: Api) -> list[Any]:
    return [person["identifiers"].get("id") for person in api.fake.people]


def owners(api: Api) -> list[Any]:
    return [e["person"] and e["person"].get("id") for e in api.fake.events]


# People


def test_attributes_merge_and_null_unsets(api: Api) -> None:
    identify(api, "u", plan="pro", seats=3)
    identify(api, "u", plan=None, city="Köln")
    assert api.fake.people == [
        {
            "identifiers": {"id": "u", "cio_id": "00000001"},
            "attributes": {"seats": 3, "city": "Köln"},
            "segments": [],
        }
    ]


def test_v1_and_v2_identify_leave_the_same_behind(api: Api) -> None:
    identify(api, "a", plan="pro", created_at=1)
    api.person("identify", {"id": "b"}, attributes={"plan": "pro", "created_at": 1})
    one, two = (person["attributes"] for person in api.fake.people)
    assert one == two


def test_update_only_creates_nobody(api: Api) -> None:
    identify(api, "u", _update=True, plan="pro")
    assert api.person("identify", attributes={"_update": True}) == []
    assert api.fake.people == []
    identify(api, "u")
    identify(api, "u", _update=True, plan="pro")
    assert api.fake.people[0]["attributes"] == {"plan": "pro"}


def test_an_unknown_cio_id_is_dropped(api: Api) -> None:
    identify(api, "cio_beef", plan="pro")
    track(api, "cio_beef")
    assert (api.fake.people, api.fake.events) == ([], [])
    assert api.fake.stats["ignored"] == {"unknown": 2}


def test_an_email_in_the_body_finds_the_person_who_then_gets_the_id(api: Api) -> None:
    identify(api, "Ann%40example.com", plan="pro")
    identify(api, "u1", email="ann@EXAMPLE.com")
    identify(api, "u2", email="ann@example.com")
    assert ids(api) == ["u2"]
    assert api.fake.people[0]["attributes"] == {"plan": "pro"}


def test_an_identifier_of_somebody_else_is_not_taken(api: Api) -> None:
    identify(api, "a", email="a@example.com")
    identify(api, "b", email="b@example.com")
    identify(api, "b", email="a@example.com", plan="pro")
    assert [p["identifiers"]["email"] for p in api.fake.people] == [
        "a@example.com",
        "b@example.com",
    ]
    assert api.fake.people[1]["attributes"] == {"plan": "pro"}
    assert api.fake.stats["ignored"] == {"conflict": 1}


def test_an_id_changes_by_cio_id_alone_and_an_email_by_id(api: Api) -> None:
    identify(api, "a", email="a@example.com")
    identify(api, "a", id="b", email="b@example.com")
    assert api.fake.people[0]["identifiers"] == {
        "id": "a",
        "email": "b@example.com",
        "cio_id": "00000001",
    }
    identify(api, "cio_00000001", id="b")
    assert ids(api) == ["b"]
    identify(api, "b", plan="pro")
    assert len(api.fake.people) == 1


def test_null_takes_an_email_away_but_never_what_the_person_was_named_by(api: Api) -> None:
    identify(api, "a", email="a@example.com")
    identify(api, "a", email=None, id=None)
    assert api.fake.people[0]["identifiers"] == {"id": "a", "cio_id": "00000001"}


def test_an_update_older_than_the_last_edit_is_dropped(api: Api) -> None:
    identify(api, "u", plan="old", _timestamp=100)
    identify(api, "u", plan="new", _timestamp=200)
    api.person("identify", timestamp=150, attributes={"plan": "late"})
    assert api.fake.people[0]["attributes"] == {"plan": "new"}
    identify(api, "u", plan="now")
    identify(api, "u", plan="late", _timestamp=int(NOW) - 1)
    assert api.fake.people[0]["attributes"] == {"plan": "now"}
    assert api.fake.stats["ignored"] == {"stale": 2}


def test_deleting_a_person_takes_all_that_is_theirs(api: Api) -> None:
    identify(api, "u", anonymous_id="x")
    track(api, "u")
    api.ok("PUT", "/api/v1/customers/u/devices", {"device": {"id": "t", "platform": "ios"}})
    api.person("add_relationships", cio_relationships=[{"identifiers": ACME}])
    api.ok("DELETE", "/api/v1/customers/u")
    assert (api.fake.people, api.fake.events, api.fake.devices) == ([], [], [])
    assert api.fake.objects[0]["relationships"] == []
    anonymous(api, "x")
    assert owners(api) == [None]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_suppressed_person_is_gone_and_ignored_until_unsuppressed(api: Api, version: str) -> None:
    def ask(action: str) -> None:
        if version == "v1":
            api.ok("POST", f"/api/v1/customers/u/{action}")
        else:
            assert api.person(action) == []

    identify(api, "u", email="U@example.com")
    ask("suppress")
    barred = [{"id": "u"}, {"email": "u@example.com"}, {"cio_id": "00000001"}]
    assert sorted(api.fake.suppressed, key=barred.index) == barred
    identify(api, "u")
    identify(api, "u%40example.com")
    identify(api, "w", email="u@example.com")
    track(api, "u")
    assert (api.fake.people, api.fake.events) == ([], [])
    assert api.fake.stats["ignored"] == {"suppressed": 4}
    ask("unsuppress")
    assert (api.fake.people, api.fake.suppressed) == ([], [])
    identify(api, "u%40example.com")
    identify(api, "u")
    assert len(api.fake.people) == 2


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_merge_folds_the_secondary_into_the_primary(api: Api, version: str) -> None:
    identify(api, "keep", plan="pro", city="")
    identify(api, "gone", plan="free", city="Köln", email="g@example.com", anonymous_id="x")
    track(api, "gone")
    api.ok("PUT", "/api/v1/customers/gone/devices", {"device": {"id": "t", "platform": "ios"}})
    api.ok("POST", "/api/v1/segments/7/add_customers", {"ids": ["gone", "nobody"]})
    api.person("add_relationships", {"id": "gone"}, cio_relationships=[{"identifiers": ACME}])
    pair = {"primary": {"id": "keep"}, "secondary": {"id": "gone"}}
    if version == "v1":
        api.ok("POST", "/api/v1/merge_customers", pair)
    else:
        assert api.entity({"type": "person", "action": "merge", **pair}) == []
    assert api.fake.people == [
        {
            "identifiers": {"id": "keep", "email": "g@example.com", "cio_id": "00000001"},
            "attributes": {"plan": "pro", "city": "Köln", "anonymous_id": "x"},
            "segments": [7],
        }
    ]
    anonymous(api, "x")
    assert owners(api) == ["keep", "keep"]
    assert api.fake.devices[0]["person"]["id"] == "keep"
    assert api.fake.objects[0]["relationships"][0]["identifiers"] == {"cio_id": "00000001"}


def test_a_merge_with_somebody_unknown_does_nothing(api: Api) -> None:
    identify(api, "a")
    for primary, secondary in (("a", "b"), ("b", "a"), ("a", "a")):
        pair = {"primary": {"id": primary}, "secondary": {"id": secondary}}
        api.ok("POST", "/api/v1/merge_customers", pair)
    assert ids(api) == ["a"]


def test_segments_take_and_lose_known_people_by_any_identifier(api: Api) -> None:
    identify(api, "a", email="a@example.com")
    path = "/api/v1/segments/7"
    api.ok("POST", f"{path}/add_customers?id_type=email", {"ids": ["A@example.com"]})
    assert api.fake.people[0]["segments"] == [7]
    api.ok("POST", f"{path}/remove_customers", {"ids": ["a"]})
    assert api.fake.people[0]["segments"] == []


def test_a_form_identifies_whoever_submitted_it(api: Api) -> None:
    data = {"email": "a@example.com", "food": "pizza", "form_name": "x"}
    assert api.call("POST", "/api/v1/forms/f/submit", {"data": data}).status == 204
    assert api.fake.people[0]["attributes"] == {"food": "pizza"}
    assert api.fake.people[0]["identifiers"]["email"] == "a@example.com"


# Devices


def test_devices_are_added_replaced_and_deleted(api: Api) -> None:
    path = "/api/v1/customers/u/devices"
    api.ok("PUT", path, {"device": {"id": "a/b", "platform": "ios"}})
    device = {"token": "a/b", "platform": "android", "last_used": 7, "attributes": {"x": "1"}}
    assert api.person("add_device", device=device) == []
    assert api.fake.devices == [{"person": {"id": "u", "cio_id": "00000001"}, **device}]
    api.ok("DELETE", f"{path}/a%2Fb")
    assert api.fake.devices == []


def test_a_device_without_last_used_was_used_when_the_call_came(api: Api) -> None:
    api.ok("PUT", "/api/v1/customers/u/devices", {"device": {"id": "t", "platform": "ios"}})
    assert api.fake.devices[0]["last_used"] == int(NOW)
    assert api.person("delete_device", device={"token": "t"}) == []
    assert api.fake.devices == []


# Events


def test_a_known_persons_event_is_the_same_by_both_ways_but_for_the_anonymous_id(api: Api) -> None:
    track(api, "u", id="1", timestamp=5, data={"a": 1}, type="page", anonymous_id="x")
    attributes = {"a": 1, "anonymous_id": "x"}
    api.person("page", name="n", id="1", timestamp=5, attributes=attributes)
    one, two = api.fake.events
    assert one == {
        "name": "n",
        "type": "page",
        "id": "1",
        "timestamp": 5,
        "data": {"a": 1},
        "anonymous_id": "x",
        "person": {"id": "u", "cio_id": "00000001"},
    }
    assert two == {**one, "data": attributes, "anonymous_id": None}


def test_an_anonymous_event_is_the_same_by_both_ways(api: Api) -> None:
    anonymous(api, "x", timestamp=5, data={"a": 1})
    api.person("event", {"anonymous_id": "x"}, name="n", timestamp=5, attributes={"a": 1})
    one, two = api.fake.events
    assert one == two
    assert (one["anonymous_id"], one["person"]) == ("x", None)


def test_an_event_gets_its_defaults_and_a_trimmed_name(api: Api) -> None:
    track(api, "u", name="  Signed Up ")
    (kept,) = api.fake.events
    assert (kept["name"], kept["type"], kept["timestamp"]) == ("Signed Up", "event", int(NOW))
    assert (kept["id"], kept["data"], kept["anonymous_id"]) == (None, {}, None)


def test_an_event_of_somebody_unknown_adds_the_person(api: Api) -> None:
    track(api, "u")
    assert ids(api) == ["u"]


@pytest.mark.parametrize("repeat", [ULID, ULID.lower()])
def test_a_repeated_ulid_is_kept_once_whoever_sends_it(api: Api, repeat: str) -> None:
    track(api, "u", id=ULID)
    track(api, "u", id=repeat)
    api.person("event", {"id": "w"}, name="other", id=repeat)
    assert len(api.fake.events) == 1
    assert api.fake.stats["ignored_repeats"] == 2


@pytest.mark.parametrize("event_id", ["order-7", ULID[:-1], "8" + ULID[1:], "I" * 26, ULID + "\n"])
def test_a_repeated_id_that_is_no_ulid_is_kept_each_time(api: Api, event_id: str) -> None:
    track(api, "u", id=event_id)
    track(api, "u", id=event_id)
    assert len(api.fake.events) == 2
    assert api.fake.stats["ignored_repeats"] == 0


def test_a_rejected_event_does_not_take_its_ulid(api: Api) -> None:
    assert api.errors("POST", "/api/v1/customers/u/events", {"id": ULID})
    track(api, "u", id=ULID)
    assert len(api.fake.events) == 1


def test_claiming_an_anonymous_id_brings_its_events_of_the_last_30_days(api: Api) -> None:
    anonymous(api, "x")
    api.now += 30 * DAY
    anonymous(api, "x", timestamp=1)
    anonymous(api, "y")
    api.now += 1
    identify(api, "u", anonymous_id="x")
    assert owners(api) == [None, "u", None]


def test_an_anonymous_event_that_comes_later_belongs_to_who_claimed_its_id(api: Api) -> None:
    identify(api, "u", anonymous_id="x")
    anonymous(api, "x")
    api.person("event", {"anonymous_id": "x"}, name="n")
    assert owners(api) == ["u", "u"]


def test_an_anonymous_id_stays_with_the_first_who_claims_it(api: Api) -> None:
    identify(api, "u", anonymous_id="x")
    identify(api, "w", anonymous_id="x")
    identify(api, "u", anonymous_id=None)
    anonymous(api, "x")
    assert owners(api) == ["u"]


def test_an_invite_belongs_to_nobody(api: Api) -> None:
    data = {"recipient": "a@example.com"}
    api.ok("POST", "/api/v1/events", {"name": "n", "data": data})
    assert owners(api) == [None]


# Batches


def test_a_batch_applies_the_good_items_and_names_the_bad_by_index(api: Api) -> None:
    def tracked(name: Any, **rest: Any) -> dict[str, Any]:
        item = {"type": "person", "action": "event", "identifiers": {"id": "u"}}
        return {**item, "name": name, **rest}

    response = api.batch(tracked("a"), tracked(""), tracked("b"), 7, tracked(1, extra=1))
    errors = orjson.loads(response.body)["errors"]
    assert response.status == 207
    assert [(e["batch_index"], e["reason"], e["field"]) for e in errors] == [
        (1, "required", "name"),
        (3, "malformed", ""),
        (4, "invalid", "name"),
        (4, "unknown", "extra"),
    ]
    assert [e["name"] for e in api.fake.events] == ["a", "b"]
    assert api.fake.stats["operations"] == 2
    assert api.fake.stats["rejected_operations"] == 3


# Objects


def test_objects_hold_attributes_and_lose_them_by_null_or_nothing(api: Api) -> None:
    thing = {"type": "object", "action": "identify", "identifiers": ACME}
    api.entity({**thing, "attributes": {"name": "Acme", "plan": "pro", "seats": 0}})
    by_cio = {**thing, "identifiers": {"cio_object_id": "ob00000001"}}
    api.entity({**by_cio, "attributes": {"name": "", "plan": None, "city": "Köln"}})
    (held,) = api.fake.objects
    assert held["identifiers"] == {**ACME, "cio_object_id": "ob00000001"}
    assert held["attributes"] == {"seats": 0, "city": "Köln"}
    api.entity({"type": "object", "action": "delete", "identifiers": ACME})
    assert api.fake.objects == []


def test_relationships_are_the_same_from_either_side(api: Api) -> None:
    given = {"role": "admin"}
    to_object = {"identifiers": ACME, "relationship_attributes": given}
    to_person = {"identifiers": {"id": "u"}, "relationship_attributes": given}
    thing = {"type": "object", "identifiers": ACME}
    related = [{"identifiers": {"cio_id": "00000001"}, "relationship_attributes": given}]
    v1 = {"action": "add_relationships", "relationships": [to_object]}

    def undo() -> None:
        api.entity(
            {
                **thing,
                "action": "delete_relationships",
                "cio_relationships": [{"identifiers": {"id": "u"}}],
            }
        )
        assert api.fake.objects[0]["relationships"] == []

    identify(api, "u", cio_relationships=v1)
    assert api.fake.objects[0]["relationships"] == related
    identify(api, "u", cio_relationships={**v1, "action": "delete_relationships"})
    assert api.fake.objects[0]["relationships"] == []
    api.person("identify", cio_relationships=[to_object])
    assert api.fake.objects[0]["relationships"] == related
    undo()
    api.entity({**thing, "action": "identify", "cio_relationships": [to_person]})
    assert api.fake.objects[0]["relationships"] == related
    api.person("delete_relationships", cio_relationships=[{"identifiers": ACME}])
    api.entity({**thing, "action": "add_relationships", "cio_relationships": [to_person]})
    assert api.fake.objects[0]["relationships"] == related
    undo()


def test_v1s_identify_with_nothing_but_relationships_is_as_v2s_add_relationships() -> None:
    by_v1, by_v2 = (Api(FakeCustomerIO("site", "key")) for _ in range(2))
    entries = [{"identifiers": ACME, "relationship_attributes": {"role": "admin"}}]
    by_v2.person("add_relationships", cio_relationships=entries)
    identify(by_v1, "u", cio_relationships=v1_relationships("add_relationships", entries))
    for api in (by_v1, by_v2):
        assert ids(api) == ["u"]
        assert api.fake.objects[0]["relationships"] == [
            {"identifiers": {"cio_id": "00000001"}, "relationship_attributes": {"role": "admin"}}
        ]
        # Nobody's attributes were edited, so that nothing is older than the last edit.
        identify(api, "u", plan="pro", _timestamp=1)
        assert api.fake.people[0]["attributes"] == {"plan": "pro"}
    identify(by_v1, "u", cio_relationships=v1_relationships("delete_relationships", entries))
    assert by_v1.fake.objects[0]["relationships"] == []


def v1_relationships(action: str, entries: list[Any]) -> dict[str, Any]:
    return {"action": action, "relationships": entries}


def test_a_relationship_adds_nobody_whom_its_identify_must_not_add(api: Api) -> None:
    entries = [{"identifiers": ACME}]
    given = v1_relationships("add_relationships", entries)
    identify(api, "u", _update=True, cio_relationships=given)
    api.person("identify", attributes={"_update": True}, cio_relationships=entries)
    identify(api, "cio_beef", cio_relationships=given)
    assert (api.fake.people, api.fake.objects) == ([], [])


def test_a_relationship_of_a_suppressed_person_adds_no_object(api: Api) -> None:
    api.person("suppress")
    api.person("add_relationships", cio_relationships=[{"identifiers": ACME}])
    identify(api, "u", cio_relationships=v1_relationships("add_relationships", []))
    assert (api.fake.people, api.fake.objects) == ([], [])


def test_an_anonymous_relationship_follows_the_person_who_claims_the_id(api: Api) -> None:
    anonymously = [{"identifiers": {"anonymous_id": "x"}}]
    thing = {"type": "object", "action": "identify_anonymous", "identifiers": ACME}
    api.entity({**thing, "cio_relationships": anonymously, "anonymous_id": "y"})
    identify(api, "u", anonymous_id="x")
    assert [r["identifiers"] for r in api.fake.objects[0]["relationships"]] == [
        {"anonymous_id": "y"},
        {"cio_id": "00000001"},
    ]


# Deliveries


def test_delivery_metrics_are_kept_by_all_their_ways(api: Api) -> None:
    api.ok("POST", "/api/v1/metrics", {"delivery_id": "d", "metric": "bounced", "reason": "full"})
    push = {"delivery_id": "d", "event": "opened", "device_id": "t", "timestamp": 5}
    api.ok("POST", "/api/v1/push/events", push)
    api.ok("POST", "/unsubscribe/d", {"unsubscribe": True})
    api.entity(
        {
            "type": "delivery",
            "action": "event",
            "identifiers": {"id": "d"},
            "name": "opened",
            "attributes": {"device_token": "t"},
        }
    )
    at = int(NOW)
    assert api.fake.deliveries == [
        {"timestamp": at, "delivery_id": "d", "metric": "bounced", "reason": "full"},
        {"timestamp": 5, "delivery_id": "d", "metric": "opened", "recipient": "t"},
        {"timestamp": at, "delivery_id": "d", "metric": "unsubscribed"},
        {"timestamp": at, "delivery_id": "d", "metric": "opened", "recipient": "t"},
    ]
