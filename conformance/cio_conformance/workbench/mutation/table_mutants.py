"""Every way in which a row or a table may be wrong: mutants of mapping tables. PURE."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from cio_sidecar.mapping.authoring.profiles import TableSet
from cio_sidecar.mapping.model import Input, Level, Row, Table, When
from cio_sidecar.mapping.running.transforms import TRANSFORMS
from cio_sidecar.operations import OPERATIONS
from cio_sidecar.paths import join_path, split_path

from cio_conformance.cases.golden_cases import Golden
from cio_conformance.run.result import Profile


@dataclass(frozen=True, slots=True)
class TableMutant:
    """A change of one row, or of one key of a table, in one profile."""

    what: str
    """Which rule, and what is done to it."""
    profile: Profile
    table: str
    key: str
    """The key of the table that changes: ``rows``, ``when``, …; empty where it is removed."""
    before: Any
    """The row, or the key's value."""
    after: Any
    """In its place; None for a row that is removed."""

    @property
    def name(self) -> str:
        """What is changed, and in which profile."""
        return f"{self.what} [{self.profile}]"

    def concerns(self, tables: TableSet) -> Collection[str]:
        """The event types that can come to the table, or to one with its rows."""
        types = {
            plan.event_type
            for plan in tables.plans
            if plan.table.name == self.table or any(row.home == self.table for row in plan.rows)
        }
        return types.union(tables.tables[self.table].events if self.table in tables.tables else ())

    def applied(self, profile: Profile, tables: dict[str, Table]) -> dict[str, Table] | None:
        """The tables with the change in them; None where the rule is not among them."""
        table = tables.get(self.table)
        if profile != self.profile or table is None:
            return None
        if not self.key:
            return {name: other for name, other in tables.items() if name != self.table}
        after = self.after
        if self.key == "rows":
            if self.before not in table.rows:
                return None
            changed = [self.after if row == self.before else row for row in table.rows]
            after = tuple(row for row in changed if row is not None)
        elif getattr(table, self.key) != self.before:
            return None
        return {**tables, self.table: table.model_copy(update={self.key: after})}

    def active(self) -> AbstractContextManager[None]:
        """Nothing but tables changes."""
        return nullcontext()

    def favours(self, golden: Golden) -> bool:
        """Whether a case covers a row of the table."""
        return any(name.startswith(f"{self.table}.") for name in golden.case.covers)


def table_mutants(
    tables: Iterable[tuple[Profile, Mapping[str, Table]]], files: Collection[str] = ()
) -> list[TableMutant]:
    """Every mutant of tables as their files state them, each once. With ``files``, of the rows and
    keys that stand in those alone: a user's own.
    """
    found: dict[str, TableMutant] = {}
    for profile, by_name in tables:
        for table in by_name.values():
            for row in table.rows:
                if files and row.origin not in files:
                    continue
                for what, after in _row_changes(row):
                    mutant = TableMutant(
                        f"{table.name}.{row.key}: {what}", profile, table.name, "rows", row, after
                    )
                    found.setdefault(mutant.name, mutant)
            for what, key, after in _table_changes(table):
                place = table.places.get(key or "table", ("", 0))[0]
                if files and place not in files:
                    continue
                before = getattr(table, key) if key else None
                mutant = TableMutant(
                    f"{table.name}: {what}", profile, table.name, key, before, after
                )
                found.setdefault(mutant.name, mutant)
    return list(found.values())


def _row_changes(row: Row) -> Iterator[tuple[str, Row | None]]:
    """What may be wrong with a row, each with the row as it is then."""
    yield "row removed", None
    *parents, last = split_path(row.key)
    yield "key renamed", row.model_copy(update={"key": join_path([*parents, f"{last}_other"])})
    required = row.level is Level.REQUIRED
    level = Level.OPTIONAL if required else Level.REQUIRED
    yield f"{level} instead of {row.level}", row.model_copy(update={"level": level})
    if row.when:
        yield "when left out", row.model_copy(update={"when": None})
    for what, when in _when_changes(row.when):
        yield what, row.model_copy(update={"when": when})
    for name in row.except_:
        others = tuple(other for other in row.except_ if other != name)
        yield f"except {name} dropped", row.model_copy(update={"except_": others})
    if not row.inputs:
        yield "another constant", row.model_copy(update={"value": _another(row.value)})
    for what, inputs in _input_changes(row.inputs):
        yield what, row.model_copy(update={"inputs": inputs})


def _input_changes(inputs: tuple[Input, ...]) -> Iterator[tuple[str, tuple[Input, ...]]]:
    for index, source in enumerate(inputs):
        before, after = inputs[:index], inputs[index + 1 :]
        shown = source.path or source.expr or f"the constant {source.value!r}"
        if len(inputs) > 1:
            yield f"from {shown} left out", (*before, *after)
        for what, changed in _source_changes(source, shown):
            yield what, (*before, changed, *after)
        if after and (after[0].path or after[0].expr):
            swapped = (*before, after[0], source, *after[1:])
            yield f"from {after[0]} before {shown}", swapped


def _source_changes(source: Input, shown: str) -> Iterator[tuple[str, Input]]:
    """Another place for an input, another constant, other transforms."""
    if source.path:
        path = _elsewhere(source.path)
        yield f"from {path} instead of {shown}", source.model_copy(update={"path": path})
    elif not source.expr:
        changed = source.model_copy(update={"value": _another(source.value)})
        yield f"from another constant instead of {source.value!r}", changed
    for at, name in enumerate(source.apply):
        first, rest = source.apply[:at], source.apply[at + 1 :]
        yield (
            f"from {shown}, {name} left out",
            source.model_copy(update={"apply": (*first, *rest)}),
        )
        for other in TRANSFORMS:
            if other != name:
                yield (
                    f"from {shown}, {other} instead of {name}",
                    source.model_copy(update={"apply": (*first, other, *rest)}),
                )


def _table_changes(table: Table) -> Iterator[tuple[str, str, Any]]:
    """What may be wrong with a table besides its rows: words, the key, its other value."""
    yield "table removed", "", None
    if table.when:
        yield "when left out", "when", None
    for what, when in _when_changes(table.when):
        yield what, "when", when
    if table.otherwise:
        yield f"otherwise {table.otherwise} removed", "otherwise", None
    for name in table.also:
        others = tuple(other for other in table.also if other != name)
        yield f"also {name} removed", "also", others
    if len(table.events) > 1:
        for event_type in table.events:
            rest = tuple(other for other in table.events if other != event_type)
            yield f"not for {event_type} events", "events", rest
    if table.operation:
        keys = OPERATIONS[table.operation].keys
        for other, spec in OPERATIONS.items():
            if other != table.operation and spec.keys == keys:
                yield f"operation {other} instead of {table.operation}", "operation", other


def _when_changes(when: When | None) -> Iterator[tuple[str, When]]:
    """Conditions that hold for fewer events."""
    if when and when.expr:
        yield "when never holds", When(expr="false")
    for index, (path, values) in enumerate(when.values if when else ()):
        for value in values:
            others = tuple(_another(each) if each is value else each for each in values)
            changed = [*when.values] if when else []
            changed[index] = (path, others)
            yield f"when {path} is not {value!r}", When(values=tuple(changed))


def _elsewhere(path: str) -> str:
    """A place that a value is easily looked for by mistake: within or without its object."""
    first, *rest = split_path(path)
    return join_path(rest if rest else ["context", first])


def _another(value: Any) -> Any:
    """Another constant of the same type, where it has one."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case "page" | "screen":
            return "event"
        case "event":
            return "page"
        case str():
            return f"{value}2"
    return "other"
