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

_LINE_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Window:
    """The Unix seconds within which a case ran."""

    start: float
    end: float


def matches(expected: Any, actual: Any, window: Window) -> bool:
    """Whether a JSON value is the expected one: 1 is neither 1.0 nor "1"; keys in any order."""
    if expected in (RECEIVED_AT, ULID_SLOT):
        return _fills(expected, actual, window)
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


def settled(expected: Any, actual: Any, window: Window) -> Any:
    """The expected value, with what came in place of every placeholder that it fills: so that a
    diff shows only what is wrong.
    """
    if expected in (RECEIVED_AT, ULID_SLOT):
        return actual if _fills(expected, actual, window) else expected
    if isinstance(expected, dict) and isinstance(actual, dict):
        return {key: settled(value, actual.get(key), window) for key, value in expected.items()}
    if isinstance(expected, list) and isinstance(actual, list):
        got = [*actual, *[None] * len(expected)]
        return [settled(value, got[index], window) for index, value in enumerate(expected)]
    return expected


def difference(expected: Any, actual: Any) -> str:
    """A readable line-by-line diff of two JSON values; empty where they are alike."""
    diff = difflib.unified_diff(
        lines_of(expected), lines_of(actual), "expected", "received", lineterm="", n=2
    )
    return "\n".join(map(shorten, diff))


def _fills(placeholder: str, actual: Any, window: Window) -> bool:
    if placeholder == RECEIVED_AT:
        return type(actual) is int and int(window.start) <= actual <= window.end
    return _is_ulid(actual)


def lines_of(value: Any) -> list[str]:
    """A JSON value as the lines that a diff compares."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return text.splitlines()


def shorten(line: str) -> str:
    """A line without its middle, where it is long."""
    if len(line) <= _LINE_CHARACTERS:
        return line
    half = _LINE_CHARACTERS // 2
    return f"{line[:half]} … {line[-half:]} ({len(line):,} characters)"


def _is_ulid(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        ULID.from_str(value)
    except ValueError:
        return False
    return True
