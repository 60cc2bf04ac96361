"""Every rule of the fake, kept and broken; and the page that lists them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cio_conformance.cli import main
from cio_fake.rule_catalogue import Rule, rules
from cio_fake.rule_page import ask, complaints, concerns, table
from cio_fake.shapes import fields_with_source, load
from click.testing import CliRunner

PAGE = Path(__file__).parents[2] / "docs" / "fake-rules.md"
RULES = list(rules())


@pytest.mark.parametrize("where", list(dict.fromkeys(rule.where for rule in RULES)))
def test_a_request_that_keeps_a_rule_is_taken_and_one_that_breaks_it_rejected(where: str) -> None:
    for rule in RULES:
        if rule.where != where:
            continue
        kept = ask(rule, broken=False)
        # The one item of the example is no operation, which is for the item to say.
        well = (200, 204, 207) if where == "POST /api/v2/batch" else (200, 204)
        assert kept.status in well, (rule.field, rule.text, kept.body)
        broken = ask(rule, broken=True)
        assert broken.status == 400, (rule.field, rule.text, broken.body)
        assert any(concerns(said, rule) for said in complaints(broken)), (rule.field, broken.body)


def test_every_endpoint_with_a_body_every_operation_and_every_field_is_there() -> None:
    shapes = load()
    listed: dict[str, set[str]] = {}
    for rule in RULES:
        listed.setdefault(rule.where, set()).add(rule.field.replace("[0]", ""))
    bodies = {
        f"{endpoint.method} {endpoint.path}": endpoint.body
        for name, endpoint in shapes.endpoints.items()
        if endpoint.body and name != "entity"
    }
    bodies |= {
        f"v2 {kind} {action}": shape
        for kind, actions in shapes.operations.items()
        for action, shape in actions.items()
    }
    for where, body in bodies.items():
        named = {path for path, shape in fields_with_source(body) if shape.type != "any"}
        # The walk writes what is within a list right behind the list's own field.
        assert {path.rpartition(".")[2] for path in named} <= {
            field.rpartition(".")[2] for field in listed[where]
        }


def test_every_limit_is_there() -> None:
    sources = {rule.source for rule in RULES}
    assert {limit.source for limit in load().limits.values()} <= sources


def test_every_rule_names_its_source() -> None:
    assert [f"{rule.where} {rule.field}" for rule in RULES if not rule.source] == []


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == table(), (
        "run cio-conformance fake --rules > docs/fake-rules.md"
    )


def test_the_command_writes_the_page() -> None:
    result = CliRunner().invoke(main, ["fake", "--rules"])
    assert result.exit_code == 0
    assert result.output == table()


def test_a_complaint_about_another_field_proves_nothing() -> None:
    rule: Rule = next(rule for rule in RULES if rule.field == "timestamp")
    assert concerns("timestamp: must be a whole number of Unix seconds", rule)
    assert not concerns("name: must be a whole number of Unix seconds", rule)
    assert not concerns("timestamp: is required", rule)
