"""Which states of which rows a case exercises: by what the tables make of its event. PURE."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from cio_sidecar.mapping.authoring.profiles import TableSet
from cio_sidecar.mapping.event import Event
from cio_sidecar.mapping.model import PERSON, SPREAD, Input, Level, Row
from cio_sidecar.mapping.running.compiler import fields_of
from cio_sidecar.mapping.running.email_hashing import hash_emails
from cio_sidecar.mapping.running.explain import Given, holds, rows_given, value_of
from cio_sidecar.mapping.running.plans import Plan
from cio_sidecar.mapping.running.transforms import NoValue, json_type
from cio_sidecar.operations import OPERATIONS
from cio_sidecar.paths import split_path

from cio_conformance.cases.golden_cases import Api, Case, Rejection
from cio_conformance.workbench.coverage.limits import limit_of
from cio_conformance.workbench.coverage.states import SIDECAR_FILLS, Column, State, holders, takes

_SOME_TIME: Final = "2026-03-02T09:00:00Z"
_SOME_ID: Final = "01HB4HBDKTPDE3GGFBKQ41C9RZ"
_NONE: Final = object()


@dataclass(frozen=True, slots=True)
class _Step:
    """A plan that an event came to."""

    plan: Plan
    output: dict[str, Any] | None
    """What it made of the event; None where the event went on, or stopped, for lack of a value."""


def plans_of(tables: TableSet, event: Event) -> list[Plan]:
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


def proven_apis(case: Case) -> tuple[Api, ...]:
    """The APIs whose way a case goes: both, save that v2's way needs an item of a batch in v2's
    golden, where anything is sent at all.
    """
    by_batch = not (case.expect and case.expect.v2) or any(
        request.path == "/api/v2/batch" for request in case.expect.v2
    )
    return ("v1", "v2") if by_batch else ("v1",)


def exercised(case: Case, tables: TableSet) -> set[tuple[str, Column]]:
    """The rows, by name, and their states that a case exercises."""
    event = {SIDECAR_FILLS: _SOME_TIME, **case.event}
    if tables.options.email == "hash_only":
        event = hash_emails(event)
    found: set[tuple[str, Column]] = set()
    for step in _steps(tables, event):
        # A messageId that the sidecar made is missing all the same.
        givens = {given.row.key: given for given in rows_given(step.plan, event, tables.options)}
        for row in step.plan.rows:
            given = givens[row.key]
            states = _rejected(row, given, step, event, case.reject)
            if case.expect:
                states = _accepted(row, given, step, event)
            found |= {(row.name, column) for column in states}
        if case.expect and step.output is not None:
            for row in step.plan.rows:
                for other in _displaced(row, step, givens):
                    found |= {(name, Column(State.OVERRIDDEN)) for name in (row.name, other.name)}
    return found


def _steps(tables: TableSet, event: Event) -> list[_Step]:
    """The plans that an event comes to, in order, as the renderer goes by them."""
    choice = tables.choices.get(str(event.get("type")))
    plan = choice(event) if choice else None
    steps: list[_Step] = []
    if not event.get("messageId"):
        event = {**event, "messageId": _SOME_ID}
    while plan and not plan.table.drop:
        made = plan.attempt(event, []) if plan.otherwise else plan.map(event, [])
        steps.append(_Step(plan, made))
        if made is not None:
            steps += [_Step(other, other.attempt(event, [])) for other in plan.also]
            break
        plan = plan.otherwise
    return steps


def _accepted(row: Row, given: Given, step: _Step, event: Event) -> Iterator[Column]:
    """The states of a row in a case whose event is taken."""
    has_value = not isinstance(given.value, NoValue)
    if step.output is None:
        # It stopped at the required rows without a value; what the others hold proves nothing.
        if row.level is Level.REQUIRED and not has_value:
            yield from _without_value(row, event)
        return
    yield from _without_value(row, event)
    if not has_value or (given.value is None and row.inputs):
        return
    if _produced(given, step.plan, step.output):
        yield Column(State.PRESENT, str(given.source) if given.source else "")
    limit = limit_of(row, step.plan.table.operation or "")
    if limit and limit.is_over(_made(row, step.plan, step.output)):
        yield Column(State.OVER_LIMIT)


def _rejected(
    row: Row, given: Given, step: _Step, event: Event, rejections: list[Rejection]
) -> Iterator[Column]:
    """The states of a row for which an event is rejected."""
    fields = [field for source in row.inputs for field in fields_of(source)]
    for rejection in rejections:
        mine = rejection.field in fields
        if rejection.reason == "WRONG_TYPE" and mine:
            # What must be an object is rejected before any row is looked at.
            yield from (c for c in _without_value(row, event) if c.state is State.WRONG_TYPE)
        elif step.output is None:
            continue
        elif mine and (
            (rejection.reason == "REQUIRED" and _is_needed(row, step.plan))
            or (rejection.reason == "NO_PERSON" and row.key == PERSON)
        ):
            yield from _without_value(row, event)
        elif rejection.reason in ("TOO_LARGE", "TOO_MANY") and given.source:
            path = given.source.path
            limit = limit_of(row, step.plan.table.operation or "")
            concerns = rejection.field == path or rejection.field.startswith(f"{path}.")
            if path and concerns and limit and limit.is_over(_made(row, step.plan, step.output)):
                yield Column(State.OVER_LIMIT)


def _without_value(row: Row, event: Event) -> Iterator[Column]:
    """How the inputs of a row that are looked at have no value: missing, null, …"""
    if row.when and not holds(row.when, event):
        yield Column(State.MISSING)
        return
    absent = 0
    for source in row.inputs:
        raw = value_of(Input(path=source.path) if source.path else source, event)
        value = value_of(source, event)
        if raw is None and source.path:
            yield Column(State.NULL)
        elif isinstance(raw, NoValue):
            absent += 1
        elif isinstance(value, NoValue):
            fits = json_type(raw) in takes(source.apply)
            yield Column(State.UNUSABLE if fits else State.WRONG_TYPE)
        if not isinstance(value, NoValue | None):
            return
    if row.inputs and absent == len(row.inputs):
        yield Column(State.MISSING)


def _produced(given: Given, plan: Plan, output: dict[str, Any]) -> bool:
    """Whether the output holds the row's own value at the row's key."""
    path = split_path(given.row.key)
    place = path[:-1] if path[-1] == SPREAD else path
    got = _at(output, place)
    value = given.value
    if not isinstance(value, dict) or not isinstance(got, dict):
        return bool(type(got) is type(value) and got == value)
    # Other rows may have set keys of their own in the object.
    others = {*_keys_inside(place, plan), *given.row.except_}
    own = {key: item for key, item in value.items() if key not in others}
    return bool(own) and all(key in got and got[key] == item for key, item in own.items())


def _is_needed(row: Row, plan: Plan) -> bool:
    """Whether an event without the row's value is rejected."""
    key = OPERATIONS[plan.table.operation or ""].keys.get(row.key)
    return row.level is Level.REQUIRED or (key is not None and key.required)


def _made(row: Row, plan: Plan, output: dict[str, Any]) -> Any:
    """What stands at a row's key, with what other rows put there besides."""
    path = split_path(row.key)
    if path == (SPREAD,):
        keys = OPERATIONS[plan.table.operation or ""].keys
        return {key: value for key, value in output.items() if key not in keys}
    return _at(output, path[:-1] if path[-1] == SPREAD else path)


def _displaced(row: Row, step: _Step, givens: dict[str, Given]) -> Iterator[Row]:
    """The rows that copy an object with another value for a row's key than the row's own, which
    stands in the output.
    """
    value = givens[row.key].value
    if isinstance(value, NoValue) or row.key == SPREAD:
        return
    for other, inside in holders(row, step.plan):
        theirs = _at(givens[other.key].value, inside)
        got = _at(step.output, split_path(row.key))
        differs = type(theirs) is not type(value) or theirs != value
        if theirs is not _NONE and differs and got == value:
            yield other


def _keys_inside(path: tuple[str, ...], plan: Plan) -> Iterator[str]:
    for row in plan.rows:
        keys = split_path(row.key)
        if len(keys) > len(path) and keys[: len(path)] == path and keys[len(path)] != SPREAD:
            yield keys[len(path)]


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key, _NONE) if isinstance(value, dict) else _NONE
    return value
