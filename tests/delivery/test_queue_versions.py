"""The sidecar as a process on a queue file of another version: an older one is taken over, a newer
one is left alone.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cio_sidecar.event_queue.schema import SCHEMA_VERSION

from tests.delivery.process import Caller, sidecar, track
from tests.delivery.support import Script, event, opened, rows, until
from tests.delivery.test_queue_file import version_1


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short: a Unix socket's path has little room."""
    with tempfile.TemporaryDirectory(prefix="cio-") as name:
        (Path(name) / "data").mkdir(mode=0o700)
        yield Path(name)


@pytest.fixture
def fake() -> Script:
    return Script()


async def test_what_the_first_version_left_is_delivered_before_what_comes(
    folder: Path, url: str, fake: Script
) -> None:
    path = folder / "data" / "queue.sqlite3"
    version_1(
        path,
        {3: event("ann", "a", number=1), 4: event("ann", "b", number=2)},
        {5: event("ann", "dead", number=0)},
    )
    async with sidecar(folder, url) as running:
        async with Caller(running.target) as caller:
            await caller.send([track("ann", 3)])
        await until(lambda: len(fake.events) == 3)
        await running.drained()
        running.terminate()
        assert await running.ended() == 0
    assert fake.numbers() == {"ann": [1, 2, 3]}
    assert rows(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert rows(path, "SELECT seq FROM events") == []
    assert rows(path, "SELECT next_seq, dead_letters FROM totals") == [(7, 1)]


async def test_a_file_of_a_newer_version_is_rejected_in_words_and_left_as_it_was(
    folder: Path, url: str, fake: Script
) -> None:
    path = folder / "data" / "queue.sqlite3"
    with opened(path) as queue:
        await queue.put([event("ann", "a")])
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        content = [*db.iterdump()]
    async with sidecar(folder, url) as running:
        assert await running.ended() == 2
        log = running.log.read_text()
    assert "was written by a newer cio-sidecar" in log
    assert "CIO_DATA_DIR" in log
    assert "Traceback" not in log
    with closing(sqlite3.connect(path)) as db:
        assert [*db.iterdump()] == content
    assert rows(path, "PRAGMA user_version") == [(SCHEMA_VERSION + 1,)]
    assert fake.event_ids == []
