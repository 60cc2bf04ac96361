"""Says which row gave each output key, by interpreting the rows: for people, not for the hot path.

Also names the field of the event that an output key came from, for violations and warnings.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from cio_sidecar.mapping.event import Event
from cio_sidecar.mapping.model import SPREAD, Input, Level, Row, When
from cio_sidecar.mapping.running.compiler import field_of
from cio_sidecar.mapping.running.dates import dates_to_seconds
from cio_sidecar.mapping.running.expressions import compiled
from cio_sidecar.mapping.running.key_filter import Selection, selections
from cio_sidecar.mapping.running.plans import Plan
from cio_sidecar.mapping.running.transforms import ABSENT, TRANSFORMS, NoValue
from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.paths import join_path, split_path

_NO_OPTIONS: Final = MappingOptions()


@dataclass(frozen=True, slots=True)
class Given:
    """What a row gave for an event."""

    row: Row
    source: Input | None
    """The input that gave the value; None for a constant, and where there is no value."""
    value: Any
    """NoValue where the row gives none; None is JSON's null."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where an output key comes from."""

    operation: str
    """The operation that has the key."""
    key: str
    row: Row
    source: Input | None
    """The input that gave the value; None for a constant."""
    field: str
    """The field of the event; empty for a constant."""


_MOST_KEYS: Final = 1_000
"""How many keys of a row are explained; Customer.io takes 300 attributes."""


def explain(plans: list[Plan], event: Event, options: MappingOptions) -> list[Explanation]:
    """Where each output key of an event comes from; ``plans`` are those that it went by, in order.
    A key that two rows set is the later row's.
    """
    found: list[Explanation] = []
    for plan in plans:
        keys: dict[str, Explanation] = {}
        for given in rows_given(plan, event, options):
            if isinstance(given.value, NoValue):
                continue
            for key, field in islice(_keys(given), _MOST_KEYS):
                operation = plan.table.operation or ""
                keys.pop(key, None)
                keys[key] = Explanation(operation, key, given.row, given.source, field)
        found += keys.values()
    return found


def _keys(given: Given) -> Iterator[tuple[str, str]]:
    """The output keys that a row set, each with the field of the event."""
    row = given.row
    field = field_of(given.source) if given.source else ""
    path = split_path(row.key)
    if path[-1] != SPREAD:
        yield row.key, field
    elif isinstance(given.value, dict):
        for key in given.value:
            if key not in row.except_:
                inner = f"{field}.{join_path([key])}" if field else ""
                yield join_path((*path[:-1], key)), inner


def rows_given(plan: Plan, event: Event, options: MappingOptions = _NO_OPTIONS) -> Iterator[Given]:
    """What each row of a plan gives for an event, in their order."""
    selected = selections(options)
    for row in plan.rows:
        given = row_given(row, event, selected)
        copied = given.source and given.source.apply[-1:] == ("object",)
        if copied and options.dates == "unix_seconds" and isinstance(given.value, dict):
            given = replace(given, value=dates_to_seconds(given.value))
        yield given


def row_given(row: Row, event: Event, selected: dict[str, Selection] | None = None) -> Given:
    """What a row gives for an event: the value of its first input that gives one; null only where
    none does.
    """
    if row.when and not holds(row.when, event):
        return Given(row, None, ABSENT)
    if not row.inputs:
        return Given(row, None, row.value)
    null: Input | None = None
    value: Any = ABSENT
    for source in row.inputs:
        value = value_of(source, event, selected)
        if value is None:
            null = null or source
        elif not isinstance(value, NoValue):
            return Given(row, source, value)
    if null and row.level is not Level.REQUIRED:
        return Given(row, null, None)
    return Given(row, None, value if isinstance(value, NoValue) else ABSENT)


def value_of(source: Input, event: Event, selected: dict[str, Selection] | None = None) -> Any:
    """What an input gives for an event, after its transforms; NoValue for nothing."""
    value: Any = event
    if source.expr:
        value = compiled(source.expr)(event)
    elif source.path:
        for key in split_path(source.path):
            value = value.get(key, ABSENT) if isinstance(value, dict) else ABSENT
        if selected and source.path in selected and isinstance(value, dict):
            value = selected[source.path](value)
    else:
        value = source.value
    for name in source.apply:
        value = value if isinstance(value, NoValue) else TRANSFORMS[name](value)
    return value


def holds(when: When, event: Event) -> bool:
    """Whether a condition holds for an event."""
    if when.expr:
        return compiled(when.expr)(event) is True
    for path, values in when.values:
        value = value_of(Input(path=path), event)
        if not any(type(value) is type(allowed) and value == allowed for allowed in values):
            return False
    return True


def field_of_key(plan: Plan, event: Event, key: str) -> str:
    """The field of an event that gave an output key its value, as the caller wrote it; the first of
    its row's inputs if none did, and the key itself where no row speaks of it.
    """
    inputs = plan.inputs(key)
    for source in inputs:
        if not isinstance(value_of(source, event), NoValue | None):
            return field_of(source) or key
    head, _, rest = key.rpartition(".")
    for spread, name in ((SPREAD, key), (f"{head}.{SPREAD}", rest), *_holders(key)):
        for source in plan.inputs(spread):
            whole = value_of(source, event)
            if isinstance(whole, dict) and (not inputs or name in whole):
                return f"{field_of(source)}.{name}"
    if inputs:
        return field_of(inputs[0]) or key
    if whole := plan.inputs(f"{key}.{SPREAD}"):
        return field_of(whole[0]) or key
    for spread, name in ((SPREAD, key), (f"{head}.{SPREAD}", rest), *_holders(key)):
        if sources := plan.inputs(spread):
            return f"{field_of(sources[0])}.{name}"
    return key


def _holders(key: str) -> list[tuple[str, str]]:
    """The output key that may hold another, and the other's name in it."""
    head, dot, rest = key.partition(".")
    return [(head, rest), (f"{head}.{SPREAD}", rest)] if dot else []
