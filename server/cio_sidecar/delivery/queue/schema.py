"""The queue file: its tables, their versions, and how it is opened."""

import os
import sqlite3
from pathlib import Path
from typing import Final

from cio_sidecar.delivery.queue.entry import QueueError
from cio_sidecar.delivery.queue.trouble import queue_error

SCHEMA_VERSION: Final = 2

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
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            _set_up(db, path)
        except BaseException:
            db.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise queue_error(error, path) from None
    return db


def _set_up(db: sqlite3.Connection, path: Path) -> None:
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
