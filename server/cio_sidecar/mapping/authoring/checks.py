"""Checks of tables that only all of them together can tell: what they name is there, and their rows
fit their operations.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from cio_sidecar.mapping.authoring.conditions import Facts, contradiction, covers, facts, types_of
from cio_sidecar.mapping.authoring.reader import no_row_to_remove
from cio_sidecar.mapping.errors import Mistake, listing
from cio_sidecar.mapping.event import EVENT_TYPES
from cio_sidecar.mapping.model import SPREAD, Row, Table
from cio_sidecar.mapping.running.expressions import TYPES, Expression
from cio_sidecar.mapping.running.plans import PlanBuilder
from cio_sidecar.operations import OPERATIONS, Key
from cio_sidecar.paths import join_path, parents, split_path

_WORDS: Final = {
    "person": "text that identifies a person",
    "id": "text",
    "text": "text",
    "seconds": "whole Unix seconds",
    "scalar": "text or a whole number",
    "object": "an object",
    "texts": "an object of texts",
    "attributes": "an object",
}


def check_references(tables: Mapping[str, Table]) -> list[Mistake]:
    """What tables say of other tables: that they are there, and don't run in a circle."""
    mistakes: list[Mistake] = []
    for table in tables.values():
        for key, names in (
            ("extends", _given(table.extends)),
            ("otherwise", _given(table.otherwise)),
            ("also", table.also),
        ):
            for name in names:
                if name not in tables:
                    what = f"{key}: there is no table {name!r:.60}; there are {listing(tables)}"
                    mistakes.append(_at(table, key, what))
                elif key != "extends" and not _makes_something(tables[name], tables):
                    what = f"{key}: the table {name} is shared and makes no operation: name another"
                    mistakes.append(_at(table, key, what))
                elif key == "otherwise" and tables[name].when:
                    what = (
                        f"otherwise: the table {name} is not for every event (when): name another"
                    )
                    mistakes.append(_at(table, key, what))
                elif key == "also" and tables[name].drop:
                    what = f"also: the table {name} sends nothing (drop: true); leave it out"
                    mistakes.append(_at(table, key, what))
    if mistakes:
        return mistakes
    for table in tables.values():
        for key, follow in (
            ("extends", lambda t: _given(t.extends)),
            ("otherwise", lambda t: _given(t.otherwise)),
            ("also", lambda t: t.also),
        ):
            if circle := _circle(table.name, tables, follow):
                shown = " → ".join(circle)
                mistakes.append(_at(table, key, f"{key} runs in a circle: {shown}"))
    return mistakes


def _makes_something(table: Table, tables: Mapping[str, Table]) -> bool:
    """Whether a table has an operation, by itself or from one that it extends, or drops."""
    seen: set[str] = set()
    while not (table.operation or table.drop):
        base = tables.get(table.extends or "")
        if base is None or table.name in seen:
            return False
        seen.add(table.name)
        table = base
    return True


def _given(name: str | None) -> tuple[str, ...]:
    return (name,) if name else ()


def _circle(start: str, tables: Mapping[str, Table], follow: Any) -> list[str] | None:
    """The way from a table back to itself; None if there is none."""
    pending = [[start]]
    seen: set[str] = set()
    while pending:
        way = pending.pop()
        for name in follow(tables[way[-1]]):
            if name == start:
                return [*way, name]
            if name not in seen:
                seen.add(name)
                pending.append([*way, name])
    return None


def check_tables(
    tables: Mapping[str, Table], builder: PlanBuilder, built_in: Collection[str]
) -> list[Mistake]:
    """Everything else: keys and constants of rows, their order, and what is missing.

    ``built_in`` names the profile's tables: a user's own table may hide one of them.
    """
    mistakes: list[Mistake] = []
    extended = {table.extends for table in tables.values() if table.extends}
    reached = {
        name for table in tables.values() for name in (*table.also, *_given(table.otherwise))
    }
    for table in tables.values():
        mistakes += _removed(table, tables)
        mistakes += _misfits(table, tables)
        mistakes += _overwritten(table)
        mistakes += _never(table, extended, reached)
    mistakes += _clashes(tables)
    for event_type in EVENT_TYPES:
        mistakes += _ambiguous(event_type, tables)
        mistakes += _hidden(event_type, [t for t in tables.values() if t.name not in built_in])
    return mistakes or _lacks(builder)


def _removed(table: Table, tables: Mapping[str, Table]) -> list[Mistake]:
    if table.extends is None:
        return []
    held = dict.fromkeys(row.key for row in tables[table.extends].rows)
    return [
        Mistake(*table.places[f"-{key}"], f"{table.name}.{key}", no_row_to_remove(held))
        for key in table.removed
        if key not in held and f"-{key}" in table.places
    ]


def _misfits(table: Table, tables: Mapping[str, Table]) -> list[Mistake]:
    """Rows of a table with keys that its operation does not have, or constants of a wrong type."""
    mistakes: list[Mistake] = []
    if table.drop:
        return []
    if table.operation is None and table.when:
        shared = (
            "a table without operation is shared, and its rows hold for every event of its types: "
            "give operation or extends, or put when on the rows"
        )
        mistakes.append(_at(table, "when", shared))
    if table.operation is None:
        operations = sorted(
            {
                other.operation
                for other in tables.values()
                if other.operation and {*other.events} & {*table.events}
            }
        )
    else:
        operations = [table.operation]
    for row in table.rows:
        if row.home != table.name:
            continue
        first, *below = split_path(row.key)
        is_open = table.operation is not None and OPERATIONS[table.operation].open
        if is_open and below and first in ("attributes", "traits"):
            nested = f"{row.key} would nest below {first}: use {join_path(below)}"
            mistakes.append(_mistake(row, nested))
            continue
        closed = [name for name in operations if not OPERATIONS[name].open]
        fitting = [name for name in closed if first in OPERATIONS[name].keys]
        if not closed and operations:
            continue
        if not fitting:
            mistakes.append(_mistake(row, _no_key(first, closed, table)))
            continue
        for name in fitting:
            if what := _wrong(row, first, below, OPERATIONS[name].keys[first]):
                mistakes.append(_mistake(row, what))
                break
    return mistakes


def _no_key(first: str, operations: list[str], table: Table) -> str:
    if not operations:
        return (
            "the table has no operation of its own, and no table for its events has one: "
            f"give operation, one of {', '.join(OPERATIONS)}"
        )
    spec = OPERATIONS[operations[0]]
    allowed = ", ".join(sorted({key for name in operations for key in OPERATIONS[name].keys}))
    if first == SPREAD and "data" in spec.keys:
        return "of an event only the data is open: use data.*"
    if "event" in operations:
        return (
            f"Customer.io's events have no key {first!r}: put it below data (data.{first}), "
            f"or use one of {allowed}"
        )
    where = "attributes" if "attributes" in spec.keys else None
    advice = f"put it below {where} ({where}.{first}), or use" if where else "use"
    shown = table.operation or operations[0]
    return f"the operation {shown} has no key {first!r}: {advice} one of {allowed}"


def _wrong(row: Row, first: str, below: list[str], key: Key) -> str | None:
    """What is wrong with a row's place or constant, or with the type of its expression."""
    if below:
        if key.type not in ("object", "attributes", "texts"):
            return f"{first} is {_WORDS[key.type]}, which nothing goes below"
        return None
    if row.inputs:
        for source in row.inputs:
            if source.expr and not source.apply:
                kind = Expression(source.expr).type
                if kind not in ("DYN", *TYPES[key.type]):
                    return f"{first} is {_WORDS[key.type]}, but the expression gives {kind.lower()}"
            elif source.value is not None and not _fits(key, source.value):
                return _not_this(row.key, key, source.value)
        return None
    return None if _fits(key, row.value) else _not_this(row.key, key, row.value)


def _not_this(name: str, key: Key, value: Any) -> str:
    *others, last = key.one_of or (_WORDS[key.type],)
    expected = f"{', '.join(others)} or {last}" if others else last
    return f"{name} is {expected} in Customer.io's operations, got {value!r:.60}"


def _fits(key: Key, value: Any) -> bool:
    if key.one_of:
        return value in key.one_of
    if key.type == "seconds":
        return type(value) is int
    if key.type in ("object", "attributes"):
        return isinstance(value, dict)
    if key.type == "texts":
        return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    if key.type == "scalar" and type(value) is int:
        return True
    return isinstance(value, str) and bool(value.strip())


def _overwritten(table: Table) -> list[Mistake]:
    mistakes: list[Mistake] = []
    below: dict[str, Row] = {}
    for row in table.rows:
        if earlier := below.get(row.key):
            what = f"the row {row.key} would overwrite {earlier.key}: put it before"
            mistakes.append(_mistake(earlier if earlier.home == table.name else row, what))
        for parent in parents(row.key):
            below.setdefault(parent, row)
    return mistakes


def _clashes(tables: Mapping[str, Table]) -> list[Mistake]:
    """Rows of two shared tables for the same key of the same events."""
    shared = [table for table in tables.values() if table.operation is None and not table.drop]
    keys = {table.name: {row.key for row in table.rows} for table in shared}
    return [
        _mistake(
            row,
            f"the table {other.name} sets {row.key} for {', '.join(events)} events too: "
            f"change that row instead (table: {other.name})",
        )
        for index, table in enumerate(shared)
        for other in shared[:index]
        if (events := [event for event in table.events if event in other.events])
        for row in table.rows
        if row.key in keys[other.name]
    ]


def _ambiguous(event_type: str, tables: Mapping[str, Table]) -> list[Mistake]:
    """More than one table that would take every event of a type."""
    mine = [
        table
        for table in tables.values()
        if event_type in table.events and table.when is None and (table.operation or table.drop)
    ]
    return [
        _at(
            table,
            "table",
            f"the table {mine[0].name} takes every {event_type} event already: give when, "
            f"change that table (table: {mine[0].name}), or take it out (remove: true)",
        )
        for table in mine[1:]
    ]


def _hidden(event_type: str, tables: Iterable[Table]) -> list[Mistake]:
    """Tables that an earlier one hides for an event type: its condition holds wherever theirs
    does.
    """
    mistakes: list[Mistake] = []
    earlier: list[tuple[Table, Facts]] = []
    for table in tables:
        if event_type not in table.events or not (table.operation or table.drop):
            continue
        if table.when is None:
            continue
        mine = facts(table.when)
        other = next((other for other, its in earlier if covers(its, mine)), None)
        if other is not None:
            file, line = other.places.get("when", (other.file, 1))
            same = covers(mine, facts(other.when)) if other.when else False
            what = (
                f"the table {other.name} ({file}:{line}) "
                f"{'has the same condition' if same else 'takes every such event'} for "
                f"{event_type} events, so that this one is never used: change when, or merge them"
            )
            mistakes.append(_at(table, "when", what))
        earlier.append((table, mine))
    return mistakes


def _never(table: Table, extended: Collection[str], reached: Collection[str]) -> list[Mistake]:
    """Conditions that hold for no event.

    ``extended`` and ``reached`` name the tables whose rows others have, and those that events of
    other types may come to.
    """
    mistakes: list[Mistake] = []
    known: list[Facts] = []
    if table.events and table.name not in reached:
        known.append(types_of(table.events))
    if table.when is not None:
        known.append(facts(table.when))
        if why := contradiction(*known):
            return [_at(table, "when", f"when never holds: {why}; change it, or remove the table")]
    if table.name in extended:
        known = []
    for row in table.rows:
        if row.when is None or row.home != table.name:
            continue
        if why := contradiction(facts(row.when)) or contradiction(*known, facts(row.when)):
            what = f"when never holds: {why}; change it, or remove the row"
            if known and table.when is not None:
                file, line = table.places.get("when", (table.file, 1))
                what += f" (the table's own when: {file}:{line})"
            mistakes.append(_mistake(row, what))
    return mistakes


def _lacks(builder: PlanBuilder) -> list[Mistake]:
    """Tables without a row for what their operation can't do without."""
    mistakes: list[Mistake] = []
    for table, event_type in builder.tables_in_use():
        if table.operation is None:
            continue
        spec = OPERATIONS[table.operation]
        needed: list[tuple[str, ...]] = [(key,) for key, of in spec.keys.items() if of.required]
        if table.operation == "event":
            needed.append(("person", "anonymous_id"))
        heads = {split_path(row.key)[0] for row in builder.rows(table, event_type)}
        mistakes += [
            _at(
                table,
                "table",
                f"{event_type} events would all be rejected, for no row gives them a "
                f"{' or '.join(keys)}: add one to the table {table.name}",
            )
            for keys in needed
            if not heads & {*keys}
        ]
    return mistakes


def _at(table: Table, key: str, what: str) -> Mistake:
    file, line = table.places.get(key, (table.file, 1))
    return Mistake(file, line, None, what)


def _mistake(row: Row, what: str) -> Mistake:
    return Mistake(row.origin, row.line, row.name, what)
