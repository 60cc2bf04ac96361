"""Turns ISO 8601 text into Unix seconds within what is copied."""

import re
from typing import Any, Final

from cio_sidecar.mapping.running.transforms import NoValue, unix_seconds

_DATE: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}"
    r"(?:[Tt]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d{2}(?::?\d{2})?)?)?"
)
_IDS: Final = ("id", "email", "anonymous_id")


def dates_to_seconds(copied: dict[str, Any]) -> dict[str, Any]:
    """An object with every date and date-time in it, at any depth, as whole Unix seconds.

    Text that has the form of a date and is none (``2026-02-30``) stays as it is, and so do ids: of
    a person, and of the objects in ``cio_relationships``. The object itself is not changed.
    """
    return {key: item if key in _IDS else _converted(item) for key, item in copied.items()}


def _converted(value: Any) -> Any:
    if value.__class__ is str:
        if len(value) < 10 or not _DATE.fullmatch(value):
            return value
        seconds = unix_seconds(value)
        return value if isinstance(seconds, NoValue) else seconds
    if value.__class__ is dict:
        return {
            key: item if key == "identifiers" else _converted(item) for key, item in value.items()
        }
    if value.__class__ is list:
        return [_converted(item) for item in value]
    return value
