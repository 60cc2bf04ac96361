"""The JSON Schemas of the suite's files take what the readers take, and reject what they reject."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cio_conformance.cases.golden_cases import (
    FIXTURES,
    Case,
    Expected,
    ExpectedRequest,
    Family,
    FixtureError,
    Rejection,
    parse_fixtures,
)
from cio_conformance.cases.schema_command import SCHEMAS
from cio_conformance.cases.settings import SETTINGS
from cio_conformance.cli import main
from cio_conformance.delivery.cases import CASES, Act, DeliveryCase, DeliveryFamily, parse_cases
from cio_conformance.delivery.cases import Expected as Ends
from cio_conformance.workbench.mutation.equivalents import (
    EQUIVALENTS,
    Equivalents,
    EquivalentsError,
    load_equivalents,
)
from cio_conformance.workbench.mutation.fake_cases import FAKE_CASES, FakeCase, load_fake_cases
from cio_sidecar.yaml_lines import load
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel

ROOT = Path(__file__).parents[2]
VALIDATORS = {
    name: Draft202012Validator(json.loads(path.read_text("utf-8")))
    for name, path in SCHEMAS.items()
}
SHIPPED = [
    *(("fixtures", path) for path in sorted(FIXTURES.glob("*.yaml"))),
    *(("fixtures", path) for path in sorted(ROOT.glob("docs/cookbook/*/fixtures/*.yaml"))),
    *(("delivery", path) for path in sorted(CASES.glob("*.yaml"))),
    ("equivalent-mutants", EQUIVALENTS),
    ("fake-cases", FAKE_CASES),
]


def schema_takes(name: str, document: Any) -> bool:
    return bool(VALIDATORS[name].is_valid(document))


def loader_takes(document: Any, parse: Callable[[str, str], Any] = parse_fixtures) -> bool:
    try:
        parse(json.dumps(document, ensure_ascii=False), "f.yaml")
    except FixtureError:
        return False
    return True


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_and_is_printed(name: str) -> None:
    result = CliRunner().invoke(main, ["schema", name])
    assert result.exit_code == 0
    printed = json.loads(result.output)
    Draft202012Validator.check_schema(printed)
    assert printed["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


def test_without_a_name_that_of_fixtures_is_printed() -> None:
    results = [CliRunner().invoke(main, ["schema", *name]).output for name in ([], ["fixtures"])]
    assert results[0] == results[1]


def test_a_name_that_is_none_is_rejected_with_those_there_are() -> None:
    result = CliRunner().invoke(main, ["schema", "fixture"])
    assert result.exit_code == 2
    assert "delivery" in result.output


@pytest.mark.parametrize(("name", "path"), SHIPPED, ids=lambda value: getattr(value, "name", value))
def test_every_shipped_file_fits_its_schema(name: str, path: Path) -> None:
    VALIDATORS[name].validate(load(path.read_text("utf-8")).value)


@pytest.mark.parametrize(
    ("name", "at", "model"),
    [
        ("fixtures", (), Family),
        ("fixtures", ("$defs", "case"), Case),
        ("delivery", (), DeliveryFamily),
        ("fixtures", ("$defs", "case", "properties", "expect"), Expected),
        ("fixtures", ("$defs", "request"), ExpectedRequest),
        ("fixtures", ("$defs", "rejection"), Rejection),
        ("delivery", ("$defs", "case"), DeliveryCase),
        ("delivery", ("$defs", "case", "properties", "expect"), Ends),
        ("delivery", ("$defs", "act"), Act),
        ("equivalent-mutants", ("items",), Equivalents),
        ("fake-cases", ("items",), FakeCase),
    ],
)
def test_a_schema_has_the_keys_of_its_reader(
    name: str, at: tuple[str, ...], model: type[BaseModel]
) -> None:
    schema: Any = VALIDATORS[name].schema
    for key in at:
        schema = schema[key]
    assert [*schema["properties"]] == [*model.model_fields]
    assert {*schema.get("required", ())} == {
        key for key, field in model.model_fields.items() if field.is_required()
    }


def test_the_schema_knows_the_settings() -> None:
    schema: Any = VALIDATORS["fixtures"].schema
    assert tuple(schema["properties"]["settings"]["properties"]) == SETTINGS


GOOD: dict[str, Any] = {
    "family": "f",
    "doc": "d",
    "needs": "json",
    "settings": {"email": "hash_only", "deny_traits": ["a"], "identify_timestamp": True},
    "cases": [
        {
            "name": "a",
            "origin": "pitfall: x",
            "covers": ["page.name"],
            "profile": "standard",
            "event": {"type": "track", "properties": {"$numbered": "k", "count": 2}},
            "expect": {
                "v1": [{"method": "PUT", "path": "/a", "body": {"a": [1, None]}}],
                "v2": [{"method": "POST", "path": "/b", "body": {"$repeat": "x", "times": 3}}],
            },
            "warnings": ["a"],
        },
        {
            "name": "b",
            "event": {"$merge": [{"a": 1}, {"$numbered": "k", "count": 1}]},
            "reject": [{"field": "", "reason": "R"}],
        },
        {"name": "c", "event": {}, "expect": {"v1": [], "v2": []}},
    ],
}
"""A file in which every key stands."""

# JSON tells no 1.0 from 1: whole numbers are written as such.
_JUNK: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            -1,
            0,
            5,
            1.5,
            "",
            " ",
            "x",
            "x\n",
            "a b",
            [],
            [""],
            ["x"],
            [5],
            {},
            {"x": 1},
            {"v1": [], "v2": []},
            {"$repeat": "x", "times": 2},
            {"$repeat": "x", "times": 2, "more": 1},
            {"$repeat": "x", "times": -1},
            {"$repeat": "x", "times": True},
            {"$repeat": 5, "times": 1},
            {"$repeat": "x", "times": 1_000_001},
            {"$numbered": "x", "count": 2},
            {"$numbered": "x", "count": 100_001},
            {"$numbered": "x"},
            {"$merge": [{}, {"a": {"$repeat": "x", "times": 1}}]},
            {"$merge": [{"$repeat": "x", "times": 1}]},
            {"$merge": [5]},
            {"$merge": {}},
            {"a": {"$repeat": "x"}},
        ]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=3),
)
_KEYS = st.sampled_from(
    ["name", "reject", "expect", "warnings", "profil", "v1", "body", "$merge", "$repeat", "doc"]
)
_WAYS: list[tuple[Any, ...]] = []


def _walk(value: Any, at: tuple[Any, ...]) -> None:
    _WAYS.append(at)
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _walk(item, (*at, key))


_walk(GOOD, ())
_CHANGE = st.tuples(
    st.sampled_from(_WAYS), st.sampled_from(["leave out", "replace", "add"]), _KEYS, _JUNK
)


def changed(document: Any, at: tuple[Any, ...], how: str, key: str, value: Any) -> Any:
    """A copy in which something else stands at a place; the same where there is no such place."""
    copy = json.loads(json.dumps(document))
    if how != "add" and not at:
        return value
    inner = copy
    try:
        for step in at if how == "add" else at[:-1]:
            inner = inner[step]
        if how == "leave out":
            del inner[at[-1]]
        elif how == "replace":
            inner[at[-1]] = value
        else:
            inner[key] = value
    except (KeyError, IndexError, TypeError):
        return document
    return copy


def test_a_file_in_which_every_key_stands_is_taken_by_both() -> None:
    assert schema_takes("fixtures", GOOD)
    assert loader_takes(GOOD)


@settings(deadline=None)
@given(st.lists(_CHANGE, min_size=1, max_size=3))
@example([(("cases", 0), "add", "reject", [{"field": "a", "reason": "R"}])])
@example([(("cases", 1), "add", "warnings", ["x"])])
@example([(("cases", 2, "expect"), "add", "v1", [{"method": "PUT", "path": "/", "body": 1}])])
@example([(("cases", 0, "expect", "v1", 0, "path"), "replace", "", "x")])
@example([(("cases", 1, "reject", 0, "reason"), "replace", "", "")])
@example([(("settings",), "add", "profile", "x")])
@example([(("settings",), "add", "dates", "x")])
@example([(("settings",), "add", "event_id", ["ulid"])])
@example([(("settings",), "add", "deny_properties", 'a, "b.c".d,')])
@example([(("settings",), "add", "deny_properties", ["a", ","])])
@example([(("settings",), "add", "allow_traits", [" ", "a b"])])
@example([(("settings",), "add", "allow_traits", "a..b")])
@example([(("settings",), "add", "allow_properties", ["properties.a"])])
@example([(("settings",), "add", "allow_properties", '"context".a')])
@example([(("settings",), "add", "allow_properties", "traits")])
@example([(("settings",), "add", "keep_device_events", "true")])
@example(
    [
        (("settings",), "add", "keep_device_events", True),
        (("cases", 1), "add", "profile", "documented"),
    ]
)
@example(
    [
        (("settings",), "add", "keep_device_events", False),
        (("cases", 1), "add", "profile", "documented"),
    ]
)
@example([(("family",), "replace", "", "x\n")])
def test_reader_and_schema_agree_on_whatever_a_fixture_file_holds(changes: list[Any]) -> None:
    document: Any = GOOD
    for change in changes:
        document = changed(document, *change)
    cases = document.get("cases") if isinstance(document, dict) else None
    listed = cases if isinstance(cases, list) else []
    names = [case.get("name") for case in listed if isinstance(case, dict)]
    if len(names) == len({*map(str, names)}):
        # That names are unique only the reader can tell.
        assert loader_takes(document) == schema_takes("fixtures", document), document


DELIVERY: dict[str, Any] = {
    "family": "f",
    "cases": [
        {
            "name": "a",
            "events": {"e": {"type": "track", "userId": "ann"}},
            "scenario": [{"status": 429, "retry_after": 1, "count": 2}],
            "expect": {"taken": {"ann": ["e"]}},
        }
    ],
}
CASE = DELIVERY["cases"][0]


def delivery(**changes: Any) -> dict[str, Any]:
    """A file with a case; None takes a key out."""
    case = {key: value for key, value in {**CASE, **changes}.items() if value is not None}
    return {**DELIVERY, "cases": [case]}


def step(**step: Any) -> dict[str, Any]:
    return delivery(scenario=[step])


def act(**act: Any) -> dict[str, Any]:
    return delivery(scenario=None, play=[{"send": ["e"]}, act])


@pytest.mark.parametrize(
    "document",
    [
        DELIVERY,
        delivery(doc="d", operations={"e": 2}),
        delivery(scenario=None, expect={"taken": {}, "rejected": ["e"], "order": ["e"]}),
        step(cut="headers", when={"name": "First"}),
        step(rate={"per_second": 1, "retry_after": 1}),
        step(reject=[{"index": 0}, {"person": "ann"}]),
        step(status=502, malformed="html"),
        step(truncate=5, delay_ms=3),
        act(fake=[{"status": 503, "count": 1}]),
        act(asked=1),
        act(settled=["e"]),
        act(credentials="wrong"),
    ],
)
def test_reader_and_schema_take_whatever_a_delivery_case_may_say(document: Any) -> None:
    VALIDATORS["delivery"].validate(document)
    parse_cases(json.dumps(document), "f.yaml")


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"family": "f"},
        {**DELIVERY, "cases": []},
        {**DELIVERY, "settings": {}},
        {**DELIVERY, "family": ""},
        delivery(name=None),
        delivery(name="a\nb"),
        delivery(event={}),
        delivery(events={}),
        delivery(events={"e": 5}),
        delivery(expect=None),
        delivery(expect={"taken": {"ann": "e"}}),
        delivery(expect={"taken": {"ann": ["e"]}, "dropped": []}),
        delivery(operations={"e": "2"}),
        delivery(play=[{"send": ["e"]}]),
        step(status="429"),
        step(status=99),
        step(stats=500),
        step(cut="during"),
        step(malformed="xml"),
        step(truncate=-1),
        step(delay_ms=86_400_001),
        step(status=500, count=-1),
        step(status=500, when={}),
        step(rate={}),
        step(rate={"per_second": 0}),
        step(reject=[]),
        step(reject=[{}]),
        step(reject=[{"index": -1}]),
        act(),
        act(send=["e"], asked=1),
        act(wait=1),
        act(credentials="none"),
        act(asked="1"),
    ],
)
def test_reader_and_schema_reject_what_a_delivery_case_may_not_say(document: Any) -> None:
    assert not schema_takes("delivery", document)
    assert not loader_takes(document, parse_cases)


@pytest.mark.parametrize(
    ("document", "good"),
    [
        ([{"reason": "r", "mutants": ["m"]}], True),
        ([], True),
        (None, True),
        ({}, False),
        (5, False),
        ([{"reason": "", "mutants": ["m"]}], False),
        ([{"reason": "r", "mutants": []}], False),
        ([{"reason": "r", "mutants": [5]}], False),
        ([{"reason": "r", "mutants": ["m"], "more": 1}], False),
        ([{"mutants": ["m"]}], False),
        (["m"], False),
    ],
)
def test_reader_and_schema_agree_on_lists_of_equivalent_mutants(
    document: Any, good: bool, tmp_path: Path
) -> None:
    file = tmp_path / "list.yaml"
    file.write_text(json.dumps(document))
    assert schema_takes("equivalent-mutants", document) is good
    if good:
        load_equivalents(file)
        return
    with pytest.raises(EquivalentsError, match=re.escape(f"{file}:1: ")):
        load_equivalents(file)


@pytest.mark.parametrize(
    ("document", "good"),
    [
        ([{"rule": "r", "path": "/", "status": 200}], True),
        ([{"rule": "r", "path": "/", "status": 200, "body": {"$repeat": "x", "times": 1}}], True),
        ([], True),
        (None, False),
        ({}, False),
        ([{"rule": "r", "path": "/"}], False),
        ([{"rule": "r", "path": "/", "status": "200"}], False),
        ([{"rule": "r", "path": "/", "status": 200, "auth": "no"}], False),
        ([{"rule": "r", "path": "/", "status": 200, "body": {"$repeat": "x"}}], False),
        ([{"rule": "r", "path": "/", "status": 200, "reason": []}], False),
    ],
)
def test_reader_and_schema_agree_on_the_cases_of_the_fakes_rules(
    document: Any, good: bool, tmp_path: Path
) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(json.dumps(document))
    assert schema_takes("fake-cases", document) is good
    if good:
        load_fake_cases(file)
        return
    with pytest.raises(FixtureError, match=r"cases\.yaml:1: "):
        load_fake_cases(file)
