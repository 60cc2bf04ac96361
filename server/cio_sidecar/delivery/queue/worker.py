"""The queue's thread: it owns the connection, and runs what has gathered in one transaction."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cio_sidecar.delivery.queue.condition import Condition
from cio_sidecar.delivery.queue.entry import QueueDamaged, QueueError
from cio_sidecar.delivery.queue.events import Events
from cio_sidecar.delivery.queue.housekeeping import Housekeeping
from cio_sidecar.delivery.queue.trouble import is_of_the_disk, is_of_the_file, queue_error

_Result = TypeVar("_Result")


class _Job(NamedTuple):
    work: Callable[[sqlite3.Connection], Any]
    future: "asyncio.Future[Any]"
    writes: bool
    on_failure: Callable[[QueueError], None]


class Worker:
    """Runs jobs on a thread of its own, in groups that share a transaction and an fsync."""

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
        self.jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="queue", daemon=True)
        self._thread.start()

    async def run(
        self,
        work: Callable[[sqlite3.Connection], _Result],
        *,
        writes: bool,
        on_failure: Callable[[QueueError], None] = lambda _: None,
    ) -> _Result:
        """Run a job; returns what it returns, for one that writes when it is on disk.

        ``on_failure`` is called on the thread, before it runs any other job, where the job or its
        transaction fails.
        """
        if self._closed:
            raise QueueError("the queue is closed: the sidecar is shutting down")
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[_Result] = self._loop.create_future()
        self.jobs.put(_Job(work, future, writes, on_failure))
        return await future

    def tell(self, callback: Callable[[], None]) -> None:
        """Call something on the event loop; where no job ever came from one, nobody listens."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)

    def close(self) -> None:
        """Finish the jobs at hand, then close the connection."""
        if not self._closed:
            self._closed = True
            self.jobs.put(None)
            self._thread.join()
            self._db.close()

    def _work(self) -> None:
        while True:
            jobs = self._gather()
            group = [job for job in jobs if job is not None]
            if group:
                _answer(self._transact(group))
            if len(group) < len(jobs):
                self._housekeeping.end()
                return
            self._housekeeping.work(idle=self.jobs.empty())

    def _gather(self) -> list[_Job | None]:
        """All jobs that there are; where there is none, what comes until it is time for chores."""
        try:
            jobs = [self.jobs.get(timeout=self._housekeeping.wait_seconds())]
        except queue.Empty:
            return []
        while not self.jobs.empty():
            jobs.append(self.jobs.get())
        return jobs

    def _transact(self, group: list[_Job]) -> "list[tuple[asyncio.Future[Any], Any]]":
        """Run jobs in one transaction; each gets its result, or an exception."""
        writes = any(job.writes for job in group)
        results: list[tuple[asyncio.Future[Any], Any]] = []
        try:
            with self._events.transaction(self._db) if writes else nullcontext():
                for job in group:
                    try:
                        results.append((job.future, job.work(self._db)))
                    except QueueError as error:
                        job.on_failure(error)
                        results.append((job.future, error))
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
        return results


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
