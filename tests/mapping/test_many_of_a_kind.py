"""What costs time for each of many places in an event is done for a few of them only."""

from typing import Any

import orjson
import pytest
from cio_sidecar.customerio.truncate import MOST_CHANGES
from cio_sidecar.mapping import event as events
from cio_sidecar.mapping.authoring.profiles import load_profile
from cio_sidecar.mapping.errors import MORE
from cio_sidecar.mapping.running.expressions import Expression
from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.renderer import Rejected, Rendered, Renderer


def _event(event_type: str, field: str, value: Any) -> dict[str, Any]:
    return {
        "type": event_type,
        "event": "Viewed",
        "userId": "u1",
        "messageId": "m1",
        "receivedAt": "2026-03-02T09:30:00Z",
        field: value,
    }


def test_bad_places_of_one_name_are_named_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[Any] = []
    joined = events._joined

    def counted(path: list[Any]) -> str:
        named.append(path)
        return joined(path)

    monkeypatch.setattr(events, "_joined", counted)
    value: Any = ["\0"] * 10_000
    for _ in range(110):
        value = {"a": value}
    found = events.unfit({"properties": value})
    assert [each.reason for each in found] == ["INVALID_VALUE", "MORE"]
    assert found[-1] == MORE
    assert len(named) <= 100


@pytest.mark.parametrize(("text", "is_unfit"), [("\\u0000", False), ("\\\0", True), ("\0", True)])
def test_text_that_looks_like_a_null_character(text: str, is_unfit: bool) -> None:
    event = _event("track", "properties", {"a": text})
    assert events.may_be_unfit(event, orjson.dumps(event)) is is_unfit
    assert bool(events.unfit(event)) is is_unfit


@pytest.mark.parametrize(("kind", "field"), [("track", "properties"), ("identify", "traits")])
def test_changes_are_named_a_few_times(kind: str, field: str) -> None:
    renderer = Renderer(load_profile("standard", options=MappingOptions(limits="truncate")))
    rendered = renderer.render(_event(kind, field, {f"k{i}": "x" for i in range(20_000)}))
    assert isinstance(rendered, Rendered)
    assert 12 < len(rendered.warnings) <= 2 * MOST_CHANGES


def test_an_expression_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    overlay = (
        "table: vip\ndoc: Attributes.\nextends: identify\nwhen: {userId: u1}\nrows:\n"
        '  - {key: "*", level: optional, expr: event.traits, apply: [object], doc: All.}\n'
    )
    renderer = Renderer(load_profile("standard", [("vip.yaml", overlay)]))
    traits = {f"k{i}" + "x" * 150: 0 for i in range(200)}
    renderer.render(_event("identify", "traits", traits))
    made: list[str] = []
    init = Expression.__init__

    def counted(me: Expression, source: str) -> None:
        made.append(source)
        init(me, source)

    monkeypatch.setattr(Expression, "__init__", counted)
    assert isinstance(renderer.render(_event("identify", "traits", traits)), Rejected)
    assert not made
