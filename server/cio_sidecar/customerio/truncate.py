"""Cuts what is over a limit, for those who would rather lose a part than the whole."""

from collections.abc import Collection
from itertools import islice
from typing import Any, Final

import orjson

from cio_sidecar.customerio.limits import (
    ATTRIBUTE_NAME_BYTES,
    ATTRIBUTE_VALUE_BYTES,
    ATTRIBUTES,
    EVENT_DATA_BYTES,
    Problem,
)

MOST_CHANGES: Final = 100
"""How many changes are told; a caller is shown a dozen."""


def cut_attributes(
    attributes: dict[str, Any], keep: Collection[str] = ()
) -> tuple[dict[str, Any], list[Problem]]:
    """Attributes within the limits, and what was changed.

    Text is cut on a character boundary. An object or list that is too large, an email address that
    is, an attribute with too long a name, and those beyond the most there may be are left out, the
    names in ``keep`` last.
    """
    kept: dict[str, Any] = {}
    changes: list[Problem] = []
    for name, value in attributes.items():
        size = _size(value)
        if len(name.encode()) > ATTRIBUTE_NAME_BYTES:
            what = f"left out: its name is over {ATTRIBUTE_NAME_BYTES} bytes"
        elif size <= ATTRIBUTE_VALUE_BYTES:
            kept[name] = value
            continue
        elif isinstance(value, str) and name != "email":
            kept[name] = value.encode()[:ATTRIBUTE_VALUE_BYTES].decode(errors="ignore")
            what = f"cut to {len(kept[name].encode()):,} bytes of {size:,}"
        else:
            what = f"left out: {size:,} bytes, the limit is {ATTRIBUTE_VALUE_BYTES:,}"
        changes.append(Problem(name, "TOO_LARGE", what))
        if len(changes) > MOST_CHANGES:
            del changes[MOST_CHANGES:]
    counted = [name for name in kept if name != "_update"]
    # Those that are named keep their places; sorting is stable.
    for name in sorted(counted, key=lambda name: name not in keep)[ATTRIBUTES:]:
        del kept[name]
        if len(changes) < MOST_CHANGES:
            what = f"left out: there are more than {ATTRIBUTES} attributes"
            changes.append(Problem(name, "TOO_MANY", what))
    return kept, changes


def cut_data(data: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """An event's data within its limit, and what was changed: the largest values are left out until
    the rest fits, of equal ones the later.
    """
    total = len(orjson.dumps(data))
    if total <= EVENT_DATA_BYTES:
        return data, []
    # What makes an event an invite is the last to go; then the event is rejected.
    sizes = {key: len(orjson.dumps({key: value})) - 1 for key, value in data.items()}
    left_out: set[str] = set()
    for key in sorted(reversed(data), key=sizes.__getitem__, reverse=True):  # noqa: C414 (ties)
        if total <= EVENT_DATA_BYTES:
            break
        if key == "recipient":
            continue
        total -= sizes[key]
        left_out.add(key)
    kept = {key: value for key, value in data.items() if key not in left_out}
    what = f"bytes of data over the limit of {EVENT_DATA_BYTES:,}"
    told = islice((key for key in data if key in left_out), MOST_CHANGES)
    return kept, [
        Problem(f"data.{key}", "TOO_LARGE", f"left out: {sizes[key]:,} {what}") for key in told
    ]


def _size(value: Any) -> int:
    """Bytes of a value as the limit counts them; 0 where it has no limit."""
    if isinstance(value, str):
        return len(value.encode())
    return len(orjson.dumps(value)) if isinstance(value, (dict, list)) else 0
