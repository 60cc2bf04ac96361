"""Track API v1 requests, made from an operation's stored form."""

from __future__ import annotations

import string
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from cio_fake import FakeCustomerIO, Request
from cio_sidecar.customerio import requests
from cio_sidecar.customerio.encoders import (
    ANONYMOUS_ID_ADDED,
    ATTRIBUTES_ADDED,
    V1_ONLY,
    Encoded,
    Operation,
    event,
    identifiers,
    identify,
)
from hypothesis import given
from hypothesis import strategies as st

FIELDS: dict[str, Any] = {"name": "n", "id": "1", "timestamp": 5, "type": "event"}
UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~%")
PERSONS = st.text(min_size=1, max_size=30) | st.text("/?#%+@&=; .:é\U0001f600", min_size=1)


def made(encoded: Encoded) -> Operation:
    assert encoded.problems == []
    assert encoded.operations
    return encoded.operations[0]


def reserved_in(text: str) -> set[str]:
    return set(text) - UNRESERVED


def is_person(text: str) -> bool:
    return not text.isspace() and text not in (".", "..") and len(text.encode()) <= 150


@given(PERSONS.filter(is_person))
def test_an_identifier_is_percent_encoded_whole(person: str) -> None:
    for encoded, method, end in (
        (identify(person, {}), "PUT", ""),
        (event({**FIELDS, "person": person}), "POST", "/events"),
    ):
        request = requests.v1_request(made(encoded))
        segment = request.path.removeprefix("/api/v1/customers/").removesuffix(end)
        assert request.method == method
        assert request.path == f"/api/v1/customers/{segment}{end}"
        assert unquote(segment, errors="strict") == person
        assert not reserved_in(segment)
        # Every % begins an escape.
        assert all(
            len(part) >= 2 and set(part[:2]) <= set(string.hexdigits)
            for part in segment.split("%")[1:]
        )


@given(PERSONS.filter(is_person))
def test_the_server_finds_the_person_that_was_meant(person: str) -> None:
    fake = FakeCustomerIO("site", "key")
    request = requests.v1_request(made(identify(person, {})))
    headers = {"authorization": "Basic c2l0ZTprZXk="}
    assert (
        fake.handle(Request(request.method, request.path, headers, request.body), 1).status == 200
    )
    kind, value = next(iter(identifiers(person).items()))
    if kind == "cio_id":
        assert fake.people == []  # an unknown cio_id creates nobody
    else:
        assert fake.people[0]["identifiers"][kind] == value


@pytest.mark.parametrize(
    ("person", "segment"),
    [
        ("a/b", "a%2Fb"),
        ("ann+x@example.com", "ann%2Bx%40example.com"),
        ("100%", "100%25"),
        ("%2F", "%252F"),
        ("a b", "a%20b"),
        ("größe", "gr%C3%B6%C3%9Fe"),
        ("a?b#c&d=e;f:g", "a%3Fb%23c%26d%3De%3Bf%3Ag"),
        ("...", "..."),
        ("~-_.", "~-_."),
        ("cio_0a1b", "cio_0a1b"),
    ],
)
def test_a_path_holds_the_encoded_identifier(person: str, segment: str) -> None:
    request = requests.v1_request(made(identify(person, {"a": 1})))
    assert (request.method, request.path) == ("PUT", f"/api/v1/customers/{segment}")
    assert orjson.loads(request.body) == {"a": 1}


@pytest.mark.parametrize(
    ("person", "expected"),
    [
        ("cio_0a1B", {"cio_id": "0a1B"}),
        ("cio_", {"id": "cio_"}),
        ("cio_a b", {"id": "cio_a b"}),
        ("cio_a-b", {"id": "cio_a-b"}),
        ("CIO_a", {"id": "CIO_a"}),
        ("xcio_a", {"id": "xcio_a"}),
        ("cio_a@b.co", {"email": "cio_a@b.co"}),
        ("a@b.co", {"email": "a@b.co"}),
        ("a@b", {"id": "a@b"}),
        ("@b.co", {"id": "@b.co"}),
        ("a@b@c.co", {"id": "a@b@c.co"}),
        ("a b@c.co", {"id": "a b@c.co"}),
        ("a@b.co\n", {"id": "a@b.co\n"}),
        ("42", {"id": "42"}),
    ],
)
def test_an_identifier_is_told_by_its_shape(person: str, expected: dict[str, str]) -> None:
    assert identifiers(person) == expected
    item = orjson.loads(made(identify(person, {})).item)
    assert item["identifiers"] == expected


# Every way an event's data and anonymous id can be stored

DATA: tuple[Any, ...] = (None, {}, {"x": 1}, {"anonymous_id": "mine"}, {"anonymous_id": None})


@pytest.mark.parametrize("data", DATA, ids=repr)
@pytest.mark.parametrize("person", [None, "u"])
@pytest.mark.parametrize("anonymous_id", [None, "anon"])
@pytest.mark.parametrize("action", ["event", "page", "screen"])
def test_v1_is_made_exactly_from_the_stored_form(
    data: Any, person: str | None, anonymous_id: str | None, action: str
) -> None:
    if person is None and anonymous_id is None:
        data = {**(data or {}), "recipient": "a@b.co"}
        action = "event"
    fields = {
        **FIELDS,
        "type": action,
        **{
            key: value
            for key, value in (("data", data), ("person", person), ("anonymous_id", anonymous_id))
            if value is not None
        },
    }
    operation = made(event(dict(fields)))
    request = requests.v1_request(operation)
    assert (request.method, request.path) == (
        "POST",
        "/api/v1/customers/u/events" if person else "/api/v1/events",
    )
    fields.pop("person", None)
    assert orjson.loads(request.body) == fields


@pytest.mark.parametrize(
    ("fields", "marks", "beside"),
    [
        ({"person": "u"}, 0, None),
        ({"person": "u", "data": {}}, 0, None),
        ({"person": "u", "anonymous_id": "a"}, ANONYMOUS_ID_ADDED | ATTRIBUTES_ADDED, None),
        ({"person": "u", "anonymous_id": "a", "data": {}}, ANONYMOUS_ID_ADDED, None),
        (
            {"person": "u", "anonymous_id": "a", "data": {"anonymous_id": "b"}},
            0,
            {"anonymous_id": "a"},
        ),
        ({"anonymous_id": "a"}, 0, None),
        ({"anonymous_id": "a", "data": {"anonymous_id": "b"}}, 0, None),
        ({"data": {"recipient": "r"}}, V1_ONLY, None),
        ({"person": "u", "data": {"x": "y" * 40_000}}, V1_ONLY, None),
        (
            {"person": "u", "anonymous_id": "a", "data": {"x": "y" * 40_000}},
            V1_ONLY | ANONYMOUS_ID_ADDED,
            None,
        ),
        (
            {"person": "u", "anonymous_id": "a", "data": {"x": "y" * 40_000, "anonymous_id": 1}},
            V1_ONLY,
            {"anonymous_id": "a"},
        ),
    ],
)
def test_the_marks_say_what_v1_needs_besides_the_item(
    fields: dict[str, Any], marks: int, beside: dict[str, Any] | None
) -> None:
    operation = made(event({**FIELDS, **fields}))
    assert operation.marks == marks
    assert operation.beside == (orjson.dumps(beside) if beside else b"")
    body = orjson.loads(requests.v1_request(operation).body)
    assert body.get("anonymous_id") == fields.get("anonymous_id")
    assert body.get("data") == fields.get("data")


@pytest.mark.parametrize(
    ("fields", "lane"),
    [
        ({"person": "u", "anonymous_id": "a"}, "p:u"),
        ({"anonymous_id": "a"}, "a:a"),
        ({"data": {"recipient": "r"}}, "e:1"),
    ],
)
def test_a_lane_is_the_person_or_the_visitor_or_the_event(
    fields: dict[str, Any], lane: str
) -> None:
    assert made(event({**FIELDS, **fields})).lane == lane


def test_a_person_and_their_events_share_a_lane() -> None:
    assert made(identify("u", {})).lane == made(event({**FIELDS, "person": "u"})).lane


def test_an_event_leaves_the_callers_data_alone() -> None:
    data = {"x": 1}
    operation = made(event({**FIELDS, "person": "u", "anonymous_id": "a", "data": data}))
    assert orjson.loads(operation.item)["attributes"] == {"x": 1, "anonymous_id": "a"}
    assert data == {"x": 1}


# What no table may make


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        ({"person": ""}, [("person", "WRONG_TYPE")]),
        ({"person": 5}, [("person", "WRONG_TYPE")]),
        ({"person": "."}, [("person", "INVALID_VALUE")]),
        ({"person": ".."}, [("person", "INVALID_VALUE")]),
        ({"anonymous_id": " "}, [("anonymous_id", "WRONG_TYPE")]),
        ({"person": "u", "name": None}, [("name", "REQUIRED")]),
        ({"person": "u", "name": " "}, [("name", "WRONG_TYPE")]),
        ({"person": "u", "name": 5}, [("name", "WRONG_TYPE")]),
        ({"person": "u", "id": ""}, [("id", "WRONG_TYPE")]),
        ({"person": "u", "timestamp": "5"}, [("timestamp", "WRONG_TYPE")]),
        ({"person": "u", "timestamp": True}, [("timestamp", "WRONG_TYPE")]),
        ({"person": "u", "timestamp": 5.0}, [("timestamp", "WRONG_TYPE")]),
        ({"person": "u", "timestamp": 10**11}, [("timestamp", "INVALID_VALUE")]),
        ({"person": "u", "timestamp": -(10**11)}, [("timestamp", "INVALID_VALUE")]),
        ({"person": "u", "data": [1]}, [("data", "WRONG_TYPE")]),
        ({"person": "u", "type": "group"}, [("type", "INVALID_VALUE")]),
        ({"person": "u", "type": ["event"]}, [("type", "INVALID_VALUE")]),
        ({}, [("person", "NO_PERSON")]),
        ({"type": "page", "data": {"recipient": "r"}}, [("person", "NO_PERSON")]),
        ({"data": "recipient"}, [("data", "WRONG_TYPE"), ("person", "NO_PERSON")]),
        ({"data": ["recipient"]}, [("data", "WRONG_TYPE"), ("person", "NO_PERSON")]),
        ({"data": {"recipient": " "}}, [("person", "NO_PERSON")]),
        ({"data": {"recipient": 5}}, [("person", "NO_PERSON")]),
        (
            {"person": "u", "name": None, "id": None, "timestamp": None},
            [("name", "REQUIRED"), ("id", "REQUIRED"), ("timestamp", "REQUIRED")],
        ),
    ],
)
def test_an_event_that_the_api_has_no_place_for_is_a_problem(
    fields: dict[str, Any], problems: list[tuple[str, str]]
) -> None:
    encoded = event({**FIELDS, **fields})
    assert not encoded.operations
    assert [(problem.key, problem.reason) for problem in encoded.problems] == problems


@pytest.mark.parametrize(
    ("person", "reason"),
    [(None, "REQUIRED"), ("", "WRONG_TYPE"), (5, "WRONG_TYPE"), (".", "INVALID_VALUE")],
)
def test_nobody_is_identified_without_an_identifier(person: Any, reason: str) -> None:
    encoded = identify(person, {})
    assert not encoded.operations
    assert [(problem.key, problem.reason) for problem in encoded.problems] == [("id", reason)]


def test_a_name_is_trimmed_before_it_is_measured() -> None:
    encoded = event({**FIELDS, "person": "u", "name": f"{' ' * 200}Order {' ' * 200}"})
    assert orjson.loads(made(encoded).item)["name"] == "Order"
    assert encoded.changes == []
