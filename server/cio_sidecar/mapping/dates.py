"""Turns ISO 8601 text into Unix seconds within what is sent."""

import re
from typing import Any, Final

from cio_sidecar.mapping.transforms import NoValue, unix_seconds

_DATE: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[Tt]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d{2}:?\d{2})?)?"
)


def dates_to_seconds(value: Any) -> Any:
    """A value with every date and date-time in it, at any depth, as whole Unix seconds.

    Text that has the form of a date and is none (``2026-02-30``) stays as it is. The value itself
    is not changed.
    """
    if value.__class__ is str:
        if len(value) < 10 or not _DATE.fullmatch(value):
            return value
        seconds = unix_seconds(value)
        return value if isinstance(seconds, NoValue) else seconds
    if value.__class__ is dict:
        return {key: dates_to_seconds(item) for key, item in value.items()}
    if value.__class__ is list:
        return [dates_to_seconds(item) for item in value]
    return value
