"""The bounds of a queue."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a queue may hold. Each is a setting of the same name, or nearly so."""

    max_bytes: int = 4 * 1024**3
    """Bytes of waiting events, as they are stored, at which new ones are turned away."""
    max_events: int = 10_000_000
    """Waiting events at which new ones are turned away."""
    min_free_bytes: int = 256 * 1024**2
    """Free bytes of the disk below which new events are turned away, or a tenth of the disk where
    that is less; 0: however few there are."""
    dedup_window_seconds: int = 600
    """How long a message_id is remembered."""
    dedup_max_events: int = 1_000_000
    """How many message_ids are remembered; the oldest are forgotten first."""
    dead_letter_max_bytes: int = 1024**3
    """Bytes of dead letters beyond which the oldest are removed."""
    dead_letter_max_age_seconds: int = 90 * 86_400
    """How long a dead letter is kept; 0: for ever."""
