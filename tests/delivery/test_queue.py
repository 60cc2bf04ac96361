"""The queue on a real file: what it promises holds whatever happens to the process."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from cio_sidecar.customerio.encoders import Operation
from cio_sidecar.event_queue import salvage, worker
from cio_sidecar.event_queue.errors import QueueError, QueueFull
from cio_sidecar.event_queue.limits import QueueLimits
from cio_sidecar.event_queue.model import Entry, FinalFailure, Leased
from cio_sidecar.event_queue.operation_codec import pack, unpack
from cio_sidecar.event_queue.put_order import PutOrder
from cio_sidecar.event_queue.schema import SCHEMA_VERSION
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue
from hypothesis import given
from hypothesis import strategies as st

from tests.delivery.support import (
    NOW,
    Clock,
    event,
    opened,
    rows,
    rows_of_a_copy,
    stored_ids,
    until,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(path: Path, clock: Clock) -> Iterator[SqliteQueue]:
    with opened(path, clock) as queue:
        yield queue


def failure(seq: int, *, reason: str = "HTTP 400: no") -> FinalFailure:
    return FinalFailure(seq, reason, 400, 3, "POST", "/api/v2/batch", b"asked", b"answered")


class Gate:
    """A clock for a queue whose thread can be made to wait at the next put."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()

    def __call__(self) -> float:
        self.reached.set()
        assert self.open.wait(20)
        return NOW

    def shut(self) -> None:
        self.reached.clear()
        self.open.clear()


class TestAnAcceptedEvent:
    async def test_is_in_the_files_when_put_returns(
        self, queue: SqliteQueue, path: Path, tmp_path: Path
    ) -> None:
        first = event("ann")
        assert await queue.put([first]) == [True]
        found = rows_of_a_copy(
            path,
            "SELECT message_id, lane, accepted_at, event, operations FROM events",
            tmp_path / "copy",
        )
        assert found == [(first.message_id, "p:ann", NOW, first.event, first.operations)]

    async def test_is_still_there_after_reopening(self, path: Path) -> None:
        with opened(path) as queue:
            await queue.put([event("ann", "a"), event("bob", "b")])
        with opened(path) as queue:
            assert queue.waiting == 2
            leased = await queue.lease(10)
        assert [each.lane for each in leased] == ["p:ann", "p:bob"]

    def test_outlives_a_process_that_is_killed(self, path: Path, tmp_path: Path) -> None:
        acknowledged = tmp_path / "acknowledged"
        child = subprocess.run(
            [sys.executable, "-c", _PUT_UNTIL_KILLED, str(path), str(acknowledged)],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert child.returncode == -signal.SIGKILL, child.stderr.decode()
        promised = acknowledged.read_text().split()
        assert len(promised) >= 200
        with opened(path) as queue:
            waiting = queue.waiting
        found = stored_ids(path)
        assert waiting == len(found)
        assert set(promised) <= set(found)
        assert len(set(found)) == len(found)

    async def test_is_committed_with_an_fsync_before_its_put_returns(
        self, queue: SqliteQueue
    ) -> None:
        assert queue._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert queue._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    async def test_is_announced_when_it_is_on_disk(
        self, queue: SqliteQueue, path: Path, tmp_path: Path
    ) -> None:
        seen: list[tuple[int]] = []
        queue.on_committed = lambda: seen.extend(
            rows_of_a_copy(path, "SELECT count(*) FROM events", tmp_path / "copy")
        )
        await queue.put([event("ann"), event("bob")])
        assert seen == [(2,)]

    async def test_is_announced_though_its_caller_went_away_meanwhile(self, path: Path) -> None:
        gate = Gate()
        with opened(path, gate) as queue:
            announced: list[int] = []

            async def look() -> None:
                announced.append(len(await queue.lease(10)))

            looking: list[asyncio.Task[None]] = []
            queue.on_committed = lambda: looking.append(asyncio.create_task(look()))
            gate.shut()
            put = asyncio.create_task(queue.put([event("ann")]))
            await until(gate.reached.is_set)
            put.cancel()
            await asyncio.wait([put])
            gate.open.set()
            await until(lambda: announced, "news of the event")
        assert announced[0] == 1


_PUT_UNTIL_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.delivery.support import event, opened

async def main(path, acknowledged):
    with opened(path) as queue, open(acknowledged, "ab", buffering=0) as log:
        count = 0

        async def put(number):
            nonlocal count
            for turn in range(1000):
                entries = [event(f"p{number}") for _ in range(1 + (number + turn) % 5)]
                await queue.put(entries)
                log.write("".join(f"{entry.message_id}\\n" for entry in entries).encode())
                count += len(entries)
                if count >= 500:
                    os.kill(os.getpid(), signal.SIGKILL)

        await asyncio.gather(*map(put, range(40)))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


class TestGroupCommit:
    async def test_puts_that_gather_share_one_transaction(self, path: Path) -> None:
        gate = Gate()
        with opened(path, gate) as queue:
            statements: list[str] = []
            queue._db.set_trace_callback(statements.append)
            gate.shut()
            first = asyncio.create_task(queue.put([event("ann")]))
            await until(gate.reached.is_set)
            others = [asyncio.create_task(queue.put([event(f"p{n}")])) for n in range(300)]
            await until(lambda: len(queue._worker.gathering) == 300)
            gate.open.set()
            assert await asyncio.gather(first, *others) == [[True]] * 301
            queue._db.set_trace_callback(None)
        assert statements.count("COMMIT") == 2
        assert len(stored_ids(path)) == 301

    async def test_many_puts_at_once_need_far_fewer_commits(self, queue: SqliteQueue) -> None:
        statements: list[str] = []
        queue._db.set_trace_callback(statements.append)
        await asyncio.gather(*(queue.put([event(f"p{n}")]) for n in range(1000)))
        assert statements.count("COMMIT") < 500

    async def test_a_lone_put_needs_nobody_else(self, queue: SqliteQueue) -> None:
        statements: list[str] = []
        queue._db.set_trace_callback(statements.append)
        await queue.put([event("ann")])
        assert statements.count("COMMIT") == 1

    async def test_callers_that_put_again_and_again_come_to_share_commits(
        self, queue: SqliteQueue
    ) -> None:
        statements: list[str] = []
        queue._db.set_trace_callback(statements.append)

        async def caller(name: str) -> None:
            for _ in range(20):
                await queue.put([event(name)])

        await asyncio.gather(*(caller(f"p{n}") for n in range(10)))
        # Without waiting for each other they would share 40, in two turns.
        assert statements.count("COMMIT") < 30

    async def test_a_caller_that_is_alone_waits_for_nobody(
        self, queue: SqliteQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(worker, "GATHER_SECONDS", 3600)
        monkeypatch.setattr(worker, "MOST_SECONDS", 3600)
        for _ in range(3):
            assert await queue.put([event("ann")]) == [True]
            await queue.settle([lease.seq for lease in await queue.lease(10)])
        for _ in range(3):
            many = [event("bob") for _ in range(worker.ENOUGH_EVENTS)]
            assert all(await queue.put(many))
            await queue.settle([lease.seq for lease in await queue.lease(1000)])

    async def test_those_who_are_left_wait_a_moment_for_those_who_are_gone(
        self, queue: SqliteQueue
    ) -> None:
        await asyncio.gather(*(queue.put([event(f"p{n}")]) for n in range(20)))
        assert await queue.put([event("ann")]) == [True]

    async def test_what_gathers_when_the_queue_is_closed_is_stored(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with opened(path) as queue:
            await asyncio.gather(*(queue.put([event(f"p{n}")]) for n in range(20)))
            monkeypatch.setattr(worker, "GATHER_SECONDS", 3600)
            monkeypatch.setattr(worker, "MOST_SECONDS", 3600)
            waits = asyncio.create_task(queue.put([event("ann", "last")]))
            await until(lambda: len(queue._worker.gathering) == 1)
            queue.close()
            assert await waits == [True]
        assert "last" in stored_ids(path)

    async def test_one_failing_job_does_not_fail_the_others(self, path: Path) -> None:
        gate = Gate()
        with opened(path, gate) as queue:
            gate.shut()
            first = asyncio.create_task(queue.put([event("ann", "first")]))
            await until(gate.reached.is_set)
            bad = event("bob", "bad")._replace(lane="\ud800")  # SQLite can't store it
            jobs = [
                queue.put([event("cid", "good-1")]),
                queue.put([event("bob", "good-in-bad"), bad]),
                queue.put([event("dan", "good-2")]),
                queue.settle([1]),
            ]
            together = asyncio.gather(first, *jobs, return_exceptions=True)
            await until(lambda: len(queue._worker.gathering) == 4)
            gate.open.set()
            results = await together
            assert [type(result) for result in results] == [
                list,
                list,
                QueueError,
                list,
                type(None),
            ]
            assert queue.waiting == 2
            # What the failed one began to remember is forgotten, too.
            assert await queue.put([event("bob", "good-in-bad")]) == [True]
        assert stored_ids(path) == ["good-1", "good-2", "good-in-bad"]

    async def test_a_full_queue_turns_away_one_of_a_group_alone(self, path: Path) -> None:
        gate = Gate()
        with opened(path, gate, max_bytes=200_000) as queue:
            gate.shut()
            first = asyncio.create_task(queue.put([event("ann", "first")]))
            await until(gate.reached.is_set)
            together = asyncio.gather(
                first,
                queue.put([event("bob", "large", size=30_000)] * 10),
                queue.put([event("cid", "small")]),
                return_exceptions=True,
            )
            await until(lambda: len(queue._worker.gathering) == 2)
            gate.open.set()
            _, large, small = await together
        assert isinstance(large, QueueFull)
        assert small == [True]
        assert stored_ids(path) == ["first", "small"]

    async def test_each_put_of_a_group_is_told_of_its_own_events_and_of_repeats(
        self, path: Path
    ) -> None:
        gate = Gate()
        with opened(path, gate) as queue:
            gate.shut()
            first = asyncio.create_task(queue.put([event("ann", "known")]))
            await until(gate.reached.is_set)
            together = asyncio.gather(
                first,
                queue.put([event("bob", "new"), event("ann", "known")]),
                queue.put([event("cid", "twice"), event("cid", "other")]),
                queue.put([]),
                queue.put([event("ann", "known"), event("cid", "twice"), event("dan", "last")]),
            )
            await until(lambda: len(queue._worker.gathering) == 4)
            gate.open.set()
            results = [*await together]
            assert queue.waiting == 5
        assert results == [[True], [True, False], [True, True], [], [False, False, True]]
        assert stored_ids(path) == ["known", "new", "twice", "other", "last"]

    async def test_a_group_that_has_room_but_for_its_repeats_does_not_make_the_queue_full(
        self, path: Path
    ) -> None:
        gate = Gate()
        limits = QueueLimits(max_events=3, min_free_bytes=0)
        with opened(path, gate, limits=limits) as queue:
            gate.shut()
            first = asyncio.create_task(queue.put([event("ann", "first")]))
            await until(gate.reached.is_set)
            together = asyncio.gather(
                first,
                queue.put([event("ann", "first")]),
                queue.put([event("bob", "second")]),
                queue.put([event("cid", "third")]),
                queue.put([event("ann", "first")]),
            )
            await until(lambda: len(queue._worker.gathering) == 4)
            gate.open.set()
            assert [*await together] == [[True], [False], [True], [True], [False]]
            assert queue.full_because is None
            with pytest.raises(QueueFull):
                await queue.put([event("dan", "fourth")])
            assert queue.full_because is not None
        assert stored_ids(path) == ["first", "second", "third"]

    async def test_a_failing_job_turns_away_none_before_the_one_that_found_it_full(
        self, path: Path
    ) -> None:
        gate = Gate()
        with opened(path, gate, max_bytes=20_000) as queue:
            line = PutOrder()
            gate.shut()
            first = asyncio.create_task(queue.put([event("ann", "first")]))
            await until(gate.reached.is_set)
            together = asyncio.gather(
                first,
                queue.put([event("bob", "fits")], line),
                queue.put([event("bob", "large", size=30_000)], line),
                queue.put([event("bob", "behind")], line),
                queue.put([event("cid", "bad")._replace(lane="\ud800")]),
                return_exceptions=True,
            )
            await until(lambda: len(queue._worker.gathering) == 4)
            gate.open.set()
            results = await together
        # The bad one makes each of them run once more, in a transaction of its own.
        assert list(results[:2]) == [[True], [True]]
        assert [type(each) for each in results[2:]] == [QueueFull, QueueFull, QueueError]
        assert line.closed
        assert stored_ids(path) == ["first", "fits"]

    @pytest.mark.parametrize("together", [True, False])
    async def test_what_is_behind_one_that_fails_is_not_stored_either(
        self, path: Path, *, together: bool
    ) -> None:
        # A caller that sends them all again must not find the later one before the earlier.
        gate = Gate()
        line = PutOrder()
        entries = [event("ann", "a"), event("ann", "b")._replace(lane="\ud800")]
        with opened(path, gate) as queue:
            gate.shut()
            first = asyncio.create_task(queue.put([event("ann", "first")], line))
            await until(gate.reached.is_set)
            puts = [asyncio.create_task(queue.put(entries, line))]
            await until(lambda: len(queue._worker.gathering) == 1)
            if not together:
                gate.open.set()
                await asyncio.wait(puts)
            puts.append(asyncio.create_task(queue.put([event("ann", "behind")], line)))
            if together:
                await until(lambda: len(queue._worker.gathering) == 2)
                gate.open.set()
            results = await asyncio.gather(first, *puts, return_exceptions=True)
            assert [type(result) for result in results] == [list, QueueError, QueueError]
            assert await queue.put([event("ann", "a"), event("ann", "behind")]) == [True, True]
        assert stored_ids(path) == ["first", "a", "behind"]


class TestARepeat:
    async def test_within_the_window_is_told_and_not_stored(
        self, queue: SqliteQueue, clock: Clock
    ) -> None:
        assert await queue.put([event("ann", "a")]) == [True]
        clock.now += 600
        assert await queue.put([event("ann", "a"), event("ann", "b")]) == [False, True]
        assert [lease.seq for lease in await queue.lease(10)] == [1, 2]

    async def test_within_one_put_is_told(self, queue: SqliteQueue) -> None:
        entries = [event("ann", "a"), event("bob", "b"), event("ann", "a"), event("ann", "a")]
        assert await queue.put(entries) == [True, True, False, False]
        assert queue.waiting == 2

    async def test_within_one_transaction_is_told(self, path: Path) -> None:
        gate = Gate()
        with opened(path, gate) as queue:
            gate.shut()
            first = asyncio.create_task(queue.put([event("bob", "b")]))
            await until(gate.reached.is_set)
            both = asyncio.gather(*(queue.put([event("ann", "a")]) for _ in range(2)))
            await until(lambda: len(queue._worker.gathering) == 2)
            gate.open.set()
            assert sorted(await both) == [[False], [True]]
            await first
        assert stored_ids(path) == ["b", "a"]

    async def test_is_told_after_its_event_was_delivered(self, queue: SqliteQueue) -> None:
        await queue.put([event("ann", "a")])
        await queue.settle([1])
        assert await queue.put([event("ann", "a")]) == [False]

    async def test_is_told_after_reopening(self, path: Path, clock: Clock) -> None:
        with opened(path, clock) as queue:
            await queue.put([event("ann", "a")])
        clock.now += 599
        with opened(path, clock) as queue:
            assert await queue.put([event("ann", "a")]) == [False]

    async def test_after_the_window_is_a_new_event(self, queue: SqliteQueue, clock: Clock) -> None:
        await queue.put([event("ann", "a")])
        clock.now += 601
        assert await queue.put([event("ann", "a")]) == [True]
        assert queue.waiting == 2

    async def test_does_not_prolong_the_window(self, queue: SqliteQueue, clock: Clock) -> None:
        await queue.put([event("ann", "a")])
        clock.now += 400
        assert await queue.put([event("ann", "a")]) == [False]
        clock.now += 400
        assert await queue.put([event("ann", "a")]) == [True]

    async def test_of_an_id_that_the_sidecar_made_is_not_looked_for(
        self, queue: SqliteQueue
    ) -> None:
        made = event("ann", "made")._replace(remember=False)
        assert await queue.put([made, made]) == [True, True]
        assert await queue.put([made]) == [True]
        assert queue._db.execute("SELECT count(*) FROM message_ids").fetchone() == (0,)

    async def test_ids_are_forgotten_after_the_window(
        self, queue: SqliteQueue, clock: Clock
    ) -> None:
        await queue.put([event("ann") for _ in range(100)])
        clock.now += 601
        await queue.put([event("ann")])
        assert queue._db.execute("SELECT count(*) FROM message_ids").fetchone() == (1,)


class TestALease:
    async def test_gives_events_in_the_order_they_were_put(self, queue: SqliteQueue) -> None:
        entries = [event(f"p{n % 7}", number=n) for n in range(50)]
        for start in range(0, 50, 5):
            await queue.put(entries[start : start + 5])
        leased = await queue.lease(1000)
        assert [each.operations for each in leased] == [
            unpack(each.lane, each.operations) for each in entries
        ]
        assert [each.lane for each in leased] == [each.lane for each in entries]
        assert [each.seq for each in leased] == sorted({each.seq for each in leased})
        assert {each.attempts for each in leased} == {0}

    async def test_gives_no_event_twice(self, queue: SqliteQueue) -> None:
        await queue.put([event("ann") for _ in range(25)])
        parts = [await queue.lease(10) for _ in range(4)]
        assert [len(part) for part in parts] == [10, 10, 5, 0]
        seqs = [each.seq for part in parts for each in part]
        assert seqs == sorted(set(seqs))
        await queue.put([event("bob")])
        assert [each.lane for each in await queue.lease(10)] == ["p:bob"]

    async def test_leases_at_the_same_time_give_no_event_twice(self, queue: SqliteQueue) -> None:
        await queue.put([event("ann") for _ in range(100)])
        parts = await asyncio.gather(*(queue.lease(7) for _ in range(20)))
        seqs = [each.seq for part in parts for each in part]
        assert sorted(seqs) == list(range(1, 101))

    async def test_returns_after_reopening(self, path: Path) -> None:
        with opened(path) as queue:
            await queue.put([event("ann", "a"), event("bob", "b"), event("cid", "c")])
            assert len(await queue.lease(10)) == 3
            await queue.settle([2])
        with opened(path) as queue:
            assert queue.waiting == 2
            again = await queue.lease(10)
            assert [(each.seq, each.lane) for each in again] == [(1, "p:ann"), (3, "p:cid")]
            await queue.put([event("dan")])
            assert [each.seq for each in await queue.lease(10)] == [4]


class TestSettling:
    async def test_removes_what_was_delivered(self, queue: SqliteQueue, path: Path) -> None:
        await queue.put([event("ann", "a"), event("bob", "b"), event("cid", "c")])
        await queue.lease(10)
        await queue.settle([1, 3])
        assert queue.waiting == 1
        stats = await queue.stats()
        assert (stats.waiting, stats.dead_letters) == (1, 0)
        queue.close()
        assert stored_ids(path) == ["b"]

    async def test_moves_what_was_rejected_to_the_dead_letters_with_all_it_holds(
        self, queue: SqliteQueue, path: Path, clock: Clock
    ) -> None:
        first, second = event("ann", "a"), event("bob", "b")
        await queue.put([first, second])
        clock.now += 90
        await queue.settle([1], [failure(2)])
        assert queue.waiting == 0
        assert (await queue.stats()).dead_letters == 1
        queue.close()
        assert stored_ids(path) == []
        with closing(sqlite3.connect(path)) as db:
            db.row_factory = sqlite3.Row
            (letter,) = map(dict, db.execute("SELECT * FROM dead_letters"))
        assert letter == {
            "seq": 2,
            "message_id": "b",
            "lane": "p:bob",
            "accepted_at": NOW,
            "event": second.event,
            "operations": second.operations,
            "died_at": NOW + 90,
            "reason": "HTTP 400: no",
            "status": 400,
            "attempts": 3,
            "method": "POST",
            "path": "/api/v2/batch",
            "request": b"asked",
            "response": b"answered",
        }

    async def test_numbers_go_on_after_the_dead_letters_when_reopened(self, path: Path) -> None:
        with opened(path) as queue:
            await queue.put([event("ann")])
            await queue.settle([], [failure(1)])
        with opened(path) as queue:
            await queue.put([event("bob")])
            await queue.settle([], [failure(2)])
        assert rows(path, "SELECT lane FROM dead_letters ORDER BY seq") == [
            ("p:ann",),
            ("p:bob",),
        ]

    async def test_of_what_is_gone_already_changes_nothing(self, queue: SqliteQueue) -> None:
        await queue.put([event("ann"), event("bob")])
        await queue.settle([1])
        await queue.settle([1, 99], [failure(98)])
        stats = await queue.stats()
        assert (stats.waiting, stats.dead_letters) == (1, 0)

    @pytest.mark.parametrize(
        "seqs",
        [
            [*range(1, 101)],
            [*range(1, 21), *range(40, 61)],
            [*range(1, 101, 2)],
            [*range(60, 20, -1), 70, 72],
            [5],
            [],
        ],
        ids=["all", "two runs", "every other", "backwards", "one", "none"],
    )
    async def test_counts_what_is_left_whatever_is_removed(
        self, path: Path, seqs: list[int]
    ) -> None:
        with opened(path) as queue:
            await queue.put([event("ann", size=number) for number in range(1, 101)])
            # Of a range, some may be gone already.
            await queue.settle([10])
            await queue.settle(seqs)
            stats = await queue.stats()
        gone = {10, *seqs}
        assert rows(path, "SELECT seq FROM events ORDER BY seq") == [
            (seq,) for seq in range(1, 101) if seq not in gone
        ]
        counted = (
            "SELECT count(*), coalesce(sum(length(event) + length(operations)), 0) FROM events"
        )
        assert [(stats.waiting, stats.waiting_bytes)] == rows(path, counted)

    async def test_of_many_events_frees_their_bytes(self, queue: SqliteQueue) -> None:
        before = (await queue.stats()).file_bytes
        await queue.put([event("ann", size=5_000) for _ in range(100)])
        assert (await queue.stats()).file_bytes > 500_000
        await queue.settle(range(1, 101))
        assert (await queue.stats()).file_bytes < before + 50_000


class TestWhatWasJustPut:
    @pytest.mark.parametrize("put_after", [0, 30])
    async def test_is_left_to_the_next_lease_where_one_fails(
        self, queue: SqliteQueue, monkeypatch: pytest.MonkeyPatch, put_after: int
    ) -> None:
        def failing(*arguments: Any, **options: Any) -> Iterator[Any]:
            yield from islice(scan(*arguments, **options), 5)
            raise sqlite3.OperationalError("disk I/O error")

        scan = salvage.scan
        await queue.put([event("ann") for _ in range(20)])
        assert len(await queue.lease(10)) == 10
        with monkeypatch.context() as patched:
            patched.setattr(salvage, "scan", failing)
            with pytest.raises(QueueError):
                await queue.lease(20)
        if put_after:
            await queue.put([event("ann") for _ in range(put_after)])
        leased = await queue.lease(100)
        assert [each.seq for each in leased] == [*range(11, 21 + put_after)]

    async def test_is_leased_as_it_is_in_the_file(self, path: Path) -> None:
        with opened(path) as queue:
            for count in (3, 1, 40):
                await queue.put([event("ann") for _ in range(count)])
            just_put = [*await queue.lease(2), *await queue.lease(10), *await queue.lease(100)]
        with opened(path) as queue:
            read = await queue.lease(100)
        read_of = attrgetter(*Leased.__slots__)
        assert [read_of(each) for each in just_put] == [read_of(each) for each in read]


class TestAFullQueue:
    async def test_turns_events_away_and_stays_as_it_was(self, path: Path, clock: Clock) -> None:
        with opened(path, clock, max_bytes=300_000) as queue:
            await queue.put([event("ann", "a", size=100_000 - 100)])
            before = await queue.stats()
            with pytest.raises(QueueFull, match="CIO_QUEUE_MAX_BYTES") as caught:
                await queue.put([event("bob", "b"), event("bob", "c", size=90_000)] * 3)
            assert "300,000" in str(caught.value)
            assert await queue.stats() == before
            assert queue.waiting == 1
            # Nor does it remember the ids of what it rejected.
            assert await queue.put([event("bob", "b")]) == [True]
        assert stored_ids(path) == ["a", "b"]

    async def test_still_tells_what_it_has_accepted_already(self, path: Path, clock: Clock) -> None:
        with opened(path, clock, limits=QueueLimits(min_free_bytes=0, max_events=2)) as queue:
            ann, bob, cid = event("ann", "a"), event("bob", "b"), event("cid", "c")
            assert await queue.put([ann, bob]) == [True, True]
            before = await queue.stats()
            assert await queue.put([bob, ann, bob]) == [False, False, False]
            assert queue.full_because is None
            assert await queue.stats() == before
            for given in ([ann, cid], [cid], [ann._replace(remember=False)]):
                with pytest.raises(QueueFull):
                    await queue.put(given)
            clock.now += 601
            with pytest.raises(QueueFull):
                await queue.put([ann])
        assert stored_ids(path) == ["a", "b"]

    async def test_takes_events_again_when_some_were_delivered(self, path: Path) -> None:
        with opened(path, max_bytes=300_000) as queue:
            with pytest.raises(QueueFull):
                await asyncio.gather(*(queue.put([event("ann", size=20_000)]) for _ in range(20)))
            accepted = len(await queue.lease(20))
            assert 5 < accepted < 20
            await queue.settle(range(1, accepted + 1))
            assert await queue.put([event("ann", size=20_000)]) == [True]

    async def test_is_not_filled_by_dead_letters(self, path: Path) -> None:
        for _ in range(2):
            with opened(path, max_bytes=100_000) as queue:
                for _ in range(5):
                    await queue.put([event("ann", size=60_000)])
                    (leased,) = await queue.lease(10)
                    await queue.settle([], [failure(leased.seq)])
        with opened(path) as queue:
            stats = await queue.stats()
        assert (stats.waiting, stats.waiting_bytes, stats.dead_letters) == (0, 0, 10)

    async def test_knows_its_size_again_after_a_restart(self, path: Path) -> None:
        with opened(path) as queue:
            await queue.put([event("ann", size=1_000) for _ in range(3)])
            before = await queue.stats()
        with opened(path) as queue:
            assert await queue.stats() == before


class TestAFullDisk:
    async def test_is_told_and_loses_nothing(self, path: Path) -> None:
        with opened(path) as queue:
            await queue.put([event("ann", f"a{n}") for n in range(20)])
            pages = queue._db.execute("PRAGMA page_count").fetchone()[0]
            queue._db.execute(f"PRAGMA max_page_count = {pages + 2}")
            with pytest.raises(QueueError, match="disk is full") as caught:
                await queue.put([event("bob", f"b{n}", size=20_000) for n in range(20)])
            assert not isinstance(caught.value, QueueFull)
            assert str(path) in str(caught.value)
            assert queue.waiting == 20
            assert len(await queue.lease(100)) == 20
            queue._db.execute("PRAGMA max_page_count = 1000000")
            assert await queue.put([event("bob", "b0")]) == [True]
            assert [each.seq for each in await queue.lease(100)] == [21]
        assert stored_ids(path) == [*(f"a{n}" for n in range(20)), "b0"]

    async def test_fails_only_the_puts_that_do_not_fit(self, path: Path) -> None:
        gate = Gate()
        with opened(path, gate) as queue:
            pages = queue._db.execute("PRAGMA page_count").fetchone()[0]
            queue._db.execute(f"PRAGMA max_page_count = {pages + 4}")
            gate.shut()
            first = asyncio.create_task(queue.put([event("ann", "a")]))
            await until(gate.reached.is_set)
            others = asyncio.gather(
                queue.put([event("bob", "b", size=90_000)]),
                queue.put([event("cid", "c")]),
                return_exceptions=True,
            )
            await until(lambda: len(queue._worker.gathering) == 2)
            gate.open.set()
            large, small = await others
            assert await first == [True]
        assert isinstance(large, QueueError)
        assert small == [True]
        assert stored_ids(path) == ["a", "c"]


class TestOpening:
    def test_a_second_queue_on_the_file_is_rejected(self, queue: SqliteQueue, path: Path) -> None:
        assert queue.path == path
        with pytest.raises(QueueError, match="in use by another cio-sidecar") as caught:
            opened(path).__enter__()
        assert "CIO_DATA_DIR" in str(caught.value)

    def test_the_file_is_free_again_when_the_queue_is_closed(self, path: Path) -> None:
        for _ in range(3):
            with opened(path) as queue:
                assert queue.waiting == 0

    def test_a_newer_schema_is_rejected_and_left_alone(self, path: Path) -> None:
        with opened(path):
            pass
        with closing(sqlite3.connect(path)) as db:
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        with pytest.raises(QueueError, match="newer cio-sidecar"):
            opened(path).__enter__()
        assert rows(path, "PRAGMA user_version") == [(SCHEMA_VERSION + 1,)]

    def test_a_file_that_is_no_database_is_rejected_and_left_alone(self, path: Path) -> None:
        content = b"Dear diary, this is not a database. " * 100
        path.write_bytes(content)
        with pytest.raises(QueueError, match="damaged") as caught:
            opened(path).__enter__()
        assert str(path) in str(caught.value)
        assert path.read_bytes() == content

    def test_a_database_of_something_else_is_rejected(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            db.execute("CREATE TABLE recipes (name TEXT)")
            db.commit()
        with pytest.raises(QueueError, match=str(path)):
            opened(path).__enter__()

    def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("no folder")
        where = tmp_path / "file" / "data" / "queue.sqlite3"
        with pytest.raises(QueueError, match="CIO_DATA_DIR"):
            opened(where).__enter__()

    def test_a_folder_in_the_files_place_is_told(self, path: Path) -> None:
        path.mkdir()
        with pytest.raises(QueueError, match="CIO_DATA_DIR"):
            opened(path).__enter__()

    def test_folders_are_made_where_there_are_none(self, tmp_path: Path) -> None:
        where = tmp_path / "some" / "where" / "queue.sqlite3"
        with opened(where):
            assert where.exists()

    async def test_nobody_else_may_read_the_file(self, tmp_path: Path) -> None:
        where = tmp_path / "data" / "queue.sqlite3"
        with opened(where) as queue:
            await queue.put([event("ann")])
            modes = {path.name: path.stat().st_mode & 0o777 for path in where.parent.iterdir()}
        assert set(modes.values()) == {0o600}
        assert where.parent.stat().st_mode & 0o777 == 0o700


class TestClosing:
    async def test_finishes_the_jobs_at_hand(self, path: Path) -> None:
        gate = Gate()
        with opened(path, gate) as queue:
            gate.shut()
            putting = asyncio.gather(*(queue.put([event(f"p{n}")]) for n in range(50)))
            await until(gate.reached.is_set)
            closing = asyncio.create_task(asyncio.to_thread(queue.close))
            await until(lambda: queue._worker._closed)
            gate.open.set()
            assert await putting == [[True]] * 50
            await closing
        assert len(stored_ids(path)) == 50

    async def test_leaves_a_queue_that_says_it_is_closed(self, queue: SqliteQueue) -> None:
        queue.close()
        queue.close()
        for job in (queue.put([event("ann")]), queue.lease(1), queue.settle([1]), queue.stats()):
            with pytest.raises(QueueError, match="closed"):
                await job


class TestDamage:
    async def test_of_an_event_is_told_and_holds_back_no_other(
        self, queue: SqliteQueue, caplog: pytest.LogCaptureFixture
    ) -> None:
        cut = event("ann")
        damaged = cut._replace(operations=cut.operations[:-1], unpacked=())
        await queue.put([damaged, event("bob"), damaged._replace(message_id="x"), event("cid")])
        assert [leased.seq for leased in await queue.lease(2)] == [2, 4]
        assert await queue.lease(2) == []
        assert "event 1 can't be read" in caplog.text
        assert "event 3 can't be read" in caplog.text
        assert queue.waiting == 4


operations = st.lists(
    st.builds(
        Operation,
        lane=st.just("p:ann"),
        item=st.binary(max_size=200),
        marks=st.integers(0, 7),
        beside=st.binary(max_size=80),
    ),
    max_size=5,
)


class TestPacking:
    @given(operations)
    def test_operations_come_back_as_they_were(self, operations: list[Operation]) -> None:
        assert unpack("p:ann", pack(operations)) == tuple(operations)

    @given(operations.filter(bool), st.data())
    def test_a_blob_that_was_cut_within_an_operation_is_rejected(
        self, operations: list[Operation], data: st.DataObject
    ) -> None:
        blob = pack(operations)
        bounds = {len(pack(operations[:n])) for n in range(len(operations) + 1)}
        places = [place for place in range(len(blob)) if place not in bounds]
        cut = data.draw(st.sampled_from(places))
        with pytest.raises(ValueError, match="cut short"):
            unpack("p:ann", blob[:cut])

    @given(st.binary(max_size=60))
    def test_any_bytes_are_operations_or_a_value_error(self, blob: bytes) -> None:
        try:
            operations = unpack("p:ann", blob)
        except ValueError:
            return
        assert all(isinstance(operation, Operation) for operation in operations)

    def test_items_stay_readable_within_the_blob(self) -> None:
        entry: Entry = event("ann", colour="teal")
        assert b'"colour":"teal"' in entry.operations
