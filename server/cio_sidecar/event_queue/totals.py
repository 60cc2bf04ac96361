"""How much the queue holds, kept beside it: counting millions of events would take its time."""

import sqlite3
from dataclasses import dataclass

from cio_sidecar.event_queue.errors import QueueDamaged


@dataclass(slots=True)
class Totals:
    """What the queue's thread counts in memory, and writes once a transaction."""

    next_seq: int
    """The seq of the next event. None is ever given again, or an event could be taken for one
    that was settled."""
    waiting: int
    waiting_bytes: int
    remembered: int
    """Message ids of the dedup window."""


def read(db: sqlite3.Connection) -> Totals:
    """The totals as the file has them."""
    row = db.execute("SELECT next_seq, waiting, waiting_bytes, remembered FROM totals").fetchone()
    if row is None:
        raise QueueDamaged("the queue file has lost its totals: cio-sidecar queue recover fixes it")
    return Totals(*row)


def write(db: sqlite3.Connection, totals: Totals) -> None:
    """Store the totals, in the transaction that changed them."""
    db.execute(
        "UPDATE totals SET next_seq = ?, waiting = ?, waiting_bytes = ?, remembered = ?",
        (totals.next_seq, totals.waiting, totals.waiting_bytes, totals.remembered),
    )


def dead_letters(db: sqlite3.Connection) -> tuple[int, int]:
    """How many dead letters there are, and their bytes: event, operations, request, response."""
    found: tuple[int, int] = db.execute(
        "SELECT dead_letters, dead_letter_bytes FROM totals"
    ).fetchone()
    return found
