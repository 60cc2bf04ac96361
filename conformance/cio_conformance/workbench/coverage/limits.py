"""Which of Customer.io's limits a row's value is under, and whether a value is over it. PURE."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from cio_sidecar.customerio import limits
from cio_sidecar.mapping.event import MESSAGE_ID_BYTES
from cio_sidecar.mapping.model import SPREAD, Row
from cio_sidecar.operations import OPERATIONS
from cio_sidecar.paths import split_path

_BOUNDED: Final = {"unix_seconds", "device_platform", "email_sha256"}
"""Transforms whose results are always short."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on a row's value."""

    doc: str
    """Such as ``150 bytes``."""
    is_over: Callable[[Any], bool]


def limit_of(row: Row, operation: str) -> Limit | None:
    """The limit that a row's value is under in an operation; None where it has none of its own."""
    if all(source.apply[-1:] and source.apply[-1] in _BOUNDED for source in row.inputs):
        # A constant too: tables are checked when they load.
        return None
    head, *inner = split_path(row.key)
    if operation == "event":
        return _of_event(row, head, inner)
    spec = OPERATIONS[operation]
    key = spec.keys.get(head)
    if key is None or key.type == "attributes":
        if head == "anonymous_id":
            return _ID
        path = [head] if key is None else inner
        return _ATTRIBUTES if path in ([], [SPREAD]) else _ATTRIBUTE
    if key.type in ("person", "id"):
        return _ID
    return _BESIDE if head in spec.beside and key.type in ("text", "scalar") else None


def _of_event(row: Row, head: str, inner: list[str]) -> Limit | None:
    if head in ("person", "anonymous_id"):
        return _ID
    if head == "name":
        return _NAME
    if head == "id" and any(source.path == "messageId" for source in row.inputs):
        return _MESSAGE_ID
    # Of one key among many the data as a whole is the limit.
    return _DATA if head == "data" and inner in ([], [SPREAD]) else None


def _bytes(limit: int) -> Limit:
    return Limit(f"{limit:,} bytes", lambda value: _size(value) > limit)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    try:
        return len(orjson.dumps(value))
    except TypeError:
        # A fixture can hold a whole number of more than 64 bits.
        return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


_ID: Final = _bytes(limits.PERSON_ID_BYTES)
_NAME: Final = _bytes(limits.EVENT_NAME_BYTES)
_MESSAGE_ID: Final = _bytes(MESSAGE_ID_BYTES)
_DATA: Final = _bytes(limits.EVENT_DATA_BYTES)
_BESIDE: Final = _bytes(limits.BESIDE_BYTES)
_ATTRIBUTE: Final = _bytes(limits.ATTRIBUTE_VALUE_BYTES)
_ATTRIBUTES: Final = Limit(
    f"{limits.ATTRIBUTES} attributes, each of {limits.ATTRIBUTE_VALUE_BYTES:,} bytes",
    lambda value: isinstance(value, dict) and bool(limits.check_attributes(value)),
)
