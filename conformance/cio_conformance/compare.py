"""Compares what came with what a golden expects: exactly, JSON types included."""

import difflib
import json
from dataclasses import dataclass
from typing import Any, Final

from ulid import ULID

RECEIVED_AT: Final = "$received_at"
"""Stands in a golden for the Unix second at which the sidecar received the event."""
ULID_SLOT: Final = "$ulid"
"""Stands in a golden for any ULID: a message id that the sidecar made."""


@dataclass(frozen=True, slots=True)
class Window:
    """The Unix seconds within which a case ran."""

    start: float
    end: float


def matches(expected: Any, actual: Any, window: Window) -> bool:
    """Whether a JSON value is the expected one: 1 is neither 1.0 nor "1"; keys in any order."""
    if expected == RECEIVED_AT:
        return type(actual) is int and int(window.start) <= actual <= window.end
    if expected == ULID_SLOT:
        return _is_ulid(actual)
    if type(expected) is not type(actual):
        return False
    if isinstance(expected, dict):
        return expected.keys() == actual.keys() and all(
            matches(value, actual[key], window) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return len(expected) == len(actual) and all(
            matches(value, got, window) for value, got in zip(expected, actual, strict=True)
        )
    return bool(expected == actual)


def difference(expected: Any, actual: Any) -> str:
    """A readable line-by-line diff of two JSON values."""
    lines = difflib.unified_diff(
        _lines(expected), _lines(actual), "expected", "received", lineterm="", n=2
    )
    return "\n".join(lines)


def _lines(value: Any) -> list[str]:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return [line if len(line) <= 200 else f"{line[:197]}..." for line in text.splitlines()]


def _is_ulid(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        ULID.from_str(value)
    except ValueError:
        return False
    return True
