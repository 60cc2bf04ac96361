"""The command `run`: against toys that misbehave, and against the real sidecar."""

from __future__ import annotations

import shlex
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from cio_conformance.cases.golden_cases import Golden, load_fixtures
from cio_conformance.cli import main
from cio_conformance.run import suite
from cio_conformance.run.credentials import DEFAULT
from cio_conformance.run.result import Result as CaseResult
from cio_conformance.run.result import Setup
from click.testing import CliRunner, Result
from junitparser import JUnitXml

from tests.conformance.toy import CASES, DUPLICATE, LOOSE, Request, Toy, serving

Change = Callable[[list[Request]], list[Request]]


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "toy.yaml").write_text(CASES)
    return folder


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["run", *arguments], catch_exceptions=False)
    assert "Traceback" not in result.output
    return result


def run(cases: Path, *arguments: str, **behaviour: Any) -> Result:
    """Run the toy's cases against a toy."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    with serving(Toy(f"http://{listen}", **behaviour)) as address:
        to = ("--target", address, "--fake-listen", listen, "--api", "v1", "--patience", "1")
        return invoke(*to, "--seed", "1", "--fixtures", str(cases), *arguments)


def test_a_sidecar_that_behaves_passes(cases: Path) -> None:
    result = run(cases)
    assert result.output.splitlines() == ["3 passed, 0 failed, 0 skipped"]
    assert result.exit_code == 0


def test_a_body_that_differs_fails_with_a_diff(cases: Path) -> None:
    def change(requests: list[Request]) -> list[Request]:
        for _, _, body in requests:
            if "total" in body["data"]:
                body["data"]["total"] = 5.0
        return requests

    result = run(cases, requests=change)
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0] == "FAILED toy: a purchase [standard, v1]"
    assert lines[1] == "    other requests:"
    assert [line.split() for line in lines if line.startswith(("    - ", "    + "))] == [
        ["-", '"total":', "5"],
        ["+", '"total":', "5.0"],
    ]
    assert lines[-1] == "2 passed, 1 failed, 0 skipped"


def test_a_request_that_does_not_come_fails(cases: Path) -> None:
    result = run(cases, "--filter", "purchase", requests=lambda _: [])
    assert result.exit_code == 1
    assert "expected 1 request, 0 requests came" in result.output
    assert "waited 1 s for it" in result.output


def test_a_request_that_comes_twice_fails(cases: Path) -> None:
    result = run(cases, requests=lambda requests: requests * 2)
    assert result.exit_code == 1
    assert "expected 1 request, 2 requests came" in result.output
    assert result.output.splitlines()[-1] == "1 passed, 2 failed, 0 skipped"


def test_a_request_that_the_fake_rejects_fails_with_its_answer(cases: Path) -> None:
    def change(requests: list[Request]) -> list[Request]:
        return [(method, path, {**body, "name": ""}) for method, path, body in requests]

    result = run(cases, "--filter", "visit", requests=change)
    assert "Customer.io (the fake) answered HTTP 400" in result.output
    assert '-      "name": "Came",' in result.output


def test_an_event_rejected_by_mistake_fails_with_the_violations(cases: Path) -> None:
    result = run(
        cases,
        "--filter",
        "purchase",
        violations=lambda _: [("event", "TOO_LARGE")],
    )
    assert result.exit_code == 1
    assert "expected ACCEPTED, got INVALID_ARGUMENT: no" in result.output
    assert "event: TOO_LARGE: said so" in result.output


def test_an_event_accepted_by_mistake_fails(cases: Path) -> None:
    result = run(cases, "--filter", "nobody", violations=lambda _: [])
    assert result.exit_code == 1
    assert "expected INVALID_ARGUMENT (userId: NO_PERSON), got ACCEPTED" in result.output
    assert "expected 0 requests, 1 request came" in result.output


def test_an_event_rejected_for_another_reason_fails(cases: Path) -> None:
    result = run(
        cases, "--filter", "nobody", violations=lambda found: found and [("userId", "REQUIRED")]
    )
    assert result.exit_code == 1
    assert '-  "userId: NO_PERSON"' in result.output
    assert '+  "userId: REQUIRED"' in result.output


def test_a_duplicate_fails_and_says_what_to_do(cases: Path) -> None:
    result = run(cases, "--filter", "visit", status=lambda _: DUPLICATE)
    assert result.exit_code == 1
    assert "got DUPLICATE" in result.output
    assert "CIO_DEDUP_WINDOW_SECONDS=0" in result.output


def test_a_warning_that_no_case_expects_fails(cases: Path) -> None:
    result = run(cases, "--filter", "visit", warnings=["event"])
    assert result.exit_code == 1
    assert '+  "event"' in result.output


def test_cases_that_need_json_are_skipped_with_a_target(cases: Path) -> None:
    (cases / "loose.yaml").write_text(LOOSE)
    lines = run(cases).output.splitlines()
    assert lines[0].startswith("skipped loose: a number for a type [standard, v1]: left to render")
    assert lines[-2:] == ["left to render: 1 of loose, skipped", "3 passed, 0 failed, 1 skipped"]


def test_reports_hold_every_result(cases: Path, tmp_path: Path) -> None:
    (cases / "loose.yaml").write_text(LOOSE)
    junit, plain = tmp_path / "junit.xml", tmp_path / "results.json"
    reports = ("--report", f"junit={junit}", "--report", f"json={plain}")
    run(cases, *reports, requests=lambda requests: [*requests, ("PUT", "/a", {"a": "\x7f\ufffe"})])
    suites = {suite.name: list(suite) for suite in JUnitXml.fromfile(str(junit))}
    assert list(suites) == ["toy (standard, v1)", "loose (standard, v1)"]
    assert [case.name for case in suites["toy (standard, v1)"]] == [
        "a purchase",
        "a visit",
        "nobody",
    ]
    assert suites["toy (standard, v1)"][0].result[0].text.startswith("expected 1 request")
    assert "\x7f\ufffd" in suites["toy (standard, v1)"][0].result[0].text
    assert suites["loose (standard, v1)"][0].is_skipped
    results = orjson.loads(plain.read_bytes())
    assert [result["outcome"] for result in results] == ["failed", "failed", "passed", "skipped"]
    assert {**results[2], "duration_seconds": 0} == {
        "family": "toy",
        "case": "nobody",
        "profile": "standard",
        "api": "v1",
        "settings": {},
        "via": None,
        "outcome": "passed",
        "message": "",
        "duration_seconds": 0,
        "expected": None,
        "received": None,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--filter", "("], "is no regular expression"),
        (["--filter", "no such case"], "no case matches"),
        (["--report", "xml=x"], "expected html=PATH or json=PATH or junit=PATH or markdown=PATH"),
        (["--report", "json=/nowhere/x"], "there is no folder /nowhere"),
        (["--target", "127.0.0.1:1"], "--target and --fake-listen go together"),
        (["--target", "x", "--fake-listen", "y"], "expected host:port"),
        (["--fixtures", "/nowhere"], "expected a folder with fixture files"),
    ],
)
def test_what_cannot_be_used_exits_2_with_a_clear_line(arguments: list[str], words: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert words in result.output


def test_a_target_that_is_not_there_exits_2(tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 'none.sock'}"
    result = invoke("--target", address, "--fake-listen", "127.0.0.1:0", "--patience", "0.2")
    assert result.exit_code == 2
    assert f"{address}: expected a sidecar that serves within 0.2 s" in result.output


def test_a_taken_address_for_the_fake_exits_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        result = invoke("--target", "127.0.0.1:1", "--fake-listen", listen)
    assert result.exit_code == 2
    assert f"the fake can't listen on {listen}" in result.output


def test_a_sidecar_that_dies_at_its_start_exits_2_with_its_words(
    cases: Path, tmp_path: Path
) -> None:
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (overlay / "track.yaml").write_text("table: [")
    result = invoke("--fixtures", str(cases), "--api", "v1", "--overlay", str(overlay))
    assert result.exit_code == 2
    assert "the sidecar ended with exit code 2; it said:\n" in result.output
    assert f"{overlay / 'track.yaml'}:2: " in result.output


SETTINGS = "settings: {deny_traits: [ssn, a.b], event_id: ulid, identify_timestamp: true}\n"


@pytest.fixture
def told(cases: Path) -> Path:
    """Cases with settings, once over gRPC and once in direct mode."""
    (cases / "toy.yaml").write_text(SETTINGS + CASES)
    (cases / "loose.yaml").write_text(SETTINGS + LOOSE)
    return cases


def test_a_sidecar_gets_the_settings_of_a_family_as_variables(
    told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The user's own setting must not reach it.
    monkeypatch.setenv("CIO_LIMITS", "truncate")
    names = "CIO_DENY_TRAITS CIO_EVENT_ID CIO_IDENTIFY_TIMESTAMP CIO_LIMITS"
    script = f"import os; raise SystemExit([os.environ.get(n) for n in {names.split()}])"
    shown = shlex.join([sys.executable, "-c", script])
    result = invoke("--fixtures", str(told), "--filter", "toy", "--exec", shown)
    assert result.exit_code == 2
    assert "it said:\n  ['ssn,a.b', 'ulid', 'true', None]" in result.output


def test_families_with_settings_are_skipped_with_a_target_which_would_need_them(
    told: Path,
) -> None:
    (told / "plain.yaml").write_text(CASES.replace("family: toy", "family: plain"))
    lines = run(told).output.splitlines()
    needs = "CIO_DENY_TRAITS=ssn,a.b CIO_EVENT_ID=ulid CIO_IDENTIFY_TIMESTAMP=true"
    assert lines[:4] == [
        f"skipped {name} [standard, v1]: the target would need {needs}"
        for name in (
            "loose: a number for a type",
            "toy: a purchase",
            "toy: a visit",
            "toy: nobody",
        )
    ]
    assert lines[-1] == "3 passed, 0 failed, 4 skipped"


HEEDED = """\
settings: {deny_traits: [ssn, address.street], identify_timestamp: true}
cases:
  - name: an identify
    event: {type: identify, messageId: 01HB4HBDKTPDE3GGFBKQ41C9RZ, userId: ann,
            timestamp: "2023-10-01T12:00:00Z", traits: {ssn: "1", address: {street: s, city: c}}}
    expect:
      v1:
        - {method: PUT, path: /api/v1/customers/ann,
           body: {address: {city: c}, _timestamp: 1696161600}}
      v2:
        - {method: POST, path: /api/v2/batch, body: {type: person, identifiers: {id: ann},
           action: identify, timestamp: 1696161600, attributes: {address: {city: c}}}}
"""


def test_the_real_sidecar_and_direct_mode_heed_the_settings_of_a_family(tmp_path: Path) -> None:
    (tmp_path / "sent.yaml").write_text(f"family: sent\n{HEEDED}")
    (tmp_path / "rendered.yaml").write_text(f"family: rendered\nneeds: json\n{HEEDED}")
    result = invoke("--fixtures", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "4 passed, 0 failed, 0 skipped"


def test_every_setup_has_a_sidecar_of_its_own_and_the_order_of_results_is_theirs(
    told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (told / "plain.yaml").write_text(CASES.replace("family: toy", "family: plain"))
    seen: list[str] = []

    def start(goldens: Sequence[Golden], setup: Setup, *_: Any) -> list[CaseResult]:
        seen.append(str(setup))
        return [CaseResult(golden, setup, "passed") for golden in goldens]

    monkeypatch.setattr(suite, "_run_started", start)
    goldens = [golden for golden in load_fixtures(told) if golden.family.needs == "grpc"]
    results = suite.run_started(goldens, credentials=DEFAULT, patience_seconds=1)
    told_so = "deny_traits=ssn,a.b, event_id=ulid, identify_timestamp=true"
    setups = [
        "standard, auto",
        f"standard, auto, {told_so}",
        "standard, v1",
        f"standard, v1, {told_so}",
    ]
    assert sorted(seen) == setups
    assert [str(result) for result in results] == [
        f"{family}: {case} [{setup}]"
        for setup in setups
        for family in (["toy"] if told_so in setup else ["plain"])
        for case in ("a purchase", "a visit", "nobody")
    ]


def test_the_real_sidecar_passes_the_whole_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    # The user's own settings must not reach the sidecars.
    monkeypatch.setenv("CIO_OVERLAY", "/nowhere")
    monkeypatch.setenv("CIO_CONFIG", "/nowhere.toml")
    result = invoke()
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].endswith(" passed, 0 failed, 0 skipped")


OWN_TABLE = """\
table: joined
doc: A person joined a group.
events: [track]
when: {event: joined}
operation: event
rows:
  - {key: name, value: Group Joined, doc: Every such event has this name.}
  - {key: id, level: required, from: messageId, apply: [identifier], doc: Unique id.}
  - {key: data.group, from: properties.group, apply: [identifier], doc: The group.}
  - {key: timestamp, from: [timestamp, receivedAt], apply: [unix_seconds], doc: When.}
"""
OWN_CASES = """\
family: joined
cases:
  - name: joined
    covers: [joined.name, joined.id, joined.data.group, joined.timestamp]
    event: {type: track, event: joined, messageId: 01HB4HBDKTPDE3GGFBKQ41C9RZ, userId: ann,
            properties: {group: acme}, timestamp: "2023-10-01T12:00:00Z"}
    expect:
      v1:
        - {method: POST, path: /api/v1/customers/ann/events, body: {name: Group Joined,
           id: 01HB4HBDKTPDE3GGFBKQ41C9RZ, data: {group: acme}, timestamp: 1696161600, type: event}}
      v2:
        - {method: POST, path: /api/v2/batch, body: {type: person, identifiers: {id: ann},
           action: event, name: Group Joined, id: 01HB4HBDKTPDE3GGFBKQ41C9RZ,
           timestamp: 1696161600, attributes: {group: acme}}}
"""


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """Options for tables and cases of a user's own."""
    for name, text in (("tables", OWN_TABLE), ("cases", OWN_CASES)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "joined.yaml").write_text(text)
    return ["--overlay", str(tmp_path / "tables"), "--fixtures", str(tmp_path / "cases")]


def test_cases_of_ones_own_run_with_tables_of_ones_own(own: list[str]) -> None:
    result = invoke(*own)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "2 passed, 0 failed, 0 skipped"
    assert '-      "name": "Group Joined",' in invoke(*own[2:]).output


def test_coverage_of_tables_of_ones_own_asks_for_their_rows_alone(own: list[str]) -> None:
    result = CliRunner().invoke(main, ["coverage", *own])
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == "4 rows, 2 not covered, 0 mistakes"
    assert "not covered: joined.data.group lacks a negative case" in result.output
    # The sidecar always has a time, so that one can't be missing.
    assert "joined.timestamp lacks" not in result.output
    assert "page.name" not in result.output


def test_an_overlay_is_not_for_a_target(own: list[str]) -> None:
    result = invoke("--target", "127.0.0.1:1", "--fake-listen", "127.0.0.1:2", *own)
    assert result.exit_code == 2
    assert "the target has its own" in result.output
