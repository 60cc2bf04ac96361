"""The dedup window: the message ids that are remembered, so that a repeat can be told."""

import sqlite3
from collections.abc import Iterable, Sequence

import orjson


def find(db: sqlite3.Connection, message_ids: Sequence[str], *, since: int) -> tuple[set[str], int]:
    """Those of the ids that were accepted since then, and how many are there yet of before."""
    if not message_ids:
        return set(), 0
    found = db.execute(
        "SELECT message_id, accepted_at FROM message_ids WHERE message_id IN "
        "(SELECT value FROM json_each(?))",
        (orjson.dumps(message_ids).decode(),),
    ).fetchall()
    known = {message_id for message_id, accepted_at in found if accepted_at >= since}
    return known, len(found) - len(known)


def remember(db: sqlite3.Connection, message_ids: Iterable[str], *, now: int) -> None:
    """Remember ids from now on, in Unix seconds."""
    # Sorted, as the table is: one after the other they are often on the same page.
    db.execute(
        "INSERT OR REPLACE INTO message_ids SELECT value, ? FROM json_each(?)",
        (now, orjson.dumps(sorted(message_ids)).decode()),
    )


def forget(db: sqlite3.Connection, *, before: int, most: int) -> int:
    """Forget up to ``most`` of the ids accepted before then, the oldest first; how many it were."""
    return db.execute(
        "DELETE FROM message_ids WHERE message_id IN (SELECT message_id FROM message_ids "
        "WHERE accepted_at < ? ORDER BY accepted_at LIMIT ?)",
        (before, most),
    ).rowcount


def forget_oldest(db: sqlite3.Connection, count: int) -> int:
    """Forget so many of the oldest ids; how many it were."""
    return db.execute(
        "DELETE FROM message_ids WHERE message_id IN (SELECT message_id FROM message_ids "
        "ORDER BY accepted_at LIMIT ?)",
        (count,),
    ).rowcount


def oldest(db: sqlite3.Connection) -> int | None:
    """When the oldest id was accepted, in Unix seconds; None where there is none."""
    found: int | None = db.execute("SELECT min(accepted_at) FROM message_ids").fetchone()[0]
    return found
