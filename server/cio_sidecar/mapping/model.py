"""The model of a mapping table."""

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from cio_sidecar.paths import split_path

EventType = Literal["identify", "page", "screen", "track", "group", "alias"]

PERSON: Final = "person"
"""The key that says whose an operation is; never an attribute."""

SPREAD: Final = "*"
"""The key of a row that sets every key of an object."""


class Level(StrEnum):
    """How badly a row's value is wanted."""

    REQUIRED = "required"
    """An event without it is rejected."""
    HIGHLY_RECOMMENDED = "highly_recommended"
    OPTIONAL = "optional"


class Strict(BaseModel):
    """A model without unknown keys or silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class When(Strict):
    """A condition on an event: that it has certain values, or a CEL expression."""

    values: tuple[tuple[str, tuple[str | int | float | bool | None, ...]], ...] = ()
    """Paths, each with the values of which it must have one."""
    expr: str = ""
    """A CEL expression; empty where ``values`` are given."""

    def __str__(self) -> str:
        return self.expr or " and ".join(
            f"{path} is {' or '.join(json.dumps(value) for value in values)}"
            for path, values in self.values
        )


class Input(Strict):
    """One place to look for a value, and what its value passes through."""

    path: str = ""
    """Path in the event."""
    expr: str = ""
    """A CEL expression over ``event``, where there is no path."""
    value: Any = None
    """A constant, where there is neither."""
    apply: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.path or self.expr or f"the constant {self.value!r}"


class Row(Strict):
    """One output key and how its value is found. ``inputs`` is empty where ``value`` is set."""

    key: str
    level: Level
    doc: str
    inputs: tuple[Input, ...] = ()
    value: Any = None
    except_: tuple[str, ...] = ()
    when: When | None = None
    """The row stands for events alone for which this holds."""
    home: str = ""
    """The table that states it; another may have it by ``extends``, or because it is shared."""
    origin: str = ""
    """The file that the row stands in: ``documented/page.yaml``, or one of an overlay."""
    line: int = 0
    """Where in that file."""

    @property
    def name(self) -> str:
        """``table.key``."""
        return f"{self.home}.{self.key}"


class Table(Strict):
    """The rows of an operation for one or more event types, in order of output."""

    name: str
    doc: str
    events: tuple[EventType, ...]
    rows: tuple[Row, ...]
    operation: str | None = None
    """What its output is: a name of operations.yaml. None: its rows are shared by all tables for
    its event types whose operations have such keys."""
    when: When | None = None
    """The table is for events alone for which this holds."""
    otherwise: str | None = None
    """The table that an event goes to in which a required row has no value."""
    also: tuple[str, ...] = ()
    """Tables whose operations follow, each where its required rows have values."""
    drop: bool = False
    """Whether nothing is sent."""
    extends: str | None = None
    """The table whose rows it begins with."""
    removed: tuple[str, ...] = ()
    """Keys of the extended table's rows that it does without."""
    file: str = ""
    """The last file that had a part in it."""
    places: dict[str, tuple[str, int]] = {}
    """The file and line of each of its keys, and of each row in ``removed``."""


def extend_rows(base: Iterable[Row], rows: Iterable[Row], removed: Iterable[str]) -> list[Row]:
    """Rows of a table and those that extend it: a row with a known key replaces that row in its
    place; others are added: ``*`` and ``data.*`` at the front, so that named rows go before them,
    anything else at the end.
    """
    held = {row.key: row for row in base}
    for key in removed:
        held.pop(key, None)
    front: dict[str, Row] = {}
    for row in rows:
        if is_spread(row.key) and row.key not in held:
            front[row.key] = row
        else:
            held[row.key] = row
    return [*reversed(front.values()), *held.values()]


def is_spread(key: str) -> bool:
    """Whether a row with this key sets every key of an object: ``*``, ``data.*``."""
    return split_path(key)[-1] == SPREAD
