"""Compiled tables do what their rows say; a small interpreter is the yardstick."""

from __future__ import annotations

import ast
import copy
from typing import Any

import pytest
from cio_sidecar.mapping.compiler import MISSING, Mapping, compile_tables
from cio_sidecar.mapping.errors import FieldWarning
from cio_sidecar.mapping.profiles import PROFILES, load_profile
from cio_sidecar.mapping.table import Input, Level, Row, Table, split_path
from cio_sidecar.mapping.transforms import TRANSFORMS, NoValue
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
    value = _look_up(event, source.path)
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


def interpret(tables: list[Table], event: dict[str, Any]) -> Result:
    out: dict[str, Any] = {}
    refused: list[str] = []
    warnings: list[FieldWarning] = []
    for table in tables:
        for row in table.rows:
            value = _of_row(row, event, warnings)
            if row.inputs and row.level is Level.REQUIRED and (value is None or value is NOTHING):
                refused.append(f"{table.name}.{row.key}")
            elif value is not NOTHING:
                _put(out, row, value)
    return out, refused, warnings


def run(mapping: Mapping, event: dict[str, Any]) -> Result:
    """Run a compiled mapping, and see that it leaves the event alone."""
    before = copy.deepcopy(event)
    warnings: list[FieldWarning] = []
    out = mapping(event, warnings)
    violations = out.pop(MISSING, [])
    assert repr(event) == repr(before)
    refused = [violation.description.split(" is required")[0] for violation in violations]
    return out, refused, warnings


def same(tables: list[Table], mapping: Mapping, event: dict[str, Any]) -> None:
    # By repr: order, and 1 is neither 1.0 nor True.
    assert repr(run(mapping, event)) == repr(interpret(tables, event))


@pytest.mark.parametrize("profile", PROFILES)
@settings(max_examples=300)
@given(event=EVENTS)
def test_the_compiled_profiles_do_what_their_rows_say(profile: str, event: dict[str, Any]) -> None:
    tables = PROFILE_TABLES[profile]
    same(tables.for_event(event["type"]), tables.mappings[event["type"]], event)


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
    except_ = tuple(draw(st.lists(_KEY, max_size=2))) if spread else ()
    level = draw(st.sampled_from(Level))
    return Row(key=key, level=level, doc="d", inputs=inputs, except_=except_)


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
    table = Table(name="t", doc="d", events=("track",), rows=_loadable(rows))
    mapping = compile_tables("track", [table])
    for event in events:
        same([table], mapping, event)


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


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("event_type", ["identify", "track", "page", "screen"])
def test_the_compiled_source_is_straight_line(profile: str, event_type: str) -> None:
    source = PROFILE_TABLES[profile].mappings[event_type].__source__  # type: ignore[attr-defined]
    tree = ast.parse(source)
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef)
    assert function.name == event_type
    assert not [node for node in ast.walk(tree) if isinstance(node, LOOPS)]
    assert len([node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]) == 1


def test_the_compiled_source_names_each_row() -> None:
    tables = PROFILE_TABLES["documented"]
    source = tables.mappings["page"].__source__  # type: ignore[attr-defined]
    comments = [line.strip() for line in source.splitlines() if line.strip().startswith("#")]
    assert comments == [
        f"# {table.name}.{row.key}" for table in tables.for_event("page") for row in table.rows
    ]


def _table(*rows: Row) -> Table:
    return Table(name="t", doc="d", events=("track",), rows=rows)


def test_each_event_has_constants_of_its_own() -> None:
    constant = {"list": [1, {"x": []}], "none": None}
    row = Row(key="data", level=Level.OPTIONAL, doc="d", value=constant)
    child = Row(key="data.list2", level=Level.OPTIONAL, doc="d", value=[1])
    mapping = compile_tables("track", [_table(row, child)])
    first = mapping({}, [])
    first["data"]["list"][1]["x"].append("changed")
    first["data"]["list2"].append("changed")
    del first["data"]["none"]
    assert mapping({}, []) == {"data": {**constant, "list2": [1]}}
    assert constant == {"list": [1, {"x": []}], "none": None}


def test_rows_below_missing_parents_make_them() -> None:
    row = Row(key="a.b.c.d", level=Level.OPTIONAL, doc="d", value=1)
    other = Row(key="a.b.x", level=Level.OPTIONAL, doc="d", value=2)
    mapping = compile_tables("track", [_table(row, other)])
    assert mapping({}, []) == {"a": {"b": {"c": {"d": 1}, "x": 2}}}


def test_a_parent_that_is_no_object_gives_way_to_its_children() -> None:
    row = Row(key="a", level=Level.OPTIONAL, doc="d", inputs=(Input(path="a"),))
    child = Row(key="a.b", level=Level.OPTIONAL, doc="d", value=2)
    mapping = compile_tables("track", [_table(row, child)])
    assert mapping({"a": [1]}, []) == {"a": {"b": 2}}


def test_a_missing_required_row_names_every_input() -> None:
    inputs = (Input(path="a"), Input(path="b.c"), Input(path="d"))
    row = Row(key="k", level=Level.REQUIRED, doc="d", inputs=inputs)
    out = compile_tables("track", [_table(row)])({"a": None}, [])
    assert [tuple(violation) for violation in out[MISSING]] == [
        ("a", "REQUIRED", "t.k is required and got no value: give a, b.c or d")
    ]


def test_several_missing_rows_are_all_named() -> None:
    rows = [
        Row(key=key, level=Level.REQUIRED, doc="d", inputs=(Input(path=key),)) for key in ("a", "b")
    ]
    out = compile_tables("track", [_table(*rows)])({}, [])
    assert [violation.field for violation in out[MISSING]] == ["a", "b"]
