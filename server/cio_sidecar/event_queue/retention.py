"""What of the dead letters is kept: the oldest are removed beyond an age and beyond a size."""

import logging
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cio_sidecar.event_queue import dead_letters, totals
from cio_sidecar.event_queue.limits import QueueLimits

_SAY_EVERY_SECONDS: Final = 60.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Removed:
    """The dead letters that were removed since the start, by the bound that they were over."""

    by_age: int = 0
    by_size: int = 0
    newest_died_at: int = 0
    """When the newest of them had died, in Unix seconds."""


def is_over(db: sqlite3.Connection, limits: QueueLimits, *, now: int) -> bool:
    """Whether there are dead letters over a bound."""
    if totals.dead_letters(db)[1] > limits.dead_letter_max_bytes:
        return True
    max_age = limits.dead_letter_max_age_seconds
    if not max_age:
        return False
    return any(letter.died_at < now - max_age for letter in dead_letters.oldest(db, 1))


def enforce(
    db: sqlite3.Connection, limits: QueueLimits, removed: Removed, *, now: int, most: int
) -> bool:
    """Remove up to ``most`` dead letters that are over a bound; whether there may be more.

    Counts them in ``removed``.
    """
    count, size = totals.dead_letters(db)
    if not count:
        return False
    max_age = limits.dead_letter_max_age_seconds
    gone = []
    for letter in dead_letters.oldest(db, most):
        if max_age and letter.died_at < now - max_age:
            removed.by_age += 1
        elif size > limits.dead_letter_max_bytes:
            removed.by_size += 1
        else:
            break
        size -= letter.size
        gone.append(letter)
    if gone:
        removed.newest_died_at = max(removed.newest_died_at, gone[-1].died_at)
        dead_letters.take(db, [letter.seq for letter in gone])
    return len(gone) == most


class Herald:
    """Logs what was removed: at once, and then once a minute at most."""

    def __init__(self) -> None:
        self._said = 0
        self._said_at = float("-inf")

    def tell(self, removed: Removed, limits: QueueLimits, *, at_once: bool = False) -> None:
        """Log what was removed since it was last told, if it is time to."""
        count = removed.by_age + removed.by_size
        now = time.monotonic()
        if count == self._said or (now - self._said_at < _SAY_EVERY_SECONDS and not at_once):
            return
        log.warning(
            "%d dead letter(s) removed, the newest of %s: there were more than %d bytes "
            "(CIO_DEAD_LETTER_MAX_BYTES), or they were older than %d days "
            "(CIO_DEAD_LETTER_MAX_AGE_DAYS); since the start %d for their size, %d for their age",
            count - self._said,
            datetime.fromtimestamp(removed.newest_died_at, UTC).isoformat(timespec="seconds"),
            limits.dead_letter_max_bytes,
            limits.dead_letter_max_age_seconds // 86_400,
            removed.by_size,
            removed.by_age,
        )
        self._said = count
        self._said_at = now
