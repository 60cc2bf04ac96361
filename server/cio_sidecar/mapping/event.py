"""The canonical form of an event: the Segment spec's JSON object. Its shape is checked here."""

from typing import Any, Final

from cio_sidecar.mapping.errors import Violation
from cio_sidecar.mapping.transforms import json_type

Event = dict[str, Any]

EVENT_TYPES: Final = ("identify", "track", "page", "screen", "group", "alias")
OBJECT_FIELDS: Final = ("properties", "traits", "context")
MESSAGE_ID_BYTES: Final = 255
"""The most bytes of UTF-8 that a messageId may have; the sidecar's own limit."""


def check(event: Any) -> list[Violation]:
    """What is wrong with the shape of an event: its type, and what must be an object."""
    if event.__class__ is not dict:
        return [Violation("", "WRONG_TYPE", f"an event is an object, got {json_type(event)}")]
    violations: list[Violation] = []
    if event.get("type") not in EVENT_TYPES:
        violations.append(_unknown_type(event.get("type")))
    for field in OBJECT_FIELDS:
        value = event.get(field)
        if value is not None and value.__class__ is not dict:
            violations.append(
                Violation(field, "WRONG_TYPE", f"expected an object, got {json_type(value)}")
            )
    message_id = event.get("messageId")
    if message_id.__class__ is str:
        # No character takes more than four bytes, so most ids need no encoding to be measured.
        if len(message_id) * 4 > MESSAGE_ID_BYTES:
            size = len(message_id.encode())
            if size > MESSAGE_ID_BYTES:
                violations.append(
                    Violation(
                        "messageId",
                        "TOO_LARGE",
                        f"{size:,} bytes, the limit is {MESSAGE_ID_BYTES}: use a ULID or UUID",
                    )
                )
    elif message_id is not None and message_id.__class__ is not int:
        violations.append(
            Violation("messageId", "WRONG_TYPE", f"expected text, got {json_type(message_id)}")
        )
    return violations


def has_null_byte(encoded: bytes) -> bool:
    r"""Whether the JSON of an event may hold a null character: it is written ``\u0000``.

    True also for a backslash followed by ``u0000`` in a text: null_bytes() tells.
    """
    return b"\\u0000" in encoded


def null_bytes(value: Any, path: str = "") -> list[Violation]:
    """The fields that hold a null character, in a key or a text."""
    found: list[Violation] = []
    pending = [(path, value)]
    while pending:
        at, item = pending.pop()
        if item.__class__ is str and "\0" in item:
            found.append(
                Violation(
                    at, "INVALID_VALUE", "holds a null byte (U+0000): remove it from the text"
                )
            )
        elif item.__class__ is dict:
            for key, inner in item.items():
                where = f"{at}.{key}" if at else key
                if "\0" in key:
                    shown = where.replace("\0", "␀")
                    found.append(
                        Violation(shown, "INVALID_VALUE", "the key holds a null byte: remove it")
                    )
                pending.append((where, inner))
        elif item.__class__ is list:
            pending.extend((f"{at}.{index}", inner) for index, inner in enumerate(item))
    return found


def _unknown_type(got: Any) -> Violation:
    shown = "none" if got is None else repr(got)[:60] if got.__class__ is str else json_type(got)
    return Violation(
        "type", "UNKNOWN_TYPE", f"expected one of {', '.join(EVENT_TYPES)}, got {shown}"
    )
