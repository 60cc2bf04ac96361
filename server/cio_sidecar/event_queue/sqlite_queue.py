"""The queue in a SQLite file: WAL, ``synchronous=FULL``, one thread, group commit.

The event loop hands jobs to the thread; the thread runs all that have gathered in one transaction
and answers after its commit. So a lone event is committed at once, and a thousand at a time share
one fsync. Leases live in memory alone: what is not settled when the process ends is leased again by
the next one.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from cio_sidecar.event_queue.disk import Disk
from cio_sidecar.event_queue.errors import QueueDamaged, QueueError, QueueFull, queue_error
from cio_sidecar.event_queue.event_store import Events
from cio_sidecar.event_queue.file_identity import Place
from cio_sidecar.event_queue.health import Condition
from cio_sidecar.event_queue.housekeeping import WAL_BYTES, Housekeeping, wal_bytes
from cio_sidecar.event_queue.limits import QueueLimits
from cio_sidecar.event_queue.model import Entry, FinalFailure, Leased, Stats
from cio_sidecar.event_queue.put_order import PutOrder
from cio_sidecar.event_queue.schema import open_file
from cio_sidecar.event_queue.worker import Worker

_Result = TypeVar("_Result")

log = logging.getLogger(__name__)


class SqliteQueue:
    """A queue in a file. All methods are for one event loop; ``open`` and ``close`` block."""

    def __init__(
        self,
        path: Path,
        *,
        limits: QueueLimits,
        clock: Callable[[], float],
        age_clock: Callable[[], float] | None = None,
    ) -> None:
        """Open or create the file. Raises QueueError if it can't be used.

        ``clock`` gives Unix seconds; so does ``age_clock``, by which ages are measured
        (default: ``clock``).
        """
        self.path = path
        self.on_committed: Callable[[], None] = lambda: None
        """Called on the event loop when new events are on disk."""
        self.on_condition: Callable[[], None] = lambda: None
        """Called on the event loop when ``not_accepting_because`` has changed."""
        disk = Disk(path.parent, min_free_bytes=limits.min_free_bytes)
        condition = Condition(lambda: self._worker.tell(self._tell_condition))
        self._disk = disk
        self._condition = condition
        age_clock = age_clock or clock
        self._db = open_file(path)
        try:
            self._events = Events(
                self._db,
                limits,
                disk=disk,
                condition=condition,
                clock=clock,
                age_clock=age_clock,
            )
            self._housekeeping = Housekeeping(
                self._db,
                path,
                self._events,
                disk=disk,
                condition=condition,
                place=Place(path, wal_bytes=WAL_BYTES),
                age_clock=age_clock,
            )
        except (sqlite3.Error, OSError) as error:
            self._db.close()
            raise queue_error(error, path) from None
        except QueueError:
            self._db.close()
            raise
        self._worker = Worker(
            self._db, path, self._events, condition=condition, housekeeping=self._housekeeping
        )

    def _tell_condition(self) -> None:
        self.on_condition()

    async def put(
        self,
        entries: Sequence[Entry],
        line: PutOrder | None = None,
        *,
        abandoned: Callable[[list[bool]], None] = lambda _: None,
    ) -> list[bool]:
        """Store events; returns when they are on disk.

        Each result says whether the event is new: False where its message_id was accepted before,
        within the dedup window. ``line`` is that of the puts among which this one keeps its place.
        Raises QueueFull or QueueError; then none was stored. A cancelled caller's events are stored
        all the same: ``abandoned`` is called with the results.
        """
        try:
            if line is None:
                results = await self._worker.put(entries, abandoned)
            else:
                results = await self._worker.run(
                    self._put_job(entries, line),
                    writes=True,
                    stores=len(entries),
                    on_failure=line.fail,
                    abandoned=abandoned,
                )
        except asyncio.CancelledError:
            # The caller went away, the job is still done: whoever leases now comes after it.
            self.on_committed()
            raise
        self.on_committed()
        return results

    def _put_job(
        self, entries: Sequence[Entry], line: PutOrder
    ) -> Callable[[sqlite3.Connection], list[bool]]:
        line.puts += 1
        place = line.puts

        def job(db: sqlite3.Connection) -> list[bool]:
            if line.failed:
                raise QueueError("what comes before this could not be stored")
            # It may run twice, where another job fails the transaction that they share: then
            # the line may be closed by this one, or by one behind it.
            if line.full_at is not None and line.full_at < place:
                raise QueueFull("the queue was full for what comes before this")
            try:
                results = self._events.put(db, entries)
            except QueueFull:
                line.full_at = place
                raise
            if line.full_at == place:
                line.open()
            return results

        return job

    async def lease(self, limit: int, most_bytes: int | None = None) -> list[Leased]:
        """Take out up to ``limit`` of the events that this process has not leased yet, in order.

        No more are taken once their operations have ``most_bytes``: at least one is. Where there
        are none left, ``has_unleased`` is False. One that can't be read stays in the file and is
        logged.
        """
        return await self.run(lambda db: self._events.lease(db, limit, most_bytes), writes=False)

    async def fetch(self, seqs: Sequence[int]) -> list[Leased]:
        """Leased events once more, in order: those that still exist. Their attempts begin at 0."""
        return await self.run(lambda db: self._events.fetch(db, seqs), writes=False)

    async def settle(
        self, delivered: Sequence[int], dead_lettered: Sequence[FinalFailure] = ()
    ) -> None:
        """Remove what was delivered, and move what was rejected to the dead letters.

        In a damaged file some events may not be removable: they are logged, and sent again by the
        next process. Raises QueueError; then it may be tried again.
        """
        try:
            await self._settle(delivered, dead_lettered)
        except QueueDamaged:
            # Each has a transaction of its own where all together fail.
            jobs = [self._settle([seq]) for seq in delivered]
            jobs += [self._settle((), [failure]) for failure in dead_lettered]
            results = await asyncio.gather(*jobs, return_exceptions=True)
            failed = [result for result in results if result is not None]
            for error in failed:
                if not isinstance(error, QueueDamaged):
                    raise error from None
            if failed:
                log.error(
                    "%d settled event(s) can't be removed from the damaged queue file: the next "
                    "process sends them again",
                    len(failed),
                )

    async def _settle(
        self, delivered: Sequence[int], dead_lettered: Sequence[FinalFailure] = ()
    ) -> None:
        await self.run(lambda db: self._events.settle(db, delivered, dead_lettered), writes=True)

    async def replay(self, entries: Mapping[int, Entry]) -> int:
        """Put dead letters, by their seq, back at the end of the queue, as these entries.

        Those that are none any more are left out; returns how many there were. Each leaves the
        dead letters in the transaction in which it enters the queue. Raises QueueFull or
        QueueError; then none was put back.
        """
        try:
            return await self.run(lambda db: self._events.replay(db, entries), writes=True)
        finally:
            self.on_committed()

    async def stats(self) -> Stats:
        """Count what the queue holds."""
        found = await self.run(self._events.stats, writes=False)
        try:
            free = self._disk.free_bytes()
        except OSError:
            free = None
        return replace(found, wal_bytes=wal_bytes(self.path), disk_free_bytes=free)

    async def try_out(self) -> None:
        """Find out whether events can be stored: ``not_accepting_because`` says so then."""
        await self.run(lambda _: self._housekeeping.try_out(), writes=False)

    async def run(self, job: Callable[[sqlite3.Connection], _Result], *, writes: bool) -> _Result:
        """Run a job on the queue's thread; returns what it returns.

        ``writes`` says whether the job changes anything: then it runs within a transaction, which
        it may share with other jobs, and its result comes when that is on disk. A job must be
        short, as what callers send waits for it; it neither begins nor ends a transaction, and
        leaves events and message_ids, which this class counts, as they are. Raises QueueError, and
        what the job did is undone; the job may raise one itself, but only before it has changed
        anything.
        """
        return await self._worker.run(job, writes=writes)

    @property
    def waiting(self) -> int:
        """Events that are not settled, without asking the thread; may lag behind by a moment."""
        return self._events.totals.waiting

    @property
    def has_unleased(self) -> bool:
        """Whether there may be events that no lease has given; may lag behind by a moment."""
        return self._events.has_unleased

    @property
    def not_accepting_because(self) -> str | None:
        """Why events can't be stored: the file is damaged, or the disk failed. None while they can;
        a queue that is full is well.
        """
        return self._condition.because

    @property
    def full_because(self) -> str | None:
        """Why events are rejected: as many wait as may, or the disk is nearly full. None once
        there is room again.
        """
        return self._events.fullness.because

    @property
    def full_seconds(self) -> float:
        """For how long it has been full, or has had room."""
        return self._events.fullness.seconds

    @property
    def limits(self) -> QueueLimits:
        """What it may hold."""
        return self._events.limits

    @property
    def dead_letters_removed(self) -> dict[str, int]:
        """How many dead letters were removed since the start, by the bound (``age``, ``size``)."""
        removed = self._events.removed
        return {"age": removed.by_age, "size": removed.by_size}

    def close(self) -> None:
        """Finish the jobs at hand, then close the file."""
        self._worker.close()
