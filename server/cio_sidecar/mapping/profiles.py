"""Profiles: named sets of tables. Reads the built-in ones and a user's overlay."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from cio_sidecar.mapping.compiler import Mapping, compile_tables
from cio_sidecar.mapping.errors import Mistake, TableError
from cio_sidecar.mapping.event import EVENT_TYPES, Event
from cio_sidecar.mapping.table import Input, Table, split_path
from cio_sidecar.mapping.table_file import parse
from cio_sidecar.mapping.transforms import TRANSFORMS, NoValue

PROFILES: Final[dict[str, tuple[str, ...]]] = {
    "documented": ("documented",),
    "standard": ("documented", "standard"),
}
"""Each profile's folders of tables, each extending those before it."""


@dataclass(frozen=True)
class TableSet:
    """The tables in force, compiled."""

    profile: str
    tables: dict[str, Table]
    """By name."""
    mappings: dict[str, Mapping]
    """The mapping function of each event type that has a table."""

    def for_event(self, event_type: str) -> list[Table]:
        """The tables of an event type, in order: its own, then those it shares with others."""
        return _tables_of(event_type, self.tables)

    @staticmethod
    def value_of(source: Input, event: Event) -> Any:
        """What an input of an event gives, after its transforms; None for nothing. For explaining
        only."""
        value: Any = event
        for key in split_path(source.path):
            if not isinstance(value, dict) or key not in value:
                return None
            value = value[key]
        for name in source.apply:
            value = TRANSFORMS[name](value)
            if isinstance(value, NoValue):
                return None
        return value

    def inputs(self, event_type: str, key: str) -> tuple[Input, ...]:
        """Where the value of an output key comes from; empty if no row sets it."""
        for table in self.for_event(event_type):
            for row in table.rows:
                if row.key == key:
                    return row.inputs
        return ()


def load_profile(profile: str, overlay: Iterable[tuple[str, str]] = ()) -> TableSet:
    """Load and compile a profile.

    ``overlay`` gives the ``(file name, text)`` of a user's own tables, which extend the profile's.
    Raises TableError with every mistake in them, and KeyError for an unknown profile.
    """
    sources = [
        (f"{folder}/{file.name}", file.read_text("utf-8"))
        for folder in PROFILES[profile]
        for file in sorted(
            files("cio_sidecar.mapping").joinpath("tables", folder).iterdir(),
            key=lambda file: file.name,
        )
        if file.name.endswith(".yaml")
    ]
    tables: dict[str, Table] = {}
    mistakes: list[Mistake] = []
    for name, text in [*sources, *overlay]:
        try:
            table = parse(text, name, tables)
        except TableError as error:
            mistakes += error.mistakes
            continue
        tables[table.name] = table
        mistakes += _clashes(table, tables, name)
    if not mistakes:
        mistakes = _lacks(tables)
    if mistakes:
        raise TableError(mistakes)
    mappings = {
        event_type: compile_tables(event_type, _tables_of(event_type, tables))
        for event_type in EVENT_TYPES
        if any(event_type in table.events for table in tables.values())
    }
    return TableSet(profile, tables, mappings)


def _tables_of(event_type: str, tables: dict[str, Table]) -> list[Table]:
    mine = [table for table in tables.values() if event_type in table.events]
    return sorted(mine, key=lambda table: len(table.events) > 1)


_NEEDED: Final = {
    event_type: (("id",),)
    if event_type == "identify"
    else (("name",), ("id",), ("timestamp",), ("person", "anonymous_id"))
    for event_type in EVENT_TYPES
}
"""What Customer.io takes no event of a type without: of each, one key at least."""


def _lacks(tables: dict[str, Table]) -> list[Mistake]:
    """Event types whose tables together set too little for Customer.io to take any event."""
    return [
        Mistake(
            mine[0].file,
            1,
            None,
            f"{event_type} events would all be refused, for no row gives them a "
            f"{' or '.join(needed)}: add one to the table {mine[0].name}",
        )
        for event_type in EVENT_TYPES
        if (mine := _tables_of(event_type, tables))
        for needed in _NEEDED[event_type]
        if not any(row.key in needed for table in mine for row in table.rows)
    ]


def _clashes(table: Table, tables: dict[str, Table], file: str) -> list[Mistake]:
    """Rows of other tables for the same event types that set a key this table sets too."""
    keys = {row.key for row in table.rows}
    return [
        Mistake(
            file,
            1,
            f"{table.name}.{row.key}",
            f"the table {other.name} sets {row.key} for {', '.join(shared)} events too: "
            f"change that row instead (table: {other.name})",
        )
        for other in tables.values()
        if other.name != table.name
        and (shared := [event for event in table.events if event in other.events])
        for row in other.rows
        if row.key in keys
    ]
