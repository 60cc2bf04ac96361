"""The queue in a SQLite file: WAL, ``synchronous=FULL``, one thread, group commit.

The event loop hands jobs to the thread; the thread runs all that have gathered in one transaction
and answers after its commit. So a lone event is committed at once, and a thousand at a time share
one fsync. Leases live in memory alone: what is not settled when the process ends is leased again by
the next one.
"""

import asyncio
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson

from cio_sidecar.delivery.queue.entry import (
    Burial,
    Entry,
    Leased,
    QueueError,
    QueueFull,
    Stats,
    unpack,
)

SCHEMA_VERSION: Final = 1

_PAYLOAD_BYTES: Final = "length(event) + length(operations)"

_SCHEMA: Final = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL,
    lane TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,       -- Unix seconds
    event BLOB NOT NULL,                -- canonical JSON
    operations BLOB NOT NULL            -- entry.pack()
);
CREATE TABLE message_ids (              -- the dedup window
    message_id TEXT PRIMARY KEY,
    accepted_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX message_ids_by_age ON message_ids (accepted_at);
CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL,
    lane TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    event BLOB NOT NULL,
    operations BLOB NOT NULL,
    died_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    status INTEGER NOT NULL,            -- of the HTTP answer
    attempts INTEGER NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    request BLOB NOT NULL,
    response BLOB NOT NULL
);
"""

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]", bool]


class SqliteQueue:
    """A queue in a file. All methods are for one event loop; ``open`` and ``close`` block."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        dedup_window_seconds: int,
        clock: Callable[[], float],
    ) -> None:
        """Open or create the file. Raises QueueError if it can't be used.

        ``max_bytes`` bounds the events that wait, as they are stored; dead letters do not count.
        ``clock`` gives Unix seconds.
        """
        self.path = path
        self.on_committed: Callable[[], None] = lambda: None
        """Called on the event loop when new events are on disk."""
        self._max_bytes = max_bytes
        self._window = dedup_window_seconds
        self._clock = clock
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._cursor = 0
        self._closed = False
        try:
            self._db = self._open()
        except (sqlite3.Error, OSError) as error:
            raise QueueError(_explain(error, path)) from None
        self._thread = threading.Thread(target=self._work, name="queue", daemon=True)
        self._thread.start()

    async def put(self, entries: Sequence[Entry]) -> list[bool]:
        """Store events; returns when they are on disk.

        Each result says whether the event is new: False where its message_id was accepted before,
        within the dedup window. Raises QueueFull or QueueError; then none was stored.
        """
        try:
            results = await self._run(lambda: self._put(entries), writes=True)
        except asyncio.CancelledError:
            # The caller went away, the job is still done: whoever leases now comes after it.
            self.on_committed()
            raise
        self.on_committed()
        return results

    async def lease(self, limit: int) -> list[Leased]:
        """Take out up to ``limit`` of the events that this process has not leased yet, in order.

        Fewer means that there are no more. One that can't be read stays in the file and is logged.
        """
        return await self._run(lambda: self._lease(limit), writes=False)

    async def settle(self, delivered: Sequence[int], buried: Sequence[Burial] = ()) -> None:
        """Remove what was delivered, and move what was refused to the dead letters."""
        await self._run(lambda: self._settle(delivered, buried), writes=True)

    async def stats(self) -> Stats:
        """Count what the queue holds."""
        return await self._run(self._stats, writes=False)

    @property
    def waiting(self) -> int:
        """Events that are not settled, without asking the thread; may lag behind by a moment."""
        return self._waiting

    def close(self) -> None:
        """Finish the jobs at hand, then close the file."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            self._thread.join()
            self._db.close()

    # On the thread, from here on (but for opening).

    def _open(self) -> sqlite3.Connection:
        # It holds people's data, so nobody else may read it; SQLite's own files get its mode.
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            # Exclusive: a second sidecar on the file must fail, not share it.
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            version: int = db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise QueueError(
                    f"{self.path} was written by a newer cio-sidecar (schema {version}, this one "
                    f"knows {SCHEMA_VERSION}): use the newer one, or another CIO_DATA_DIR"
                )
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            db.execute("COMMIT")
            self._page_size: int = db.execute("PRAGMA page_size").fetchone()[0]
            self._next_seq: int = 1 + max(
                db.execute(f"SELECT coalesce(max(seq), 0) FROM {table}").fetchone()[0]  # noqa: S608
                for table in ("events", "dead_letters")
            )
            self._waiting: int
            self._waiting_bytes: int
            self._waiting, self._waiting_bytes = db.execute(
                f"SELECT count(*), coalesce(sum({_PAYLOAD_BYTES}), 0) FROM events"  # noqa: S608
            ).fetchone()
        except BaseException:
            db.close()
            raise
        return db

    async def _run(self, job: Callable[[], _Result], *, writes: bool) -> _Result:
        if self._closed:
            raise QueueError("the queue is closed: the sidecar is shutting down")
        future: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._jobs.put((job, future, writes))
        return await future

    def _work(self) -> None:
        while True:
            jobs = [self._jobs.get()]
            while not self._jobs.empty():
                jobs.append(self._jobs.get())
            group = [job for job in jobs if job is not None]
            if group:
                _answer(self._transact(group))
            if len(group) < len(jobs):
                return

    def _transact(self, group: list[_Job]) -> "list[tuple[asyncio.Future[Any], Any]]":
        """Run jobs in one transaction; each gets its result, or an exception."""
        writes = any(job[2] for job in group)
        before = (self._cursor, self._waiting, self._waiting_bytes, self._next_seq)
        results: list[tuple[asyncio.Future[Any], Any]] = []
        try:
            if writes:
                self._db.execute("BEGIN IMMEDIATE")
            for job, future, _ in group:
                try:
                    results.append((future, job()))
                except QueueError as error:
                    results.append((future, error))
            if writes:
                self._db.execute("COMMIT")
        except Exception as error:  # The thread must live, and every caller be told.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._cursor, self._waiting, self._waiting_bytes, self._next_seq = before
            if len(group) > 1:
                # One job's trouble must not fail the others: give each its own transaction.
                return [result for job in group for result in self._transact([job])]
            return [(group[0][1], QueueError(_explain(error, self.path)))]
        return results

    def _put(self, entries: Sequence[Entry]) -> list[bool]:
        now = int(self._clock())
        self._db.execute("DELETE FROM message_ids WHERE accepted_at < ?", (now - self._window,))
        size = sum(len(entry.event) + len(entry.operations) for entry in entries)
        if self._waiting_bytes + size > self._max_bytes:
            raise QueueFull(
                f"the queue is full: {self._waiting:,} events of {self._waiting_bytes:,} bytes "
                f"wait, the limit is {self._max_bytes:,} bytes (CIO_QUEUE_MAX_BYTES); try again "
                "when some have been delivered"
            )
        remembered = [entry.message_id for entry in entries if entry.remember]
        known: set[str] = set()
        if remembered:
            known.update(
                row[0]
                for row in self._db.execute(
                    "SELECT message_id FROM message_ids WHERE message_id IN "
                    "(SELECT value FROM json_each(?))",
                    (orjson.dumps(remembered).decode(),),
                )
            )
        results: list[bool] = []
        rows = []
        fresh = []
        for entry in entries:
            if entry.remember:
                if entry.message_id in known:
                    results.append(False)
                    continue
                known.add(entry.message_id)
                fresh.append((entry.message_id, now))
            results.append(True)
            rows.append(
                (
                    self._next_seq,
                    entry.message_id,
                    entry.lane,
                    now,
                    entry.event,
                    entry.operations,
                )
            )
            self._next_seq += 1
        self._db.executemany("INSERT INTO message_ids VALUES (?, ?)", fresh)
        self._db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._waiting += len(rows)
        self._waiting_bytes += sum(len(row[4]) + len(row[5]) for row in rows)
        return results

    def _lease(self, limit: int) -> list[Leased]:
        leased: list[Leased] = []
        while room := limit - len(leased):
            rows = self._db.execute(
                "SELECT seq, lane, operations FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
                (self._cursor, room),
            ).fetchall()
            if not rows:
                break
            self._cursor = rows[-1][0]
            for seq, lane, operations in rows:
                try:
                    leased.append(Leased(seq, lane, unpack(lane, operations)))
                except (TypeError, ValueError) as error:
                    log.error("event %d can't be read, and stays in the file: %s", seq, error)
        return leased

    def _settle(self, delivered: Sequence[int], buried: Sequence[Burial]) -> None:
        died_at = int(self._clock())
        for burial in buried:
            self._db.execute(
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
        removed = self._db.execute(
            f"DELETE FROM events WHERE seq IN (SELECT value FROM json_each(?)) "  # noqa: S608
            f"RETURNING {_PAYLOAD_BYTES}",
            (orjson.dumps(gone).decode(),),
        ).fetchall()
        self._waiting -= len(removed)
        self._waiting_bytes -= sum(row[0] for row in removed)

    def _stats(self) -> Stats:
        oldest = self._db.execute("SELECT accepted_at FROM events ORDER BY seq LIMIT 1").fetchone()
        return Stats(
            waiting=self._waiting,
            waiting_bytes=self._waiting_bytes,
            oldest_accepted_at=oldest[0] if oldest else None,
            dead_letters=self._count("dead_letters"),
            file_bytes=self._used_bytes(),
        )

    def _count(self, table: str) -> int:
        count: int = self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
        return count

    def _used_bytes(self) -> int:
        pages: int = self._db.execute("PRAGMA page_count").fetchone()[0]
        free: int = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        return (pages - free) * self._page_size


def _answer(results: "list[tuple[asyncio.Future[Any], Any]]") -> None:
    """Hand results to their callers, with one hop to the event loop for all of them."""

    def resolve() -> None:
        for future, result in results:
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    loop = results[0][0].get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(resolve)


def _explain(error: Exception, path: Path) -> str:
    """A database error as words for whoever runs the sidecar."""
    code = getattr(error, "sqlite_errorname", "")
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return (
            f"{path} is in use by another cio-sidecar: stop it, or give this one its own "
            "data directory (CIO_DATA_DIR)"
        )
    if code.startswith("SQLITE_FULL") or "disk I/O error" in str(error):
        return f"{path} can't be written, the disk is full or failing ({error}): free some space"
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"{path} is damaged ({error}): move it away and keep it, then start again"
    if isinstance(error, OSError) or code.startswith(
        ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")
    ):
        return f"{path} can't be opened for writing ({error}): check CIO_DATA_DIR"
    return f"{path}: {type(error).__name__}: {error}"
