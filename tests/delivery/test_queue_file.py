"""The queue's file: its versions, and the totals that it keeps beside what it holds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cio_sidecar.event_queue.errors import QueueError
from cio_sidecar.event_queue.model import Entry, FinalFailure
from cio_sidecar.event_queue.schema import SCHEMA_VERSION
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue

from tests.delivery.support import NOW, Clock, event, opened, rows

VERSION_1 = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL,
    lane TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    event BLOB NOT NULL,
    operations BLOB NOT NULL
);
CREATE TABLE message_ids (
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
    status INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    request BLOB NOT NULL,
    response BLOB NOT NULL
);
PRAGMA user_version = 1;
"""
"""The queue file as the first version made it."""

COUNTED = (
    "SELECT (SELECT count(*) FROM events), "
    "(SELECT coalesce(sum(length(event) + length(operations)), 0) FROM events), "
    "(SELECT count(*) FROM message_ids), (SELECT count(*) FROM dead_letters), "
    "(SELECT coalesce(sum(length(event) + length(operations) + length(request) "
    "+ length(response)), 0) FROM dead_letters)"
)
TOTALS = "SELECT waiting, waiting_bytes, remembered, dead_letters, dead_letter_bytes FROM totals"


def version_1(path: Path, waiting: dict[int, Entry], dead: dict[int, Entry]) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(VERSION_1)
        for seq, entry in waiting.items():
            row = (seq, entry.message_id, entry.lane, NOW - 5, entry.event, entry.operations)
            db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", row)
            db.execute("INSERT INTO message_ids VALUES (?, ?)", (entry.message_id, NOW - 5))
        for seq, entry in dead.items():
            letter: tuple[Any, ...] = (
                *(seq, entry.message_id, entry.lane, NOW - 9, entry.event, entry.operations),
                *(NOW - 3, "HTTP 400", 400, 1, "POST", "/api/v2/batch", b"asked", b"answered"),
            )
            db.execute(f"INSERT INTO dead_letters VALUES ({', '.join('?' * 14)})", letter)
        db.commit()


def failure(seq: int) -> FinalFailure:
    return FinalFailure(seq, "HTTP 400: no", 400, 3, "POST", "/api/v2/batch", b"asked", b"answered")


class TestAFileOfTheFirstVersion:
    async def test_is_taken_over_with_all_that_it_holds(self, path: Path) -> None:
        waiting = {3: event("ann", "a"), 4: event("bob", "b", size=9_000)}
        version_1(path, waiting, {5: event("cid", "c")})
        with opened(path) as queue:
            stats = await queue.stats()
            assert (stats.waiting, stats.dead_letters) == (2, 1)
            leased = await queue.lease(10)
            assert [(each.seq, each.message_id) for each in leased] == [(3, "a"), (4, "b")]
            # The ids are remembered, and no seq is given again.
            assert await queue.put([event("ann", "a"), event("dan", "d")]) == [False, True]
            assert [each.seq for each in await queue.lease(10)] == [6]
        assert rows(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
        assert rows(path, COUNTED) == rows(path, TOTALS)

    async def test_may_be_empty(self, path: Path) -> None:
        version_1(path, {}, {})
        with opened(path) as queue:
            await queue.put([event("ann")])
            assert [each.seq for each in await queue.lease(10)] == [1]

    def test_is_left_as_it_was_when_it_cannot_be_taken_over(self, path: Path) -> None:
        version_1(path, {1: event("ann", "a")}, {})
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE totals (something TEXT)")
        with pytest.raises(QueueError, match=str(path)):
            opened(path).__enter__()
        assert rows(path, "PRAGMA user_version") == [(1,)]
        assert rows(path, "SELECT message_id FROM events") == [("a",)]
        assert rows(path, "SELECT name FROM sqlite_master WHERE name = 'dead_letters_by_age'") == []


class TestTheTotals:
    async def test_are_those_of_the_tables_whatever_happened(self, path: Path) -> None:
        clock = Clock()
        with opened(path, clock) as queue:
            await queue.put([event(f"p{n}", size=n) for n in range(50)])
            await queue.put([event("ann", "a"), event("ann", "a"), event("ann", "b")])
            await queue.settle(range(1, 20), [failure(seq) for seq in range(20, 30)])
            await queue.settle([1, 99], [failure(2), failure(98)])
            clock.now += 601
            await queue.put([event("ann", "a")])
            bad = event("bob")._replace(lane="\ud800")  # SQLite can't store it
            with pytest.raises(QueueError):
                await queue.put([event("bob"), bad])
        assert rows(path, COUNTED) == rows(path, TOTALS)
        assert rows(path, TOTALS)[0][0] == 24

    async def test_are_right_when_dead_letters_are_removed_by_hand(self, path: Path) -> None:
        with opened(path) as queue:
            await queue.put([event("ann"), event("bob"), event("cid")])
            await queue.settle([], [failure(1), failure(2), failure(3)])
        with closing(sqlite3.connect(path)) as db:
            db.execute("DELETE FROM dead_letters WHERE seq = 2")
            db.commit()
        with opened(path) as queue:
            assert (await queue.stats()).dead_letters == 2
        assert rows(path, COUNTED) == rows(path, TOTALS)

    async def test_are_read_at_the_start_and_no_event_is(self, path: Path) -> None:
        with opened(path) as queue:
            await queue.put([event(f"p{n}") for n in range(2_000)])
        statements: list[str] = []
        with opened(path) as queue:
            queue._db.set_trace_callback(statements.append)
            stats = await queue.stats()
            queue._db.set_trace_callback(None)
        assert stats.waiting == 2_000
        assert [text for text in statements if "count(" in text or "sum(" in text] == []

    async def test_lost_are_told(self, path: Path) -> None:
        with opened(path):
            pass
        with closing(sqlite3.connect(path)) as db:
            db.execute("DELETE FROM totals")
            db.commit()
        with pytest.raises(QueueError, match="queue recover"):
            opened(path).__enter__()


class TestASeq:
    async def test_is_never_given_again(self, path: Path) -> None:
        for expected in (1, 2, 3):
            with opened(path) as queue:
                await queue.put([event("ann")])
                (leased,) = await queue.lease(10)
                assert leased.seq == expected
                await queue.settle([leased.seq])


class TestALease:
    async def test_tells_when_the_event_was_accepted_and_its_id(self, path: Path) -> None:
        clock = Clock()
        with opened(path, clock) as queue:
            await queue.put([event("ann", "a")])
            clock.now += 30
            await queue.put([event("bob", "b")])
            leased = await queue.lease(10)
        assert [(each.message_id, each.accepted_at) for each in leased] == [
            ("a", NOW),
            ("b", NOW + 30),
        ]


class TestFetching:
    @pytest.fixture
    async def filled(self, path: Path) -> Any:
        with opened(path) as queue:
            await queue.put([event(f"p{n}", number=n) for n in range(1, 10)])
            yield queue

    async def test_gives_leased_events_again_in_order(self, filled: SqliteQueue) -> None:
        leased = {each.seq: each for each in await filled.lease(100)}
        fetched = await filled.fetch([7, 2, 5])
        assert [each.seq for each in fetched] == [2, 5, 7]
        for each in fetched:
            assert each.operations == leased[each.seq].operations
            assert each.accepted_at == NOW

    async def test_leaves_out_what_was_settled(self, filled: SqliteQueue) -> None:
        await filled.lease(100)
        await filled.settle([2], [failure(5)])
        assert [each.seq for each in await filled.fetch([2, 3, 5, 99])] == [3]

    async def test_leases_nothing_and_can_fetch_nothing(self, filled: SqliteQueue) -> None:
        assert await filled.fetch([]) == []
        await filled.fetch([1, 2])
        assert len(await filled.lease(100)) == 9


async def test_an_event_given_up_without_an_answer_is_buried_with_an_empty_request(
    path: Path,
) -> None:
    with opened(path) as queue:
        await queue.put([event("ann", "a")])
        await queue.settle([], [FinalFailure(1, "older than 30 days", 0, 0, "", "", b"", b"")])
        assert (await queue.stats()).dead_letters == 1
    found = rows(path, "SELECT message_id, reason, status, request FROM dead_letters")
    assert found == [("a", "older than 30 days", 0, b"")]
