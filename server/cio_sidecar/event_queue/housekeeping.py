"""What the queue's thread does besides: it forgets, removes and shrinks, a few milliseconds at a
time, so that what callers send never waits for it.
"""

import logging
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from cio_sidecar.event_queue.disk import Disk
from cio_sidecar.event_queue.errors import is_of_the_file, queue_error
from cio_sidecar.event_queue.event_store import Events
from cio_sidecar.event_queue.file_identity import Place
from cio_sidecar.event_queue.health import Condition
from cio_sidecar.event_queue.retention import Herald

WAL_BYTES: Final = 64 * 1024 * 1024
"""At how many bytes the WAL, the file that SQLite writes first, is cut."""
KEPT_FREE_PAGES: Final = 4096
"""How many free pages of the file are left for what comes next."""

_SLICE_SECONDS: Final = 0.004
_IDLE_SECONDS: Final = 1.0
_MORE_WHEN_IDLE_SECONDS: Final = 0.004
_MORE_WHEN_BUSY_SECONDS: Final = 0.1
_TRY_EVERY_SECONDS: Final = 2.0
_ROWS: Final = 100
_PAGES: Final = 16

log = logging.getLogger(__name__)


class Housekeeping:
    """The chores of a queue file. All methods are for the queue's thread."""

    def __init__(
        self,
        db: sqlite3.Connection,
        path: Path,
        events: Events,
        *,
        disk: Disk,
        condition: Condition,
        place: Place,
        age_clock: Callable[[], float],
    ) -> None:
        """``age_clock`` gives Unix seconds, by which ages are measured."""
        self._db = db
        self._path = path
        self._events = events
        self._disk = disk
        self._condition = condition
        self._place = place
        self._age_clock = age_clock
        self._herald = Herald()
        self._next_at = time.monotonic() + _IDLE_SECONDS
        self._changes = db.total_changes
        # A file made by something else may not be of the kind that can shrink in slices.
        self._shrinks = db.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")

    def wait_seconds(self) -> float:
        """How long the thread may wait for jobs before it should look after this again."""
        return max(0.0, self._next_at - time.monotonic())

    def work(self, *, idle: bool) -> None:
        """Do a slice, if it is time to. ``idle``: no job waits."""
        now = time.monotonic()
        if now < self._next_at:
            return
        pause = _IDLE_SECONDS
        try:
            self.look()
            if self._condition.damaged is not None or self._condition.misplaced is not None:
                pass
            elif self._condition.failing is not None:
                self.try_out()
                pause = _TRY_EVERY_SECONDS
            elif self._clean(now + _SLICE_SECONDS, idle=idle):
                pause = _MORE_WHEN_IDLE_SECONDS if idle else _MORE_WHEN_BUSY_SECONDS
            elif idle:
                self._checkpoint()
            self._herald.tell(self._events.removed, self._events.limits)
            if self._events.fullness.because is not None:
                self._events.fullness.look(has_room=self._events.has_room())
        except Exception as error:  # The thread must live.
            if is_of_the_file(error):
                self._condition.found(queue_error(error, self._path))
            else:
                log.error("the queue's housekeeping failed: %s", type(error).__name__)
        self._next_at = time.monotonic() + pause

    def look(self) -> None:
        """Note whether the file is in its place and whole."""
        if self._condition.damaged is not None:
            return
        self._condition.placed(self._place.check(self._page_bytes))
        if self._condition.damaged is not None:
            # The WAL and the file no longer belong together: one must not overwrite the other.
            self._db.execute("PRAGMA wal_autocheckpoint = 0")
            if sys.version_info >= (3, 12):
                self._db.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)

    def _page_bytes(self) -> int:
        pages: int = self._db.execute("PRAGMA page_count").fetchone()[0]
        size: int = self._db.execute("PRAGMA page_size").fetchone()[0]
        return pages * size

    def try_out(self) -> None:
        """Write to the disk and to the file, and note whether that can be done."""
        self.look()
        if self._condition.misplaced is not None:
            return
        try:
            self._disk.try_out()
            own = not self._db.in_transaction
            with self._events.transaction(self._db) if own else nullcontext():
                self._events.write_totals(self._db, always=True)
        except (OSError, sqlite3.Error) as error:
            self._condition.found(queue_error(error, self._path))
        else:
            self._condition.works()

    def end(self) -> None:
        """Tell what was not told yet."""
        self._place.close()
        self._herald.tell(self._events.removed, self._events.limits, at_once=True)

    def _clean(self, until: float, *, idle: bool) -> bool:
        """Do what there is to do until then, or a little of each; whether there is more."""
        db, events = self._db, self._events
        over = events.may_be_over(db) and events.is_over(db, int(self._age_clock()))
        if not over and not self._can_shrink(idle=idle):
            return False
        more = False
        with events.transaction(db):
            if over:
                now = int(self._age_clock())
                more |= _repeat(lambda: events.forget(db, now, _ROWS), until)
                more |= _repeat(lambda: events.retain(db, now, _ROWS), until)
            more |= _repeat(lambda: self._shrink(idle=idle), until)
        return more

    def _can_shrink(self, *, idle: bool) -> bool:
        if not self._shrinks:
            return False
        free: int = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        if idle or free <= KEPT_FREE_PAGES:
            return free > KEPT_FREE_PAGES
        # What is free will soon be used again under load, unless it is most of the file.
        pages: int = self._db.execute("PRAGMA page_count").fetchone()[0]
        return free > pages // 2

    def _shrink(self, *, idle: bool) -> bool:
        if not self._can_shrink(idle=idle):
            return False
        # Each row that it gives stands for a page.
        self._db.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
        return True

    def _checkpoint(self) -> None:
        """Bring what is in the WAL to its place in the file; where it has grown, cut it."""
        if self._db.total_changes == self._changes:
            return
        mode = "TRUNCATE" if wal_bytes(self._path) > WAL_BYTES else "PASSIVE"
        self._db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        if mode == "TRUNCATE":
            self._place.wal_cut()
        self._changes = self._db.total_changes


def wal_bytes(path: Path) -> int:
    """How large the WAL of a queue file is; 0 where there is none."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except OSError:
        return 0


def _repeat(step: Callable[[], bool], until: float) -> bool:
    """Take a step, and more until then, while there is more to do; whether there is yet."""
    while step():
        if time.monotonic() >= until:
            return True
    return False
