"""Replaces email addresses by their hashes, wherever in an event they stand."""

import hashlib
import re
from typing import Any, Final

from cio_sidecar.mapping.event import Event

# The @ of an address within a URL is often encoded.
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\-]+(?:@|%40)[A-Za-z0-9](?:[A-Za-z0-9\-.]*[A-Za-z0-9])?\.[A-Za-z0-9\-]{2,}"
)


def hash_emails(event: Event) -> Event:
    """The event with each email address in its keys and values replaced by the hex SHA-256 of the
    address in lower case. The event itself is not changed.
    """
    hashed: Event = _hashed(event)
    return hashed


def _hashed(value: Any) -> Any:
    if value.__class__ is str:
        return _ADDRESS.sub(_hash, value) if "@" in value or "%40" in value else value
    if value.__class__ is dict:
        return {_hashed(key): _hashed(item) for key, item in value.items()}
    if value.__class__ is list:
        return [_hashed(item) for item in value]
    return value


def _hash(match: re.Match[str]) -> str:
    address = match[0].lower().replace("%40", "@")
    return hashlib.sha256(address.encode()).hexdigest()
