"""The bounds of the queue, and what becomes of it in a damaged file or on a failing disk."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from cio_sidecar.event_queue.disk import Disk
from cio_sidecar.event_queue.errors import QueueDamaged, QueueError, QueueFull
from cio_sidecar.event_queue.fullness import Fullness
from cio_sidecar.event_queue.health import Condition
from cio_sidecar.event_queue.housekeeping import KEPT_FREE_PAGES
from cio_sidecar.event_queue.limits import QueueLimits
from cio_sidecar.event_queue.model import FinalFailure
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue

from tests.delivery.support import Clock, event, opened, rows, until

PAGE = 4096
MEBIBYTE = 1024 * 1024


@pytest.fixture
def queue(path: Path) -> Iterator[SqliteQueue]:
    with opened(path) as queue:
        yield queue


def failure(seq: int, size: int = 10) -> FinalFailure:
    return FinalFailure(seq, "HTTP 400: no", 400, 1, "POST", "/api/v2/batch", b"x" * size, b"no")


class TestALease:
    async def test_of_so_many_bytes_ends_with_the_event_that_reaches_them(
        self, queue: SqliteQueue
    ) -> None:
        await queue.put([event(f"p{n}", size=10_000) for n in range(10)])
        assert [each.seq for each in await queue.lease(100, 25_000)] == [1, 2, 3]
        assert queue.has_unleased
        assert [each.seq for each in await queue.lease(100, 1)] == [4]
        assert len(await queue.lease(100, MEBIBYTE)) == 6
        assert not queue.has_unleased

    async def test_knows_that_there_is_no_more_though_the_last_events_are_gone(
        self, path: Path
    ) -> None:
        with opened(path) as queue:
            await queue.put([event("ann"), event("bob")])
            await queue.settle([1, 2])
        with opened(path) as queue:
            assert queue.has_unleased
            assert await queue.lease(1) == []
            assert not queue.has_unleased


class TestMessageIds:
    async def test_over_the_bound_are_forgotten_oldest_first(self, path: Path) -> None:
        clock = Clock()
        with opened(path, clock, limits=QueueLimits(min_free_bytes=0, dedup_max_events=3)) as queue:
            for message_id in "abcde":
                await queue.put([event("ann", message_id)])
                clock.now += 1
            assert await queue.put([event("ann", "e"), event("ann", "a")]) == [False, True]
        assert rows(path, "SELECT message_id FROM message_ids ORDER BY 1") == [
            ("a",),
            ("d",),
            ("e",),
        ]
        assert rows(path, "SELECT remembered FROM totals") == [(3,)]

    async def test_that_are_old_are_forgotten_when_nothing_comes(self, path: Path) -> None:
        clock = Clock()
        with opened(path, clock) as queue:
            await queue.put([event("ann") for _ in range(1_000)])
            clock.now += 601
            await until(lambda: queue._events.totals.remembered == 0, "the ids to be forgotten")
        assert rows(path, "SELECT count(*) FROM message_ids") == [(0,)]


class TestDeadLetters:
    async def test_over_the_bound_are_removed_oldest_first_and_told(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = Clock()
        limits = QueueLimits(min_free_bytes=0, dead_letter_max_bytes=10_000)
        with opened(path, clock, limits=limits) as queue:
            for seq in range(1, 9):
                await queue.put([event("ann")])
                await queue.settle([], [failure(seq, 3_000)])
                clock.now += 1
            stats = await queue.stats()
            assert stats.dead_letter_bytes <= 10_000
            removed = queue.dead_letters_removed
            assert removed == {"age": 0, "size": 8 - stats.dead_letters}
        kept = [seq for (seq,) in rows(path, "SELECT seq FROM dead_letters ORDER BY seq")]
        assert kept == list(range(removed["size"] + 1, 9))
        assert "dead letter(s) removed" in caplog.text
        assert "CIO_DEAD_LETTER_MAX_BYTES" in caplog.text

    @pytest.mark.parametrize(("age", "left"), [(60, 0), (0, 3)])
    async def test_are_removed_when_they_are_old_unless_they_are_kept_for_ever(
        self, path: Path, age: int, left: int
    ) -> None:
        clock = Clock()
        limits = QueueLimits(min_free_bytes=0, dead_letter_max_age_seconds=age)
        with opened(path, clock, limits=limits) as queue:
            await queue.put([event("ann"), event("bob"), event("cid")])
            await queue.settle([], [failure(1), failure(2), failure(3)])
            clock.now += 61
            await queue.put([event("dan")])
            await queue.settle([], [failure(4)])
            await until(lambda: queue.dead_letters_removed["age"] == 3 - left)
            assert (await queue.stats()).dead_letters == left + 1


class TestAFullQueue:
    async def test_says_so_in_the_log_until_there_is_room_again(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        with opened(path, limits=QueueLimits(min_free_bytes=0, max_events=2)) as queue:
            await queue.put([event("ann"), event("bob")])
            for _ in range(5):
                with pytest.raises(QueueFull):
                    await queue.put([event("cid")])
            assert queue.full_because is not None
            await until(lambda: caplog.records, "a word in the log")
            await queue.settle([1])
            await until(lambda: queue.full_because is None, "room")
        warning, info = caplog.records
        assert warning.levelno == logging.WARNING
        for word in ("are rejected", "2 events wait", "CIO_QUEUE_MAX_EVENTS"):
            assert word in warning.getMessage()
        assert (info.levelno, info.getMessage()) == (
            *(logging.INFO, "the queue has room again: new events are accepted"),
        )

    def test_that_comes_and_goes_is_told_once_a_minute_at_the_most(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        clock = Clock(0.0)
        fullness = Fullness(clock)
        for clock.now in range(180):
            fullness.because = "the queue is full"
            fullness.look(has_room=False)
            fullness.look(has_room=True)
            assert fullness.because is None
        assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO] * 3


class TestFreeDisk:
    async def test_below_the_bound_turns_events_away_until_there_is_more(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = SimpleNamespace(f_bavail=100 * MEBIBYTE, f_blocks=10_000 * MEBIBYTE, f_frsize=1)
        monkeypatch.setattr(os, "statvfs", lambda _: found)
        with opened(path, limits=QueueLimits(min_free_bytes=256 * MEBIBYTE)) as queue:
            with pytest.raises(QueueFull, match="CIO_QUEUE_MIN_FREE_BYTES"):
                await queue.put([event("ann")])
            assert queue.not_accepting_because is None
            assert "CIO_QUEUE_MIN_FREE_BYTES" in (queue.full_because or "")
            found.f_bavail = 300 * MEBIBYTE
            queue._disk._looked_at = float("-inf")
            assert await queue.put([event("ann")]) == [True]
            await until(lambda: queue.full_because is None)

    @pytest.mark.parametrize(("free", "short"), [(30, False), (10, True)])
    def test_of_a_small_disk_is_kept_to_a_tenth(
        self, path: Path, free: int, short: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = SimpleNamespace(f_bavail=free, f_blocks=200, f_frsize=MEBIBYTE)
        monkeypatch.setattr(os, "statvfs", lambda _: found)
        disk = Disk(path.parent, min_free_bytes=256 * MEBIBYTE, clock=lambda: 0.0)
        assert (disk.shortage_with(0) is not None) is short

    def test_is_asked_for_now_and_then_and_counted_meanwhile(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[object] = []
        found = SimpleNamespace(f_bavail=30, f_blocks=200, f_frsize=MEBIBYTE)

        def statvfs(folder: object) -> object:
            asked.append(folder)
            return found

        monkeypatch.setattr(os, "statvfs", statvfs)
        disk = Disk(path.parent, min_free_bytes=256 * MEBIBYTE, clock=lambda: 0.0)
        shortages = [disk.shortage_with(MEBIBYTE) is not None for _ in range(12)]
        assert shortages == [False] * 10 + [True] * 2
        assert len(asked) == 1


class TestAFileThatWasDrained:
    async def test_shrinks(self, path: Path) -> None:
        with opened(path) as queue:
            for _ in range(20):
                await queue.put([event("ann", size=50_000) for _ in range(40)])
            await queue.settle(range(1, 801))

            def free_pages() -> int:
                found: int = queue._db.execute("PRAGMA freelist_count").fetchone()[0]
                return found

            await until(lambda: free_pages() <= KEPT_FREE_PAGES, "the file to shrink")
            assert (await queue.stats()).waiting == 0
        assert os.path.getsize(path) < (KEPT_FREE_PAGES + 200) * PAGE  # noqa: PTH202, ASYNC240


class TestADiskThatFails:
    async def test_turns_the_queue_off_until_it_was_tried_out(
        self, queue: SqliteQueue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        changes: list[str | None] = []
        queue.on_condition = lambda: changes.append(queue.not_accepting_because)

        def fails(_: Disk) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Disk, "try_out", fails)
            await queue.try_out()
            await queue.try_out()
            await until(lambda: changes)
        assert queue.not_accepting_because is not None
        await until(lambda: queue.not_accepting_because is None, "the disk to be tried out")
        await until(lambda: len(changes) == 2)
        assert changes[1] is None
        assert caplog.text.count("the queue can't take events") == 1
        assert caplog.text.count("can be written again") == 1

    async def test_does_not_keep_from_counting_what_the_queue_holds(
        self, queue: SqliteQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await queue.put([event("ann")])
        fails = sqlite3.OperationalError("disk I/O error")
        fails.sqlite_errorname = "SQLITE_IOERR_FSYNC"
        gate = threading.Event()

        @contextmanager
        def transaction(_: sqlite3.Connection) -> Iterator[None]:
            yield
            raise fails

        monkeypatch.setattr(queue._events, "transaction", transaction)
        # All that comes while the thread is busy shares a transaction.
        busy = asyncio.ensure_future(queue.run(lambda _: gate.wait(10), writes=False))
        both = asyncio.gather(queue.put([event("bob")]), queue.stats(), return_exceptions=True)
        await asyncio.sleep(0)
        gate.set()
        await busy
        rejected, stats = await both
        assert isinstance(rejected, QueueError)
        assert not isinstance(stats, BaseException)
        monkeypatch.undo()


def damage(path: Path, like: bytes) -> int:
    """Overwrite the pages that hold some bytes; how many there were."""
    content = bytearray(path.read_bytes())
    hit = {at // PAGE for at in range(len(content)) if content.startswith(like, at)}
    for page in hit:
        content[page * PAGE : (page + 1) * PAGE] = b"\xa5" * PAGE
    path.write_bytes(content)
    return len(hit)


class TestADamagedPage:
    @pytest.fixture
    async def damaged(self, path: Path) -> Path:
        with opened(path) as queue:
            await queue.put([event(f"p{n}", f"id-{n:03}", size=500) for n in range(1, 301)])
        assert damage(path, b"id-150p:p150") == 1
        return path

    async def test_is_read_around_and_the_rest_is_delivered_in_order(
        self, damaged: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with opened(damaged) as queue:
            leased = [each.seq for each in await queue.lease(1_000)]
            assert leased == sorted(set(leased))
            lost = set(range(1, 301)) - set(leased)
            assert 150 in lost
            assert len(lost) <= 6
            assert not queue.has_unleased
            assert "can't be read, and stay in the file" in caplog.text
            assert (await queue.stats()).oldest_accepted_at is not None
            fetched = await queue.fetch(range(140, 160))
            assert {each.seq for each in fetched} == set(range(140, 160)) - lost

    async def test_turns_new_events_away_and_says_what_to_do(self, damaged: Path) -> None:
        with opened(damaged) as queue:
            await queue.lease(1_000)
            assert queue.not_accepting_because is not None
            with pytest.raises(QueueDamaged, match="damaged"):
                await queue.put([event("ann")])

    async def test_does_not_keep_others_from_being_settled(self, damaged: Path) -> None:
        with opened(damaged) as queue:
            leased = [each.seq for each in await queue.lease(1_000)]
            await queue.settle([*leased, 150])
            left = queue.waiting
        assert left < 30


def test_a_condition_is_told_once_a_change() -> None:
    told: list[str | None] = []
    condition = Condition(lambda: told.append(condition.because))
    for _ in range(2):
        condition.found(QueueError("no room"))
    for _ in range(2):
        condition.works()
    condition.found(QueueDamaged("a page"))
    condition.works()
    assert told == ["no room", None, "a page"]
