"""Parses the body of an answer within bounds. PURE.

An answer is untrusted: whatever stands between the sidecar and Customer.io may have written it.
"""

from collections.abc import Iterable
from typing import Any, Final

import orjson

BODY_BYTES: Final = 1024 * 1024
"""Maximum size of a body that is parsed."""
DEPTH: Final = 64
"""Maximum nesting of objects and lists in a body that is parsed."""
VALUES: Final = 200_000
"""Maximum number of values in a body that is parsed, by its separators and opening brackets."""


def parse(body: bytes) -> Any:
    """Return a body's JSON value; None if it is not JSON or is beyond a bound.

    Whatever it returns can be encoded as JSON again.
    """
    if len(body) > BODY_BYTES or sum(map(body.count, (b",", b"[", b"{"))) > VALUES:
        return None
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if _is_shallow(value) else None


def _is_shallow(value: Any) -> bool:
    level = _containers([value])
    for _ in range(DEPTH):
        level = _containers(
            inner for each in level for inner in (each.values() if each.__class__ is dict else each)
        )
        if not level:
            return True
    return False


def _containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if value.__class__ is dict or value.__class__ is list]
