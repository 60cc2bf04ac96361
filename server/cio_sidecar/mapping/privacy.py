"""Replaces email addresses by their hashes, wherever in an event they stand."""

import hashlib
import re
from typing import Any, Final

from cio_sidecar.mapping.event import Event
from cio_sidecar.mapping.transforms import EMAIL

# An address that is all of a text may have nearly any character; within a text it ends where a
# URL or a sentence has its marks. The @ of one in a URL is often encoded.
_WHOLE: Final = re.compile(r"[^@\s:/?&][^@\s:?&]*@(?:[\w\-.]*\.[\w\-.]*\w|\[[\w.:]+\])")
_WITHIN: Final = re.compile(
    r"""(?:[\w.+\-!#$%^~|]+|"[^"@]*"|\([^()@]*\))(?:@|%40)(?:\w[\w\-]*(?:\.[\w\-]+)+|\[[\w.:]+\])"""
)


def hash_emails(event: Event) -> Event:
    """The event with each email address in its keys and values replaced by the hex SHA-256 of the
    address in lower case. The event itself is not changed.
    """
    hashed: Event = _hashed(event)
    return hashed


def _hashed(value: Any) -> Any:
    if value.__class__ is str:
        return _hashed_text(value) if "@" in value or "%40" in value else value
    if value.__class__ is dict:
        return {_hashed(key): _hashed(item) for key, item in value.items()}
    if value.__class__ is list:
        return [_hashed(item) for item in value]
    return value


def _hashed_text(text: str) -> str:
    trimmed = text.strip()
    if _WHOLE.fullmatch(trimmed):
        return _hash(trimmed)
    replaced = _WITHIN.sub(lambda match: _hash(match[0].replace("%40", "@")), text)
    # Whatever would still identify somebody by email is hashed as it is.
    return _hash(trimmed) if EMAIL.fullmatch(replaced.strip()) else replaced


def _hash(address: str) -> str:
    return hashlib.sha256(address.lower().encode()).hexdigest()
