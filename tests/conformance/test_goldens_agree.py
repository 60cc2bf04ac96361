"""The v1 and the v2 requests of every golden, applied to a fake each, leave the same behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from cio_conformance.cases.golden_cases import (
    Api,
    Case,
    Expected,
    ExpectedRequest,
    Golden,
    load_fixtures,
)
from cio_conformance.run.compare import RECEIVED_AT, ULID_SLOT
from cio_fake import FakeCustomerIO, Request, Response
from cio_fake.records import Identifier
from cio_fake.routes import unquote

# Later than all that the goldens tell of.
NOW = 2_000_000_000.5
HEADERS = {"authorization": "Basic c2l0ZTprZXk="}  # site:key
PLACEHOLDERS = {RECEIVED_AT: int(NOW), ULID_SLOT: "01HB4HBDKTPDE3GGFBKQ41C9RZ"}
GOLDENS = [golden for golden in load_fixtures() if golden.case.expect]

APIS: tuple[Api, Api] = ("v1", "v2")
Json = dict[str, Any]


@dataclass
class Named:
    """What requests speak of, each thing once."""

    people: list[Json] = field(default_factory=list)
    """Identifiers, as v2 has them, but for those that Customer.io gives itself."""
    objects: list[Json] = field(default_factory=list)
    anonymous: list[Json] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    """Of devices."""
    unsuppressed: list[Json] = field(default_factory=list)
    """The people who must be suppressed first, to be unsuppressed."""


def named_by(case: Case) -> Named:
    """Whom and what a case's operations name."""
    named = Named()
    assert case.expect
    for request in case.expect.v2:
        if request.path.startswith("/api/v2/"):
            _add_named(named, request.body)
        else:
            segments = [unquote(segment) for segment in request.path.split("/")]
            if segments[:4] == ["", "api", "v1", "customers"]:
                _add(named.people, dict([Identifier.of_segment(segments[4])]))
            _add_anonymous(named, request.body)
    return named


def _add_named(named: Named, operation: Json) -> None:
    related = [entry["identifiers"] for entry in operation.get("cio_relationships", ())]
    ends = [operation.get(key) for key in ("identifiers", "primary", "secondary")]
    for identifiers in [*ends, *related] if operation["type"] != "delivery" else ():
        match identifiers:
            case {"id": _} | {"email": _} | {"phone": _}:
                _add(named.people, identifiers)
            case {"object_id": _}:
                _add(named.objects, identifiers)
            case {"anonymous_id": _}:
                _add_anonymous(named, identifiers)
    _add_anonymous(named, operation)
    _add_anonymous(named, operation.get("attributes", {}))
    if "device" in operation:
        _add(named.tokens, operation["device"]["token"])
    if operation["action"] == "unsuppress":
        _add(named.unsuppressed, operation["identifiers"])


def _add_anonymous(named: Named, among: Json) -> None:
    match among:
        case {"anonymous_id": str(anonymous_id)} if anonymous_id:
            _add(named.anonymous, {"anonymous_id": anonymous_id})


def _add(to: list[Any], item: Any) -> None:
    if item not in to:
        to.append(item)


def prepared(named: Named, edited_at: int) -> Iterator[Json]:
    """Operations by which everybody and everything is there, with something to lose."""
    for number, identifiers in enumerate(named.people):
        person = {"type": "person", "identifiers": identifiers}
        yield {
            **person,
            "action": "identify",
            "timestamp": edited_at,
            "attributes": {"prepared": number, f"own-{number}": True, "plan": "old"},
        }
        yield {**person, "action": "event", "name": f"Prepared {number}"}
        for token in (*named.tokens, f"token-{number}"):
            device = {"token": token, "platform": "ios", "last_used": 1}
            yield {**person, "action": "add_device", "device": device}
        for thing in named.objects:
            related = [{"identifiers": thing, "relationship_attributes": {"since": number}}]
            yield {**person, "action": "add_relationships", "cio_relationships": related}
    for identifiers in named.anonymous:
        person = {"type": "person", "identifiers": identifiers}
        yield {**person, "action": "event", "name": "Prepared by nobody"}
    for identifiers in named.objects:
        thing = {"type": "object", "identifiers": identifiers}
        yield {**thing, "action": "identify", "attributes": {"prepared": True, "name": "old"}}
    for identifiers in named.unsuppressed:
        yield {"type": "person", "identifiers": identifiers, "action": "suppress"}


def send(fake: FakeCustomerIO, method: str, path: str, body: Any, now: float = NOW) -> Response:
    raw = b"" if body is None else orjson.dumps(body)
    return fake.handle(Request(method, path, HEADERS, raw), now)


def settled(value: Any) -> Any:
    """A golden's value with something in place of what stands for a value."""
    if isinstance(value, dict):
        return {key: settled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [settled(inner) for inner in value]
    return PLACEHOLDERS.get(value, value) if isinstance(value, str) else value


def applied(case: Case, by: Api, preparation: int | None) -> FakeCustomerIO:
    """A fake that took the requests of one API.

    `preparation` is when people were edited last, in Unix seconds; without it there is nobody.
    """
    assert case.expect
    fake = FakeCustomerIO("site", "key")
    if preparation is not None:
        for operation in prepared(named_by(case), preparation):
            response = send(fake, "POST", "/api/v2/entity", operation, NOW - 1)
            assert response == Response(200), response.body
    for request in case.expect.by(by):
        body = settled(request.body)
        # Under v2 stand items of a batch, and v1 requests for what only v1 can carry.
        body = {"batch": [body]} if request.path == "/api/v2/batch" else body
        response = send(fake, request.method, request.path, body)
        assert (response.status, response.body) == (200, b"{}")
    return fake


def state(fake: FakeCustomerIO) -> Json:
    return {
        "people": fake.people,
        "events": fake.events,
        "devices": fake.devices,
        "objects": fake.objects,
        "deliveries": fake.deliveries,
        "suppressed": sorted(map(str, fake.suppressed)),
    }


def as_v2_holds(case: Case, one: Json, two: Json) -> Json:
    """A state that v1 left, with the differences that v2's form forces.

    - The anonymous id of a known person's event stands among the event's data, where a property of
      that name goes before it.
    - A push metric reported by v2's delivery operation has no time, reason or link of its own.
    """
    assert case.expect
    events = [
        _as_v2_holds_event(event) if other["anonymous_id"] is None else event
        for event, other in zip(one["events"], two["events"], strict=False)
    ] + one["events"][len(two["events"]) :]
    pushes = {
        request.body["identifiers"]["id"]
        for request in case.expect.v2
        if isinstance(request.body, dict) and request.body.get("type") == "delivery"
    }
    deliveries = [
        {**_without(delivery, "reason", "href"), "timestamp": int(NOW)}
        if delivery["delivery_id"] in pushes
        else delivery
        for delivery in one["deliveries"]
    ]
    return {**one, "events": events, "deliveries": deliveries}


def _as_v2_holds_event(event: Json) -> Json:
    if event["person"] is None or event["anonymous_id"] is None:
        return event
    data = {"anonymous_id": event["anonymous_id"], **event["data"]}
    return {**event, "data": data, "anonymous_id": None}


def _without(record: Json, *keys: str) -> Json:
    return {key: value for key, value in record.items() if key not in keys}


NOBODY, EVERYBODY, EDITED_SINCE = None, 0, int(NOW) - 1


def disagreement(case: Case, preparation: int | None) -> tuple[Json, Json] | None:
    """What v1 and v2 left, where it is not the same."""
    one, two = (state(applied(case, api, preparation)) for api in APIS)
    one = as_v2_holds(case, one, two)
    return None if one == two else (one, two)


@pytest.mark.parametrize(
    "preparation",
    [
        pytest.param(NOBODY, id="nobody is there"),
        pytest.param(EVERYBODY, id="everybody is there"),
        pytest.param(EDITED_SINCE, id="everybody was edited since"),
    ],
)
@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.name)
def test_v1_and_v2_of_a_golden_are_taken_and_leave_the_same_behind(
    golden: Golden, preparation: int | None
) -> None:
    one, two = (state(applied(golden.case, api, preparation)) for api in APIS)
    assert as_v2_holds(golden.case, one, two) == two


# Whether the test above would find a mistake

PERSON = {"type": "person", "identifiers": {"id": "u"}}
ACME = {"object_type_id": "1", "object_id": "acme"}
RELATED = [{"identifiers": ACME, "relationship_attributes": {"role": "admin"}}]
PAIR = {"primary": {"id": "u"}, "secondary": {"email": "w@example.com"}}
DEVICE = {"platform": "ios", "last_used": 5, "attributes": {"model": "x"}}
METRIC = {"delivery_id": "d", "metric": "opened", "timestamp": 5, "reason": "r", "href": "h"}
CUSTOMER = "/api/v1/customers/u"
V1: dict[str, tuple[str, str, Any]] = {
    "identify": (
        "PUT",
        CUSTOMER,
        {
            "plan": "pro",
            "_timestamp": 5,
            "anonymous_id": "a",
            "cio_relationships": {"action": "add_relationships", "relationships": RELATED},
        },
    ),
    "event": ("POST", f"{CUSTOMER}/events", {"name": "n", "timestamp": 5, "anonymous_id": "a"}),
    "anonymous event": ("POST", "/api/v1/events", {"name": "n", "anonymous_id": "a"}),
    "merge": ("POST", "/api/v1/merge_customers", PAIR),
    "add_device": ("PUT", f"{CUSTOMER}/devices", {"device": {"id": "t/t", **DEVICE}}),
    "delete_device": ("DELETE", f"{CUSTOMER}/devices/t%2Ft", None),
    "delete": ("DELETE", CUSTOMER, None),
    "suppress": ("POST", f"{CUSTOMER}/suppress", {}),
    "unsuppress": ("POST", f"{CUSTOMER}/unsuppress", None),
    "add_relationships": (
        "PUT",
        CUSTOMER,
        {"cio_relationships": {"action": "add_relationships", "relationships": RELATED}},
    ),
    # v2's operation adds nobody, v1's identify only with _update.
    "delete_relationships": (
        "PUT",
        CUSTOMER,
        {
            "_update": True,
            "cio_relationships": {"action": "delete_relationships", "relationships": RELATED},
        },
    ),
    "push": ("POST", "/api/v1/metrics", {**METRIC, "recipient": "t"}),
}
V2: dict[str, Json] = {
    "identify": {
        **PERSON,
        "action": "identify",
        "timestamp": 5,
        "attributes": {"plan": "pro", "anonymous_id": "a"},
        "cio_relationships": RELATED,
    },
    "event": {
        **PERSON,
        "action": "event",
        "name": "n",
        "timestamp": 5,
        "attributes": {"anonymous_id": "a"},
    },
    "anonymous event": {
        "type": "person",
        "identifiers": {"anonymous_id": "a"},
        "action": "event",
        "name": "n",
    },
    "merge": {"type": "person", "action": "merge", **PAIR},
    "add_device": {**PERSON, "action": "add_device", "device": {"token": "t/t", **DEVICE}},
    "delete_device": {**PERSON, "action": "delete_device", "device": {"token": "t/t"}},
    "delete": {**PERSON, "action": "delete"},
    "suppress": {**PERSON, "action": "suppress"},
    "unsuppress": {**PERSON, "action": "unsuppress"},
    "add_relationships": {**PERSON, "action": "add_relationships", "cio_relationships": RELATED},
    "delete_relationships": {
        **PERSON,
        "action": "delete_relationships",
        "cio_relationships": RELATED,
    },
    "push": {
        "type": "delivery",
        "action": "event",
        "identifiers": {"id": "d"},
        "name": "opened",
        "attributes": {"device_token": "t"},
    },
}


def case(v1: tuple[str, str, Any] | Json, v2: Json) -> Case:
    """A case of one operation; v1's may be v2's form, sent alone."""
    method, path, body = ("POST", "/api/v2/entity", v1) if isinstance(v1, dict) else v1
    return Case(
        name="made up",
        event={},
        expect=Expected(
            v1=[ExpectedRequest(method=method, path=path, body=body)],
            v2=[ExpectedRequest(method="POST", path="/api/v2/batch", body=v2)],
        ),
    )


@pytest.mark.parametrize("preparation", [NOBODY, EVERYBODY, EDITED_SINCE])
@pytest.mark.parametrize("name", V1)
def test_every_call_of_v1_agrees_with_its_operation_of_v2(
    name: str, preparation: int | None
) -> None:
    assert disagreement(case(V1[name], V2[name]), preparation) is None
    assert disagreement(case(V2[name], V2[name]), preparation) is None


@pytest.mark.parametrize("name", V1)
def test_every_operation_finds_something_to_act_upon(name: str) -> None:
    made = case(V1[name], V2[name])
    before = FakeCustomerIO("site", "key")
    for operation in prepared(named_by(made), EVERYBODY):
        send(before, "POST", "/api/v2/entity", operation, NOW - 1)
    assert state(applied(made, "v2", EVERYBODY)) != state(before)


@pytest.mark.parametrize(
    ("name", "change", "preparation"),
    [
        ("identify", {"attributes": {"plan": "free", "anonymous_id": "a"}}, NOBODY),
        ("identify", {"attributes": {"plan": "pro"}}, NOBODY),
        ("identify", {"timestamp": int(NOW)}, EDITED_SINCE),
        ("identify", {"cio_relationships": [{"identifiers": ACME}]}, NOBODY),
        ("identify", {"identifiers": {"id": "w"}}, NOBODY),
        ("event", {"attributes": {}}, NOBODY),
        ("event", {"attributes": {"anonymous_id": "b"}}, NOBODY),
        ("event", {"timestamp": 6}, NOBODY),
        ("event", {"action": "page"}, NOBODY),
        ("event", {"id": "5"}, NOBODY),
        ("anonymous event", {"attributes": {"anonymous_id": "a"}}, NOBODY),
        ("merge", {"primary": PAIR["secondary"], "secondary": PAIR["primary"]}, EVERYBODY),
        ("add_device", {"device": {"token": "t/t", **DEVICE, "last_used": 6}}, NOBODY),
        ("add_device", {"device": {"token": "t%2Ft", **DEVICE}}, NOBODY),
        ("delete_device", {"device": {"token": "t%2Ft"}}, EVERYBODY),
        ("delete", {"action": "suppress"}, NOBODY),
        ("suppress", {"action": "delete"}, EVERYBODY),
        ("unsuppress", {"identifiers": {"id": "w"}}, EVERYBODY),
        ("add_relationships", {"cio_relationships": []}, NOBODY),
        ("delete_relationships", {"action": "add_relationships"}, EVERYBODY),
        ("push", {"name": "converted"}, NOBODY),
        ("push", {"identifiers": {"id": "e"}}, NOBODY),
        ("push", {"attributes": {"device_token": "u"}}, NOBODY),
    ],
)
def test_a_difference_that_is_no_exception_is_found(
    name: str, change: Json, preparation: int | None
) -> None:
    assert disagreement(case(V1[name], {**V2[name], **change}), preparation)


def test_the_exception_for_push_metrics_holds_for_no_other_metric() -> None:
    other = {**METRIC, "recipient": "t", "timestamp": 6}
    made = case(V1["push"], V2["push"])
    assert made.expect
    by_v1 = ExpectedRequest(method="POST", path="/api/v1/metrics", body=other)
    changed = Case(name="made up", event={}, expect=Expected(v1=made.expect.v1, v2=[by_v1]))
    assert disagreement(changed, NOBODY)
