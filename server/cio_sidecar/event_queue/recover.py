"""Saves what can be read of a damaged queue file into a new one."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cio_sidecar.event_queue.errors import (
    QueueError,
    error_name,
    is_damage,
    queue_error,
    unreadable,
)
from cio_sidecar.event_queue.salvage import Gap, scan
from cio_sidecar.event_queue.schema import PAYLOAD_BYTES, SCHEMA_VERSION, exists, open_file

_COLUMNS: Final = {
    "events": "seq, message_id, lane, accepted_at, event, operations",
    "dead_letters": "seq, message_id, lane, accepted_at, event, operations, died_at, reason, "
    "status, attempts, method, path, request, response",
}
_TOTALS_AGREE: Final = (
    "SELECT next_seq > (SELECT coalesce(max(seq), 0) FROM events) "  # noqa: S608
    "AND next_seq > (SELECT coalesce(max(seq), 0) FROM dead_letters) "
    "AND waiting = (SELECT count(*) FROM events) "
    f"AND waiting_bytes = (SELECT coalesce(sum({PAYLOAD_BYTES}), 0) FROM events) "
    "AND remembered = (SELECT count(*) FROM message_ids) "
    "AND dead_letters = (SELECT count(*) FROM dead_letters) FROM totals"
)
_LAST: Final = 2**62
_SIDES: Final = ("", "-wal", "-shm")
"""What SQLite's files beside the first are called."""


@dataclass(slots=True)
class Recovered:
    """What was saved."""

    kept: Path
    """Where the damaged file is now."""
    events: int = 0
    dead_letters: int = 0
    message_ids: int = 0
    gaps: list[tuple[str, int, int]] = field(default_factory=list)
    """Places that could not be read: the table, and the first and last seq that may have been
    there; an event that was there is lost."""


def recover(path: Path, now: float) -> Recovered | None:
    """Put a new file in a damaged queue file's place, with all that can be read of it; None where
    the file is sound, and stays as it is.

    The old one stays beside it, under a name with the time, ``now`` in Unix seconds. Raises
    QueueError where it is in use, or nothing can be read; then it is as it was.
    """
    if not exists(path):
        raise QueueError(f"there is no queue file {path}: check CIO_DATA_DIR")
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    fresh = path.with_name(f"{path.name}.recovering")
    recovered = Recovered(path.with_name(f"{path.name}.damaged-{stamp}"))
    _remove(fresh)
    try:
        with closing(_open_damaged(path)) as old:
            if _is_sound(old):
                return None
            with closing(open_file(fresh)) as new:
                _copy(old, new, recovered)
    except (sqlite3.Error, OSError) as error:
        _remove(fresh)
        if is_damage(error):
            raise unreadable(path, f"is damaged or no queue file ({error})") from None
        raise queue_error(error, path) from None
    except QueueError:
        _remove(fresh)
        raise
    for side in _SIDES:
        found = path.with_name(path.name + side)
        if found.exists():
            found.rename(recovered.kept.with_name(recovered.kept.name + side))
    fresh.rename(path)
    return recovered


def _open_damaged(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=0)
    try:
        # Whoever has it open holds it for itself.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        if not version:
            raise QueueError(
                f"{path} is not a queue of cio-sidecar (schema 0): move it away, or set "
                "CIO_DATA_DIR"
            )
        if version > SCHEMA_VERSION:
            raise QueueError(
                f"{path} has schema {version}, and this cio-sidecar knows up to {SCHEMA_VERSION}: "
                "use the cio-sidecar that wrote it, or check CIO_DATA_DIR"
            )
    except BaseException:
        db.close()
        raise
    return db


def _is_sound(db: sqlite3.Connection) -> bool:
    """Whether all can be read, and agrees."""
    try:
        if db.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
            return False
        for table, columns in _COLUMNS.items():
            for found in scan(db, table, columns, after=0, upto=_LAST, unreadable=_is_unreadable):
                if isinstance(found, Gap):
                    return False
        for _ in db.execute("SELECT message_id, accepted_at FROM message_ids"):
            pass
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        return version < SCHEMA_VERSION or db.execute(_TOTALS_AGREE).fetchone() == (1,)
    except sqlite3.Error:
        # What can be read yet, copying finds out.
        return False


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, recovered: Recovered) -> None:
    new.execute("BEGIN")
    recovered.events = _copy_rows(old, new, "events", recovered)
    recovered.dead_letters = _copy_rows(old, new, "dead_letters", recovered)
    recovered.message_ids = _copy_message_ids(old, new)
    new.execute(
        "UPDATE totals SET next_seq = 1 + max("  # noqa: S608
        "(SELECT coalesce(max(seq), 0) FROM events), "
        "(SELECT coalesce(max(seq), 0) FROM dead_letters), ?), "
        "waiting = (SELECT count(*) FROM events), "
        f"waiting_bytes = (SELECT coalesce(sum({PAYLOAD_BYTES}), 0) FROM events), "
        "remembered = (SELECT count(*) FROM message_ids)",
        (max((last for _, _, last in recovered.gaps if last < _LAST), default=0),),
    )
    new.execute("COMMIT")
    new.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _copy_rows(
    old: sqlite3.Connection, new: sqlite3.Connection, table: str, recovered: Recovered
) -> int:
    columns = _COLUMNS[table]
    places = ", ".join("?" * len(columns.split(",")))
    count = 0
    for found in scan(old, table, columns, after=0, upto=_LAST, unreadable=_is_unreadable):
        if isinstance(found, Gap):
            recovered.gaps.append((table, found.first, found.last))
        else:
            new.execute(f"INSERT INTO {table} VALUES ({places})", found)  # noqa: S608
            count += 1
    return count


def _copy_message_ids(old: sqlite3.Connection, new: sqlite3.Connection) -> int:
    """As many as can be read; of what is missing a repeat would not be told."""
    count = 0
    try:
        for row in old.execute("SELECT message_id, accepted_at FROM message_ids"):
            new.execute("INSERT OR REPLACE INTO message_ids VALUES (?, ?)", row)
            count += 1
    except sqlite3.Error as error:
        if not _is_unreadable(error):
            raise
    return count


def _is_unreadable(error: BaseException) -> bool:
    return is_damage(error) or error_name(error).startswith("SQLITE_IOERR_READ")


def _remove(path: Path) -> None:
    for side in _SIDES:
        path.with_name(path.name + side).unlink(missing_ok=True)
