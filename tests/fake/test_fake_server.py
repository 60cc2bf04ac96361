"""What the fake remembers of requests, how it is made to fail, and its own endpoints."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from cio_fake import FakeCustomerIO, Received

from tests.fake.client import NOW, Api

DELETE = {"type": "person", "action": "delete", "identifiers": {"id": "u"}}


def view(api: Api, name: str) -> Any:
    return orjson.loads(api.call("GET", f"/_fake/{name}", authorization="").body)


# Received


def test_a_v1_request_is_one_operation_with_the_path_as_sent(api: Api) -> None:
    api.call("PUT", "/api/v1/customers/a%2Fb?x=1", {"n": 1, "f": 1.0})
    (received,) = api.fake.received
    assert (received.at, received.response.status, received.request.query) == (NOW, 200, "x=1")
    assert received.operations == [
        {"method": "PUT", "path": "/api/v1/customers/a%2Fb", "body": {"n": 1, "f": 1.0}}
    ]
    body = received.operations[0]["body"]
    assert [type(value) for value in body.values()] == [int, float]


def test_a_v2_request_is_one_operation_an_item(api: Api) -> None:
    api.batch(DELETE, 7)
    api.entity(DELETE)
    batch, entity = api.fake.received
    path = "/api/v2/batch"
    assert batch.operations == [
        {"method": "POST", "path": path, "body": DELETE},
        {"method": "POST", "path": path, "body": 7},
    ]
    assert entity.operations == [{"method": "POST", "path": "/api/v2/entity", "body": DELETE}]


@pytest.mark.parametrize(
    ("body", "decoded"), [(b"", None), (b"{", None), (b'{"batch":1}', {"batch": 1})]
)
def test_a_request_that_cannot_be_split_is_one_operation(
    api: Api, body: bytes, decoded: Any
) -> None:
    api.call("POST", "/api/v2/batch", body)
    assert [o["body"] for o in api.fake.received[0].operations] == [decoded]


def test_asking_for_the_region_is_no_operation(api: Api) -> None:
    api.call("GET", "/api/v1/accounts/region")
    assert api.fake.received[0].operations == []
    assert (api.fake.stats["operations"], api.fake.stats["rejected_operations"]) == (0, 0)


def test_what_is_kept_of_requests_can_be_bounded_and_counts_go_on() -> None:
    for keep, kept in ((0, []), (2, [3, 4]), (None, [0, 1, 2, 3, 4])):
        api = Api(FakeCustomerIO("site", "key", keep_requests=keep))
        for number in range(5):
            api.ok("PUT", "/api/v1/customers/u", {"n": number})
        assert [r.operations[0]["body"]["n"] for r in api.fake.received] == kept
        assert api.fake.stats["requests"] == 5


def test_every_request_is_handed_to_the_hook_after_it_was_applied() -> None:
    seen: list[tuple[Received, int]] = []
    fake = FakeCustomerIO(
        "site", "key", on_received=lambda received: seen.append((received, len(fake.people)))
    )
    Api(fake).ok("PUT", "/api/v1/customers/u", {})
    assert seen == [(fake.received[0], 1)]


def test_no_repr_tells_the_credentials(api: Api) -> None:
    api.ok("PUT", "/api/v1/customers/u", {})
    assert "c2l0ZTprZXk" not in repr(api.fake.received)


# Failing


def test_it_fails_as_often_as_told_applies_nothing_and_heals(api: Api) -> None:
    api.fake.fail_next(503, count=2, retry_after=1)
    answers = [api.call("PUT", "/api/v1/customers/u", {"n": n}) for n in range(3)]
    assert [answer.status for answer in answers] == [503, 503, 200]
    assert answers[0].headers == {"Retry-After": "1"}
    assert api.fake.people[0]["attributes"] == {"n": 2}
    assert api.fake.stats["by_status"] == {"200": 1, "503": 2}


def test_it_fails_without_end_until_healed(api: Api) -> None:
    for heal in (api.fake.heal, api.fake.reset, lambda: api.fake.fail_next(500, 0)):
        api.fake.fail_next(429)
        answers = [api.call("GET", "/api/v1/accounts/region") for _ in range(5)]
        assert {(answer.status, *answer.headers) for answer in answers} == {(429,)}
        heal()
        assert api.call("GET", "/api/v1/accounts/region").status == 200


def test_failing_comes_before_credentials_and_paths(api: Api) -> None:
    api.fake.fail_next(500)
    assert api.call("GET", "/nowhere", authorization="").status == 500


@pytest.mark.parametrize(
    "bad",
    [
        {"status": 100},
        {"status": 600},
        {"status": 500, "count": -1},
        {"status": 500, "retry_after": -1},
    ],
)
def test_an_impossible_scenario_is_rejected(api: Api, bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        api.fake.fail_next(**bad)
    assert api.call("POST", "/_fake/scenario", bad).status == 400


# Its own endpoints


def test_its_own_endpoints_show_the_views_without_credentials(api: Api) -> None:
    api.ok("PUT", "/api/v1/customers/u", {"plan": "pro"})
    api.ok("POST", "/api/v1/customers/u/events", {"name": "n"})
    api.ok("PUT", "/api/v1/customers/u/devices", {"device": {"id": "t", "platform": "ios"}})
    fake = api.fake
    assert view(api, "people") == {"people": fake.people}
    assert view(api, "events") == {"events": fake.events}
    assert view(api, "devices") == {"devices": fake.devices}
    assert view(api, "objects") == {"objects": []}
    assert view(api, "deliveries") == {"deliveries": []}
    assert view(api, "suppressed") == {"suppressed": []}
    assert view(api, "stats") == {
        "requests": 3,
        "operations": 3,
        "rejected_operations": 0,
        "by_status": {"200": 3},
        "people": 1,
        "events": 1,
        "ignored_repeats": 0,
        "ignored": {},
    }


def test_requests_are_shown_without_headers(api: Api) -> None:
    api.ok("PUT", "/api/v1/customers/u", {"n": 1})
    api.call("POST", "/api/v2/entity?a=b", b"\xff{")
    assert view(api, "requests") == {
        "requests": [
            {
                "method": "PUT",
                "path": "/api/v1/customers/u",
                "query": "",
                "body": {"n": 1},
                "status": 200,
                "at": NOW,
            },
            {
                "method": "POST",
                "path": "/api/v2/entity",
                "query": "a=b",
                "body": "\ufffd{",
                "status": 400,
                "at": NOW,
            },
        ]
    }


def test_a_scenario_and_a_reset_come_over_http_too(api: Api) -> None:
    api.ok("POST", "/_fake/scenario", {"status": 503, "count": 1, "retry_after": 7})
    assert api.call("PUT", "/api/v1/customers/u", {}).headers == {"Retry-After": "7"}
    api.ok("PUT", "/api/v1/customers/u", {})
    api.ok("POST", "/_fake/scenario", {"status": 503})
    api.ok("POST", "/_fake/reset")
    assert (api.fake.people, api.fake.received) == ([], [])
    api.ok("PUT", "/api/v1/customers/u", {})


def test_credentials_can_be_changed_over_http(api: Api) -> None:
    api.ok("POST", "/_fake/credentials", {"site_id": "other", "api_key": "key"})
    assert api.call("GET", "/api/v1/accounts/region").status == 401
    header = "Basic b3RoZXI6a2V5"
    assert api.call("GET", "/api/v1/accounts/region", authorization=header).status == 200


@pytest.mark.parametrize(
    ("method", "name", "body", "status"),
    [
        ("POST", "people", None, 405),
        ("GET", "reset", None, 405),
        ("GET", "nothing", None, 404),
        ("POST", "scenario", {}, 400),
        ("POST", "scenario", {"status": "503"}, 400),
        ("POST", "scenario", {"status": 503, "often": 1}, 400),
        ("POST", "scenario", b"{", 400),
        ("POST", "credentials", {"site_id": "", "api_key": "k"}, 400),
        ("POST", "credentials", {"site_id": "s"}, 400),
    ],
)
def test_wrong_calls_of_its_own_endpoints_are_told_so(
    api: Api, method: str, name: str, body: Any, status: int
) -> None:
    assert api.call(method, f"/_fake/{name}", body).status == status
    assert api.fake.received == []
