from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from cio_conformance.cases.golden_cases import load_fixtures, parse_fixtures
from cio_conformance.cli import main
from cio_conformance.workbench.coverage.measure import Coverage, RowCoverage, Standing, measure
from cio_conformance.workbench.coverage.states import Column, State
from cio_sidecar.mapping.authoring.profiles import TableSet, load_profile
from cio_sidecar.mapping_options import MappingOptions
from click.testing import CliRunner

PROFILES = ("documented", "standard")
TAKEN = "expect: {v1: [], v2: []}"


@cache
def load(profile: str, options: MappingOptions) -> TableSet:
    return load_profile(profile, (), options)


def measured(event: str, end: str = TAKEN, covers: str = "", *, strict: bool = True) -> Coverage:
    text = f"family: f\ncases: [{{name: n, covers: [{covers}], event: {event}, {end}}}]\n"
    return measure(parse_fixtures(text, "f.yaml"), load, PROFILES, strict=strict)


def row(coverage: Coverage, name: str) -> RowCoverage:
    return next(row for row in coverage.rows if row.name == name)


def states(name: str, event: str, end: str = TAKEN, api: str = "v1") -> list[str]:
    """The states of a row that an event exercises."""
    cells = row(measured(event, end), name).cells
    return [str(column) for column, by in cells.items() for a in by if a == api and by[a].cases]


def idle(name: str, api: str = "v1") -> dict[str, str]:
    """The states that are not applicable to a row, with the reason."""
    cells = row(measured("{type: track}"), name).cells
    return {
        str(c): cell.why_not
        for c, by in cells.items()
        for a, cell in by.items()
        if a == api and cell.why_not
    }


def rejected(field: str, reason: str) -> str:
    return f"reject: [{{field: {field}, reason: {reason}}}]"


def test_the_suites_own_cases_cover_every_state_of_every_row() -> None:
    coverage = measure(load_fixtures(), load, PROFILES)
    assert coverage.mistakes == []
    assert coverage.gaps == {}
    assert {*coverage.totals()} == {Standing.COVERED, Standing.IDLE}


def test_no_case_shows_what_the_rules_say_can_not_be() -> None:
    # Of these a case may show something all the same; it would prove nothing of its own.
    needless = {
        "of a required row's only input it is the same as missing",
        "v2 has no place for it",
    }
    shown = {
        f"{row.name}, {column}, {api}: {cell.why_not}"
        for row in measure(load_fixtures(), load, PROFILES).rows
        for column, by_api in row.cells.items()
        for api, cell in by_api.items()
        if cell.why_not and cell.cases and cell.why_not not in needless
    }
    assert shown == set()


def test_every_row_of_both_profiles_is_there_once_with_the_inputs_of_both() -> None:
    rows = measured("{type: track}").rows
    names = [row.name for row in rows]
    assert {"page.data.userId", "identify.*", "group_anonymous.anonymous_id"} <= {*names}
    assert len(names) == len({*names})
    created = next(row for row in rows if row.name == "identify.created_at")
    assert [column.source for column in created.cells if column.state is State.PRESENT] == [
        "traits.createdAt",
        "traits.created_at",
        "context.traits.createdAt",
        "context.traits.created_at",
    ]


@pytest.mark.parametrize(
    ("name", "event", "expected"),
    [
        ("page.name", "{type: page, name: Home}", ["present from name"]),
        ("page.name", "{type: page, name: 5}", ["wrong type"]),
        ("page.name", "{type: page, name: null, properties: {url: ' '}}", ["null", "unusable"]),
        ("page.name", "{type: page, name: x, properties: {url: null}}",
         ["present from name", "null"]),
        ("page.name", "{type: page, name: x, context: {page: {url: u}}, properties: {url: null}}",
         ["present from context.page.url"]),
        ("page.type", "{type: page, name: x}", ["present"]),
        ("page.id", "{type: page, name: x}", ["missing"]),
        ("page.timestamp", "{type: page, name: x}", ["present from receivedAt"]),
        ("page.data", "{type: page, name: x}", ["missing"]),
        ("identify.created_at", "{type: identify, userId: u, traits: {created_at: null}}",
         ["null"]),
        ("group.object_type_id", "{type: group, userId: u, groupId: g}",
         ["present from the constant '1'"]),
        ("default.name", f"{{type: track, userId: u, event: {'n' * 101}}}",
         ["present from event", "over limit"]),
    ],
)  # fmt: skip
def test_a_taken_event_exercises_the_states_of_its_rows(
    name: str, event: str, expected: list[str]
) -> None:
    assert states(name, event) == expected


@pytest.mark.parametrize(
    ("name", "event", "end", "expected"),
    [
        ("person.person", "{type: track, event: E}", rejected("userId", "NO_PERSON"), ["missing"]),
        ("default.data.userId", "{type: track, event: E}", rejected("userId", "NO_PERSON"), []),
        ("default.name", "{type: track, event: 5}", rejected("event", "REQUIRED"), ["wrong type"]),
        ("default.data", "{type: track, event: 5, properties: {a: 1}}",
         rejected("event", "REQUIRED"), []),
        ("default.data", "{type: track, properties: [1]}",
         rejected("properties", "WRONG_TYPE"), ["wrong type"]),
        ("default.data", "{type: track, event: E, userId: u, "
         "properties: {a: {$repeat: x, times: 100000}}}",
         rejected("properties", "TOO_LARGE"), ["over limit"]),
        ("default.data", "{type: track, event: E, userId: u, properties: {a: 1}}",
         rejected("properties", "TOO_LARGE"), []),
        ("global.anonymous_id", "{type: track, event: E, userId: u, anonymousId: "
         "{$repeat: x, times: 151}}", rejected("userId", "TOO_LARGE"), []),
    ],
)  # fmt: skip
def test_a_rejected_event_exercises_the_state_that_it_is_rejected_for(
    name: str, event: str, end: str, expected: list[str]
) -> None:
    assert states(name, event, end) == expected


def test_a_property_of_the_same_name_contends_for_a_key_where_its_value_differs() -> None:
    event = "{type: track, event: E, userId: u, properties: {userId: %s, a: 1}}"
    for name, source in (("default.data", "properties"), ("default.data.userId", "userId")):
        assert states(name, event % "other") == [f"present from {source}", "overridden"]
        assert states(name, event % "u") == [f"present from {source}"]


def test_a_trait_that_is_left_out_anyway_contends_for_nothing() -> None:
    event = "{type: identify, userId: u, traits: {createdAt: 5, created_at: 6, plan: pro}}"
    assert states("identify.created_at", event) == ["present from traits.createdAt"]
    assert "overridden" in idle("identify.created_at")


def test_an_object_of_which_nothing_is_left_gives_no_value() -> None:
    event = "{type: track, event: E, userId: u, properties: {userId: other}}"
    assert "present from properties" not in states("default.data", event)


def test_a_row_of_a_table_that_an_event_passed_by_shows_what_it_lacks_alone() -> None:
    event = "{type: track, event: Application Opened, userId: u, context: {os: {name: iOS}}}"
    assert states("device.token", event) == ["missing"]
    assert states("device.platform", event) == []
    assert states("default.name", event) == ["present from event"]


def test_a_case_that_goes_by_v1_alone_proves_nothing_of_v2() -> None:
    event = "{type: track, event: E, userId: u}"
    sent = "{method: POST, path: %s, body: {}}"
    v1, v2 = sent % "/api/v1/events", sent % "/api/v2/batch"
    by_v1 = f"expect: {{v1: [{v1}], v2: [{v1}]}}"
    by_both = f"expect: {{v1: [{v1}], v2: [{v2}]}}"
    assert states("default.name", event, by_v1, "v2") == []
    assert states("default.name", event, by_both, "v2") == ["present from event"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("page.type", {"missing", "null", "wrong type", "unusable", "over limit", "overridden"}),
        ("page.timestamp", {"missing", "over limit", "overridden"}),
        ("identify.id", set()),
        ("identify.email_sha256", {"over limit"}),
        ("default.data", {"unusable"}),
        ("default.data.userId", {"over limit"}),
        ("identify_group.object_type_id", {"missing", "over limit", "overridden"}),
        ("identify_group.person", {"missing", "over limit", "overridden"}),
        ("group.object_id", {"null", "overridden"}),
    ],
)
def test_what_is_not_applicable_is_decided_from_the_row(name: str, expected: set[str]) -> None:
    assert {*idle(name)} == expected


def test_what_v2_has_no_place_for_needs_no_case_there() -> None:
    rows = row(measured("{type: track}"), "delivery_metric.reason")
    assert {cell["v2"].why_not for cell in rows.cells.values()} > {"v2 has no place for it"}
    assert rows.cells[Column(State.MISSING)]["v1"].why_not == ""
    token = idle("delivery_metric.device_token", "v2")
    assert token["missing"] == "without it v2 can't carry the operation"


def test_an_unknown_row_is_a_mistake() -> None:
    assert measured("{type: page}", covers="page.nme").mistakes == [
        "f: n: covers page.nme, but there is no such row"
    ]


def test_a_row_of_another_event_type_is_a_mistake() -> None:
    (mistake,) = measured("{type: page}", covers="screen.name").mistakes
    assert mistake == (
        "f: n: covers screen.name, but no such row applies to a page event in the profile standard"
    )


def test_a_row_of_another_profile_is_a_mistake() -> None:
    event = "{type: identify, userId: u, traits: {a: 1}}"
    end = "profile: documented, reject: [{field: a, reason: B}]"
    (mistake,) = measured(event, end, '"identify.*"').mistakes
    assert mistake.endswith("in the profile documented")


def test_a_claim_alone_covers_nothing() -> None:
    found = row(measured("{type: page, name: 5}", covers="page.name", strict=False), "page.name")
    assert found.gaps() == ["positive"]


def run(fixtures: Path, *arguments: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(main, ["coverage", "--fixtures", str(fixtures), *arguments])
    return result.exit_code, result.output.splitlines()


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    folder = tmp_path / "fixtures"
    folder.mkdir()
    (folder / "f.yaml").write_text(
        "family: f\ncases: [{name: n, covers: [page.type, page.nme], "
        "event: {type: page, name: Home}, expect: {v1: [], v2: []}}]\n"
    )
    return folder


def test_the_command_names_uncovered_states_and_exits_1(fixtures: Path) -> None:
    code, lines = run(fixtures)
    assert code == 1
    assert (
        "not covered: page.name: present from context.page.url (v1 and v2), present from "
        "properties.url (v1 and v2), missing (v1 and v2), null (v1 and v2), wrong type (v1 and v2),"
        " unusable (v1 and v2), over limit (v1 and v2)" in lines
    )
    assert "not covered: screen.type: present (v1 and v2)" in lines
    assert not any(line.startswith("not covered: page.type") for line in lines)
    rows = len(measured("{type: track}").rows)
    assert lines[-1] == f"{rows} rows, {rows - 1} not covered, 1 mistakes"


OVERLAY = """\
table: page
rows:
  - {key: name, from: [title, name], apply: [text], doc: The title.}
"""


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    folder = tmp_path / "overlay"
    folder.mkdir()
    (folder / "page.yaml").write_text(OVERLAY)
    return folder


def test_of_ones_own_rows_a_positive_and_a_negative_case_are_enough(
    fixtures: Path, overlay: Path
) -> None:
    code, lines = run(fixtures, "--overlay", str(overlay))
    assert code == 1
    assert "not covered: page.name lacks a negative case" in lines
    (fixtures / "g.yaml").write_text(
        "family: g\ncases: [{name: n, event: {type: page}, "
        "reject: [{field: title, reason: REQUIRED}]}]\n"
    )
    (fixtures / "f.yaml").write_text((fixtures / "f.yaml").read_text().replace(", page.nme", ""))
    report = fixtures / "m.md"
    code, lines = run(fixtures, "--overlay", str(overlay), "--report", f"markdown={report}")
    assert lines[-2:] == [
        "4 states covered, 0 not covered, 10 not tried, 2 not applicable",
        "1 rows, 0 not covered, 0 mistakes",
    ]
    assert code == 0
    assert "## Not covered" not in report.read_text()


def test_a_state_is_not_covered_where_a_case_must_show_it_alone() -> None:
    text = "family: f\ncases: [{name: n, event: {type: page, name: Home}, " + TAKEN + "}]\n"
    page = measure(parse_fixtures(text, "f.yaml"), load, ["standard"], strict=False)
    name, data = row(page, "page.name"), row(page, "page.data")
    # It has its value by one input: no case need show another. None shows it without.
    assert name.standing(Column(State.PRESENT, "name"), "v1") is Standing.COVERED
    assert name.standing(Column(State.PRESENT, "properties.url"), "v1") is Standing.OPEN
    assert name.standing(Column(State.MISSING), "v2") is Standing.GAP
    assert data.standing(Column(State.PRESENT, "properties"), "v1") is Standing.GAP
    assert data.standing(Column(State.MISSING), "v1") is Standing.COVERED
    assert data.standing(Column(State.NULL), "v1") is Standing.OPEN
    assert row(page, "page.type").standing(Column(State.MISSING), "v1") is Standing.IDLE


def test_a_claim_of_a_row_that_is_not_ones_own_must_be_true_too(
    fixtures: Path, overlay: Path
) -> None:
    (fixtures / "f.yaml").write_text(
        (fixtures / "f.yaml").read_text().replace("page.nme", "screen.name")
    )
    _, lines = run(fixtures, "--overlay", str(overlay))
    assert (
        "mistake: f: n: covers screen.name, but no such row applies to a page event in the "
        "profile standard" in lines
    )


def test_strictly_ones_own_rows_need_a_case_for_every_state(fixtures: Path, overlay: Path) -> None:
    code, lines = run(fixtures, "--overlay", str(overlay), "--strict")
    assert code == 1
    (gap,) = [line for line in lines if line.startswith("not covered:")]
    assert gap.startswith("not covered: page.name: present from title (v1 and v2), missing")


def test_a_whole_number_of_more_than_64_bits_can_be_measured(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(
        f"family: f\ncases: [{{name: n, {TAKEN},\n"
        f"event: {{type: track, userId: u, event: E, properties: {{n: {10**30}}}}}}}]\n"
    )
    result = CliRunner().invoke(main, ["coverage", "--fixtures", str(tmp_path)])
    assert result.exit_code == 1
    assert "states covered" in result.output


def test_80_columns_cut_no_head_of_the_matrix() -> None:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["coverage"])
    matrix = result.output.partition("cases by v1/v2")[0]
    assert "over-" in matrix
    assert "ridden" in matrix
    assert "…" not in matrix
    assert max(map(len, matrix.splitlines())) <= 80
