"""The preloaded library makes SQLite's disk and a process's clock misbehave as it is told."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reliability import shim
from reliability.shim import Shim, compiler, possible

WRITE = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA synchronous = FULL")
try:
    db.execute("INSERT INTO t VALUES (zeroblob(20000))")
    print("written")
except sqlite3.OperationalError as error:
    print(error)
"""

needs_compiler = pytest.mark.skipif(
    compiler() is None and os.environ.get("CI") != "true", reason="there is no C compiler"
)


def said(made: Shim, script: str, *arguments: str) -> str:
    environment = {**os.environ, **made.environment}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()


@needs_compiler
@pytest.mark.parametrize(
    ("fault", "words", "rows"),
    [
        (None, "written", 1),
        ("fsync", "disk I/O error", 0),
        ("full", "database or disk is full", 0),
        ("torn", "disk I/O error", 0),
        ("short", "written", 1),
    ],
)
def test_the_disk_of_sqlite_fails_as_it_is_told(
    fault: str | None, words: str, rows: int, tmp_path: Path
) -> None:
    path = tmp_path / "queue.sqlite3"
    # It stays open, so that the file isn't checkpointed under the fault.
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE t (b BLOB)")
    made = Shim(tmp_path)
    made.set(disk=fault)
    assert said(made, WRITE, str(path)) == words
    assert db.execute("SELECT count(*) FROM t").fetchone() == (rows,)
    made.set()
    assert said(made, WRITE, str(path)) == "written"
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


@needs_compiler
def test_the_clock_jumps_and_what_is_monotonic_does_not(tmp_path: Path) -> None:
    made = Shim(tmp_path)
    made.set(clock_seconds=-90_000)
    wall, steady = said(made, "import time; print(int(time.time()), int(time.monotonic()))").split()
    assert abs(int(wall) - (time.time() - 90_000)) < 3600
    assert abs(int(steady) - time.monotonic()) < 3600


def test_without_a_compiler_the_faults_that_need_it_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shim, "compiler", lambda: None)
    monkeypatch.setenv("CI", "")
    assert possible(("kill", "fsync", "clock", "cut")) == (["kill", "cut"], ["fsync", "clock"])


def test_on_ci_no_fault_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shim, "compiler", lambda: None)
    monkeypatch.setenv("CI", "true")
    assert possible(("kill", "cut")) == (["kill", "cut"], [])
    with pytest.raises(FileNotFoundError, match="which fsync need"):
        possible(("kill", "fsync"))
