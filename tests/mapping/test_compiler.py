"""Compiled tables do what their rows say; a small interpreter is the yardstick."""

from __future__ import annotations

import ast
import copy
from typing import Any

import pytest
from cio_sidecar.mapping.authoring.profiles import PROFILES, load_profile
from cio_sidecar.mapping.errors import FieldWarning
from cio_sidecar.mapping.model import Input, Level, Row, When
from cio_sidecar.mapping.running.compiler import (
    MAX_PART_CHARACTERS,
    MISSING,
    Compiled,
    compile_attempt,
    compile_choice,
    compile_rows,
)
from cio_sidecar.mapping.running.explain import rows_given
from cio_sidecar.mapping.running.transforms import TRANSFORMS, NoValue
from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.paths import split_path
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mapping.strategies import EVENTS

NOTHING = object()
PROFILE_TABLES = {profile: load_profile(profile) for profile in PROFILES}

Result = tuple[dict[str, Any], list[str], list[FieldWarning]]
"""Output, the keys of required rows without a value, warnings."""


# The yardstick: it interprets, copies everything, and is slow.


def _look_up(event: Any, path: str) -> Any:
    for key in split_path(path):
        if type(event) is not dict or key not in event:
            return NOTHING
        event = event[key]
    return event


def _of_input(source: Input, event: Any, warnings: list[FieldWarning]) -> Any:
    value = _look_up(event, source.path) if source.path else source.value
    for name in source.apply if value is not NOTHING else ():
        value = TRANSFORMS[name](value)
        if isinstance(value, NoValue):
            if value.why:
                warnings.append(FieldWarning(source.path, value.why))
            return NOTHING
    return value


def _of_row(row: Row, event: Any, warnings: list[FieldWarning]) -> Any:
    if not row.inputs:
        return row.value
    nothing: Any = NOTHING
    for source in row.inputs:
        value = _of_input(source, event, warnings)
        if value is not None and value is not NOTHING:
            return value
        if value is None:
            nothing = None
    return nothing


def _put(out: dict[str, Any], row: Row, value: Any) -> None:
    *parents, last = split_path(row.key)
    for parent in parents:
        if type(out.get(parent)) is not dict:
            out[parent] = {}
        out = out[parent]
    if last != "*":
        out[last] = copy.deepcopy(value)
        return
    out.update(copy.deepcopy(value))
    for key in row.except_:
        out.pop(key, None)


def _applies(row: Row, event: Any) -> bool:
    return row.when is None or all(
        any(repr(_look_up(event, path)) == repr(value) for value in values)
        for path, values in row.when.values
    )


def interpret(rows: tuple[Row, ...], event: dict[str, Any]) -> Result:
    out: dict[str, Any] = {}
    rejected: list[str] = []
    warnings: list[FieldWarning] = []
    for row in rows:
        if not _applies(row, event):
            continue
        value = _of_row(row, event, warnings)
        if row.inputs and row.level is Level.REQUIRED and (value is None or value is NOTHING):
            rejected.append(row.name)
        elif value is not NOTHING:
            _put(out, row, value)
    return out, rejected, warnings


def run(mapping: Compiled, event: dict[str, Any]) -> Result:
    """Run a compiled mapping, and see that it leaves the event alone."""
    before = copy.deepcopy(event)
    warnings: list[FieldWarning] = []
    out = mapping(event, warnings)
    violations = out.pop(MISSING, [])
    assert repr(event) == repr(before)
    rejected = [violation.description.split(" is required")[0] for violation in violations]
    return out, rejected, warnings


def same(rows: tuple[Row, ...], mapping: Compiled, event: dict[str, Any]) -> None:
    # By repr: order, and 1 is neither 1.0 nor True.
    assert repr(run(mapping, event)) == repr(interpret(rows, event))


def compiled(*rows: Row) -> Compiled:
    return compile_rows("t", rows, MappingOptions())


@pytest.mark.parametrize("profile", PROFILES)
@settings(max_examples=300)
@given(event=EVENTS)
def test_the_compiled_profiles_do_what_their_rows_say(profile: str, event: dict[str, Any]) -> None:
    for plan in PROFILE_TABLES[profile].plans:
        same(plan.rows, plan.map, event)


# Small random tables over small random events

_KEY = st.sampled_from(["a", "b", "c", 'd.e"'])
_INNER: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, 1, "", "x", " a@b.co ", "5", True]),
    lambda inner: st.dictionaries(_KEY, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)
_EVENT = st.dictionaries(_KEY, _INNER, max_size=4)
_QUOTED = {'d.e"': r'"d.e\""'}
_PATH = st.lists(_KEY.map(lambda key: _QUOTED.get(key, key)), min_size=1, max_size=3).map(".".join)
_TRANSFORMS = st.lists(st.sampled_from(sorted(TRANSFORMS)), max_size=2).map(tuple)


@st.composite
def _row(draw: st.DrawFn) -> Row:
    spread = draw(st.integers(0, 4)) == 0
    key = draw(_PATH)
    if spread:
        key = draw(st.sampled_from(["*", f"{key}.*"]))
    elif draw(st.booleans()):
        return Row(key=key, level=Level.OPTIONAL, doc="d", value=draw(_INNER))
    paths = draw(st.lists(_PATH, min_size=1, max_size=3))
    last = ("object",) if spread else ()
    inputs = tuple(Input(path=path, apply=(*draw(_TRANSFORMS), *last)) for path in paths)
    if not spread and draw(st.booleans()):
        inputs = (*inputs, Input(value=draw(_INNER)))
    except_ = tuple(draw(st.lists(_KEY, max_size=2))) if spread else ()
    level = draw(st.sampled_from(Level))
    choices = st.lists(st.sampled_from([None, 1, "x", True, 2.5]), min_size=1, max_size=3)
    conditions = draw(st.lists(st.tuples(_PATH, choices.map(tuple)), max_size=2))
    when = When(values=tuple(conditions)) if conditions else None
    return Row(key=key, level=level, doc="d", inputs=inputs, except_=except_, when=when)


def _loadable(rows: list[Row]) -> tuple[Row, ...]:
    """The rows less those that no file could hold: a key twice, a parent after its child."""
    kept: list[Row] = []
    for row in rows:
        keys = [other.key for other in kept]
        if row.key not in keys and not any(key.startswith(f"{row.key}.") for key in keys):
            kept.append(row)
    return tuple(kept)


@settings(max_examples=500)
@given(
    rows=st.lists(_row(), min_size=1, max_size=6), events=st.lists(_EVENT, min_size=1, max_size=3)
)
def test_any_compiled_table_does_what_its_rows_say(
    rows: list[Row], events: list[dict[str, Any]]
) -> None:
    loadable = _loadable(rows)
    mapping = compiled(*loadable)
    attempt = compile_attempt("t", loadable, MappingOptions())
    for event in events:
        same(loadable, mapping, event)
        out, rejected, warnings = interpret(loadable, event)
        warned: list[FieldWarning] = []
        assert repr(attempt(event, warned)) == repr(None if rejected else out)
        assert rejected or warned == warnings


LOOPS = (
    ast.For,
    ast.While,
    ast.AsyncFor,
    ast.comprehension,
    ast.Lambda,
    ast.Try,
    ast.Import,
    ast.With,
)


PLANS = [plan for tables in PROFILE_TABLES.values() for plan in tables.plans]
FUNCTIONS: list[Any] = [
    *(plan.map for plan in PLANS),
    *(plan.attempt for plan in PLANS),
    *(choice for tables in PROFILE_TABLES.values() for choice in tables.choices.values()),
]


@pytest.mark.parametrize("compiled_function", FUNCTIONS)
def test_the_compiled_source_is_straight_line(compiled_function: Any) -> None:
    tree = ast.parse(compiled_function.__source__)
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef)
    assert not [node for node in ast.walk(tree) if isinstance(node, LOOPS)]
    assert len([node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]) == 1


def test_the_compiled_source_names_each_row() -> None:
    plan = next(plan for plan in PLANS if plan.table.name == "page")
    source = plan.map.__source__  # type: ignore[attr-defined]
    comments = [line.strip() for line in source.splitlines() if line.strip().startswith("#")]
    assert comments == [f"# {row.name}" for row in plan.rows]
    assert {row.home for row in plan.rows} == {"page", "global", "person"}


def test_each_event_has_constants_of_its_own() -> None:
    constant = {"list": [1, {"x": []}], "none": None}
    row = Row(key="data", level=Level.OPTIONAL, doc="d", value=constant)
    child = Row(key="data.list2", level=Level.OPTIONAL, doc="d", value=[1])
    mapping = compiled(row, child)
    first = mapping({}, [])
    first["data"]["list"][1]["x"].append("changed")
    first["data"]["list2"].append("changed")
    del first["data"]["none"]
    assert mapping({}, []) == {"data": {**constant, "list2": [1]}}
    assert constant == {"list": [1, {"x": []}], "none": None}


def test_rows_below_missing_parents_make_them() -> None:
    row = Row(key="a.b.c.d", level=Level.OPTIONAL, doc="d", value=1)
    other = Row(key="a.b.x", level=Level.OPTIONAL, doc="d", value=2)
    mapping = compiled(row, other)
    assert mapping({}, []) == {"a": {"b": {"c": {"d": 1}, "x": 2}}}


def test_a_parent_that_is_no_object_gives_way_to_its_children() -> None:
    row = Row(key="a", level=Level.OPTIONAL, doc="d", inputs=(Input(path="a"),))
    child = Row(key="a.b", level=Level.OPTIONAL, doc="d", value=2)
    mapping = compiled(row, child)
    assert mapping({"a": [1]}, []) == {"a": {"b": 2}}


def test_a_missing_required_row_names_every_input() -> None:
    inputs = (Input(path="a"), Input(path="b.c"), Input(path="d"))
    row = Row(key="k", level=Level.REQUIRED, doc="d", inputs=inputs)
    out = compiled(row)({"a": None}, [])
    assert [tuple(violation) for violation in out[MISSING]] == [
        ("a", "REQUIRED", ".k is required and got no value: give a, b.c or d")
    ]


def test_several_missing_rows_are_all_named() -> None:
    rows = [
        Row(key=key, level=Level.REQUIRED, doc="d", inputs=(Input(path=key),)) for key in ("a", "b")
    ]
    out = compiled(*rows)({}, [])
    assert [violation.field for violation in out[MISSING]] == ["a", "b"]


@pytest.fixture
def compiled_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each source that is compiled, in characters."""
    sizes: list[int] = []

    def recorded(source: str, *more: Any) -> Any:
        sizes.append(len(source))
        return compile(source, *more)

    monkeypatch.setattr("cio_sidecar.mapping.running.compiler.compile", recorded, raising=False)
    return sizes


def test_long_table_is_compiled_in_parts(compiled_sizes: list[int]) -> None:
    rows = tuple(
        Row(
            key=f"data.k{number}",
            level=Level.REQUIRED if number % 100 == 0 else Level.OPTIONAL,
            doc="d",
            inputs=(Input(path=f"properties.k{number}"), Input(path="properties.other")),
        )
        for number in range(4_000)
    )
    mapping = compiled(*rows)
    attempt = compile_attempt("t", rows, MappingOptions())
    assert len(compiled_sizes) > 2
    assert max(compiled_sizes) < 2 * MAX_PART_CHARACTERS
    complete = {f"k{number}": number for number in range(4_000)}
    assert mapping({"properties": complete}, []) == {"data": complete}
    assert attempt({"properties": complete}, []) == {"data": complete}
    incomplete = {"properties": {"k3999": 1}}
    same(rows, mapping, incomplete)
    assert attempt(incomplete, []) is None


def test_long_choice_is_compiled_in_parts(compiled_sizes: list[int]) -> None:
    choices = [(When(values=((f"k{number}", (1,)),)), number) for number in range(2_000)]
    choose = compile_choice("track", choices)
    assert len(compiled_sizes) > 1
    assert max(compiled_sizes) < 2 * MAX_PART_CHARACTERS
    assert [choose({f"k{number}": 1}) for number in range(2_000)] == [*range(2_000)]
    assert choose({}) is None


@settings(max_examples=300)
@given(
    rows=st.lists(_row(), min_size=1, max_size=6), events=st.lists(_EVENT, min_size=1, max_size=3)
)
def test_what_is_explained_is_what_the_compiled_rows_give(
    rows: list[Row], events: list[dict[str, Any]]
) -> None:
    loadable = _loadable(rows)
    plan: Any = type("P", (), {"rows": loadable})()
    for event in events:
        given_rows = rows_given(plan, event)
        out: dict[str, Any] = {}
        for each in given_rows:
            if not isinstance(each.value, NoValue):
                _put(out, each.row, each.value)
        assert repr(out) == repr(interpret(loadable, event)[0])
