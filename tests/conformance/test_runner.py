"""The runner with a caller that is no sidecar at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cio_conformance.cases.golden_cases import parse_fixtures
from cio_conformance.run.inbox import Inbox
from cio_conformance.run.result import Result, Setup
from cio_conformance.run.runner import Runner
from cio_conformance.run.verdict import ACCEPTED, REJECTED, Answer
from cio_fake import Received, Request, Response

from tests.conformance.toy import CASES

GOLDENS = parse_fixtures(CASES.replace("$received_at", "5"), "toy.yaml")
PURCHASE, VISIT, NOBODY = "toy: a purchase", "toy: a visit", "toy: nobody"


class Puppet:
    """Answers and delivers at once; `also` may deliver more before an event is dealt with."""

    def __init__(self, also: Callable[[Puppet, dict[str, Any]], None] | None = None) -> None:
        self.inbox = Inbox()
        self.status = 200
        self.delivers = True
        self._also = also

    def send(self, event: dict[str, Any]) -> Answer:
        if self._also:
            self._also(self, event)
        if "userId" not in event:
            return Answer(REJECTED, violations=[("userId", "NO_PERSON", "give one")])
        if self.delivers:
            # The cases of the toy expect no id; by that of its sentinels the runner knows them.
            more = {"id": event["messageId"]} if "Sentinel" in event["event"] else {}
            self.deliver(event["userId"], event["event"], event.get("properties", {}), **more)
        return Answer(ACCEPTED)

    def deliver(self, user: str, name: str, data: dict[str, Any], **more: str) -> None:
        path = f"/api/v1/customers/{user}/events"
        operation = {
            "method": "POST",
            "path": path,
            "body": {"name": name, "data": data, "timestamp": 5, **more},
        }
        response = Response(self.status, b'{"meta":{"errors":["no"]}}')
        self.inbox.put(Received(Request("POST", path), response, 5.0, [operation]))


class Rejecting:
    """Takes nothing at all."""

    def __init__(self) -> None:
        self.inbox = Inbox()

    def send(self, _: dict[str, Any]) -> Answer:
        return Answer("UNAVAILABLE", "gone")


def run(puppet: Puppet | Rejecting, after: Callable[[], None] = lambda: None) -> dict[str, Result]:
    runner = Runner(
        Setup("standard", "v1"),
        puppet,
        puppet.inbox,
        patience_seconds=0.05,
        explain=lambda: "it sulks",
    )
    runner.run(GOLDENS)
    after()
    runner.close()
    return {result.golden.name: result for result in runner.results(GOLDENS)}


def failures(results: dict[str, Result]) -> dict[str, str]:
    return {name: r.message for name, r in results.items() if r.outcome == "failed"}


def test_a_sidecar_that_behaves_passes() -> None:
    assert failures(run(Puppet())) == {}


def test_a_request_for_a_rejected_event_is_a_failure_of_that_case_alone() -> None:
    def also(puppet: Puppet, event: dict[str, Any]) -> None:
        if "userId" not in event:
            puppet.deliver("ghost", "Bought", {})

    failed = failures(run(Puppet(also)))
    assert list(failed) == [NOBODY]
    assert "expected 0 requests, 1 request came" in failed[NOBODY]
    assert "/api/v1/customers/ghost/events" in failed[NOBODY]


def test_a_request_that_comes_again_later_is_blamed_on_the_case_that_it_repeats() -> None:
    def also(puppet: Puppet, event: dict[str, Any]) -> None:
        if event.get("userId") == "u2":
            puppet.deliver("u1", "Bought", {"total": 5})

    failed = failures(run(Puppet(also)))
    assert list(failed) == [PURCHASE]
    assert "a request that no case expects came again after 'toy: a visit'" in failed[PURCHASE]


def test_a_request_left_over_at_the_end_is_blamed_on_the_last_case() -> None:
    puppet = Puppet()
    failed = failures(run(puppet, lambda: puppet.deliver("ghost", "Boo", {})))
    assert list(failed) == [NOBODY]
    assert "a request that no case expects came after 'toy: nobody'" in failed[NOBODY]


def test_an_answer_of_the_fake_other_than_success_is_a_failure() -> None:
    puppet = Puppet()
    puppet.status = 400
    failed = failures(run(puppet))
    assert list(failed) == [PURCHASE, VISIT]
    assert failed[PURCHASE] == (
        'Customer.io (the fake) answered HTTP 400: {"meta":{"errors":["no"]}}'
    )


def test_a_partly_rejected_batch_is_a_failure() -> None:
    puppet = Puppet()
    puppet.status = 207
    assert "answered HTTP 207" in failures(run(puppet))[PURCHASE]


def test_a_sidecar_that_delivers_nothing_more_ends_the_run() -> None:
    puppet = Puppet()
    puppet.delivers = False
    failed = failures(run(puppet))
    assert list(failed) == [PURCHASE, VISIT, NOBODY]
    assert "expected 1 request, 0 requests came" in failed[PURCHASE]
    assert "it sulks" in failed[PURCHASE]
    assert failed[VISIT].startswith("not run: a plain track event, sent after 'toy: a purchase'")


def test_a_sentinel_that_is_rejected_ends_the_run() -> None:
    failed = failures(run(Rejecting()))
    assert "expected ACCEPTED, got UNAVAILABLE: gone" in failed[PURCHASE]
    assert failed[VISIT].endswith("the sidecar answered UNAVAILABLE: gone")
