"""``cio-sidecar queue recover``: what can be read of a damaged file goes on, the rest is named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cio_sidecar.event_queue.errors import QueueError
from cio_sidecar.event_queue.model import FinalFailure
from cio_sidecar.event_queue.recover import Recovered, recover

from tests.app.command import run
from tests.delivery.support import NOW, event, opened, rows, stored_ids

EVENTS = 300


def damage(path: Path, marker: bytes) -> None:
    """Overwrite the page that holds a marker."""
    data = bytearray(path.read_bytes())
    page = data.index(marker) // 4096 * 4096
    data[page : page + 4096] = b"\xff" * 4096
    path.write_bytes(data)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A file with events, one of them a dead letter."""
    path = tmp_path / "queue.sqlite3"
    with opened(path) as queue:
        await queue.put([event(f"p{n}", f"id-{n:03}", size=500) for n in range(1, EVENTS + 1)])
        await queue.lease(1)
        await queue.settle([], [FinalFailure(1, "HTTP 400", 400, 1, "POST", "/x", b"{}", b"{}")])
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def recovered_of(path: Path) -> Recovered:
    recovered = recover(path, NOW)
    assert recovered is not None
    return recovered


async def test_a_sound_file_is_left_as_it_is_and_exits_0(path: Path) -> None:
    before = files(path.parent)
    finished = await run("queue", "recover", "--data-dir", str(path.parent))
    assert finished == (
        0,
        f"{path} is intact: there is nothing to recover, and it is not changed\n",
        "",
    )
    assert files(path.parent) == before
    assert [*before] == ["queue.sqlite3"]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM totals",
        "UPDATE totals SET waiting = 5",
        "UPDATE totals SET next_seq = 7",
        "UPDATE events SET message_id = CAST(x'ff' AS TEXT) WHERE seq = 9",
        "DROP TABLE totals",
    ],
)
def test_a_file_that_disagrees_with_itself_is_not_sound(path: Path, change: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(change)
    recovered_of(path)
    assert recover(path, NOW + 1) is None


async def test_what_lost_nothing_but_its_totals_keeps_everything(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM totals")
    before = stored_ids(path)
    recovered = recovered_of(path)
    assert (recovered.events, recovered.dead_letters, recovered.gaps) == (EVENTS - 1, 1, [])
    assert recovered.message_ids == EVENTS
    assert stored_ids(path) == before
    assert rows(path, "SELECT message_id, reason FROM dead_letters") == [("id-001", "HTTP 400")]
    assert stored_ids(recovered.kept) == before
    with opened(path) as queue:
        assert queue.waiting == EVENTS - 1
        assert await queue.put([event("ann", "id-002")]) == [False]
        assert await queue.put([event("ann", "new")]) == [True]
        assert [each.seq for each in await queue.lease(1_000)] == [*range(2, EVENTS + 2)]


async def test_what_can_be_read_of_a_damaged_file_goes_on_in_order(path: Path) -> None:
    damage(path, b"id-150p:p150")
    recovered = recovered_of(path)
    left = [int(id_.removeprefix("id-")) for id_ in stored_ids(path)]
    assert left == sorted(left)
    lost = set(range(2, EVENTS + 1)) - set(left)
    assert 150 in lost
    assert len(lost) <= 6
    for seq in lost:
        assert any(t == "events" and first <= seq <= last for t, first, last in recovered.gaps)
    with opened(path) as queue:
        assert queue.waiting == len(left)
        assert queue.not_accepting_because is None
        assert await queue.put([event("ann", "new")]) == [True]
        assert [each.message_id for each in await queue.lease(1_000)][-1] == "new"


async def test_a_file_in_use_is_left_as_it_is(path: Path) -> None:
    with opened(path), pytest.raises(QueueError, match="in use by another cio-sidecar"):
        recover(path, NOW)
    assert sorted(each.name for each in path.parent.iterdir()) == ["queue.sqlite3"]


def test_what_is_no_queue_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    with pytest.raises(QueueError, match="there is no queue file"):
        recover(path, NOW)
    path.write_bytes(b"not a database at all" * 1_000)
    with pytest.raises(QueueError, match="damaged"):
        recover(path, NOW)
    assert path.read_bytes().startswith(b"not a database")
    assert [each.name for each in tmp_path.iterdir()] == ["queue.sqlite3"]


async def test_the_command_names_what_is_lost_and_exits_1(path: Path) -> None:
    damage(path, b"id-150p:p150")
    finished = await run("queue", "recover", "--data-dir", str(path.parent))
    assert finished.code == 1
    assert f"saved in {path}: " in finished.out
    assert "the damaged file is kept as " in finished.out
    assert "can't be read: what may have been in events from " in finished.err
    finished = await run("queue", "recover", "--data-dir", str(path.parent))
    assert finished.code == 0
    assert "is intact" in finished.out
