"""Paths, methods, credentials, bodies: the request as a whole."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from cio_fake import FakeCustomerIO, Request, Response, admin
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fake.client import NOW, Api

EVENT = {"name": "Signed Up"}
DEVICE = {"device": {"id": "t", "platform": "ios"}}
PAIR = {"primary": {"id": "a"}, "secondary": {"id": "b"}}

# Every endpoint: method, path, a body that is good, the status of success.
ENDPOINTS: list[tuple[str, str, Any, int]] = [
    ("GET", "/api/v1/accounts/region", None, 200),
    ("PUT", "/api/v1/customers/u", {"plan": "pro"}, 200),
    ("DELETE", "/api/v1/customers/u", None, 200),
    ("POST", "/api/v1/customers/u/events", EVENT, 200),
    ("POST", "/api/v1/events", {**EVENT, "anonymous_id": "anon"}, 200),
    ("PUT", "/api/v1/customers/u/devices", DEVICE, 200),
    ("DELETE", "/api/v1/customers/u/devices/t", None, 200),
    ("POST", "/api/v1/customers/u/suppress", None, 200),
    ("POST", "/api/v1/customers/u/unsuppress", None, 200),
    ("POST", "/api/v1/merge_customers", PAIR, 200),
    ("POST", "/api/v1/metrics", {"delivery_id": "d", "metric": "bounced"}, 200),
    ("POST", "/api/v1/push/events", {"delivery_id": "d", "event": "opened"}, 200),
    ("POST", "/api/v1/segments/7/add_customers", {"ids": ["u"]}, 200),
    ("POST", "/api/v1/segments/7/remove_customers", {"ids": ["u"]}, 200),
    ("POST", "/api/v1/forms/f/submit", {"data": {"id": "u"}}, 204),
    ("POST", "/unsubscribe/d", {"unsubscribe": True}, 200),
    (
        "POST",
        "/api/v2/entity",
        {"type": "person", "action": "delete", "identifiers": {"id": "u"}},
        200,
    ),
    (
        "POST",
        "/api/v2/batch",
        {"batch": [{"type": "person", "action": "delete", "identifiers": {"id": "u"}}]},
        200,
    ),
]
WITHOUT_CREDENTIALS = ("/api/v1/metrics", "/api/v1/push/events", "/unsubscribe/d")


@pytest.mark.parametrize(("method", "path", "body", "status"), ENDPOINTS)
def test_every_endpoint_takes_a_good_request(
    api: Api, method: str, path: str, body: Any, status: int
) -> None:
    assert api.call(method, path, body).status == status


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/v1/customers/u"),
        ("DELETE", "/api/v1/customers/u/devices/t"),
        ("POST", "/api/v1/customers/u/suppress"),
        ("POST", "/api/v1/customers/u/unsuppress"),
    ],
)
@pytest.mark.parametrize("body", [b"", b"{}"])
@pytest.mark.parametrize("headers", [{}, {"content-type": "application/json"}])
def test_what_needs_no_body_takes_none_or_an_empty_one_of_any_content_type(
    api: Api, method: str, path: str, body: bytes, headers: dict[str, str]
) -> None:
    assert api.call(method, path, body, **headers) == Response(200, b"{}")


@pytest.mark.parametrize(("method", "path", "body", "status"), ENDPOINTS)
def test_wrong_credentials_are_rejected_wherever_the_api_asks_for_them(
    api: Api, method: str, path: str, body: Any, status: int
) -> None:
    response = api.call(method, path, body, authorization="Basic bm86bm8=")
    if path in WITHOUT_CREDENTIALS:
        assert response.status == status
    else:
        assert response == Response(401, b'{"meta":{"error":"Unauthorized request"}}')


@pytest.mark.parametrize(
    "header", ["", "Basic", "Bearer c2l0ZTprZXk=", "Basic \x00", "c2l0ZTprZXk="]
)
def test_a_broken_authorization_is_unauthorized(api: Api, header: str) -> None:
    assert api.call("PUT", "/api/v1/customers/u", {}, authorization=header).status == 401


def test_the_basic_scheme_is_told_in_any_case(api: Api) -> None:
    header = "bASIC c2l0ZTprZXk="
    assert api.call("PUT", "/api/v1/customers/u", {}, authorization=header).status == 200


@pytest.mark.parametrize(("method", "path", "body", "_status"), ENDPOINTS)
def test_a_known_path_with_another_method_is_405(
    api: Api, method: str, path: str, body: Any, _status: int
) -> None:
    response = api.call("PATCH", path, body)
    assert response.status == 405
    assert method in response.headers["Allow"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/api/v1/customers",
        "/api/v1/customers/",
        "/api/v1/customers//events",
        "/api/v1/customers/a/b/events",
        "/api/v1/customers/u/events/",
        "/api/v3/batch",
    ],
)
def test_an_unknown_path_is_404(api: Api, path: str) -> None:
    assert api.call("POST", path, EVENT).status == 404


@pytest.mark.parametrize(
    ("method", "path"), [(m, p) for m, p, body, _ in ENDPOINTS if body is not None]
)
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"1", b"null", b'{"a":NaN}', b"\xff", b"[" * 900]
)
def test_a_body_that_is_no_json_object_is_rejected_in_the_endpoints_own_form(
    api: Api, method: str, path: str, body: bytes
) -> None:
    response = api.call(method, path, body)
    answer = orjson.loads(response.body)
    assert response.status == 400
    if path.startswith("/api/v2"):
        assert answer["errors"][0].keys() == {"reason", "field", "message"}
        assert answer["errors"][0]["reason"] == "malformed"
    elif path.endswith("merge_customers"):
        assert isinstance(answer["meta"]["error"], str)
    else:
        assert all(isinstance(error, str) for error in answer["meta"]["errors"])


def test_json_nested_deeper_than_could_be_written_again_is_rejected(api: Api) -> None:
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    assert api.call("PUT", "/api/v1/customers/u", deep).status == 400


@pytest.mark.parametrize(
    ("segment", "identifiers"),
    [
        ("user123", {"id": "user123"}),
        ("a%2Fb", {"id": "a/b"}),
        ("a+b%20c%25", {"id": "a+b c%"}),
        ("%C3%A9t%C3%A9", {"id": "été"}),
        ("a%2525", {"id": "a%25"}),
        ("a%2Fb%40c.de", {"email": "a/b@c.de"}),
        ("Ann%40example.com", {"email": "Ann@example.com"}),
        ("a%40b", {"id": "a@b"}),
        ("cio_", {"id": "cio_"}),
        ("cio_a-b", {"id": "cio_a-b"}),
        ("%2B4912345", {"id": "+4912345"}),
    ],
)
def test_the_identifier_in_a_path_is_decoded_once_and_told_by_its_shape(
    api: Api, segment: str, identifiers: dict[str, str]
) -> None:
    api.ok("PUT", f"/api/v1/customers/{segment}", {})
    assert api.fake.people[0]["identifiers"] == {**identifiers, "cio_id": "00000001"}


def test_a_cio_id_in_a_path_names_a_person_without_its_prefix(api: Api) -> None:
    api.ok("PUT", "/api/v1/customers/u", {})
    api.ok("PUT", "/api/v1/customers/cio_00000001", {"plan": "pro"})
    assert [person["attributes"] for person in api.fake.people] == [{"plan": "pro"}]


def test_an_identifier_that_is_not_utf8_is_rejected(api: Api) -> None:
    assert api.errors("PUT", "/api/v1/customers/%ff", {}) == [
        "identifier: must be percent-encoded UTF-8"
    ]


def test_the_region_endpoint_says_where_a_credential_belongs() -> None:
    api = Api(FakeCustomerIO("site", "key", region="eu"))
    assert orjson.loads(api.call("GET", "/api/v1/accounts/region").body) == {
        "url": "https://track-eu.customer.io",
        "region": "eu",
        "environment_id": 1,
    }
    with pytest.raises(ValueError, match="region"):
        FakeCustomerIO("site", "key", region="mars")


@pytest.mark.parametrize("target", ["http://h/a%2Fb?q=1", "/a%2Fb?q=1"])
def test_a_request_target_may_be_a_path_or_a_whole_url(target: str) -> None:
    request = Request.from_target("GET", target, {"X-A": "1"}, b"")
    assert (request.path, request.query, request.headers) == ("/a%2Fb", "q=1", {"x-a": "1"})


def test_a_broken_request_target_is_still_a_request() -> None:
    assert Request.from_target("GET", "http://[::1", {}, b"").path == "/"


_PATHS = st.one_of(
    st.text(st.characters(codec=None)),
    st.builds("/api/v1/customers/{}/events".format, st.text(st.characters(codec=None))),
    st.sampled_from([path for _, path, _, _ in ENDPOINTS] + ["/_fake/scenario", "/_fake/requests"]),
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_KEYS = st.sampled_from(
    [
        *("type", "action", "identifiers", "name", "id", "data", "attributes", "timestamp"),
        *("device", "batch", "primary", "secondary", "cio_relationships", "anonymous_id"),
        *("person", "identify", "event", "object", "ids", "status", "count"),
    ]
)
_BODIES = st.one_of(
    st.binary(),
    _VALUES.map(orjson.dumps),
    st.recursive(
        _VALUES | _KEYS,
        lambda inner: st.dictionaries(_KEYS, inner) | st.lists(inner),
        max_leaves=20,
    ).map(orjson.dumps),
)


@settings(deadline=None)
@given(
    st.sampled_from(["GET", "PUT", "POST", "DELETE", "\udcff"]),
    _PATHS,
    st.text(st.characters(codec=None)),
    _BODIES,
)
def test_no_request_whatever_raises_and_every_answer_is_json(
    method: str, path: str, query: str, body: bytes
) -> None:
    api = Api(FakeCustomerIO("site", "key"))
    headers = {"authorization": "Basic c2l0ZTprZXk="}
    response = admin.respond(api.fake, Request(method, path, headers, body, query), NOW)
    assert response.status == 204 or orjson.loads(response.body) is not None
    for view in ("people", "events", "objects", "devices", "deliveries", "requests", "stats"):
        assert orjson.loads(api.call("GET", f"/_fake/{view}").body) is not None
