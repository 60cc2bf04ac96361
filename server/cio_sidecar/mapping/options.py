"""What users can set about mapping without tables of their own. docs/standard.md tells each."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Options:
    """The settings that change what events become."""

    event_id: Literal["as_is", "ulid"] = "as_is"
    dates: Literal["as_is", "unix_seconds"] = "as_is"
    identify_timestamp: bool = False
    email: Literal["plain", "hash_only"] = "plain"
    allow_traits: tuple[str, ...] = ()
    """Paths; empty allows all."""
    deny_traits: tuple[str, ...] = ()
    allow_properties: tuple[str, ...] = ()
    """Paths; empty allows all."""
    deny_properties: tuple[str, ...] = ()
    limits: Literal["refuse", "truncate"] = "refuse"
    keep_device_events: bool = False
