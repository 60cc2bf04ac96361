"""The limits of a queue."""

from dataclasses import dataclass


@dataclass(frozen=True)
class QueueLimits:
    """What a queue may hold. Each is the setting of the same name, or nearly so.

    The defaults are those of the settings; as class attributes they can be read without a queue.
    """

    max_bytes: int = 4 * 1024**3
    """Maximum size of waiting events in bytes, as stored; new ones are rejected above it."""
    max_events: int = 10_000_000
    """Maximum number of waiting events; new ones are rejected above it."""
    min_free_bytes: int = 256 * 1024**2
    """Minimum free disk space in bytes, at most a tenth of the disk; new events are rejected below
    it. 0 disables the check."""
    dedup_window_seconds: int = 600
    """How long a message_id is remembered."""
    dedup_max_events: int = 1_000_000
    """How many message_ids are remembered; the oldest are forgotten first."""
    dead_letter_max_bytes: int = 1024**3
    """Maximum size of all dead letters in bytes; the oldest are removed above it."""
    dead_letter_max_age_seconds: int = 90 * 86_400
    """Retention of a dead letter; 0 keeps it forever."""
