"""The command `delivery`: against toys that misbehave, and against the real sidecar."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import orjson
import pytest
from cio_conformance.cases.golden_cases import FixtureError
from cio_conformance.cli import main
from cio_conformance.delivery.cases import load_cases, parse_cases
from click.testing import CliRunner, Result

from tests.conformance.delivery_toy import Toy, serving

CASES = """\
family: toy
cases:
  - name: trouble
    events:
      a1: {type: track, userId: ann, event: First}
      a2: {type: track, userId: ann, event: Second}
    scenario: [{status: 503, count: 1}]
    expect: {taken: {ann: [a1, a2]}}
  - name: waiting
    events: {a1: {type: track, userId: ann, event: First}}
    scenario: [{status: 429, retry_after: 1, count: 1}]
    expect: {taken: {ann: [a1]}}
  - name: lost answer
    events: {a1: {type: track, userId: ann, event: First}}
    scenario: [{cut: after, count: 1}]
    expect: {taken: {ann: [a1]}}
  - name: broken answer
    events: {a1: {type: track, userId: ann, event: First}}
    scenario: [{truncate: 1, count: 1}, {malformed: html, count: 1}]
    expect: {taken: {ann: [a1]}}
  - name: rejection
    events:
      a1: {type: track, userId: ann, event: Bad}
      a2: {type: track, userId: ann, event: Good}
    scenario: [{reject: [{name: Bad}]}]
    expect: {taken: {ann: [a2]}, rejected: [a1]}
  - name: bystander
    events:
      a1: {type: track, userId: ann, event: First}
      b1: {type: track, userId: bob, event: First}
    play:
      - fake: [{status: 503, when: {person: ann}}]
      - send: [a1]
      - asked: 1
      - send: [b1]
      - settled: [b1]
      - fake: []
    expect: {taken: {ann: [a1], bob: [b1]}}
  - name: credentials
    events: {a1: {type: track, userId: ann, event: First}}
    play: [{credentials: wrong}, {send: [a1]}, {asked: 1}, {credentials: right}]
    expect: {taken: {ann: [a1]}}
  - name: page
    events: {a1: {type: track, userId: ann, event: First}}
    scenario: [{malformed: html, status: 404, count: 1}]
    expect: {taken: {ann: [a1]}}
  - name: order
    events:
      a1: {type: track, userId: ann, event: First}
      b1: {type: track, userId: bob, event: First}
    play:
      - fake: [{status: 503, when: {person: ann}}]
      - send: [a1]
      - asked: 1
      - send: [b1]
      - settled: [b1]
      - fake: []
    expect: {taken: {ann: [a1], bob: [b1]}, order: [b1, a1]}
"""


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "toy.yaml").write_text(CASES)
    return folder


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["delivery", *arguments], catch_exceptions=False)
    assert "Traceback" not in result.output
    return result


def run(cases: Path, *arguments: str, patience: float = 0.7, **mistakes: Any) -> Result:
    """Run the toy's cases against a toy."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    with serving(Toy(f"http://{listen}", **mistakes)) as address:
        to = ("--target", address, "--fake-listen", listen, "--api", "v1")
        return invoke(*to, "--patience", str(patience), "--cases", str(cases), *arguments)


def test_a_sidecar_that_behaves_passes(cases: Path) -> None:
    result = run(cases, patience=20.0)
    assert result.output.splitlines() == ["9 passed, 0 failed, 0 skipped"]
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("case", "mistakes", "words"),
    [
        ("trouble", {"drops": lambda status: status == 503}, "a1 must be taken, and never was"),
        ("trouble", {"reorders": True}, "a2 came before a1 had ended"),
        ("trouble", {"reorders": True}, "ann: expected the order a1, a2, got a2, a1"),
        ("trouble", {"doubles": True}, "a1 came again after it was taken"),
        ("waiting", {"drops": lambda status: status == 429}, "(requests: 1; the last: HTTP 429)"),
        ("waiting", {"hurries": True}, "s before Retry-After was over"),
        ("lost answer", {"drops": lambda status: status == 0}, "the last: HTTP 200, cut"),
        ("lost answer", {"renames": True}, "must hold a1, each once, and holds nothing"),
        (
            "broken answer",
            {"believes": True, "drops": lambda status: status == 502},
            "the last: HTTP 502",
        ),
        ("rejection", {"insists": True}, "a1 came again after it was rejected"),
        ("bystander", {"one_lane": True}, "waited 0.7 s for the end of b1, while others"),
        (
            "page",
            {"believes": True},
            "a1 must be taken, and never was (requests: 1; the last: HTTP 404)",
        ),
        ("credentials", {"drops": lambda status: status == 401}, "the last: HTTP 401"),
    ],
)
def test_a_sidecar_that_misbehaves_fails(
    cases: Path, case: str, mistakes: dict[str, Any], words: str
) -> None:
    result = run(cases, "--filter", case, **mistakes)
    assert result.exit_code == 1
    assert result.output.startswith(f"FAILED toy: {case} [standard, v1]\n")
    assert words in result.output


def test_an_order_across_persons_that_is_not_kept_fails(cases: Path) -> None:
    (cases / "toy.yaml").write_text(CASES.replace("order: [b1, a1]", "order: [a1, b1]"))
    result = run(cases, "--filter", "order", patience=20.0)
    assert result.exit_code == 1
    assert "expected the order a1, b1, got b1, a1" in result.output


def test_after_a_sidecar_is_stuck_the_other_cases_are_not_run(cases: Path) -> None:
    result = run(cases, "--filter", "trouble|rejection", patience=0.3, mute=True)
    assert result.exit_code == 1
    assert "not run: a plain track event, sent after its start, was not delivered" in result.output
    assert result.output.splitlines()[-1] == "0 passed, 2 failed, 0 skipped"


def test_a_scenario_that_does_not_happen_fails(cases: Path) -> None:
    (cases / "toy.yaml").write_text(
        CASES.replace("{status: 503, count: 1}", "{status: 503, when: {person: bob}, count: 2}")
    )
    result = run(cases, "--filter", "trouble")
    assert result.exit_code == 1
    assert "the fake's step 1 had 0 of its 2" in result.output


def test_reports_hold_every_result(cases: Path, tmp_path: Path) -> None:
    report = tmp_path / "results.json"
    junit = tmp_path / "junit.xml"
    reports = ("--report", f"json={report}", "--report", f"junit={junit}")
    run(cases, "--filter", "trouble", *reports)
    (result,) = orjson.loads(report.read_bytes())
    assert result == result | {
        "family": "toy",
        "case": "trouble",
        "profile": "standard",
        "api": "v1",
        "settings": {},
        "outcome": "passed",
        "message": "",
    }
    assert 'name="trouble"' in junit.read_text()


def test_the_real_sidecar_passes_every_case_by_both_apis() -> None:
    result = invoke("--patience", "30")
    assert result.exit_code == 0, result.output
    count = 2 * len(load_cases())
    assert result.output.splitlines()[-1] == f"{count} passed, 0 failed, 0 skipped"


def test_what_delivery_must_withstand_has_cases() -> None:
    played = [step for golden in load_cases() for act in golden.case.acts for step in act.steps]
    assert {step.status for step in played} >= {400, 413, 429, 500, 502, 503, 504}
    assert {step.cut for step in played} >= {"before", "after", "headers"}
    assert {step.malformed for step in played} >= {"html", "json", "indexes"}
    for kind in ("delay_ms", "truncate", "reject", "rate", "retry_after"):
        assert any(getattr(step, kind) for step in played), kind


@pytest.mark.parametrize(
    ("more", "mistake"),
    [
        ({"expect": {"taken": {"u": ["a", "b"]}}}, "each of the events a ends once"),
        ({"expect": {"taken": {"u": ["a"]}, "rejected": ["a"]}}, "each of the events a ends once"),
        ({"expect": {"taken": {"v": ["a"]}}}, "a: not of v"),
        ({"play": [{"fake": []}]}, "each of the events a is sent once"),
        ({"play": [{"send": ["a"], "asked": 1}]}, "give exactly one of"),
        ({"play": [{"send": ["a"]}], "scenario": [{"cut": "after"}]}, "scenario or play, not both"),
        ({"operations": {"b": 2}}, "there is no event b"),
        ({"expect": {"taken": {"u": ["a"]}, "order": ["b"]}}, "there is no event b"),
        ({"scenario": [{"cut": "up"}]}, "steps[0].cut: must be one of"),
        ({"often": 1}, "x.yaml:1: case 'n': often: there is no such key; there are name"),
    ],
)
def test_a_case_that_makes_no_sense_is_rejected_with_its_line(
    more: dict[str, Any], mistake: str
) -> None:
    case = {
        "name": "n",
        "events": {"a": {"type": "track", "userId": "u", "event": "e"}},
        "expect": {"taken": {"u": ["a"]}},
        **more,
    }
    text = orjson.dumps({"family": "f", "cases": [case]}).decode()
    with pytest.raises(FixtureError, match=r"^x.yaml:1: ") as caught:
        parse_cases(text, "x.yaml")
    assert mistake in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--filter", "no such case"], "no case matches"),
        (["--target", "127.0.0.1:1"], "--target and --fake-listen go together"),
        (["--cases", "/nowhere"], "expected a folder with delivery cases"),
    ],
)
def test_what_cannot_be_used_exits_2_with_a_clear_line(arguments: list[str], words: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert words in result.output
