"""A queue file that is removed, replaced, truncated or unsafe: nothing is acknowledged into it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import aiohttp
import grpc
import pytest
from cio.sidecar.v1 import ingest_pb2
from cio_fake import host_aiohttp
from cio_sidecar.event_queue.errors import QueueDamaged, QueueError
from cio_sidecar.event_queue.limits import QueueLimits
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue

from tests.app.command import run
from tests.delivery.process import Caller, sidecar, track
from tests.delivery.support import DEADLINE_SECONDS, Clock, Script, event, opened, stored_ids, until

CREDENTIALS = {"CIO_SITE_ID": "site", "CIO_API_KEY": "key", "CIO_BASE_URL": "http://127.0.0.1:9"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "queue.sqlite3"


def wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def move_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("away"))


def replace_directory(path: Path) -> None:
    move_directory(path)
    shutil.copytree(path.parent.with_name("away"), path.parent)


def replace_file(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.rename(path)


REMOVALS: list[Callable[[Path], None]] = [
    move_directory,
    replace_directory,
    replace_file,
    lambda path: shutil.rmtree(path.parent),
    lambda path: path.unlink(),
    lambda path: wal(path).unlink(),
]


@pytest.mark.parametrize("remove", REMOVALS)
async def test_put_is_rejected_when_the_file_is_gone_and_the_rest_is_delivered(
    remove: Callable[[Path], None], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(path) as queue:
        await queue.put([event("ann", "a")])
        remove(path)
        for _ in range(3):
            with pytest.raises(QueueError, match=r"queue\.sqlite3.* (removed or moved|replaced)"):
                await queue.put([event("ann", "b")])
        assert queue.not_accepting_because is not None
        (leased,) = await queue.lease(10)
        assert leased.message_id == "a"
        await queue.settle([leased.seq])
        assert queue.waiting == 0
    assert len([each for each in caplog.records if "takes no more events" in each.message]) == 1


async def test_put_is_accepted_again_when_the_directory_is_back(path: Path) -> None:
    away = path.parent.with_name("away")
    with opened(path) as queue:
        await queue.put([event("ann", "a")])
        move_directory(path)
        with pytest.raises(QueueError):
            await queue.put([event("ann", "b")])
        away.rename(path.parent)
        # Without any call: housekeeping notices.
        await until(lambda: queue.not_accepting_because is None, "the queue to accept")
        assert await queue.put([event("ann", "b")]) == [True]
    assert stored_ids(path) == ["a", "b"]


async def test_put_is_rejected_when_the_file_goes_between_write_and_commit(path: Path) -> None:
    with opened(path) as queue:
        first = asyncio.ensure_future(queue.run(lambda _: None, writes=True))
        put = asyncio.ensure_future(queue.put([event("ann", "a")]))
        moved = asyncio.ensure_future(queue.run(lambda _: move_directory(path), writes=True))
        await asyncio.gather(first, moved)
        with pytest.raises(QueueError, match="removed or moved"):
            await put


@pytest.mark.parametrize("find", [lambda path: path, wal], ids=["file", "wal"])
async def test_put_is_rejected_when_a_file_is_truncated(
    find: Callable[[Path], Path], path: Path
) -> None:
    with opened(path) as queue:
        await queue.put([event("ann", "a")])
        os.truncate(find(path), 0)
        with pytest.raises(QueueDamaged, match="truncated or overwritten"):
            await queue.put([event("ann", "b")])


async def test_sidecar_reports_a_removed_data_directory_and_resumes() -> None:
    fake = Script()
    server = await host_aiohttp.start(fake)
    with tempfile.TemporaryDirectory(prefix="cio-") as name:
        async with sidecar(Path(name), server.url) as running, Caller(running.target) as caller:
            await caller.send([track("ann", 0)])
            data, away = running.queue.parent, running.queue.parent.with_name("away")
            data.rename(away)
            with pytest.raises(grpc.aio.AioRpcError, match="removed or moved") as caught:
                await caller.stub.Send(
                    ingest_pb2.SendRequest(event=track("ann", 1)), timeout=DEADLINE_SECONDS
                )
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://{running.http}/readyz") as response:
                    assert response.status == 503
                    assert "queue.sqlite3" in await response.text()
                async with session.get(f"http://{running.http}/metrics") as response:
                    assert "cio_queue_accepting 0.0" in await response.text()
            shown = await run("delivery", "stats", "--target", running.target)
            assert "removed or moved" in shown.out
            away.rename(data)
            await caller.send([track("ann", 1)])
            await running.drained()
    await server.stop()
    assert fake.numbers() == {"ann": [0, 1]}


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE something (x)")


def damaged_header(path: Path) -> None:
    with opened(path):
        pass
    with path.open("r+b") as file:
        file.write(b"\0" * 100)


def linked(path: Path) -> None:
    path.with_name("target").write_bytes(b"")
    path.symlink_to("target")


def newer(path: Path) -> None:
    with opened(path):
        pass
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


STATES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (empty, "has only 0 bytes"),
    "short": (lambda path: path.write_bytes(b"SQLite format 3\0"), "has only 16 bytes"),
    "missing_with_wal": (lambda path: wal(path).write_bytes(b"x" * 99), "is missing, but its WAL"),
    "foreign": (foreign, "is not a queue of cio-sidecar"),
    "not_a_database": (lambda path: path.write_bytes(b"no database " * 999), "move it away"),
    "damaged_header": (damaged_header, "move it away"),
    "link": (linked, "is a symbolic link"),
    "linked_wal": (lambda path: wal(path).symlink_to("target"), "is a symbolic link"),
    "directory": (lambda path: path.mkdir(), "is not a regular file"),
    "newer": (newer, "schema 99"),
}


@pytest.mark.parametrize("state", STATES)
async def test_serve_rejects_a_file_without_a_recommendation_that_fails(
    state: str, path: Path
) -> None:
    path.parent.mkdir()
    make, words = STATES[state]
    make(path)
    before = sorted(path.parent.iterdir())
    served = await run("serve", "--data-dir", str(path.parent), env=CREDENTIALS)
    assert served.code == 2
    assert words in served.err
    assert "queue recover" not in served.err
    recovered = await run("queue", "recover", "--data-dir", str(path.parent))
    assert recovered.code == 2
    assert "queue recover" not in recovered.err
    assert sorted(path.parent.iterdir()) == before


def test_open_creates_a_file_for_its_user_alone(path: Path) -> None:
    mask = os.umask(0)
    try:
        with opened(path):
            assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}
            assert path.parent.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(mask)


def test_open_warns_of_modes(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(path):
        pass
    assert caplog.messages == []
    path.chmod(0o666)
    path.parent.chmod(0o777)
    with opened(path):
        pass
    assert f"run chmod 700 {path.parent}" in caplog.text
    assert f"run chmod 600 {path}" in caplog.text


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    found = tmp_path / "victim"
    found.write_text("precious")
    yield found
    assert found.read_text() == "precious"


async def test_try_out_follows_no_link(path: Path, victim: Path) -> None:
    path.parent.mkdir()
    path.with_name("trial").symlink_to(victim)
    with opened(path) as queue:
        await queue.try_out()
        assert queue.not_accepting_because is None
    assert path.with_name("trial").is_symlink()


async def test_dedup_window_and_retention_do_not_follow_a_jump(path: Path) -> None:
    clock, ages = Clock(), Clock()
    limits = QueueLimits(dedup_window_seconds=600, min_free_bytes=0)
    with closing(SqliteQueue(path, limits=limits, clock=clock, age_clock=ages)) as queue:
        await queue.put([event("ann", "a")])
        clock.now += 400 * 86_400
        assert await queue.put([event("ann", "a")]) == [False]
        ages.now += 601
        assert await queue.put([event("ann", "a")]) == [True]
