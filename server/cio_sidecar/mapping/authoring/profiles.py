"""Profiles: named sets of tables. Reads the built-in ones and a user's overlay."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from cio_sidecar.mapping.authoring.checks import check_references, check_tables
from cio_sidecar.mapping.authoring.reader import parse
from cio_sidecar.mapping.errors import Mistake, TableError
from cio_sidecar.mapping.model import Row, Table, extend_rows
from cio_sidecar.mapping.running.plans import Choice, Plan, PlanBuilder, fitting
from cio_sidecar.mapping_options import MappingOptions

PROFILES: Final[dict[str, tuple[str, ...]]] = {
    "documented": ("documented",),
    "standard": ("documented", "standard"),
}
"""Each profile's folders of tables, each extending those before it."""

MAX_ROWS: Final = 100_000
"""Maximum number of rows of all tables, those of extended tables counted, for each event type."""


@dataclass(frozen=True)
class TableSet:
    """the current tables, compiled."""

    profile: str
    options: MappingOptions
    tables: dict[str, Table]
    """By name, with the rows of the tables that they extend."""
    choices: dict[str, Choice]
    """For each event type that has a table: finds the plan of an event."""
    plans: tuple[Plan, ...]
    """Every plan that an event can come to."""

    def effective_rows(self, name: str) -> tuple[Row, ...]:
        """The rows of a table with the shared ones that go with it, in order of output."""
        plans = [plan for plan in self.plans if plan.table.name == name]
        if not plans:
            return self.tables[name].rows
        rows = {row.key: row for plan in plans for row in plan.rows}
        return tuple(rows.values())


def load_profile(
    profile: str, overlay: Iterable[tuple[str, str]] = (), options: MappingOptions | None = None
) -> TableSet:
    """Load and compile a profile.

    ``overlay`` gives the ``(file name, text)`` of a user's own tables, which extend the profile's.
    Raises TableError with every mistake in them, and KeyError for an unknown profile.
    """
    options = options or MappingOptions()
    tables, built_in = read_tables(profile, overlay, options)
    return compile_tables(profile, tables, built_in, options)


def read_tables(
    profile: str, overlay: Iterable[tuple[str, str]], options: MappingOptions
) -> tuple[dict[str, Table], Collection[str]]:
    """The tables of a profile and a user's own by name, each as its files state it, and the names
    of the profile's. Raises as load_profile() does.
    """
    built_in = _built_in((*PROFILES[profile], *_optional(options)))
    tables = dict(built_in)
    _read(overlay, tables, is_overlay=True)
    return tables, [*built_in]


def compile_tables(
    profile: str, tables: dict[str, Table], built_in: Collection[str], options: MappingOptions
) -> TableSet:
    """Compile what read_tables() gives. Raises TableError with every mistake in it."""
    if mistakes := check_references(tables):
        raise TableError(mistakes)
    resolved = _resolve(tables)
    # A user's own tables are tried before those of the profile.
    order = sorted(resolved, key=lambda name: name in built_in)
    builder = PlanBuilder(resolved, order, options)
    if mistakes := check_tables(resolved, builder, built_in):
        raise TableError(mistakes)
    choices = builder.choices()
    return TableSet(profile, options, resolved, choices, builder.plans())


@cache
def _built_in(folders: tuple[str, ...]) -> Mapping[str, Table]:
    """The tables of folders of built-in ones; they stay as they are while a process lives."""
    tables: dict[str, Table] = {}
    _read([source for folder in folders for source in _folder(folder)], tables)
    return tables


def _read(
    sources: Iterable[tuple[str, str]], tables: dict[str, Table], *, is_overlay: bool = False
) -> None:
    """Add what files state to the tables that are there. Raises TableError.

    The files of an overlay must not replace what another of them sets.
    """
    mistakes: list[Mistake] = []
    beside: set[str] = set()
    for name, text in sources:
        try:
            table = parse(text, name, tables, beside)
        except TableError as error:
            mistakes += error.mistakes
            continue
        if is_overlay:
            beside.add(name)
        if isinstance(table, str):
            del tables[table]
        else:
            tables[table.name] = table
    if mistakes:
        raise TableError(mistakes)


def _folder(folder: str) -> list[tuple[str, str]]:
    """The files of a folder of built-in tables, in order of their names."""
    found = files("cio_sidecar.mapping").joinpath("tables", *folder.split("/")).iterdir()
    return [
        (f"{folder}/{file.name}", file.read_text("utf-8"))
        for file in sorted(found, key=lambda file: file.name)
        if file.name.endswith(".yaml")
    ]


def _optional(options: MappingOptions) -> list[str]:
    """The folders of tables that settings turn on."""
    return [
        f"options/{name}"
        for name, on in (
            ("identify_timestamp", options.identify_timestamp),
            ("keep_device_events", options.keep_device_events),
        )
        if on
    ]


def _resolve(tables: Mapping[str, Table]) -> dict[str, Table]:
    """Complete tables with what they have from those that they extend. Raises TableError."""
    resolved: dict[str, Table] = {}
    rows = 0
    for start in tables.values():
        chain = [start]
        while chain[-1].extends and chain[-1].name not in resolved:
            chain.append(tables[chain[-1].extends])
        for table in reversed(chain):
            if table.name not in resolved:
                resolved[table.name] = _extended(table, resolved)
                # They are compiled for each event type.
                rows += len(resolved[table.name].rows) * max(1, len(table.events))
                if rows > MAX_ROWS:
                    what = (
                        f"the tables have over {MAX_ROWS:,} rows, counting those of extended "
                        "tables, for each event type: remove what is not needed"
                    )
                    raise TableError([Mistake(table.file, 1, None, what)])
    return {name: resolved[name] for name in tables}


def _extended(table: Table, resolved: Mapping[str, Table]) -> Table:
    """A table with the rows of the one that it extends."""
    if not table.extends:
        return table
    base = resolved[table.extends]
    operation = table.operation or (None if table.drop else base.operation)
    return table.model_copy(
        update={
            "rows": tuple(extend_rows(fitting(base.rows, operation), table.rows, table.removed)),
            "events": table.events if "events" in table.places else base.events,
            "operation": operation,
        }
    )
