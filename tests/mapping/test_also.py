"""Tables whose operations follow another's: each where it is for the event."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from cio_sidecar.mapping.authoring.profiles import load_profile
from cio_sidecar.mapping.errors import TableError
from cio_sidecar.renderer import Rendered, Renderer

ALSO = "table: default\nalso: [vip, regular]\n"
FOLLOWER = """\
table: {name}
doc: d
events: []
operation: identify
when: {when}
rows:
  - {{key: id, level: required, from: userId, apply: [identifier], doc: d}}
  - {{key: kind, value: {name}, doc: d}}
"""
VIP = FOLLOWER.format(name="vip", when="event.properties.total > 100.0")
REGULAR = FOLLOWER.format(name="regular", when="{properties.kind: [a, b]}")


def kinds(properties: dict[str, Any]) -> list[str]:
    files = [("1.yaml", ALSO), ("2.yaml", VIP), ("3.yaml", REGULAR)]
    event = {"type": "track", "messageId": "m", "receivedAt": "2023-10-01", "userId": "u"}
    rendered = Renderer(load_profile("standard", files)).render(
        {**event, "event": "E", "properties": properties}
    )
    assert isinstance(rendered, Rendered), rendered
    first, *others = [orjson.loads(operation.item) for operation in rendered.operations]
    assert first["action"] == "event"
    return [other["attributes"]["kind"] for other in others]


def test_a_table_follows_where_its_condition_holds() -> None:
    assert kinds({"total": 150.5}) == ["vip"]
    assert kinds({"total": 50.5}) == []
    assert kinds({}) == []
    assert kinds({"kind": "b"}) == ["regular"]


def test_those_that_follow_keep_the_order_in_which_they_are_named() -> None:
    assert kinds({"total": 150.5, "kind": "a"}) == ["vip", "regular"]


def test_otherwise_must_lead_to_a_table_that_takes_every_event() -> None:
    with pytest.raises(TableError) as caught:
        load_profile("standard", [("1.yaml", "table: group\notherwise: vip\n"), ("2.yaml", VIP)])
    (mistake,) = caught.value.mistakes
    assert str(mistake).startswith("1.yaml:2: otherwise: the table vip is not for every event")
