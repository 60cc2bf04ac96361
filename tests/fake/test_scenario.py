"""What the fake does by a scenario, without HTTP."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from cio_fake import Response
from cio_fake.http_messages import UNANSWERED
from cio_fake.scenario import Scenario, Step, When
from cio_fake.scenario_reader import read_scenario

from tests.fake.client import NOW, Api

EVENTS = "/api/v1/customers/u/events"


def play(api: Api, *steps: dict[str, Any]) -> None:
    answer = api.call("POST", "/_fake/scenario", {"steps": list(steps)}, authorization="")
    assert answer == Response(200), answer.body


def send(api: Api, name: str = "n", person: str = "u") -> Response:
    return api.call("POST", f"/api/v1/customers/{person}/events", {"name": name})


def statuses(api: Api, count: int) -> list[int]:
    return [send(api).status for _ in range(count)]


def item(name: str, person: str = "u") -> dict[str, Any]:
    return {"type": "person", "action": "event", "identifiers": {"id": person}, "name": name}


def names(api: Api) -> list[str]:
    return [event["name"] for event in api.fake.events]


def test_steps_follow_each_other_and_then_all_is_well(api: Api) -> None:
    play(api, {"status": 503, "count": 2}, {"status": 429, "count": 1, "retry_after": 3})
    answers = [send(api) for _ in range(5)]
    assert [answer.status for answer in answers] == [503, 503, 429, 200, 200]
    assert [dict(answer.headers) for answer in answers[1:4]] == [{}, {"Retry-After": "3"}, {}]
    assert len(api.fake.events) == 2


def test_a_new_scenario_takes_the_place_of_the_last_and_none_heals(api: Api) -> None:
    play(api, {"status": 503})
    play(api, {"status": 500})
    assert statuses(api, 1) == [500]
    play(api)
    assert statuses(api, 1) == [200]


def test_an_answer_may_be_slow_and_the_request_is_taken(api: Api) -> None:
    play(api, {"count": 1, "delay_ms": 250}, {"count": 1, "status": 500, "delay_ms": 40})
    assert [(a.status, a.delay_seconds) for a in (send(api), send(api), send(api))] == [
        (200, 0.25),
        (500, 0.04),
        (200, 0.0),
    ]
    assert len(api.fake.events) == 2


@pytest.mark.parametrize(
    ("step", "status", "cut_after", "taken"),
    [
        ({"cut": "before"}, 0, UNANSWERED, 0),
        ({"cut": "after"}, 200, UNANSWERED, 1),
        ({"cut": "headers"}, 200, 0, 1),
        ({"truncate": 1}, 200, 1, 1),
        ({"truncate": 70}, 200, 70, 1),
    ],
)
def test_a_connection_is_cut_before_or_after_the_request_is_taken(
    api: Api, step: dict[str, Any], status: int, cut_after: int, taken: int
) -> None:
    play(api, {**step, "count": 1})
    answer = send(api)
    assert (answer.status, answer.cut_after) == (status, cut_after)
    assert answer.promised_bytes > cut_after
    assert len(api.fake.events) == taken
    assert api.fake.stats["by_status"] == {str(status): 1}
    (seen,) = orjson.loads(api.call("GET", "/_fake/requests").body)["requests"]
    assert (seen["status"], seen["cut"]) == (status, True)


def test_a_page_is_no_json_and_nothing_is_taken(api: Api) -> None:
    play(api, {"malformed": "html", "count": 1}, {"malformed": "html", "status": 200})
    for status in (502, 200):
        answer = send(api)
        assert (answer.status, answer.content_type) == (status, "text/html")
        assert answer.body.startswith(b"<!DOCTYPE html>")
    assert api.fake.events == []


def test_half_a_json_object_answers_what_was_taken(api: Api) -> None:
    play(api, {"malformed": "json", "count": 1}, {"malformed": "json", "status": 200})
    for status in (207, 200):
        answer = api.batch(item("n"))
        assert (answer.status, answer.content_type) == (status, "application/json")
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(answer.body)
    assert len(api.fake.events) == 2


def test_a_207_may_name_an_item_that_there_is_not(api: Api) -> None:
    play(api, {"malformed": "indexes"})
    answer = api.batch(item("a"), item("b"))
    assert answer.status == 207
    assert [error["batch_index"] for error in orjson.loads(answer.body)["errors"]] == [2]
    assert names(api) == ["a", "b"]


@pytest.mark.parametrize(
    ("reject", "rejected"),
    [
        ([{"index": 1}], [1]),
        ([{"index": 0}, {"index": 3}], [0, 3]),
        ([{"name": "bad"}], [1, 2]),
        ([{"name": "bad", "person": "v"}], [2]),
        ([{"person": "v"}], [2, 3]),
    ],
)
def test_items_of_a_batch_are_rejected_by_place_name_or_person(
    api: Api, reject: list[dict[str, Any]], rejected: list[int]
) -> None:
    play(api, {"reject": reject, "count": 1})
    items = [item("a"), item("bad"), item("bad", "v"), item("d", "v")]
    answer = api.batch(*items)
    assert answer.status == 207
    assert [error["batch_index"] for error in orjson.loads(answer.body)["errors"]] == rejected
    assert names(api) == [each["name"] for i, each in enumerate(items) if i not in rejected]
    assert api.fake.stats["rejected_operations"] == len(rejected)


def test_a_lone_operation_is_rejected_whole_in_its_endpoints_form(api: Api) -> None:
    play(api, {"reject": [{"name": "bad"}]})
    answer = send(api, "bad")
    assert (answer.status, orjson.loads(answer.body)) == (
        400,
        {"meta": {"errors": ["rejected, as told to"]}},
    )
    assert api.entity(item("bad")) == [("invalid", "")]
    assert (send(api, "good").status, names(api)) == (200, ["good"])


def test_a_step_may_be_for_certain_requests_and_all_others_pass_by(api: Api) -> None:
    play(api, {"status": 500, "when": {"person": "a/b"}}, {"status": 503, "count": 1})
    assert send(api, person="a%2Fb").status == 500
    assert [send(api).status, send(api).status] == [503, 200]
    assert api.batch(item("n"), item("n", "a/b")).status == 500
    assert api.batch(item("n")).status == 200


def test_a_person_is_known_by_an_anonymous_id_too(api: Api) -> None:
    play(api, {"status": 500, "when": {"person": "v"}})
    assert api.call("POST", "/api/v1/events", {"name": "n", "anonymous_id": "v"}).status == 500
    who = {"anonymous_id": "v"}
    assert api.batch({**item("n"), "identifiers": who}).status == 500


@pytest.mark.parametrize("retry_after", [None, 4])
def test_what_comes_too_fast_is_rejected_until_a_second_has_passed(
    api: Api, retry_after: int | None
) -> None:
    play(api, {"rate": {"per_second": 2, "retry_after": retry_after}})
    for start in (NOW, NOW + 1.0):
        api.now = start
        assert statuses(api, 2) == [200, 200]
        api.now = start + 0.999
        answer = send(api)
        assert answer.status == 429
        assert answer.headers == ({} if retry_after is None else {"Retry-After": "4"})
    assert len(api.fake.events) == 4


def test_a_scenario_says_what_of_it_did_not_happen() -> None:
    scenario = Scenario([Step(2, status=503), Step(when=When(name="x"), status=500)])
    assert scenario.next([], NOW) == Step(2, status=503)
    assert scenario.unused() == ["step 1 had 1 of its 2", "step 2 had 0 of its requests"]
    assert scenario.next([], NOW) == Step(2, status=503)
    assert scenario.next([], NOW) is None
    assert scenario.unused() == ["step 2 had 0 of its requests"]


def test_one_step_alone_is_a_scenario() -> None:
    (step,) = read_scenario({"cut": "after", "count": 3})
    assert (step.cut, step.count) == ("after", 3)
    assert read_scenario({"status": 503, "count": 0}) == []


@pytest.mark.parametrize(
    ("step", "mistake"),
    [
        ({"status": 503, "often": 1}, "often: is not a key of this request"),
        ({"status": "503"}, "status: must be a whole number"),
        ({"status": 199}, "status: must be from 200 to 599"),
        ({"delay_ms": -1}, "delay_ms: must be from 0 to 86,400,000"),
        ({"truncate": -1}, "truncate: must be at least 0"),
        ({"cut": "never"}, "cut: must be one of before, after, headers"),
        ({"malformed": "xml"}, "malformed: must be one of html, json, indexes"),
        ({"malformed": "indexes", "status": 200}, "status: can't go with malformed indexes"),
        ({"cut": "before", "truncate": 1}, "truncate: can't go with cut; make two steps of it"),
        ({"status": 500, "rate": {"per_second": 1}}, "rate: can't go with status"),
        ({"rate": {"per_second": 0}}, "rate.per_second: must be at least 1"),
        ({"rate": {}}, "rate.per_second: is required"),
        ({"rate": {"per_second": 1, "retry_after": -1}}, "rate.retry_after: must be at least 0"),
        ({"cut": "after", "retry_after": 1}, "retry_after: goes with status"),
        ({"reject": []}, "reject: must not be empty"),
        ({"reject": [{}]}, "reject[0]: must not be empty"),
        ({"reject": [{"index": -1}]}, "reject[0].index: must not be negative"),
        ({"when": {"index": 1}, "status": 500}, "when.index: is not a key of this request"),
        ({"count": 1}, "says nothing to do: give one of status, cut"),
    ],
)
def test_a_step_that_makes_no_sense_is_rejected_and_what_was_goes_on(
    api: Api, step: dict[str, Any], mistake: str
) -> None:
    play(api, {"status": 500})
    body: dict[str, Any]
    for body, at in ((step, ""), ({"steps": [step]}, "steps[0].")):
        answer = api.call("POST", "/_fake/scenario", body)
        assert answer.status == 400
        (error,) = orjson.loads(answer.body)["meta"]["errors"]
        assert error.startswith(at + mistake)
    assert statuses(api, 1) == [500]


def test_every_mistake_of_a_scenario_is_told(api: Api) -> None:
    steps = [{"cut": "after"}, {"status": 1, "count": -1}, {"status": 500}]
    answer = api.call("POST", "/_fake/scenario", {"steps": steps})
    assert orjson.loads(answer.body)["meta"]["errors"] == [
        "steps[0].count: is required in all steps but the last: what follows would never come",
        "steps[1].count: must be at least 0",
        "steps[1].status: must be from 200 to 599",
    ]


@pytest.mark.parametrize("body", [{}, [], {"steps": {}}, {"steps": [1]}, {"steps": [], "count": 1}])
def test_what_is_no_scenario_at_all_is_rejected(api: Api, body: Any) -> None:
    assert api.call("POST", "/_fake/scenario", orjson.dumps(body)).status == 400
