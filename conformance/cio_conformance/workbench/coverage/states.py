"""The states that a row's value can be in, and which of them apply to a row. PURE.

docs/conformance.md has the rules; they see the row, its table's other rows and its operation, and
nothing of the cases.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final, get_args

from cio_sidecar.mapping.model import SPREAD, Input, Level, Row
from cio_sidecar.mapping.running.compiler import fields_of
from cio_sidecar.mapping.running.plans import Plan
from cio_sidecar.mapping.running.transforms import TRANSFORMS, NoValue, json_type
from cio_sidecar.operations import OPERATIONS
from cio_sidecar.paths import split_path

from cio_conformance.cases.golden_cases import Api
from cio_conformance.workbench.coverage.limits import limit_of

APIS: Final[tuple[Api, ...]] = get_args(Api)
SIDECAR_FILLS: Final = "receivedAt"
"""The field that the sidecar sets itself, so that it is never missing."""

_BLANK: Final = " "
_SAMPLES: Final[tuple[Any, ...]] = (True, 5, 1.5, "ann@example.com", "2026-03-02", "ios", [], {})
"""A value of each JSON type; of text one that each transform can use."""


class State(StrEnum):
    """What an event may hold where a row looks for its value."""

    PRESENT = "present"
    """An input gives the value; each input is a state of its own."""
    MISSING = "missing"
    """No input holds anything."""
    NULL = "null"
    WRONG_TYPE = "wrong type"
    """An input holds a value of a JSON type that the row's transforms don't take."""
    UNUSABLE = "unusable"
    """An input holds text of which the row's transforms make nothing: blank, or no date."""
    OVER_LIMIT = "over limit"
    """The value is over a limit of Customer.io's."""
    OVERRIDDEN = "overridden"
    """A key of an object that is copied, and a row of its own, contend for one output key."""


@dataclass(frozen=True, slots=True, order=True)
class Column:
    """A state of a row's value; where it is present, the input that gives it."""

    state: State
    source: str = ""
    """The input as text; empty for a constant, and for all other states."""

    def __str__(self) -> str:
        return f"{self.state} from {self.source}" if self.source else str(self.state)


def columns(row: Row, plan: Plan, before: Sequence[Row] = ()) -> dict[tuple[Column, Api], str]:
    """Every column of a row, by API, with the reason why it is not applicable; empty where it is.

    ``before``: rows of the plans that this one comes besides, if it comes in no other way.
    """
    needed = [
        other
        for other in (*plan.rows, *before)
        if other.level is Level.REQUIRED and other.name != row.name and _reads_within(other, row)
    ]
    rejected_first = any(other in needed and other.inputs == row.inputs for other in before)
    found: dict[tuple[Column, Api], str] = {}
    for column, why in _columns(row, plan):
        never = why
        if column.state is State.MISSING and needed:
            never = f"without it {needed[0].name} has no value either"
        elif column.state is State.OVER_LIMIT and rejected_first:
            never = "the table that it comes besides rejects the event first"
        found[column, "v1"] = never
        found[column, "v2"] = never or _no_place_in_v2(row, plan, column)
    return found


def stand_in(source: Input | None) -> bool:
    """Whether an input is the constant that stands in where no other gives a value."""
    return source is not None and not (source.path or source.expr)


def holders(row: Row, plan: Plan) -> Iterator[tuple[Row, tuple[str, ...]]]:
    """The rows that copy an object around a row's key, with the place that the key has in it.

    Those that leave the key out (``except``) don't contend for it.
    """
    path = split_path(row.key)
    for other in plan.rows:
        whole = split_path(other.key)
        around = whole[:-1] if whole[-1] == SPREAD else whole
        inside = path[len(around) :]
        if other is row or not inside or inside[0] == SPREAD or path[: len(around)] != around:
            continue
        if other.inputs and inside[0] not in other.except_:
            yield other, inside


@cache
def takes(transforms: tuple[str, ...]) -> frozenset[str]:
    """The JSON types, as ``json_type`` names them, that transforms make a value of."""
    return frozenset(
        json_type(sample)
        for sample in _SAMPLES
        if not isinstance(_transformed(sample, transforms), NoValue)
    )


def _columns(row: Row, plan: Plan) -> Iterator[tuple[Column, str]]:
    paths = [source for source in row.inputs if source.path]
    for label in dict.fromkeys(map(str, row.inputs)) or [""]:
        yield Column(State.PRESENT, label), ""
    yield Column(State.MISSING), _never_missing(row)
    if not paths:
        why = "it reads no field as it is"
    else:
        # Of several inputs the next one has its turn.
        only = row.level is Level.REQUIRED and len(row.inputs) == 1
        why = "of a required row's only input it is the same as missing" if only else ""
    yield Column(State.NULL), why
    choosy = any(takes(source.apply) != takes(()) for source in paths)
    yield Column(State.WRONG_TYPE), "" if choosy else "it takes every type that it reads"
    picky = any("text" in takes(source.apply) and _gives_none(source) for source in paths)
    yield Column(State.UNUSABLE), "" if picky else "it makes something of every text, or of none"
    limited = limit_of(row, plan.table.operation or "")
    yield Column(State.OVER_LIMIT), "" if limited else "its value has no limit of its own"
    contends = any(holders(row, plan)) or any(
        other is row for inner in plan.rows for other, _ in holders(inner, plan)
    )
    yield Column(State.OVERRIDDEN), "" if contends else "nothing else can set its key"


def _transformed(value: Any, transforms: tuple[str, ...]) -> Any:
    for name in transforms:
        value = value if isinstance(value, NoValue) else TRANSFORMS[name](value)
    return value


def _gives_none(source: Input) -> bool:
    return isinstance(_transformed(_BLANK, source.apply), NoValue)


def _reads_within(row: Row, around: Row) -> bool:
    """Whether all that a row reads lies within what another reads."""
    places = [field for source in around.inputs for field in fields_of(source)]
    return bool(row.inputs) and all(
        (fields := fields_of(source))
        and any(f"{field}.".startswith(f"{place}.") for field in fields for place in places)
        for source in row.inputs
    )


def _never_missing(row: Row) -> str:
    if row.when:
        # Where its condition does not hold.
        return ""
    if not row.inputs or any(map(stand_in, row.inputs)):
        return "a constant is always there"
    if any(source.path == SIDECAR_FILLS for source in row.inputs):
        return f"the sidecar sets {SIDECAR_FILLS}"
    return ""


def _no_place_in_v2(row: Row, plan: Plan, column: Column) -> str:
    spec = OPERATIONS[plan.table.operation or ""]
    if row.key in spec.beside:
        return "v2 has no place for it"
    if spec.v2_only_if.get(row.key) is True and column.state is State.MISSING:
        return "without it v2 can't carry the operation"
    return ""
