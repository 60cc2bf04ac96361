"""What the queue's thread does with events: store, lease, fetch and settle them, and count."""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Final

import orjson

from cio_sidecar.event_queue import dead_letters, dedup, retention, salvage, totals
from cio_sidecar.event_queue.disk import Disk
from cio_sidecar.event_queue.errors import QueueDamaged, QueueFull, is_damage
from cio_sidecar.event_queue.fullness import Fullness
from cio_sidecar.event_queue.health import Condition
from cio_sidecar.event_queue.limits import QueueLimits
from cio_sidecar.event_queue.model import Entry, FinalFailure, Leased, Stats
from cio_sidecar.event_queue.operation_codec import unpack
from cio_sidecar.event_queue.recent_events import Fresh
from cio_sidecar.event_queue.schema import PAYLOAD_BYTES

_LEASED: Final = "seq, lane, operations, message_id, accepted_at"
_FORGET_AT_ONCE: Final = 200
_NEVER: Final = 2**62
_RUN: Final = 8
"""From how many successive events on they are removed as a range: it takes a third of the time."""
_SIZE_OF_RUN: Final = (
    f"SELECT count(*), coalesce(sum({PAYLOAD_BYTES}), 0) FROM events "  # noqa: S608
    "WHERE seq BETWEEN ? AND ?"
)
_DELETE_EACH: Final = (
    f"DELETE FROM events WHERE seq IN (SELECT value FROM json_each(?)) "  # noqa: S608
    f"RETURNING {PAYLOAD_BYTES}"
)
_EASED: Final = 0.9
"""Of how much of its bounds a queue that was full has room again."""
_DEAD_LETTER: Final = (
    "INSERT INTO dead_letters SELECT seq, message_id, lane, accepted_at, event, operations, "
    "?, ?, ?, ?, ?, ?, ?, ? FROM events WHERE seq = ?"
)

log = logging.getLogger(__name__)


class Events:
    """The events of a file. All methods are for jobs on the queue's thread, in transactions."""

    def __init__(
        self,
        db: sqlite3.Connection,
        limits: QueueLimits,
        *,
        disk: Disk,
        condition: Condition,
        clock: Callable[[], float],
        age_clock: Callable[[], float],
    ) -> None:
        """``clock`` gives Unix seconds; so does ``age_clock``, by which ages are measured."""
        self.limits = limits
        self._disk = disk
        self._condition = condition
        self._clock = clock
        self._age_clock = age_clock
        self.totals = totals.read(db)
        self.removed = retention.Removed()
        self.fullness = Fullness()
        self._written = replace(self.totals)
        self._cursor = 0
        """The last seq that was leased."""
        self._fresh = Fresh()
        self._page_size: int = db.execute("PRAGMA page_size").fetchone()[0]

    @contextmanager
    def transaction(self, db: sqlite3.Connection) -> Iterator[None]:
        """A transaction; where it fails, what is in memory is as it was before."""
        before = replace(self.totals), replace(self.removed), self._written, self._cursor
        try:
            db.execute("BEGIN IMMEDIATE")
            yield
            self.write_totals(db)
            db.execute("COMMIT")
        except BaseException:
            _roll_back(db)
            self._fresh.clear()
            self.totals, self.removed, self._written, self._cursor = before
            raise

    def write_totals(self, db: sqlite3.Connection, *, always: bool = False) -> None:
        """Store the totals if they changed; at the end of a transaction."""
        if always or self.totals != self._written:
            totals.write(db, self.totals)
            self._written = replace(self.totals)

    @property
    def has_unleased(self) -> bool:
        """Whether there may be events that were not leased yet."""
        return self._cursor < self.totals.next_seq - 1

    def put(self, db: sqlite3.Connection, entries: Sequence[Entry]) -> list[bool]:
        """Store events; says of each whether it is new. Raises QueueFull or QueueError.

        Where all are known already, no room is needed.
        """
        self._condition.require_intact()
        now, age_now = int(self._clock()), int(self._age_clock())
        size = sum([len(entry.event) + len(entry.operations) for entry in entries])
        full = self._full_because(len(entries), size)
        asked = [entry.message_id for entry in entries if entry.remember]
        # A window of no seconds is not the rest of the present one.
        window = self.limits.dedup_window_seconds
        known, replaced = dedup.find(db, asked, since=age_now - window if window else _NEVER)
        if full and not all(entry.remember and entry.message_id in known for entry in entries):
            self.fullness.because = full
            raise QueueFull(full)
        fresh = dict.fromkeys(asked)
        results = [True] * len(entries)
        if known or len(fresh) < len(asked):
            results = _are_new(entries, known)
            entries = [entry for entry, is_new in zip(entries, results, strict=True) if is_new]
            size = sum([len(entry.event) + len(entry.operations) for entry in entries])
            fresh = dict.fromkeys(entry.message_id for entry in entries if entry.remember)
        count = self.totals
        rows = [
            (seq, message_id, lane, now, event, operations)
            for seq, (message_id, _, lane, event, operations, _) in enumerate(
                entries, count.next_seq
            )
        ]
        dedup.remember(db, fresh, now=now)
        db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._fresh.put(count.next_seq, entries, leased=self._cursor, accepted_at=now)
        count.next_seq += len(rows)
        count.remembered += len(fresh) - replaced
        count.waiting += len(rows)
        count.waiting_bytes += size
        # More than come in, so that few are left in the end; and not all at once.
        self.forget(db, age_now, max(_FORGET_AT_ONCE, 2 * len(entries)))
        return results

    def forget(self, db: sqlite3.Connection, now: int, most: int) -> bool:
        """Forget up to ``most`` message ids that are over a bound; whether there may be more."""
        count, limits = self.totals, self.limits
        if not count.remembered:
            return False
        gone = dedup.forget(db, before=now - limits.dedup_window_seconds, most=most)
        over = min(count.remembered - gone - limits.dedup_max_events, most - gone)
        if over > 0:
            gone += dedup.forget_oldest(db, over)
        count.remembered -= gone
        return gone == most

    def replay(self, db: sqlite3.Connection, entries: Mapping[int, Entry]) -> int:
        """Store what were dead letters, by their seq, and remove them there. Raises QueueFull."""
        seqs = dead_letters.present(db, entries)
        # An id that is in the dedup window is no reason to turn a replay away.
        self.put(db, [entries[seq]._replace(remember=False) for seq in sorted(seqs)])
        return dead_letters.take(db, seqs)

    def has_room(self) -> bool:
        """Whether there is room for more than the next event."""
        count, limits = self.totals, self.limits
        return (
            count.waiting <= limits.max_events * _EASED
            and count.waiting_bytes <= limits.max_bytes * _EASED
            and self._disk.shortage_with(0) is None
        )

    def _full_because(self, events: int, size: int) -> str | None:
        """Why there is no room for so much more; None if there is."""
        count, limits = self.totals, self.limits
        if count.waiting + events > limits.max_events:
            return (
                f"the queue is full: it has no room for {events:,} more, {count.waiting:,} events "
                f"wait, the limit is {limits.max_events:,} (CIO_QUEUE_MAX_EVENTS); try again when "
                "some have been delivered"
            )
        if count.waiting_bytes + size > limits.max_bytes:
            return (
                f"the queue is full: it has no room for {size:,} bytes more, "
                f"{count.waiting_bytes:,} bytes wait, the limit is {limits.max_bytes:,} bytes "
                "(CIO_QUEUE_MAX_BYTES); try again when some have been delivered"
            )
        if shortage := self._disk.shortage_with(size):
            return (
                f"the queue's disk is nearly full: {shortage.free_bytes:,} bytes are free, "
                f"{shortage.kept_bytes:,} are to stay so (CIO_QUEUE_MIN_FREE_BYTES); free some "
                "space, and try again"
            )
        return None

    def lease(
        self, db: sqlite3.Connection, limit: int, most_bytes: int | None = None
    ) -> list[Leased]:
        """The next events that were not leased yet, as far as they can be read."""
        cursor = self._cursor
        try:
            return self._lease(db, limit, most_bytes)
        except BaseException:
            # Nobody has been given what was read.
            self._cursor = cursor
            self._fresh.clear()
            raise

    def _lease(self, db: sqlite3.Connection, limit: int, most_bytes: int | None) -> list[Leased]:
        leased = self._fresh.take(limit, most_bytes)
        if leased:
            self._cursor = leased[-1].seq
        size = sum([event.size for event in leased])
        end = self.totals.next_seq - 1
        with closing(salvage.scan(db, "events", _LEASED, after=self._cursor, upto=end)) as rows:
            while len(leased) < limit and (most_bytes is None or size < most_bytes):
                row = next(rows, None)
                if row is None:
                    self._cursor = end
                    break
                if isinstance(row, salvage.Gap):
                    self._lost(row)
                    self._cursor = row.last
                    continue
                self._cursor = row[0]
                if event := _readable(row):
                    leased.append(event)
                    size += event.size
        return leased

    def _lost(self, gap: salvage.Gap) -> None:
        what = f"event {gap.first}"
        if gap.last > gap.first:
            what = f"events {gap.first} to {gap.last}, or some of them,"
        self._condition.found(
            QueueDamaged(
                f"the queue file is damaged, {what} can't be read: stop the sidecar and save what "
                "can be with cio-sidecar queue recover"
            )
        )
        log.error("%s can't be read, and stay in the file", what)

    def fetch(self, db: sqlite3.Connection, seqs: Sequence[int]) -> list[Leased]:
        """Events by seq, in order; those that still exist and can be read."""
        query = (
            f"SELECT {_LEASED} FROM events "  # noqa: S608
            "WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq"
        )
        try:
            rows = db.execute(query, (orjson.dumps([*seqs]).decode(),)).fetchall()
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            rows = []
            for seq in sorted(seqs):
                for row in salvage.scan(db, "events", _LEASED, after=seq - 1, upto=seq):
                    if isinstance(row, salvage.Gap):
                        self._lost(row)
                    else:
                        rows.append(row)
        return [event for row in rows if (event := _readable(row))]

    def settle(
        self,
        db: sqlite3.Connection,
        delivered: Sequence[int],
        dead_lettered: Sequence[FinalFailure],
    ) -> None:
        """Remove what was delivered, and move what was rejected to the dead letters."""
        now = int(self._clock())
        for failure in dead_lettered:
            db.execute(_DEAD_LETTER, _failure_values(failure, now))
        gone = [*delivered, *(failure.seq for failure in dead_lettered)]
        if max(gone, default=0) > self._cursor:
            # What was not leased is not to be any more.
            self._fresh.clear()
        removed, size = _remove(db, gone)
        self.totals.waiting -= removed
        self.totals.waiting_bytes -= size
        if dead_lettered:
            self.retain(db, int(self._age_clock()), 2 * len(dead_lettered))

    def may_be_over(self, db: sqlite3.Connection) -> bool:
        """Whether there is anything that a bound could forbid."""
        return self.totals.remembered > 0 or totals.dead_letters(db)[0] > 0

    def is_over(self, db: sqlite3.Connection, now: int) -> bool:
        """Whether message ids or dead letters are over a bound."""
        limits = self.limits
        oldest_id = dedup.oldest(db)
        if self.totals.remembered > limits.dedup_max_events or (
            oldest_id is not None and oldest_id < now - limits.dedup_window_seconds
        ):
            return True
        return retention.is_over(db, limits, now=now)

    def retain(self, db: sqlite3.Connection, now: int, most: int) -> bool:
        """Remove up to ``most`` dead letters over a bound; whether there may be more."""
        return retention.enforce(db, self.limits, self.removed, now=now, most=most)

    def stats(self, db: sqlite3.Connection) -> Stats:
        """Count what the queue holds."""
        letters, letter_bytes = totals.dead_letters(db)
        return Stats(
            waiting=self.totals.waiting,
            waiting_bytes=self.totals.waiting_bytes,
            oldest_accepted_at=self._oldest(db),
            dead_letters=letters,
            dead_letter_bytes=letter_bytes,
            file_bytes=self._used_bytes(db),
        )

    def _oldest(self, db: sqlite3.Connection) -> int | None:
        end = self.totals.next_seq - 1
        with closing(salvage.scan(db, "events", "seq, accepted_at", after=0, upto=end)) as rows:
            for row in rows:
                if not isinstance(row, salvage.Gap):
                    oldest: int = row[1]
                    return oldest
        return None

    def _used_bytes(self, db: sqlite3.Connection) -> int:
        pages: int = db.execute("PRAGMA page_count").fetchone()[0]
        free: int = db.execute("PRAGMA freelist_count").fetchone()[0]
        return (pages - free) * self._page_size


def _are_new(entries: Sequence[Entry], known: set[str]) -> list[bool]:
    """Of each entry whether its id was neither known nor that of one before it."""
    known = set(known)
    results = []
    for entry in entries:
        results.append(not entry.remember or entry.message_id not in known)
        if entry.remember:
            known.add(entry.message_id)
    return results


def _roll_back(db: sqlite3.Connection) -> None:
    try:
        if db.in_transaction:
            db.execute("ROLLBACK")
    except sqlite3.Error:
        # SQLite has rolled it back by itself: it does where the file fails.
        pass


def _remove(db: sqlite3.Connection, seqs: Sequence[int]) -> tuple[int, int]:
    """Remove events; how many there were, and their bytes."""
    runs = _runs(seqs)
    if len(runs) * _RUN <= len(seqs):
        removed = size = 0
        for run in runs:
            found = db.execute(_SIZE_OF_RUN, run).fetchone()
            db.execute("DELETE FROM events WHERE seq BETWEEN ? AND ?", run)
            removed += found[0]
            size += found[1]
        return removed, size
    rows = db.execute(_DELETE_EACH, (orjson.dumps([*seqs]).decode(),)).fetchall()
    return len(rows), sum(row[0] for row in rows)


def _runs(seqs: Sequence[int]) -> list[tuple[int, int]]:
    """The first and last of each run of successive numbers."""
    runs: list[tuple[int, int]] = []
    first = last = None
    for seq in sorted(seqs):
        if last is None or seq != last + 1:
            if first is not None and last is not None:
                runs.append((first, last))
            first = seq
        last = seq
    if first is not None and last is not None:
        runs.append((first, last))
    return runs


def _failure_values(failure: FinalFailure, died_at: int) -> tuple[int | str | bytes, ...]:
    return (
        died_at,
        failure.reason,
        failure.status,
        failure.attempts,
        failure.method,
        failure.path,
        failure.request,
        failure.response,
        failure.seq,
    )


def _readable(row: salvage.Row) -> Leased | None:
    seq, lane, operations, message_id, accepted_at = row
    try:
        unpacked = unpack(lane, operations)
    except (TypeError, ValueError) as error:
        log.error("event %d can't be read, and stays in the file: %s", seq, error)
        return None
    return Leased(seq, lane, unpacked, message_id=message_id, accepted_at=accepted_at)
