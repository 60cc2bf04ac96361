"""Measures what the cases prove of every row of every table, state by state.

What a case exercises is derived from the tables; what it claims (``covers``) is held against that.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from cio_sidecar.mapping.authoring.profiles import TableSet
from cio_sidecar.mapping.model import Input
from cio_sidecar.mapping_options import MappingOptions

from cio_conformance.cases.golden_cases import Api, Golden
from cio_conformance.cases.settings import options_of
from cio_conformance.workbench.coverage.claims import untrue_claims
from cio_conformance.workbench.coverage.exercised import exercised, proven_apis
from cio_conformance.workbench.coverage.states import Column, State, columns, stand_in

_POSITIVE: Final = (State.PRESENT, State.OVERRIDDEN)


class Standing(StrEnum):
    """How a state of a row stands by one API."""

    COVERED = "covered"
    """A case exercises it."""
    GAP = "not covered"
    """None does, and one must."""
    OPEN = "not tried"
    """None does, and none must."""
    IDLE = "not applicable"


@dataclass
class Cell:
    """A state of a row by one API."""

    why_not: str = ""
    """Why the state is not applicable; empty where it is."""
    cases: list[str] = field(default_factory=list)
    """The cases that exercise it, in the order of the fixtures."""


@dataclass
class RowCoverage:
    """What the cases prove of a row."""

    name: str
    """``table.key``, the table being the one that states the row."""
    table: str
    doc: str
    constant: bool
    """Whether its value is a constant, which can't be missing."""
    cells: dict[Column, dict[Api, Cell]] = field(default_factory=dict)
    """Every state, in order: present by each input, missing, null, …"""
    stand_ins: set[Column] = field(default_factory=set)
    """The columns of constants that stand in where nothing else gives a value."""

    strict: bool = True
    """Whether every applicable state needs a case, by each API; else one with the row's value and
    one without, ``positive`` and ``negative``, are enough."""

    def gaps(self) -> list[str]:
        """What lacks a case and needs one, each in words."""
        if not self.strict:
            return [kind for kind, columns in self._ends().items() if not self._cases(columns)]
        found: list[str] = []
        for column, by_api in self.cells.items():
            bare = [api for api, cell in by_api.items() if not cell.why_not and not cell.cases]
            if bare:
                found.append(f"{column} ({' and '.join(bare)})")
        return found

    def standing(self, column: Column, api: Api) -> Standing:
        """How a state stands by an API."""
        cell = self.cells[column][api]
        if cell.why_not:
            return Standing.IDLE
        if cell.cases:
            return Standing.COVERED
        lacking = self._ends().values() if not self.strict else [[column]]
        needed = any(column in columns and not self._cases(columns) for columns in lacking)
        return Standing.GAP if needed else Standing.OPEN

    def _ends(self) -> dict[str, list[Column]]:
        """The states that show the row's value, and those that don't; where there must be any."""
        ends: dict[str, list[Column]] = {"positive": [], "negative": []}
        for column in self.cells:
            positive = column.state in _POSITIVE and column not in self.stand_ins
            ends["positive" if positive else "negative"].append(column)
        can_be_missing = any(
            not cell.why_not for cell in self.cells[Column(State.MISSING)].values()
        )
        if not self.stand_ins and (self.constant or not can_be_missing):
            del ends["negative"]
        return ends

    def _cases(self, columns: Iterable[Column]) -> list[str]:
        cells = [cell for column in columns for cell in self.cells[column].values()]
        return [name for cell in cells for name in cell.cases]


@dataclass(frozen=True)
class Coverage:
    """What the cases prove."""

    rows: list[RowCoverage]
    """Every row of every profile, in order of the tables."""
    mistakes: list[str]
    """Claims that are not true."""
    strict: bool = True
    """As of each row."""

    @property
    def gaps(self) -> dict[str, list[str]]:
        """What lacks a case and needs one, by row."""
        return {row.name: gaps for row in self.rows if (gaps := row.gaps())}

    @property
    def is_enough(self) -> bool:
        """Whether there is neither a gap nor a mistake."""
        return not self.gaps and not self.mistakes

    def totals(self) -> Counter[Standing]:
        """How many cells (a state of a row by one API) stand how."""
        return Counter(
            row.standing(column, api)
            for row in self.rows
            for column, by_api in row.cells.items()
            for api in by_api
        )


Load = Callable[[str, MappingOptions], TableSet]
"""Loads the tables of a profile by its name, under settings."""


def measure(
    goldens: Sequence[Golden],
    load: Load,
    profiles: Iterable[str],
    files: Collection[str] = (),
    *,
    strict: bool = True,
) -> Coverage:
    """Measure what cases prove of the tables of profiles, and of those that their settings add.

    With ``files``, the rows that stand in those alone are measured: a user's own. ``strict`` says
    what they need, as in `RowCoverage`.
    """
    loaded = {(profile, MappingOptions()): load(profile, MappingOptions()) for profile in profiles}
    for golden in goldens:
        key = golden.case.profile, options_of(golden.settings)
        if key not in loaded:
            loaded[key] = load(*key)
    rows: dict[str, RowCoverage] = {}
    for tables in loaded.values():
        _add_rows(tables, rows, files, strict=strict)

    def tables_of(golden: Golden) -> TableSet:
        return loaded[golden.case.profile, options_of(golden.settings)]

    for golden in goldens:
        for name, column in exercised(golden.case, tables_of(golden)):
            if name in rows:
                for api in proven_apis(golden.case):
                    rows[name].cells[column][api].cases.append(golden.name)
    mistakes = untrue_claims(goldens, tables_of, [*loaded.values()])
    return Coverage(list(rows.values()), mistakes, strict)


def _add_rows(
    tables: TableSet, rows: dict[str, RowCoverage], files: Collection[str], *, strict: bool
) -> None:
    for plan in tables.plans:
        before = [row for other in tables.plans if plan in other.also for row in other.rows]
        if plan.table.events or any(plan is other.otherwise for other in tables.plans):
            before = []
        for row in plan.rows:
            if files and row.origin not in files:
                continue
            new = RowCoverage(row.name, row.home, row.doc, constant=not row.inputs, strict=strict)
            entry = rows.setdefault(row.name, new)
            entry.stand_ins |= {_column(source) for source in row.inputs if stand_in(source)}
            for (column, api), why in columns(row, plan, before).items():
                cells = entry.cells.setdefault(column, {})
                # A state that applies in one of the plans applies.
                if not why or api not in cells:
                    cells[api] = Cell(why)
            entry.cells = dict(sorted(entry.cells.items(), key=_order))


def _column(source: Input) -> Column:
    return Column(State.PRESENT, str(source))


def _order(item: tuple[Column, Any]) -> int:
    return list(State).index(item[0].state)
