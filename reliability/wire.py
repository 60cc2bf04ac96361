"""Reads the requests of the Track API, as far as a run's events need it."""

from typing import Any, Final

import orjson

SPELL_REASON: Final = "a spell of rejections"
"""What the answers of a spell of systematic rejections say."""
POISON: Final = "Poison"
"""The name of events that are rejected permanently."""
STUCK: Final = "Stuck"
"""The name of events that fail again and again while faults are on."""
BATCH_PATH: Final = "/api/v2/batch"
API_PATHS: Final = ("/api/v1/", "/api/v2/")
"""What the paths of the Track API begin with; all else is somebody else's."""


def operations(path: str, body: bytes) -> list[dict[str, Any]]:
    """What a request asks for: the items of a batch, or its one body."""
    parsed = orjson.loads(body) if body else {}
    if path == BATCH_PATH:
        batch: list[dict[str, Any]] = parsed["batch"]
        return batch
    return [parsed]


def message_id(operation: dict[str, Any]) -> str:
    """The message_id: of an event its id, of an identify its attribute ``mark``, of a merge the
    person that is folded into the other."""
    if "secondary" in operation:
        return str(operation["secondary"]["id"])
    if operation.get("action") == "identify":
        return str(operation["attributes"]["mark"])
    return str(operation.get("id") or operation["mark"])
