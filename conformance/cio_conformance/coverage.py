"""Checks that the cases prove every row of every table: with its value, and without it.

What a case claims (``covers``) is held against what the mapping makes of the case's event.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from cio_sidecar.mapping.explain import Given, row_given
from cio_sidecar.mapping.options import Options
from cio_sidecar.mapping.plan import Plan
from cio_sidecar.mapping.privacy import hash_emails
from cio_sidecar.mapping.profiles import TableSet
from cio_sidecar.mapping.table import SPREAD, Row, split_path
from cio_sidecar.mapping.transforms import NoValue

from cio_conformance.fixtures import Case, Golden

_NONE: Final = object()


@dataclass
class RowCoverage:
    """The cases that prove a row."""

    row: str
    """``table.key``."""
    constant: bool
    """Whether its value is a constant, which can't be missing."""
    positive: list[str] = field(default_factory=list)
    """Cases with ``expect`` in which the row produced its output."""
    negative: list[str] = field(default_factory=list)
    """Cases in which its value is missing, wrong or refused."""

    @property
    def lacks(self) -> list[str]:
        """What kinds of cases are missing: ``positive``, ``negative``."""
        lacking = [] if self.positive else ["positive"]
        return lacking if self.negative or self.constant else [*lacking, "negative"]


@dataclass(frozen=True)
class Coverage:
    """What the cases prove."""

    rows: list[RowCoverage]
    """Every row of every profile, in order of the tables."""
    mistakes: list[str]
    """Claims that can't be right."""


Load = Callable[[str, Options], TableSet]
"""Loads the tables of a profile by its name, under settings."""


def measure(
    goldens: Iterable[Golden], load: Load, profiles: Iterable[str], files: Collection[str] = ()
) -> Coverage:
    """Measure what cases prove of the tables of profiles, and of those that their settings add.

    With ``files``, the rows that stand in those alone must be covered: a user's own.
    """
    loaded = {(profile, Options()): load(profile, Options()) for profile in profiles}
    rows: dict[str, RowCoverage] = {}
    others: set[str] = set()
    mistakes: list[str] = []
    for tables in loaded.values():
        _add_rows(tables, rows, others, files)
    for golden in goldens:
        case, options = golden.case, options_of(golden.settings)
        if (case.profile, options) not in loaded:
            loaded[case.profile, options] = load(case.profile, options)
            _add_rows(loaded[case.profile, options], rows, others, files)
        event = hash_emails(case.event) if options.email == "hash_only" else case.event
        plans = _plans_of(loaded[case.profile, options], event)
        mine = {row.name: (row, plan) for plan in plans for row in plan.rows}
        for name in case.covers:
            if name in others:
                continue
            if name not in rows:
                mistakes.append(f"{golden.name}: covers {name}, but there is no such row")
            elif name not in mine:
                mistakes.append(
                    f"{golden.name}: covers {name}, but no such row applies to a "
                    f"{case.event.get('type')} event in the profile {case.profile}"
                )
            else:
                row, plan = mine[name]
                if case.expect and _produced(row, event, plan):
                    rows[name].positive.append(golden.name)
                elif _without_value(row, case, event):
                    rows[name].negative.append(golden.name)
    return Coverage(list(rows.values()), mistakes)


def options_of(settings: Iterable[tuple[str, str]]) -> Options:
    """The settings of a family as the mapping knows them."""
    given: dict[str, Any] = {}
    for name, text in settings:
        default = getattr(Options(), name)
        if isinstance(default, bool):
            given[name] = text == "true"
        else:
            given[name] = tuple(text.split(",")) if isinstance(default, tuple) else text
    return Options(**given)


def _add_rows(
    tables: TableSet, rows: dict[str, RowCoverage], others: set[str], files: Collection[str]
) -> None:
    for plan in tables.plans:
        for row in plan.rows:
            if files and row.origin not in files:
                others.add(row.name)
            else:
                rows.setdefault(row.name, RowCoverage(row.name, constant=not row.inputs))


def _plans_of(tables: TableSet, event: dict[str, Any]) -> list[Plan]:
    """Every plan that an event may come to: its table, and those that this goes on to."""
    choice = tables.choices.get(str(event.get("type")))
    plan = choice(event) if choice else None
    plans: list[Plan] = []
    pending = [plan] if plan else []
    while pending:
        plan = pending.pop(0)
        plans.append(plan)
        pending += [*([plan.otherwise] if plan.otherwise else []), *plan.also]
    return plans


def _produced(row: Row, event: dict[str, Any], plan: Plan) -> bool:
    """Whether the compiled mapping's output holds the row's own value at the row's key.

    A null is passed on, but proves little; it does not count.
    """
    given = row_given(row, event)
    value = given.value
    if isinstance(value, NoValue) or _is_stand_in(given) or (value is None and row.inputs):
        return False
    path = split_path(row.key)
    got: Any = plan.map(event, [])
    for key in path[:-1] if path[-1] == SPREAD else path:
        got = got.get(key, _NONE) if isinstance(got, dict) else _NONE
    if not isinstance(value, dict) or not isinstance(got, dict):
        return bool(type(got) is type(value) and got == value)
    # Other rows may have set keys of their own in the object.
    others = {*_keys_inside(path[:-1] if path[-1] == SPREAD else path, plan.rows), *row.except_}
    own = {key: item for key, item in value.items() if key not in others}
    return bool(own) and all(key in got and got[key] == item for key, item in own.items())


def _is_stand_in(given: Given) -> bool:
    """Whether the value is the constant that stands in where no input has one."""
    return given.source is not None and not (given.source.path or given.source.expr)


def _without_value(row: Row, case: Case, event: dict[str, Any]) -> bool:
    """Whether the row's value is missing or wrong in a case, or the case is refused for it."""
    given = row_given(row, event)
    if isinstance(given.value, NoValue) or _is_stand_in(given):
        return True
    paths = [source.path for source in row.inputs]
    return any(
        refusal.field == path or refusal.field.startswith(f"{path}.")
        for refusal in case.refuse
        for path in paths
    )


def _keys_inside(path: tuple[str, ...], rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        keys = split_path(row.key)
        if len(keys) > len(path) and keys[: len(path)] == path and keys[len(path)] != SPREAD:
            yield keys[len(path)]
