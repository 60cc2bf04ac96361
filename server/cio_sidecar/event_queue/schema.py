"""The queue file: its tables, their versions, and how it is opened."""

import logging
import os
import sqlite3
import stat
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from cio_sidecar.event_queue.errors import QueueError, is_damage, queue_error, unreadable

SCHEMA_VERSION: Final = 2

_HEADER_BYTES: Final = 512
"""The smallest page of SQLite: no database is shorter."""

log = logging.getLogger(__name__)

PAYLOAD_BYTES: Final = "length(event) + length(operations)"
"""The bytes of an event, as the limits count them."""

_LETTER_BYTES: Final = (
    "length({0}event) + length({0}operations) + length({0}request) + length({0}response)"
)

_EVENTS: Final = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL,
    lane TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,       -- Unix seconds
    event BLOB NOT NULL,                -- canonical JSON
    operations BLOB NOT NULL            -- entry.pack()
);
CREATE TABLE message_ids (              -- the dedup window
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
    status INTEGER NOT NULL,            -- of the HTTP answer; 0: there was none
    attempts INTEGER NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    request BLOB NOT NULL,
    response BLOB NOT NULL
)"""

# Triggers keep the totals of the dead letters, whoever changes them. Events are too many for that:
# the queue counts them in memory, and writes their totals once a transaction.
_TOTALS: Final = f"""
CREATE INDEX dead_letters_by_age ON dead_letters (died_at);
CREATE TABLE totals (                   -- of the other tables; one row
    one INTEGER PRIMARY KEY CHECK (one = 1),
    next_seq INTEGER NOT NULL,
    waiting INTEGER NOT NULL,           -- events
    waiting_bytes INTEGER NOT NULL,
    remembered INTEGER NOT NULL,        -- message_ids
    dead_letters INTEGER NOT NULL,
    dead_letter_bytes INTEGER NOT NULL
);
INSERT INTO totals SELECT
    1,
    1 + max((SELECT coalesce(max(seq), 0) FROM events),
            (SELECT coalesce(max(seq), 0) FROM dead_letters)),
    (SELECT count(*) FROM events),
    (SELECT coalesce(sum({PAYLOAD_BYTES}), 0) FROM events),
    (SELECT count(*) FROM message_ids),
    (SELECT count(*) FROM dead_letters),
    (SELECT coalesce(sum({_LETTER_BYTES.format("")}), 0) FROM dead_letters);
CREATE TRIGGER dead_letter_added AFTER INSERT ON dead_letters BEGIN
    UPDATE totals SET dead_letters = dead_letters + 1,
        dead_letter_bytes = dead_letter_bytes + {_LETTER_BYTES.format("NEW.")};
END;
CREATE TRIGGER dead_letter_removed AFTER DELETE ON dead_letters BEGIN
    UPDATE totals SET dead_letters = dead_letters - 1,
        dead_letter_bytes = dead_letter_bytes - ({_LETTER_BYTES.format("OLD.")});
END"""  # noqa: S608

_STEPS: Final = (_EVENTS, _TOTALS)
"""What makes each version of the one before, beginning with an empty file."""


def open_file(path: Path) -> sqlite3.Connection:
    """Open or create a queue file for this process alone; an older version is brought up to date.

    Raises QueueError if it can't be used; then it is as it was.
    """
    try:
        # It holds people's data, so nobody else may read it; SQLite's own files get its mode.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not exists(path):
            _create(path)
        _warn_of_modes(path)
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            _set_up(db, path)
        except BaseException:
            db.close()
            raise
    except (sqlite3.Error, OSError) as error:
        if is_damage(error) and not is_recoverable(path):
            raise unreadable(path, f"is damaged or no queue file ({error})") from None
        raise queue_error(error, path) from None
    return db


def is_recoverable(path: Path) -> bool:
    """Whether the schema of a damaged file can be read, without which nothing else can."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as db:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("BEGIN EXCLUSIVE")
            version: int = db.execute("PRAGMA user_version").fetchone()[0]
            db.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone()
    except sqlite3.Error:
        return False
    return version > 0


def exists(path: Path) -> bool:
    """Whether there is a queue file. Raises QueueError if what is there can't be one."""
    sizes = {}
    for side in ("", "-wal", "-journal", "-shm"):
        found = path.with_name(path.name + side)
        try:
            status = os.lstat(found)
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(status.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
            raise QueueError(
                f"{found} is {kind}: move it away, or set CIO_DATA_DIR (the data directory itself "
                "may be a symbolic link)"
            )
        sizes[side] = status.st_size
    if "" not in sizes:
        if sizes.get("-wal"):
            raise QueueError(
                f"{path} is missing, but its WAL {path.name}-wal is there: put the queue file "
                "back, or move the WAL away to start with an empty queue. Events in them may be "
                "lost then"
            )
        return False
    if sizes[""] < _HEADER_BYTES:
        raise unreadable(path, f"has only {sizes['']} bytes")
    return True


def _create(path: Path) -> None:
    """Make a new queue file that appears at once and whole: none that is empty is ever made."""
    fd, name = tempfile.mkstemp(prefix=f"{path.name}.new-", dir=path.parent)
    os.close(fd)
    try:
        with closing(sqlite3.connect(name, isolation_level=None, timeout=0)) as db:
            _set_up(db, path, new=True)
        _sync(name)
        try:
            os.link(name, path)
        except FileExistsError:
            # Another process was faster: whether it is in use is found out next.
            return
        except OSError:
            # The file system has no hard links.
            Path(name).rename(path)
        _sync(path.parent)
    finally:
        for side in ("", "-wal", "-journal", "-shm"):
            Path(name + side).unlink(missing_ok=True)


def _sync(path: Path | str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _warn_of_modes(path: Path) -> None:
    """Log what lets other users read or change the queue."""
    for found, forbidden, mode in ((path.parent, 0o022, "700"), (path, 0o077, "600")):
        status = found.stat()
        if status.st_mode & forbidden:
            log.warning(
                "other users may access %s (mode %04o): run chmod %s %s",
                found,
                stat.S_IMODE(status.st_mode),
                mode,
                found,
            )
        if status.st_uid != os.geteuid():
            log.warning(
                "%s belongs to user %d, the sidecar runs as user %d: run chown %d %s",
                found,
                status.st_uid,
                os.geteuid(),
                os.geteuid(),
                found,
            )


def _set_up(db: sqlite3.Connection, path: Path, *, new: bool = False) -> None:
    # Exclusive: a second sidecar on the file must fail, not share it.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # Takes effect in a new file alone.
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    # At 16 MB: most pages are written again before, and are brought to their place but once.
    db.execute("PRAGMA wal_autocheckpoint = 4000")
    db.execute("BEGIN IMMEDIATE")
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise QueueError(
            f"{path} was written by a newer cio-sidecar (schema {version}, this one "
            f"knows {SCHEMA_VERSION}): use the newer one, or another CIO_DATA_DIR"
        )
    if not version and not new:
        raise QueueError(
            f"{path} is not a queue of cio-sidecar (schema 0): move it away, or set CIO_DATA_DIR"
        )
    if version < SCHEMA_VERSION:
        for step in _STEPS[version:]:
            run_script(db, step)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    for table in ("events", "message_ids", "dead_letters", "totals"):
        db.execute(f"SELECT 1 FROM {table} LIMIT 0")  # noqa: S608
    db.execute("COMMIT")


def run_script(db: sqlite3.Connection, script: str) -> None:
    """Run statements within the transaction at hand, which executescript() would end."""
    statement = ""
    for line in script.strip().splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""
    if statement:
        db.execute(statement)
