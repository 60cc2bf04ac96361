"""Plans: which table an event goes to, what it becomes there, and what comes after."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cio_sidecar.mapping.errors import FieldWarning
from cio_sidecar.mapping.event import EVENT_TYPES, Event
from cio_sidecar.mapping.model import PERSON, Input, Level, Row, Table
from cio_sidecar.mapping.running.compiler import (
    Compiled,
    Output,
    compile_attempt,
    compile_choice,
    compile_condition,
    compile_rows,
)
from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.operations import OPERATIONS
from cio_sidecar.paths import parents, split_path


@dataclass(slots=True, eq=False)
class Plan:
    """What one table makes of an event of one type."""

    table: Table
    event_type: str
    rows: tuple[Row, ...]
    """Every effective row: the table's own, then those that are shared, in order of output."""
    map: Compiled
    """Gives the operation's keys; the violations of required rows stand under MISSING."""
    attempt: Callable[[Event, list[FieldWarning]], Output | None]
    """The same, or None where a required row has no value."""
    holds: Callable[[Event], bool] | None = None
    """Whether the table is for an event, where it is not for all: asked of ``also`` alone."""
    otherwise: "Plan | None" = None
    also: tuple["Plan", ...] = ()
    named: frozenset[str] = frozenset()
    """The keys that rows of their own set, as against those that are copied whole."""
    straight: bool = True
    """Whether its own operation is all that there is."""

    def inputs(self, key: str) -> tuple[Input, ...]:
        """Where the value of an output key comes from; empty if no row sets it."""
        return next((row.inputs for row in self.rows if row.key == key), ())


Choice = Callable[[Event], Plan | None]
"""Finds the plan of an event; None where no table is for it."""


def fitting(rows: Iterable[Row], operation: str | None) -> list[Row]:
    """Those rows of an extended or a shared table whose keys an operation has."""
    if operation is None:
        return [*rows]
    spec = OPERATIONS[operation]
    fits: list[Row] = []
    for row in rows:
        key = spec.keys.get(split_path(row.key)[0])
        if key and key.required and row.key in spec.keys:
            # What the operation can't do without is required here, whatever it is elsewhere.
            fits.append(row.model_copy(update={"level": Level.REQUIRED}))
        elif key or (spec.open and row.key != PERSON):
            fits.append(row)
    return fits


@dataclass
class PlanBuilder:
    """Makes plans out of resolved tables: those whose rows are complete."""

    tables: Mapping[str, Table]
    first: Iterable[str]
    """Names of tables in the order in which their conditions are tried."""
    options: MappingOptions
    _plans: dict[tuple[str, str], Plan] = field(default_factory=dict)

    def choices(self) -> dict[str, Choice]:
        """A choice for each event type that has a table."""
        found: dict[str, Choice] = {}
        for event_type in EVENT_TYPES:
            mine = self._mains(event_type)
            if mine:
                found[event_type] = compile_choice(
                    event_type, [(table.when, self.plan(table, event_type)) for table in mine]
                )
        return found

    def rows(self, table: Table, event_type: str) -> tuple[Row, ...]:
        """A table's rows for an event type, with the shared ones that fit its operation."""
        if table.operation is None:
            return ()
        shared = [
            row
            for other in self.tables.values()
            if other.operation is None and event_type in other.events
            for row in other.rows
        ]
        held = {row.key for row in table.rows}
        added = [row for row in fitting(shared, table.operation) if row.key not in held]
        # A whole object comes before the table's own rows below it.
        holders = {parent for row in table.rows for parent in parents(row.key)}
        around = [row for row in added if row.key in holders]
        return (*around, *table.rows, *(row for row in added if row.key not in holders))

    def plan(self, table: Table, event_type: str) -> Plan:
        """The plan of a table for an event type, with those that it refers to."""
        made: list[Plan] = []
        pending = [table]
        # Without recursion: tables may refer to each other in a long chain.
        while pending:
            each = pending.pop()
            if (each.name, event_type) not in self._plans:
                made.append(self._unlinked(each, event_type))
                self._plans[each.name, event_type] = made[-1]
                pending += self._successors(each)
        for plan in made:
            plan.straight = not (plan.table.drop or self._successors(plan.table))
            if plan.table.drop:
                continue
            if plan.table.otherwise:
                plan.otherwise = self._plans[plan.table.otherwise, event_type]
            plan.also = tuple(self._plans[name, event_type] for name in plan.table.also)
        return self._plans[table.name, event_type]

    def _unlinked(self, table: Table, event_type: str) -> Plan:
        rows = self.rows(table, event_type)
        return Plan(
            table,
            event_type,
            rows,
            compile_rows(table.name, rows, self.options),
            compile_attempt(table.name, rows, self.options),
            holds=compile_condition(table.when) if table.when else None,
            named=frozenset(split_path(row.key)[-1] for row in rows),
        )

    def _successors(self, table: Table) -> list[Table]:
        """The tables that an event may come to from a table."""
        if table.drop:
            return []
        names = (*table.also, *((table.otherwise,) if table.otherwise else ()))
        return [self.tables[name] for name in names]

    def plans(self) -> tuple[Plan, ...]:
        """Every plan that was made."""
        return tuple(self._plans.values())

    def tables_in_use(self) -> Iterator[tuple[Table, str]]:
        """Each table that an event can come to, with each type of such events."""
        for event_type in EVENT_TYPES:
            pending = self._mains(event_type)
            seen: set[str] = set()
            while pending:
                table = pending.pop()
                if table.name in seen:
                    continue
                seen.add(table.name)
                if table.drop:
                    continue
                yield table, event_type
                pending += self._successors(table)

    def _mains(self, event_type: str) -> list[Table]:
        """The tables that events of a type may go to, in order; the one for all others is last."""
        mine = [
            self.tables[name]
            for name in self.first
            if event_type in self.tables[name].events
            and (self.tables[name].operation or self.tables[name].drop)
        ]
        return sorted(mine, key=lambda table: table.when is None)
