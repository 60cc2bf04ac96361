"""What the queue's thread does with events: store, lease, fetch and settle them, and count."""

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from cio_sidecar.delivery.queue import dead_letters, totals
from cio_sidecar.delivery.queue.entry import (
    Burial,
    Entry,
    Leased,
    QueueFull,
    Stats,
    unpack,
)
from cio_sidecar.delivery.queue.limits import Limits
from cio_sidecar.delivery.queue.schema import PAYLOAD_BYTES

_LEASED: Final = "seq, lane, operations, message_id, accepted_at"

log = logging.getLogger(__name__)


class Events:
    """The events of a file. All methods are for jobs on the queue's thread, in transactions."""

    def __init__(
        self, db: sqlite3.Connection, limits: Limits, *, clock: Callable[[], float]
    ) -> None:
        """``clock`` gives Unix seconds."""
        self._limits = limits
        self._clock = clock
        self.totals = totals.read(db)
        self._written = replace(self.totals)
        self._cursor = 0
        """The last seq that was leased."""
        self._page_size: int = db.execute("PRAGMA page_size").fetchone()[0]

    def snapshot(self) -> "tuple[totals.Totals, totals.Totals, int]":
        """What is in memory, for a transaction that may fail."""
        return replace(self.totals), self._written, self._cursor

    def restore(self, snapshot: "tuple[totals.Totals, totals.Totals, int]") -> None:
        """Put back what was in memory when the transaction began."""
        self.totals, self._written, self._cursor = snapshot

    def write_totals(self, db: sqlite3.Connection) -> None:
        """Store the totals if they changed; at the end of a transaction."""
        if self.totals != self._written:
            totals.write(db, self.totals)
            self._written = replace(self.totals)

    def put(self, db: sqlite3.Connection, entries: Sequence[Entry]) -> list[bool]:
        """Store events; says of each whether it is new. Raises QueueFull."""
        now = int(self._clock())
        self.totals.remembered -= db.execute(
            "DELETE FROM message_ids WHERE accepted_at < ?",
            (now - self._limits.dedup_window_seconds,),
        ).rowcount
        size = sum(len(entry.event) + len(entry.operations) for entry in entries)
        self._check_room(len(entries), size)
        known, forgotten = self._remembered(db, entries, now)
        results: list[bool] = []
        rows = []
        fresh = []
        count = self.totals
        for entry in entries:
            if entry.remember:
                if entry.message_id in known:
                    results.append(False)
                    size -= len(entry.event) + len(entry.operations)
                    continue
                known.add(entry.message_id)
                fresh.append((entry.message_id, now))
            results.append(True)
            rows.append(
                (count.next_seq, entry.message_id, entry.lane, now, entry.event, entry.operations)
            )
            count.next_seq += 1
        db.executemany("INSERT OR REPLACE INTO message_ids VALUES (?, ?)", fresh)
        db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
        count.remembered += len(fresh) - forgotten
        count.waiting += len(rows)
        count.waiting_bytes += size
        return results

    def replay(self, db: sqlite3.Connection, entries: Mapping[int, Entry]) -> int:
        """Store what were dead letters, by their seq, and remove them there. Raises QueueFull."""
        seqs = dead_letters.present(db, entries)
        # An id that is in the dedup window is no reason to turn a replay away.
        self.put(db, [entries[seq]._replace(remember=False) for seq in sorted(seqs)])
        return dead_letters.take(db, seqs)

    def _check_room(self, events: int, size: int) -> None:
        count, limits = self.totals, self._limits
        if count.waiting + events > limits.max_events:
            raise QueueFull(
                f"the queue is full: {count.waiting:,} events wait, the limit is "
                f"{limits.max_events:,} (CIO_QUEUE_MAX_EVENTS); try again when some have been "
                "delivered"
            )
        if count.waiting_bytes + size > limits.max_bytes:
            raise QueueFull(
                f"the queue is full: {count.waiting:,} events of {count.waiting_bytes:,} bytes "
                f"wait, the limit is {limits.max_bytes:,} bytes (CIO_QUEUE_MAX_BYTES); try again "
                "when some have been delivered"
            )

    def _remembered(
        self, db: sqlite3.Connection, entries: Iterable[Entry], now: int
    ) -> tuple[set[str], int]:
        """The ids within the dedup window, and how many others have yet to be removed."""
        asked = [entry.message_id for entry in entries if entry.remember]
        if not asked:
            return set(), 0
        found = db.execute(
            "SELECT message_id, accepted_at FROM message_ids WHERE message_id IN "
            "(SELECT value FROM json_each(?))",
            (orjson.dumps(asked).decode(),),
        ).fetchall()
        oldest = now - self._limits.dedup_window_seconds
        known = {message_id for message_id, accepted_at in found if accepted_at >= oldest}
        return known, len(found) - len(known)

    def lease(self, db: sqlite3.Connection, limit: int) -> list[Leased]:
        """The next events that were not leased yet; fewer than ``limit``: there are no more."""
        leased: list[Leased] = []
        while room := limit - len(leased):
            rows = db.execute(
                f"SELECT {_LEASED} FROM events WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
                (self._cursor, room),
            ).fetchall()
            if not rows:
                break
            self._cursor = rows[-1][0]
            leased += _readable(rows)
        return leased

    def fetch(self, db: sqlite3.Connection, seqs: Sequence[int]) -> list[Leased]:
        """Events by seq, in order; those that still exist and can be read."""
        rows = db.execute(
            f"SELECT {_LEASED} FROM events "  # noqa: S608
            "WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq",
            (orjson.dumps([*seqs]).decode(),),
        ).fetchall()
        return _readable(rows)

    def settle(
        self, db: sqlite3.Connection, delivered: Sequence[int], buried: Sequence[Burial]
    ) -> None:
        """Remove what was delivered, and move what was refused to the dead letters."""
        died_at = int(self._clock())
        for burial in buried:
            db.execute(
                "INSERT INTO dead_letters SELECT seq, message_id, lane, accepted_at, event, "
                "operations, ?, ?, ?, ?, ?, ?, ?, ? FROM events WHERE seq = ?",
                (
                    died_at,
                    burial.reason,
                    burial.status,
                    burial.attempts,
                    burial.method,
                    burial.path,
                    burial.request,
                    burial.response,
                    burial.seq,
                ),
            )
        gone = [*delivered, *(burial.seq for burial in buried)]
        removed = db.execute(
            f"DELETE FROM events WHERE seq IN (SELECT value FROM json_each(?)) "  # noqa: S608
            f"RETURNING {PAYLOAD_BYTES}",
            (orjson.dumps(gone).decode(),),
        ).fetchall()
        self.totals.waiting -= len(removed)
        self.totals.waiting_bytes -= sum(row[0] for row in removed)

    def stats(self, db: sqlite3.Connection) -> Stats:
        """Count what the queue holds."""
        oldest = db.execute("SELECT accepted_at FROM events ORDER BY seq LIMIT 1").fetchone()
        letters, letter_bytes = totals.dead_letters(db)
        return Stats(
            waiting=self.totals.waiting,
            waiting_bytes=self.totals.waiting_bytes,
            oldest_accepted_at=oldest[0] if oldest else None,
            dead_letters=letters,
            dead_letter_bytes=letter_bytes,
            file_bytes=self._used_bytes(db),
        )

    def _used_bytes(self, db: sqlite3.Connection) -> int:
        pages: int = db.execute("PRAGMA page_count").fetchone()[0]
        free: int = db.execute("PRAGMA freelist_count").fetchone()[0]
        return (pages - free) * self._page_size


def _readable(rows: Iterable[tuple[Any, ...]]) -> list[Leased]:
    leased = []
    for seq, lane, operations, message_id, accepted_at in rows:
        try:
            unpacked = unpack(lane, operations)
        except (TypeError, ValueError) as error:
            log.error("event %d can't be read, and stays in the file: %s", seq, error)
        else:
            leased.append(
                Leased(seq, lane, unpacked, message_id=message_id, accepted_at=accepted_at)
            )
    return leased
