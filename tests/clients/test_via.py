"""`run --via`: what the suite gives to a driver, and what it makes of what comes back."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cio_conformance
import pytest
from cio_conformance.drivers.lines import NotByLine, answer_of, line_of
from jsonschema import Draft202012Validator

from tests.conformance.support import invoke

ROOT = Path(__file__).parents[2]
SCHEMA = Path(cio_conformance.__file__).parent / "cases" / "schemas" / "report.schema.json"

CASES = """
family: toy
cases:
  - name: a total
    covers: []
    profile: documented
    event: {type: track, messageId: m1, userId: ann, timestamp: 1700000000, event: Paid,
      properties: {total: 12, note: "é", tags: [1.5, null, {}]}}
    expect:
      v1: [{method: POST, path: /api/v1/customers/ann/events, body: {name: Paid, id: m1,
        type: event, timestamp: 1700000000,
        data: {total: 12, note: "é", tags: [1.5, null, {}], userId: ann}}}]
      v2: [{method: POST, path: /api/v2/batch, body: {type: person, identifiers: {id: ann},
        action: event, name: Paid, id: m1, timestamp: 1700000000,
        attributes: {total: 12, note: "é", tags: [1.5, null, {}], userId: ann}}}]
  - name: a large integer
    covers: []
    profile: documented
    event: {type: track, messageId: m2, userId: bob, timestamp: 1700000000, event: Paid,
      properties: {n: 9007199254740993}}
    expect:
      v1: [{method: POST, path: /api/v1/customers/bob/events, body: {name: Paid, id: m2,
        type: event, timestamp: 1700000000, data: {n: 9007199254740993, userId: bob}}}]
      v2: [{method: POST, path: /api/v2/batch, body: {type: person, identifiers: {id: bob},
        action: event, name: Paid, id: m2, timestamp: 1700000000,
        attributes: {n: 9007199254740993, userId: bob}}}]
  - name: nobody
    covers: []
    profile: documented
    event: {type: page, messageId: m3, name: Home}
    reject: [{field: userId, reason: NO_PERSON}]
"""


@pytest.fixture
def cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A command runs where the suite runs: there the module is.
    monkeypatch.chdir(ROOT)
    (tmp_path / "toy.yaml").write_text(CASES)
    return tmp_path


def toy(manner: str = "") -> str:
    return shlex.join([sys.executable, "-m", "tests.clients.toy_driver", manner])


def run(cases: Path, *arguments: str) -> tuple[int, str]:
    result = invoke("--fixtures", str(cases), "--api", "v1", "--patience", "5", *arguments)
    return result.exit_code, result.output


def test_every_case_goes_by_both_routes_where_a_struct_can_hold_it(cases: Path) -> None:
    code, output = run(cases, "--via", toy())
    assert output.splitlines()[-1] == "5 passed, 0 failed, 0 skipped"
    assert code == 0


def test_several_drivers_share_a_sidecar(cases: Path) -> None:
    code, output = run(cases, "--via", toy(), "--via", toy("doubles"), "--via-route", "json")
    assert output.splitlines()[-1] == "4 passed, 2 failed, 0 skipped"
    assert "FAILED toy: a large integer [documented, v1, via " in output
    assert "doubles send json]" in output
    assert code == 1


def test_a_known_failure_can_be_that_of_a_driver_as_the_run_shows_it(
    cases: Path, tmp_path: Path
) -> None:
    drivers = ("--via", toy(), "--via", toy("doubles"), "--via-route", "json")
    _, output = run(cases, *drivers)
    lines = output.splitlines()
    names = [line.removeprefix("FAILED ") for line in lines if line.startswith("FAILED ")]
    assert len(names) == 2
    known = tmp_path / "known.txt"
    known.write_text("\n".join(names))
    code, output = run(cases, *drivers, "--known-failing", str(known))
    assert output.splitlines()[-1] == "4 passed, 0 failed, 0 skipped, 2 known to fail"
    assert code == 0
    # A line that is not of this run, as of another driver, is no mistake, and makes nothing known.
    known.write_text("\n".join(name.replace("doubles", "halves") for name in names))
    code, output = run(cases, *drivers, "--known-failing", str(known))
    assert output.splitlines()[-1] == "4 passed, 2 failed, 0 skipped"
    assert code == 1
    # One that no run shows is.
    known.write_text(names[0].replace("send json", "send jsn"))
    code, output = run(cases, *drivers, "--known-failing", str(known))
    assert "there is no case" in output
    assert code == 2


def test_the_report_in_json_names_the_driver_the_call_and_the_route(
    cases: Path, tmp_path: Path
) -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    found = {}
    for routes in ((), ("--via-route", "struct")):
        path = tmp_path / "report.json"
        call = ("--via-call", "batch", "--report", f"json={path}")
        run(cases, "--via", toy(), *call, *routes)
        report = json.loads(path.read_bytes())
        Draft202012Validator(schema).validate(report)
        found[routes] = Counter((each["case"], *each["via"].values()) for each in report)
        assert {each["outcome"] for each in report} <= {"passed", "skipped"}
    sent = [(case, toy(), "batch", "struct") for case in ("a total", "nobody")]
    by_json = [(case, toy(), "batch", "json") for case in ("a total", "a large integer", "nobody")]
    assert found[()] == Counter([*sent, *by_json])
    assert found["--via-route", "struct"] == Counter(
        [*sent, ("a large integer", toy(), None, None)]
    )


def test_the_order_of_keys_in_text_made_of_an_object_counts_for_json_and_not_for_a_struct(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    case = "settings_device_events: Application Installed, every row"
    narrow = ("--profile", "standard", "--api", "v1", "--filter", case)
    result = invoke("--via", toy("sorts"), *narrow)
    assert result.output.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"
    assert "send json]" in result.output


def test_a_case_that_no_chosen_route_can_carry_is_skipped(cases: Path) -> None:
    code, output = run(cases, "--via", toy(), "--via-route", "struct")
    assert "properties.n is an integer beyond 2^53" in output
    assert output.splitlines()[-1] == "2 passed, 0 failed, 1 skipped"
    assert code == 0


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("leaves", "I have had enough"),
        (
            "babbles",
            'expected a receipt such as {"message_id": …, "status": "accepted"}, got hello',
        ),
    ],
)
def test_a_driver_that_fails_ends_the_run_and_is_quoted(
    cases: Path, manner: str, words: str
) -> None:
    code, output = run(cases, "--via", toy(manner))
    assert words in output
    assert code == 2


def test_a_driver_that_gives_no_receipt_ends_the_run(cases: Path) -> None:
    result = invoke("--fixtures", str(cases), "--via", toy("mute"), "--patience", "2")
    assert "gave no receipt within 2 s" in result.output
    assert result.exit_code == 2


def test_a_driver_that_is_not_there_is_named(cases: Path) -> None:
    code, output = run(cases, "--via", "clients/none/driver")
    assert "clients/none/driver: can't be started: No such file or directory" in output
    assert code == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--via-route", "json"], "are for --via alone"),
        (["--via", ""], "expected a command, got nothing"),
        (["--via", "'"], "--via: No closing quotation"),
        (
            ["--via", "a", "--target", "unix:/none", "--fake-listen", "127.0.0.1:1"],
            "--target remembers message ids",
        ),
    ],
)
def test_options_that_make_no_sense_are_rejected(
    cases: Path, options: list[str], words: str
) -> None:
    code, output = run(cases, *options)
    assert code == 2
    assert words in output


def test_a_line_holds_text_as_text_and_json_as_it_is_sent() -> None:
    event = {
        "type": "track",
        "userId": 42,
        "event": "Paid",
        "properties": {"n": 2**63},
        "context": {},
    }
    assert json.loads(line_of(event, "json")) == {
        "type": "track",
        "userId": "42",
        "event": "Paid",
        "properties": '{"n":9223372036854775808}',
        "context": "{}",
    }


def test_a_line_of_an_event_without_a_type_has_none() -> None:
    assert json.loads(line_of({"userId": "ann"}, "json")) == {"userId": "ann"}


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ({"n": 2**53 + 1}, "properties.n is an integer beyond 2^53"),
        ({"n": [{"x": 1.0}]}, "properties.n.0.x is a float without a fraction"),
        ({f"k{n}": n for n in range(301)}, "properties has more than 300 keys"),
        ({"n": math.nan}, "properties holds NaN or Infinity"),
        ("text", "properties is no object"),
        ([], "properties is no object"),
    ],
)
def test_what_a_struct_would_change_does_not_go_by_it(properties: Any, why: str) -> None:
    with pytest.raises(NotByLine, match=why.replace("^", r"\^")):
        line_of({"type": "track", "event": "E", "properties": properties}, "struct")


def test_a_struct_carries_what_a_double_holds() -> None:
    properties: dict[str, Any] = {
        "a": 2**53,
        "b": 1.5,
        "c": None,
        "d": [],
        "e": {},
        "f": True,
        "g": 1e300,
    }
    line = line_of({"type": "track", "event": "E", "properties": properties}, "struct")
    assert json.loads(line)["properties"] == properties


def test_receipts_are_read() -> None:
    assert answer_of(b'{"status": "accepted", "warnings": [{"field": "a"}]}').warnings == ["a"]
    assert answer_of(b'{"status": "duplicate"}').status == "DUPLICATE"
    failed = answer_of(b'{"status": "failed", "code": "UNAVAILABLE", "message": "gone"}')
    assert str(failed) == "UNAVAILABLE: gone"
    violation = b'{"field": "userId", "reason": "NO_PERSON", "description": "d"}'
    rejected = answer_of(b'{"status": "rejected", "violations": [%s]}' % violation)
    assert rejected.violations == [("userId", "NO_PERSON", "d")]


@pytest.mark.parametrize(
    "line", [b"", b"[]", b'{"status": "sent"}', b'{"status": "rejected", "violations": [1]}']
)
def test_what_is_no_receipt_is_told(line: bytes) -> None:
    with pytest.raises(ValueError, match="expected a receipt such as"):
        answer_of(line)
