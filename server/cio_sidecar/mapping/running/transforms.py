"""The named transforms of mapping tables: what a row's ``apply`` may list.

Each takes a value and returns a value, or a NoValue. None is JSON's null.
"""

import hashlib
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson


class NoValue:
    """Stands for the absence of a value. With ``why`` set, the caller is warned."""

    __slots__ = ("why",)

    def __init__(self, why: str | None = None) -> None:
        self.why = why


ABSENT: Final = NoValue()
"""No value, and nothing to say about it."""

Transform = Callable[[Any], Any]

# Of the dots after the @ only one can match here: the time is linear.
EMAIL: Final = re.compile(r"[^@\s]+@[^@\s][^@\s.]*\.[^@\s]+")
_SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")
_NUMBER: Final = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?")
_JSON_TYPES: Final = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}
_APPLE: Final = frozenset(
    {"ios", "ipados", "iphone", "iphoneos", "ipad", "ipod", "watchos", "tvos", "visionos"}
)
_LONGEST_EMAIL: Final = 320
_MOST_DIGITS: Final = 100
"""More than any moment has; int() itself rejects more than 4,300."""
_EXACT_INTEGERS: Final = 2.0**53
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_SECONDS: Final = 86_400
_NOT_A_TIME: Final = "expected an ISO 8601 date-time or Unix seconds, got "
_EARLIEST: Final = -62_135_596_800
# Beyond it, in the year 5138, seconds can no longer be told from milliseconds.
_LATEST: Final = 10**11 - 1


def json_type(value: object) -> str:
    """The JSON name of a value's type, with its article: "a list"."""
    if isinstance(value, float) and not value.is_integer():
        return "a fraction"
    return _JSON_TYPES.get(type(value), "something that is not JSON")


def identifier(value: Any) -> Any:
    """Text that identifies. A whole number becomes its digits; null and blank text are absent."""
    if value.__class__ is str:
        return value if value and not value.isspace() else ABSENT
    if value.__class__ is int:
        return str(value)
    if value is None:
        return ABSENT
    if value.__class__ is float and value.is_integer() and abs(value) <= _EXACT_INTEGERS:
        return str(int(value))
    return NoValue(f"expected text or a whole number, got {json_type(value)}; ignored")


def email_address(value: Any) -> Any:
    """An email address, trimmed. Anything that does not look like one is absent."""
    if value.__class__ is not str:
        return ABSENT
    trimmed = value.strip()
    # No longer text is one, and the search would take long.
    return trimmed if len(trimmed) <= _LONGEST_EMAIL and EMAIL.fullmatch(trimmed) else ABSENT


def text(value: Any) -> Any:
    """Text, trimmed. Null and blank text are absent."""
    if value.__class__ is str:
        return value.strip() or ABSENT
    if value is None:
        return ABSENT
    return NoValue(f"expected text, got {json_type(value)}; ignored")


def object_(value: Any) -> Any:
    """A JSON object. Null is absent."""
    if value.__class__ is dict:
        return value
    if value is None:
        return ABSENT
    return NoValue(f"expected an object, got {json_type(value)}; ignored")


def email_sha256(value: Any) -> Any:
    """SHA-256 (hex) of an email address, trimmed and lower-cased.

    What is 64 hex digits already is kept, lower-cased. Null stays null; blank text is absent.
    """
    if value is None:
        return None
    if value.__class__ is not str:
        return NoValue(f"expected an email address, got {json_type(value)}; ignored")
    normal = value.strip().lower()
    if not normal:
        return ABSENT
    if _SHA256_HEX.fullmatch(normal):
        return normal
    return hashlib.sha256(normal.encode(errors="surrogatepass")).hexdigest()


def unix_seconds(value: Any) -> Any:
    """A moment in whole Unix seconds, floored. Null stays null; blank text is absent.

    Takes ISO 8601 with any offset (none is UTC), or Unix seconds, milliseconds, microseconds or
    nanoseconds as a number or digits, told apart by magnitude: below 1e11 seconds, below 1e14
    milliseconds, below 1e17 microseconds, else nanoseconds.
    """
    if value.__class__ is str:
        trimmed = value.strip()
        if not trimmed:
            return ABSENT
        # No number has a hyphen after four digits, as nearly every date has.
        if trimmed[4:5] != "-" and _NUMBER.fullmatch(trimmed):
            return _seconds(_floor(trimmed))
        try:
            moment = datetime.fromisoformat(trimmed.upper())
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            return NoValue(_NOT_A_TIME + "other text; ignored")
        # Its seconds are whole, and never negative: that floors.
        since = moment - _EPOCH
        return _in_calendar(since.days * _DAY_SECONDS + since.seconds)
    if value is None:
        return None
    if value.__class__ is int or value.__class__ is float:
        return _seconds(value)
    return NoValue(f"{_NOT_A_TIME}{json_type(value)}; ignored")


def _floor(digits: str) -> float:
    """The whole number at or below digits; exact, as a double can't hold nanoseconds."""
    whole, _, fraction = digits.partition(".")
    if len(whole) > _MOST_DIGITS:
        return math.inf
    return int(whole) - (whole[0] == "-" and fraction.strip("0") != "")


def _seconds(number: float) -> Any:
    size = abs(number)
    if size < 1e11:
        seconds = number // 1
    elif size < 1e14:
        seconds = number // 1_000
    elif size < 1e17:
        seconds = number // 1_000_000
    else:
        seconds = number // 1_000_000_000
    return _in_calendar(seconds)


def _in_calendar(seconds: float) -> Any:
    if not _EARLIEST <= seconds <= _LATEST:
        return NoValue(_NOT_A_TIME + "a time outside the years 1 to 5138; ignored")
    return int(seconds)


def text_or_number(value: Any) -> Any:
    """Text, trimmed, or a whole number. Null and blank text are absent."""
    if value.__class__ is int:
        return value
    if value.__class__ is float and value.is_integer() and abs(value) <= _EXACT_INTEGERS:
        return int(value)
    if value.__class__ is str or value is None:
        return text(value)
    return NoValue(f"expected text or a whole number, got {json_type(value)}; ignored")


def text_values(value: Any) -> Any:
    """An object whose values are text: anything but text becomes its compact JSON; nulls are left
    out. Null is absent.
    """
    if value.__class__ is not dict:
        return object_(value)
    return {
        key: item if item.__class__ is str else orjson.dumps(item).decode()
        for key, item in value.items()
        if item is not None
    }


def device_platform(value: Any) -> Any:
    """``ios`` for the systems of Apple's families, ``android`` for Android; anything else is
    absent, since Customer.io knows no other platform.
    """
    if value.__class__ is not str:
        return ABSENT
    name = value.strip().lower().replace(" ", "")
    if name in _APPLE:
        return "ios"
    return "android" if name == "android" else ABSENT


TRANSFORMS: Final[dict[str, Transform]] = {
    "device_platform": device_platform,
    "email_address": email_address,
    "email_sha256": email_sha256,
    "identifier": identifier,
    "object": object_,
    "text": text,
    "text_or_number": text_or_number,
    "text_values": text_values,
    "unix_seconds": unix_seconds,
}
"""Every transform by the name that tables use."""

UNCHANGED: Final[dict[str, str]] = {
    "identifier": "v.__class__ is str and v and not v.isspace()",
    "object": "v.__class__ is dict",
    "text": "v.__class__ is str and v and v.strip() == v",
}
"""Of some transforms a condition in Python under which they return their value ``v`` as it is: most
values meet it, and to test it takes less time than a call."""
