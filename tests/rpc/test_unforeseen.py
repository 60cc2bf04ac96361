"""A failure that nobody has foreseen rejects one event, and neither its call nor its neighbours."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from cio.sidecar.v1 import delivery_pb2, ingest_pb2
from cio_sidecar.renderer import Rejected, Rendered, Renderer

from tests.rpc.harness import ACCEPTED, REJECTED, Caller, rejection, track, violations_of


async def test_a_failure_of_rendering_rejects_that_event_alone(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    render = Renderer.render

    def fail(self: Renderer, event: dict[str, Any]) -> Rendered | Rejected:
        if event["event"] == "Bad":
            raise KeyError("ann.privat@example.com")
        return render(self, event)

    monkeypatch.setattr(Renderer, "render", fail)
    caplog.set_level(logging.DEBUG)
    results = await caller.send_batch(track(event="A"), track(event="Bad"), track(event="B"))
    assert [result.status for result in results] == [ACCEPTED, REJECTED, ACCEPTED]
    assert violations_of(results[1]) == [("", "INTERNAL")]
    rejected = await caller.send_rejected(track(event="Bad"))
    assert rejected.fields == [("", "INTERNAL")]
    assert "KeyError in fail" in caplog.text
    assert "privat" not in caplog.text + str(results) + rejected.words
    await caller.delivered(2)


CALLS: dict[str, Callable[[Caller], Awaitable[Any]]] = {
    "Send": lambda caller: caller.send(track()),
    "Stream": lambda caller: caller.stream(
        [ingest_pb2.StreamRequest(sequence=1, events=[track()])]
    ),
    "GetStats": lambda caller: caller.delivery.GetStats(delivery_pb2.GetStatsRequest()),
    "ExportDeadLetters": lambda caller: read_all(
        caller.delivery.ExportDeadLetters(delivery_pb2.ExportDeadLettersRequest())
    ),
}


async def read_all(responses: Any) -> list[Any]:
    return [response async for response in responses]


@pytest.mark.parametrize("name", CALLS)
async def test_call_that_fails_tells_nothing_of_a_person(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise KeyError("ann.privat@example.com")

    for method in ("put", "stats", "run"):
        monkeypatch.setattr(caller.sidecar.queue, method, fail)
    caplog.set_level(logging.DEBUG)
    found = await rejection(CALLS[name](caller))
    monkeypatch.undo()
    assert (found.code, found.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "KeyError in fail" in found.words
    assert "a call failed: KeyError in fail" in caplog.text
    assert "privat" not in caplog.text + found.words
    assert "Traceback" not in caplog.text
