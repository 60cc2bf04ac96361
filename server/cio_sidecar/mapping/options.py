"""What users can set about mapping without tables of their own. docs/standard.md tells each."""

from dataclasses import dataclass
from typing import Any, Literal

from cio_sidecar.mapping.model import split_path


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


def read_paths(value: Any) -> tuple[str, ...]:
    """The paths of a list of names, or of a text that separates them by commas; each is checked.

    Raises ValueError with what is wrong.
    """
    paths = value.split(",") if isinstance(value, str) else value
    if not isinstance(paths, (list, tuple)) or not all(isinstance(path, str) for path in paths):
        raise ValueError("expected names, separated by commas")
    named = tuple(path.strip() for path in paths if path.strip())
    if paths and paths != [""] and not named:
        raise ValueError("expected names, separated by commas")
    for path in named:
        if split_path(path)[0] in ("traits", "properties", "context") and len(split_path(path)) > 1:
            raise ValueError(f"name keys alone, without what holds them: {path.partition('.')[2]}")
    return named
