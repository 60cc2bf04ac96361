"""The cases tell of every rule that is changed, and mutate says where they don't."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from cio_conformance.cases.golden_cases import load_fixtures, parse_fixtures
from cio_conformance.cli import main
from cio_conformance.workbench.mutation.encoder_mutants import encoder_mutants
from cio_conformance.workbench.mutation.equivalents import EquivalentsError, load_equivalents
from cio_conformance.workbench.mutation.fake_cases import FakeBench, FakeCase, load_fake_cases
from cio_conformance.workbench.mutation.fake_mutants import fake_mutants
from cio_conformance.workbench.mutation.render_cases import CHECKS, Bench
from cio_conformance.workbench.mutation.run import Verdict, try_mutants
from cio_conformance.workbench.mutation.table_mutants import TableMutant, table_mutants
from click.testing import CliRunner, Result

OVERLAY = """
table: shop
doc: An order.
events: [track]
operation: event
when: {event: Order Completed}
extends: default
rows:
  - key: data.sum
    from: [properties.total, properties.amount]
    doc: The total.
"""
CASE = """
  - name: {name}
    event: {{type: track, messageId: "{id}", userId: u, event: {event},
       timestamp: "2026-03-02T09:00:00Z", properties: {{{given}}}}}
    expect:
      v1:
        - method: POST
          path: /api/v1/customers/u/events
          body: {{name: {event}, id: "{id}", timestamp: 1772442000, type: event,
             data: {{userId: u, {data}}}}}
      v2:
        - method: POST
          path: /api/v2/batch
          body: {{type: person, identifiers: {{id: u}}, action: event, name: {event}, id: "{id}",
             timestamp: 1772442000, attributes: {{userId: u, {data}}}}}
"""


def case(name: str, given: str, more: str = "", event: str = "Order Completed") -> str:
    """A case whose data are the properties given, and more."""
    return CASE.format(name=name, id=name, event=event, given=given, data=given + more)


TOTAL = case("total", "total: 5", ", sum: 5")
AMOUNT = case("amount", "amount: 6", ", sum: 6")
BOTH = case("both", "total: 5, amount: 6", ", sum: 5")
NEITHER = case("neither", "a: 1")
OTHER = case("other", "amount: 6", event="Plain")


def mutate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["mutate", *map(str, arguments)])


def own(folder: Path, *cases: str) -> list[str | Path]:
    """Options for tables and cases of a user's own."""
    tables, fixtures = folder / "tables", folder / "fixtures"
    tables.mkdir()
    fixtures.mkdir()
    (tables / "shop.yaml").write_text(OVERLAY)
    (fixtures / "shop.yaml").write_text(f"family: shop\ncases:\n{''.join(cases)}")
    return ["--overlay", tables, "--fixtures", fixtures]


def named(mutants: Sequence[TableMutant], name: str) -> TableMutant:
    return next(mutant for mutant in mutants if mutant.name == name)


def test_a_mutant_that_a_case_tells_of_is_killed() -> None:
    result = mutate("--filter", r"^page\.name: from context.page.url left out")
    assert result.output == "2 mutants, 2 killed, 0 equivalent, 0 survived\n"
    assert result.exit_code == 0


def test_tables_that_can_not_be_loaded_are_killed_by_their_checks() -> None:
    bench = Bench([golden for golden in load_fixtures() if golden.family.family == "page"])
    mutant = named(table_mutants(bench.tables()), "page.name: key renamed [standard]")
    assert bench.killer(mutant) == CHECKS


def test_a_survivor_is_reported_with_exit_1(tmp_path: Path) -> None:
    result = mutate(*own(tmp_path, TOTAL, AMOUNT, NEITHER, OTHER))
    assert result.exit_code == 1, result.output
    survivors = [line for line in result.output.splitlines() if line.startswith("survived")]
    assert survivors == [
        "survived: shop.data.sum: from properties.amount before properties.total [standard]"
    ]
    assert result.output.endswith(", 0 equivalent, 1 survived\n")


def test_only_rows_of_a_users_own_tables_are_changed(tmp_path: Path) -> None:
    options = own(tmp_path, TOTAL, AMOUNT, BOTH, NEITHER, OTHER)
    listed = mutate(*options, "--list").output.splitlines()
    assert listed
    assert all(name.startswith("shop") for name in listed)
    assert mutate(*options).exit_code == 0


def test_a_case_that_is_wrong_as_it_is_ends_the_run(tmp_path: Path) -> None:
    result = mutate(*own(tmp_path, TOTAL.replace("timestamp: 1772442000", "timestamp: 1")))
    assert result.exit_code == 2
    assert result.output == "not as its golden says, without any change: shop: total\n"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("page.name: from name left out", "is killed by "),
        ("page.name: from nowhere left out", "there is no such mutant"),
    ],
)
def test_a_stale_equivalent_fails_the_run(tmp_path: Path, name: str, problem: str) -> None:
    path = tmp_path / "equivalents.yaml"
    path.write_text(f'- {{reason: It seemed so., mutants: ["{name}"]}}\n')
    result = mutate("--filter", r"^page\.name: from name left", "--equivalents", path)
    assert result.exit_code == 1
    assert "stale in the list of equivalents: " + name in result.output
    assert problem in result.output


def test_an_equivalent_that_stands_twice_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "equivalents.yaml"
    path.write_text("- {reason: a, mutants: [m]}\n- {reason: b, mutants: [m]}\n")
    with pytest.raises(EquivalentsError, match="'m' stands there twice"):
        load_equivalents(path)


def test_cases_run_under_the_settings_of_their_family() -> None:
    family = "family: f\nsettings: {identify_timestamp: true}\ncases:\n"
    case = """
  - name: n
    event: {type: identify, messageId: m, userId: u, timestamp: "2026-03-02T09:00:00Z"}
    expect:
      v1: [{method: PUT, path: /api/v1/customers/u, body: {_timestamp: 1772442000}}]
      v2: [{method: POST, path: /api/v2/batch, body: {type: person, identifiers: {id: u},
         action: identify, attributes: {}, timestamp: 1772442000}}]
"""
    bench = Bench(parse_fixtures(family + case, "f.yaml"))
    assert bench.wrong() == []
    mutants = table_mutants(bench.tables())
    assert bench.killer(named(mutants, "identify._timestamp: row removed [standard]")) == "f: n"


def test_every_mutant_of_the_documented_profile_is_told_of() -> None:
    result = mutate("--profile", "documented", "--jobs", "1")
    assert result.exit_code == 0, result.output


def test_mutants_of_the_encoders_data_are_told_of() -> None:
    # All of them take too long here; make mutate tries them.
    some = "^limits: |^operations: (merge_people|delete_device|delivery_metric|add_device)"
    result = mutate("--filter", some, "--jobs", "1")
    assert result.exit_code == 0, result.output


def test_a_change_of_the_encoders_data_does_not_outlast_its_trial() -> None:
    bench = Bench([golden for golden in load_fixtures() if golden.family.family == "devices"])
    for mutant in encoder_mutants()[::20]:
        bench.killer(mutant)
    assert bench.wrong() == []


def test_processes_come_to_the_same_as_one() -> None:
    bench = Bench([golden for golden in load_fixtures() if golden.family.family == "alias"])
    mutants = [each for each in table_mutants(bench.tables()) if each.table in ("alias", "device")]

    def tried(jobs: int) -> Verdict:
        return try_mutants(mutants, bench.killer, {}, known=(), jobs=jobs)

    assert len(mutants) > 100
    assert tried(2) == tried(1)
    assert {name.partition(".")[0] for name in tried(1).killed} >= {"alias"}


def test_the_names_of_mutants_are_unique() -> None:
    bench = Bench(load_fixtures())
    mutants = [*table_mutants(bench.tables()), *encoder_mutants(), *fake_mutants()]
    names = [mutant.name for mutant in mutants]
    assert len(names) == len(set(names))


# The fake


def test_every_rule_of_the_fake_is_told_of() -> None:
    result = mutate("--fake")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("case", load_fake_cases(), ids=lambda case: case.rule)
def test_the_fake_takes_and_rejects_what_its_cases_say(case: FakeCase) -> None:
    assert case.told() is None


def test_a_rule_of_the_fake_is_told_of_by_its_own_case_alone() -> None:
    (mutant,) = [each for each in fake_mutants() if each.name == "fake: limits: person_id + 1"]
    cases = load_fake_cases()
    assert FakeBench(cases).killer(mutant) == "limits: person_id + 1"
    others = [case for case in cases if case.rule != "limits: person_id + 1"]
    assert FakeBench(others).killer(mutant) is None
    assert FakeBench(others).wrong() == []


def test_a_case_of_no_rule_is_named() -> None:
    case = FakeCase(rule="no such", path="/api/v1/events", status=200)
    assert FakeBench([case]).unknown(["fake: limits: person_id + 1"]) == ["no such"]
