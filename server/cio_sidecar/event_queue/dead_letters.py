"""The dead letters of a queue file: finding, counting and removing them.

Functions on a SQLite connection, for jobs of the queue's thread (``SqliteQueue.run``). Each reads
at most a slice of the table, so that what callers send never waits for long; whoever wants all
calls again from where a slice ended.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

SCAN_ROWS: Final = 1000
"""How many dead letters one call looks at."""
SLICE_BYTES: Final = 4 * 1024 * 1024
"""How many bytes of dead letters one call takes into memory, beyond the last of them."""

# A BLOB would be read as SQLite's own binary JSON.
_EVENT: Final = "CAST(event AS TEXT)"
_TYPE: Final = f"json_extract({_EVENT}, '$.type')"
_NAME: Final = (
    f"CASE {_TYPE} WHEN 'track' THEN json_extract({_EVENT}, '$.event') "
    f"ELSE json_extract({_EVENT}, '$.name') END"
)
_COLUMNS: Final = (
    "seq, message_id, accepted_at, died_at, reason, status, attempts, method, path, "
    "event, request, response"
)


class DeadLetter(NamedTuple):
    """An event that Customer.io rejected permanently, and all that is kept of that."""

    seq: int
    """Its place in the queue when it was accepted."""
    message_id: str
    accepted_at: int
    """In Unix seconds, as ``died_at``."""
    died_at: int
    reason: str
    status: int
    """Of the HTTP answer."""
    attempts: int
    method: str
    path: str
    event: bytes
    """Canonical JSON."""
    request: bytes
    """The body, cut where it was long; so is ``response``."""
    response: bytes

    @property
    def size(self) -> int:
        """How many bytes of memory its contents take."""
        return len(self.event) + len(self.request) + len(self.response) + len(self.reason)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters: those that meet every field that is set; of a list, any one item."""

    reason: str = ""
    """Words within the reason; ASCII letters in either case."""
    statuses: tuple[int, ...] = ()
    died_after: int | None = None
    """Then or later, in Unix seconds."""
    died_before: int | None = None
    """Before that, in Unix seconds."""
    message_ids: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()
    event_names: tuple[str, ...] = ()
    """Of track events, pages and screens."""

    def condition(self) -> tuple[str, list[str | int]]:
        """The filter as an SQL condition, with its parameters; the cheap parts first."""
        parts = ["1"]
        values: list[str | int] = []
        for sql, given in (
            ("status IN (SELECT value FROM json_each(?))", self.statuses),
            ("message_id IN (SELECT value FROM json_each(?))", self.message_ids),
        ):
            if given:
                parts.append(sql)
                values.append(orjson.dumps(given).decode())
        if self.died_after is not None:
            parts.append("died_at >= ?")
            values.append(self.died_after)
        if self.died_before is not None:
            parts.append("died_at < ?")
            values.append(self.died_before)
        if self.reason:
            parts.append("instr(lower(reason), lower(?)) > 0")
            values.append(self.reason)
        for expression, names in ((_TYPE, self.event_types), (_NAME, self.event_names)):
            if names:
                parts.append(f"{expression} IN (SELECT value FROM json_each(?))")  # noqa: S608
                values.append(orjson.dumps(names).decode())
        return " AND ".join(parts), values


EVERY: Final = Filter()
"""All of them."""


class Slice(NamedTuple):
    """What one call found."""

    letters: list[DeadLetter]
    """In order of seq."""
    after: int | None
    """From where to go on; None where there is no more."""


def last(db: sqlite3.Connection) -> int:
    """The greatest seq of a dead letter; 0 where there is none."""
    found: int = db.execute("SELECT coalesce(max(seq), 0) FROM dead_letters").fetchone()[0]
    return found


def read(
    db: sqlite3.Connection, which: Filter, *, after: int, upto: int, most: int = SCAN_ROWS
) -> Slice:
    """Up to ``most`` dead letters with ``after`` < seq <= ``upto``, or as many as a slice holds."""
    end = _end_of_scan(db, after, upto)
    if end is None:
        return Slice([], None)
    condition, values = which.condition()
    letters: list[DeadLetter] = []
    size = 0
    for row in db.execute(
        f"SELECT {_COLUMNS} FROM dead_letters "  # noqa: S608
        f"WHERE seq > ? AND seq <= ? AND {condition} ORDER BY seq",
        (after, end, *values),
    ):
        letter = DeadLetter(*row)
        letters.append(letter)
        size += letter.size
        if len(letters) == most or size > SLICE_BYTES:
            return Slice(letters, letter.seq)
    return Slice(letters, end)


def remove(
    db: sqlite3.Connection, which: Filter, *, after: int, upto: int
) -> tuple[int, int | None]:
    """Remove those of a slice that the filter finds: how many, and from where to go on."""
    end = _end_of_scan(db, after, upto)
    if end is None:
        return 0, None
    condition, values = which.condition()
    count = db.execute(
        f"DELETE FROM dead_letters WHERE seq > ? AND seq <= ? AND {condition}",  # noqa: S608
        (after, end, *values),
    ).rowcount
    return count, end


def take(db: sqlite3.Connection, seqs: Iterable[int]) -> int:
    """Remove these; how many of them there were."""
    return db.execute(
        "DELETE FROM dead_letters WHERE seq IN (SELECT value FROM json_each(?))", _json(seqs)
    ).rowcount


class Age(NamedTuple):
    """How old a dead letter is, and how large, as the totals count it."""

    seq: int
    died_at: int
    size: int


def oldest(db: sqlite3.Connection, most: int) -> list[Age]:
    """Up to ``most`` dead letters, those that died first first."""
    rows = db.execute(
        "SELECT seq, died_at, length(event) + length(operations) + length(request) "
        "+ length(response) FROM dead_letters ORDER BY died_at, seq LIMIT ?",
        (most,),
    )
    return [Age(*row) for row in rows]


def present(db: sqlite3.Connection, seqs: Iterable[int]) -> set[int]:
    """Those of these that there still are."""
    rows = db.execute(
        "SELECT seq FROM dead_letters WHERE seq IN (SELECT value FROM json_each(?))", _json(seqs)
    )
    return {seq for (seq,) in rows}


def _json(seqs: Iterable[int]) -> tuple[str]:
    return (orjson.dumps([*seqs]).decode(),)


def _end_of_scan(db: sqlite3.Connection, after: int, upto: int) -> int | None:
    """The seq at which a slice that begins after another ends; None where nothing is left."""
    found: int | None = db.execute(
        "SELECT max(seq) FROM (SELECT seq FROM dead_letters WHERE seq > ? AND seq <= ? "
        "ORDER BY seq LIMIT ?)",
        (after, upto, SCAN_ROWS),
    ).fetchone()[0]
    return found
