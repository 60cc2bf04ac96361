"""A failure that nobody has foreseen refuses one event, and neither its call nor its neighbours."""

import logging
from typing import Any

import pytest
from cio_sidecar.renderer import Refused, Rendered, Renderer

from tests.rpc.harness import ACCEPTED, REFUSED, Caller, track, violations_of


async def test_a_failure_of_rendering_refuses_that_event_alone(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    render = Renderer.render

    def fail(self: Renderer, event: dict[str, Any]) -> Rendered | Refused:
        if event["event"] == "Bad":
            raise KeyError("ann.privat@example.com")
        return render(self, event)

    monkeypatch.setattr(Renderer, "render", fail)
    caplog.set_level(logging.DEBUG)
    results = await caller.send_batch(track(event="A"), track(event="Bad"), track(event="B"))
    assert [result.status for result in results] == [ACCEPTED, REFUSED, ACCEPTED]
    assert violations_of(results[1]) == [("", "INTERNAL")]
    refused = await caller.send_refused(track(event="Bad"))
    assert refused.fields == [("", "INTERNAL")]
    assert "KeyError in fail" in caplog.text
    assert "privat" not in caplog.text + str(results) + refused.words
    await caller.delivered(2)
