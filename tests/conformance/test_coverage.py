from __future__ import annotations

from functools import cache
from pathlib import Path

from cio_conformance.cli import main
from cio_conformance.coverage import Coverage, RowCoverage, measure
from cio_conformance.fixtures import load_fixtures, parse_fixtures
from cio_sidecar.mapping.options import Options
from cio_sidecar.mapping.profiles import TableSet, load_profile
from click.testing import CliRunner

PROFILES = ("documented", "standard")


@cache
def load(profile: str, options: Options) -> TableSet:
    return load_profile(profile, (), options)


def measured(event: str, covers: str, end: str = "expect: {v1: [], v2: []}") -> Coverage:
    text = f"family: f\ncases: [{{name: n, covers: [{covers}], event: {event}, {end}}}]\n"
    return measure(parse_fixtures(text, "f.yaml"), load, PROFILES)


def row(coverage: Coverage, name: str) -> RowCoverage:
    return next(row for row in coverage.rows if row.row == name)


def test_the_suites_own_cases_cover_every_row() -> None:
    coverage = measure(load_fixtures(), load, PROFILES)
    assert coverage.mistakes == []
    assert {row.row: row.lacks for row in coverage.rows if row.lacks} == {}


def test_every_row_of_both_profiles_is_there() -> None:
    names = [row.row for row in measured("{type: track}", "").rows]
    assert "page.data.userId" in names
    assert "identify.*" in names
    assert len(names) == len(set(names))


def test_a_row_that_produces_its_value_has_a_positive_case() -> None:
    found = measured("{type: page, name: Home, context: {page: {}}}", "page.name")
    assert row(found, "page.name").positive == ["f: n"]
    assert row(found, "page.name").lacks == ["negative"]


def test_a_claim_without_the_value_is_a_negative_case() -> None:
    found = measured("{type: page, name: 5}", "page.name, page.id")
    assert row(found, "page.name").negative == ["f: n"]
    assert row(found, "page.name").lacks == ["positive"]
    assert row(found, "page.id").negative == ["f: n"]


def test_a_value_that_is_refused_is_a_negative_case() -> None:
    refused = "refuse: [{field: properties.a, reason: TOO_LARGE}]"
    found = measured("{type: track, properties: {a: 1}, event: E}", "default.data", refused)
    assert row(found, "default.data").negative == ["f: n"]
    assert row(found, "default.data").positive == []


def test_a_value_of_a_refused_case_is_no_positive_case() -> None:
    refused = "refuse: [{field: userId, reason: NO_PERSON}]"
    found = measured("{type: track, properties: {a: 1}}", "default.data", refused)
    assert row(found, "default.data").lacks == ["positive", "negative"]


def test_a_null_that_is_passed_on_proves_nothing() -> None:
    event = "{type: identify, userId: u, traits: {created_at: null}}"
    found = row(measured(event, "identify.created_at"), "identify.created_at")
    assert (found.positive, found.negative) == ([], [])


def test_an_object_counts_though_other_rows_set_keys_in_it() -> None:
    event = "{type: track, event: E, userId: u, properties: {userId: other, a: 1}}"
    found = measured(event, "default.data, default.data.userId")
    assert row(found, "default.data").positive == ["f: n"]
    assert row(found, "default.data.userId").positive == ["f: n"]


def test_an_object_of_which_nothing_is_left_does_not_count() -> None:
    event = "{type: track, event: E, userId: u, properties: {userId: other}}"
    assert row(measured(event, "default.data"), "default.data").positive == []


def test_all_traits_count_though_some_are_left_out() -> None:
    event = "{type: identify, userId: u, traits: {createdAt: 5, plan: pro}}"
    assert row(measured(event, '"identify.*"'), "identify.*").positive == ["f: n"]


def test_a_constant_needs_no_negative_case() -> None:
    found = measured("{type: page}", "page.type")
    assert row(found, "page.type").lacks == []


def test_an_unknown_row_is_a_mistake() -> None:
    assert measured("{type: page}", "page.nme").mistakes == [
        "f: n: covers page.nme, but there is no such row"
    ]


def test_a_row_of_another_event_type_is_a_mistake() -> None:
    (mistake,) = measured("{type: page}", "screen.name").mistakes
    assert mistake == (
        "f: n: covers screen.name, but no such row applies to a page event in the profile standard"
    )


def test_a_row_of_another_profile_is_a_mistake() -> None:
    event = "{type: identify, userId: u, traits: {a: 1}}"
    (mistake,) = measured(
        event, '"identify.*"', "profile: documented, refuse: [{field: a, reason: B}]"
    ).mistakes
    assert mistake.endswith("in the profile documented")


def test_the_command_names_uncovered_rows_and_exits_1(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(
        "family: f\ncases: [{name: n, covers: [page.type, page.nme], event: {type: page}, "
        "expect: {v1: [], v2: []}}]\n"
    )
    result = CliRunner().invoke(main, ["coverage", "--fixtures", str(tmp_path)])
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert "not covered: page.name lacks a positive and a negative case" in lines
    assert "not covered: screen.type lacks a positive case" in lines
    assert not any(line.startswith("not covered: page.type") for line in lines)
    rows = len(measured("{type: track}", "").rows)
    assert lines[-1] == f"{rows} rows, {rows - 1} not covered, 1 mistakes"
