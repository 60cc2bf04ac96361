"""The queue's thread: it owns the connection, and runs what has gathered in one transaction.

A transaction costs the same for one event as for twenty. So where events come one by one, and
several callers wait at a time, it waits a few milliseconds for more of them: the more that come,
the longer. A caller that is alone never waits for others.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from cio_sidecar.event_queue.errors import (
    QueueDamaged,
    QueueError,
    is_of_the_disk,
    is_of_the_file,
    queue_error,
)
from cio_sidecar.event_queue.event_store import Events
from cio_sidecar.event_queue.health import Condition
from cio_sidecar.event_queue.housekeeping import Housekeeping
from cio_sidecar.event_queue.model import Entry

GATHER_SECONDS: Final = 0.001
"""How long jobs wait for each event that is expected, at most."""
MOST_SECONDS: Final = 0.01
"""How long for all of them."""
ENOUGH_EVENTS: Final = 100
"""Of how many events on their way together none are waited for."""

_Result = TypeVar("_Result")


class _Job(NamedTuple):
    work: Callable[[sqlite3.Connection], Any]
    future: "asyncio.Future[Any]"
    writes: bool
    on_failure: Callable[[QueueError], None]
    entries: Sequence[Entry] = ()
    """Where it only stores them: then it may be done in one with those beside it."""
    stores: bool = False
    """Whether it stores events of a caller."""


_Group = list[_Job]


def _nothing(_: object) -> None:
    pass


async def _result(
    future: "asyncio.Future[_Result]", abandoned: Callable[[_Result], None]
) -> _Result:
    """The result of a job, which goes on though its caller is cancelled."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:

        def done(_: object) -> None:
            if not future.cancelled() and future.exception() is None:
                abandoned(future.result())

        future.add_done_callback(done)
        raise


class Worker:
    """Runs jobs on a thread of its own, in groups that share a transaction and an fsync.

    One group at a time is with the thread. While it is, the next one gathers, and then until it has
    as many events as were on their way together when the one before it ended; unless that was a
    single one, or so many that there is little to be gained.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        path: Path,
        events: Events,
        *,
        condition: Condition,
        housekeeping: Housekeeping,
    ) -> None:
        """``housekeeping`` is done where no job waits, and a little of it where some do."""
        self._db = db
        self._path = path
        self._events = events
        self._condition = condition
        self._housekeeping = housekeeping
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.gathering: _Group = []
        """Jobs that are not with the thread yet, in their order."""
        self._events_gathering = 0
        self._events_at_work: int | None = None
        """In the group that is with the thread; None while none is."""
        self._expected = 0
        self._timer: asyncio.TimerHandle | None = None
        self._groups: queue.SimpleQueue[_Group | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="queue", daemon=True)
        self._thread.start()

    async def run(
        self,
        work: Callable[[sqlite3.Connection], _Result],
        *,
        writes: bool,
        stores: int = 0,
        on_failure: Callable[[QueueError], None] = _nothing,
        abandoned: Callable[[_Result], None] = _nothing,
    ) -> _Result:
        """Run a job; returns what it returns, for one that writes when it is on disk.

        ``stores``: how many events it stores. ``on_failure`` is called on the thread, before it
        runs any other job, where the job or its transaction fails. A cancelled caller does not stop
        the job: ``abandoned`` is called with its result.
        """
        future: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._add(_Job(work, future, writes, on_failure, stores=stores > 0), stores)
        return await _result(future, abandoned)

    async def put(
        self, entries: Sequence[Entry], abandoned: Callable[[list[bool]], None] = _nothing
    ) -> list[bool]:
        """Store events, as Events.put() does; returns when they are on disk. ``abandoned`` is that
        of run().
        """
        future: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()
        job = _Job(lambda db: self._events.put(db, entries), future, True, _nothing, entries, True)
        self._add(job, len(entries))
        return await _result(future, abandoned)

    def _add(self, job: _Job, stores: int) -> None:
        if self._closed:
            raise QueueError("the queue is closed: the sidecar is shutting down")
        self._loop = job.future.get_loop()
        self.gathering.append(job)
        self._events_gathering += stores
        self._start_or_wait()

    def _start_or_wait(self) -> None:
        """Hand over what has gathered, unless more is to be waited for."""
        if self._events_at_work is not None or not self.gathering:
            return
        if self._events_gathering >= self._expected:
            self._start()
        elif self._timer is None and self._loop:
            wait = min(MOST_SECONDS, GATHER_SECONDS * self._expected)
            self._timer = self._loop.call_later(wait, self._start)

    def _start(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._events_at_work = self._events_gathering
        self._groups.put(self.gathering)
        self.gathering, self._events_gathering = [], 0

    def _ended(self) -> None:
        """The thread has done its group."""
        together = (self._events_at_work or 0) + self._events_gathering
        self._expected = together if 1 < together < ENOUGH_EVENTS else 0
        self._events_at_work = None
        self._start_or_wait()

    def tell(self, callback: Callable[[], None]) -> None:
        """Call something on the event loop; where no job ever came from one, nobody listens."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)

    def close(self) -> None:
        """Finish the jobs at hand, then close the connection."""
        if not self._closed:
            self._closed = True
            if self.gathering:
                self._start()
            self._groups.put(None)
            self._thread.join()
            self._db.close()

    def _work(self) -> None:
        while True:
            try:
                group = self._groups.get(timeout=self._housekeeping.wait_seconds())
            except queue.Empty:
                pass
            else:
                if group is None:
                    self._housekeeping.end()
                    return
                self._answer(self._transact(group))
            self._housekeeping.work(idle=self._groups.empty() and not self.gathering)

    def _transact(self, group: list[_Job]) -> "list[tuple[asyncio.Future[Any], Any]]":
        """Run jobs in one transaction; each gets its result, or an exception."""
        writes = any(job.writes for job in group)
        if writes:
            self._housekeeping.look()
        results: list[tuple[asyncio.Future[Any], Any]] = []
        try:
            with self._events.transaction(self._db) if writes else nullcontext():
                for puts, jobs in groupby(group, lambda job: bool(job.entries)):
                    results += self._do([*jobs], puts=puts)
        except Exception as error:  # The thread must live, and every caller be told.
            if len(group) > 1 and not is_of_the_disk(error):
                # One job's trouble must not fail the others: give each its own transaction.
                return [result for job in group for result in self._transact([job])]
            told = queue_error(error, self._path)
            if is_of_the_file(error) and (writes or isinstance(told, QueueDamaged)):
                self._condition.found(told)
            # What only reads needs no disk that can be written.
            readers = [job for job in group if not job.writes] if len(group) > 1 else []
            failed = [job for job in group if job not in readers]
            for job in failed:
                job.on_failure(told)
            return [
                *((job.future, told) for job in failed),
                *(result for job in readers for result in self._transact([job])),
            ]
        if any(job.stores for job in group):
            results = self._placed(group, results)
        return results

    def _placed(
        self, group: list[_Job], results: "list[tuple[asyncio.Future[Any], Any]]"
    ) -> "list[tuple[asyncio.Future[Any], Any]]":
        """What was stored is not acknowledged if the file vanished before the commit ended."""
        self._housekeeping.look()
        try:
            self._condition.require_intact()
        except QueueError as error:
            stored = {job.future: job for job in group if job.stores}
            for future, result in results:
                if future in stored and not isinstance(result, Exception):
                    stored[future].on_failure(error)
            return [(future, error if future in stored else it) for future, it in results]
        return results

    def _do(self, jobs: list[_Job], *, puts: bool) -> "list[tuple[asyncio.Future[Any], Any]]":
        """Run jobs within a transaction; ``puts``: all of them store events, and do so in one."""
        if puts and len(jobs) > 1:
            full = self._events.fullness.because
            try:
                new = self._events.put(self._db, [entry for job in jobs for entry in job.entries])
            except QueueError:
                # There may be room for some of them.
                self._events.fullness.because = full
            else:
                flags = iter(new)
                return [(job.future, [*islice(flags, len(job.entries))]) for job in jobs]
        results: list[tuple[asyncio.Future[Any], Any]] = []
        for job in jobs:
            try:
                results.append((job.future, job.work(self._db)))
            except QueueError as error:
                job.on_failure(error)
                results.append((job.future, error))
        return results

    def _answer(self, results: "list[tuple[asyncio.Future[Any], Any]]") -> None:
        """Hand results to their callers, with one hop to the event loop for all of them."""

        def resolve() -> None:
            for future, result in results:
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
            self._ended()

        loop = results[0][0].get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(resolve)
