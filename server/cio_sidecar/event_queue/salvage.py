"""Reads around what is damaged in a table whose key is ``seq``."""

import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, NamedTuple

from cio_sidecar.event_queue.errors import is_damage

Row = tuple[Any, ...]
"""Of the columns that were asked for; the first is ``seq``."""


class Gap(NamedTuple):
    """A range of seqs, both ends included, whose rows, if there are any, can't be read."""

    first: int
    last: int


def scan(
    db: sqlite3.Connection,
    table: str,
    columns: str,
    *,
    after: int,
    upto: int,
    unreadable: Callable[[BaseException], bool] = is_damage,
) -> Generator[Row | Gap]:
    """The rows with after < seq <= upto in order, with gaps between them where some can't be read.

    ``unreadable`` says which errors are taken for damage; others are raised. Of the rows between
    two damaged places that are close to each other some may be left out.
    """
    select = f"SELECT {columns} FROM {table}"  # noqa: S608
    while after < upto:
        try:
            query = f"{select} WHERE seq > ? AND seq <= ? ORDER BY seq"
            with closing(db.execute(query, (after, upto))) as cursor:
                for row in cursor:
                    yield row
                    after = row[0]
        except sqlite3.Error as error:
            if not unreadable(error):
                raise
        else:
            return
        # The cursor has looked one row ahead: that before the damaged one went unseen.
        reader = _Reader(db, select, unreadable)
        while (row := reader.row(after, upto)) not in (None, _DAMAGED):
            yield row
            after = row[0]
        if row is None:
            return
        good = _Reader(db, f"SELECT seq FROM {table}", unreadable).beyond(after, upto)  # noqa: S608
        yield Gap(after + 1, good)
        after = good


_DAMAGED: Row = ()


class _Reader:
    def __init__(
        self, db: sqlite3.Connection, select: str, unreadable: Callable[[BaseException], bool]
    ) -> None:
        self._db = db
        self._select = select
        self._unreadable = unreadable

    def row(self, after: int, upto: int, order: str = "") -> Row | None:
        """The first row of a range, or by ``order`` the last; _DAMAGED where it can't be read."""
        query = f"{self._select} WHERE seq > ? AND seq <= ? ORDER BY seq {order} LIMIT 1"
        try:
            found: Row | None = self._db.execute(query, (after, upto)).fetchone()
        except sqlite3.Error as error:
            if not self._unreadable(error):
                raise
            return _DAMAGED
        return found

    def beyond(self, after: int, upto: int) -> int:
        """After which seq to go on, as what comes next after this one can't be read."""
        first = self.row(after, upto)
        if first:
            # Its place is good, and what it holds is not.
            return int(first[0])
        step = 1
        while (good := self.row(after + step, upto)) == _DAMAGED:
            step *= 2
            if after + step >= upto:
                return upto
        if good is None:
            return upto
        # Back to the first good one: the last step may have led beyond many of them.
        lowest = int(good[0])
        while lower := self.row(after, lowest - 1, "DESC"):
            lowest = int(lower[0])
        return max(lowest - 1, after + 1)
