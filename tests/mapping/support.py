"""What the tests of tables share: loading an overlay, and rendering by it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from cio_sidecar.mapping.authoring.profiles import TableSet, load_profile
from cio_sidecar.mapping.errors import TableError
from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.renderer import Rejected, Rendered, Renderer

BASE: dict[str, Any] = {
    "messageId": "m",
    "receivedAt": "2023-10-01T12:00:00Z",
    "userId": "u",
}
NOW = 1_696_161_600
"""Unix seconds of BASE's receivedAt."""

EVENT_ROWS = """\
  - {key: name, value: Made, doc: d}
  - {key: id, level: required, from: messageId, apply: [identifier], doc: d}
  - {key: timestamp, level: required, from: receivedAt, apply: [unix_seconds], doc: d}
  - {key: person, from: userId, apply: [identifier], doc: d}
"""
"""What an event needs, as rows of a table."""


def load(*texts: str, profile: str = "standard", options: MappingOptions | None = None) -> TableSet:
    """A profile with an overlay of files that are named 0.yaml, 1.yaml, …"""
    return load_profile(profile, [(f"{n}.yaml", text) for n, text in enumerate(texts)], options)


def mistakes(*texts: str, profile: str = "standard") -> list[str]:
    """What is wrong with an overlay."""
    with pytest.raises(TableError) as caught:
        load(*texts, profile=profile)
    return [str(mistake) for mistake in caught.value.mistakes]


def render(tables: TableSet, **event: Any) -> Rendered:
    result = Renderer(tables).render({**BASE, **event})
    assert isinstance(result, Rendered), result
    return result


def items(tables: TableSet, **event: Any) -> list[Any]:
    """The operations of an event that is accepted."""
    return [orjson.loads(operation.item) for operation in render(tables, **event).operations]


def rejections(tables: TableSet, **event: Any) -> list[tuple[str, str]]:
    """The field and reason of each violation of an event that is rejected."""
    result = Renderer(tables).render({**BASE, **event})
    assert isinstance(result, Rejected), result
    return [(violation.field, violation.reason) for violation in result.violations]
