"""`run --render`: the tables alone against the goldens, within the process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from cio_conformance.cli import main
from click.testing import CliRunner, Result

from tests.conformance.support import invoke

CASES = """\
family: shop
cases:
  - name: an order
    event: {type: track, messageId: order-1, userId: ann, event: Order Completed,
       timestamp: "2026-03-02T09:00:00Z", properties: {total: 5}}
    expect:
      v1:
        - {method: POST, path: /api/v1/customers/ann/events,
           body: {data: {total: 5, userId: ann}, name: Order Completed, id: order-1,
              timestamp: 1772442000, type: event}}
      v2:
        - {method: POST, path: /api/v2/batch,
           body: {type: person, identifiers: {id: ann}, action: event, name: Order Completed,
              id: order-1, timestamp: 1772442000, attributes: {total: 5, userId: ann}}}
  - name: without id and time
    event: {type: track, userId: ann, event: Order Completed}
    expect:
      v1:
        - {method: POST, path: /api/v1/customers/ann/events,
           body: {data: {userId: ann}, name: Order Completed, id: $ulid, timestamp: $received_at,
              type: event}}
      v2:
        - {method: POST, path: /api/v2/batch,
           body: {type: person, identifiers: {id: ann}, action: event, name: Order Completed,
              id: $ulid, timestamp: $received_at, attributes: {userId: ann}}}
  - name: nobody
    event: {type: track, messageId: order-3, event: Order Completed}
    reject: [{field: userId, reason: NO_PERSON}]
"""
NO_NAMES = """\
table: default
rows:
  - key: data.userId
    value: somebody
    doc: Nobody's id goes out twice.
"""


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "shop.yaml").write_text(CASES)
    return folder


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "own.yaml").write_text(NO_NAMES)
    return folder


def render(cases: Path, *arguments: str | Path) -> Result:
    return invoke("--render", "--fixtures", str(cases), *map(str, arguments))


def test_every_case_of_the_suite_passes_in_direct_mode() -> None:
    result = invoke("--render")
    assert result.exit_code == 0, result.output
    assert re.search(
        r"^[0-9,]{5,} cases rendered in [0-9.]+ s, [0-9,]+ a second$", result.output, re.M
    )
    assert result.output.splitlines()[-1].endswith(" passed, 0 failed, 0 skipped")


def test_cases_with_a_golden_a_placeholder_and_a_rejection_pass_by_both_apis(cases: Path) -> None:
    result = render(cases)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "6 passed, 0 failed, 0 skipped"


def test_a_row_changed_by_an_overlay_fails_its_cases_with_a_diff(
    cases: Path, overlay: Path
) -> None:
    result = render(cases, "--overlay", overlay)
    assert result.exit_code == 1
    assert "FAILED shop: an order [standard, v1]\n    other requests:" in result.output
    assert '    -        "userId": "ann"\n    +        "userId": "somebody"\n' in result.output
    assert result.output.splitlines()[-1] == "2 passed, 4 failed, 0 skipped"


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("reason: NO_PERSON", "reason: REQUIRED", ['-  "userId: REQUIRED"', '+  "userId: NO_P']),
        ("field: userId", "field: traits.email", ['-  "traits.email: NO_PERSON"']),
        ("id: $ulid", "id: order-2", ['-      "id": "order-2"']),
        ("timestamp: $received_at", "timestamp: 1", ['-      "timestamp": 1']),
        ("total: 5, userId", "total: 5.0, userId", ['-        "total": 5.0,']),
        ("    reject: [{field: userId, reason: NO_PERSON}]", "    expect: {v1: [], v2: []}",
         ["expected ACCEPTED, got INVALID_ARGUMENT", "userId: NO_PERSON: "]),
    ],
)  # fmt: skip
def test_whatever_differs_from_a_golden_fails(
    cases: Path, right: str, wrong: str, words: list[str]
) -> None:
    (cases / "shop.yaml").write_text(CASES.replace(right, wrong))
    result = render(cases)
    assert result.exit_code == 1, result.output
    for each in words:
        assert each in result.output


def test_a_case_that_is_rejected_against_its_golden_says_why(cases: Path) -> None:
    (cases / "shop.yaml").write_text(
        CASES.replace("messageId: order-1, userId: ann", "messageId: m")
    )
    result = render(cases, "--filter", "an order", "--api", "v1")
    assert result.exit_code == 1
    assert "expected ACCEPTED, got INVALID_ARGUMENT\n" in result.output
    assert "userId: NO_PERSON: " in result.output


def test_reports_and_known_failures_are_those_of_a_run(
    cases: Path, overlay: Path, tmp_path: Path
) -> None:
    known, report = tmp_path / "known.txt", tmp_path / "report.json"
    known.write_text("shop: an order\nshop: without id and time [standard, auto]\n")
    options = ("--overlay", overlay, "--known-failing", known, "--report", f"json={report}")
    result = render(cases, *options)
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == "2 passed, 1 failed, 0 skipped, 3 known to fail"
    told = orjson.loads(report.read_bytes())
    assert [(each["case"], each["api"], each["outcome"]) for each in told] == [
        ("an order", "auto", "known"),
        ("without id and time", "auto", "known"),
        ("nobody", "auto", "passed"),
        ("an order", "v1", "known"),
        ("without id and time", "v1", "failed"),
        ("nobody", "v1", "passed"),
    ]


def test_profile_and_api_narrow_the_run(cases: Path) -> None:
    assert render(cases, "--api", "auto").output.splitlines()[-1] == "3 passed, 0 failed, 0 skipped"
    result = render(cases, "--profile", "documented")
    assert result.exit_code == 2
    assert "no case matches --filter and --profile" in result.output


@pytest.mark.parametrize(
    "options",
    [
        ("--target", "127.0.0.1:1"),
        ("--fake-listen", "127.0.0.1:1"),
        ("--exec", "true"),
        ("--exec-tcp",),
        ("--tls-ca", "ca.pem"),
        ("--site-id", "s"),
        ("--api-key", "k"),
        ("--patience", "3"),
    ],
)
def test_an_option_of_a_sidecar_is_rejected(cases: Path, options: tuple[str, ...]) -> None:
    result = render(cases, *options)
    assert result.exit_code == 2
    assert f"--render takes no {options[0]}: it maps within this process" in result.output


def test_a_setting_that_no_sidecar_would_take_exits_2_with_its_place(cases: Path) -> None:
    (cases / "shop.yaml").write_text(CASES + "settings: {dates: unix}\n")
    result = render(cases)
    assert result.exit_code == 2
    assert re.search(
        r"shop\.yaml:\d+: settings\.dates: expected as_is or unix_seconds, got \"unix\"",
        result.output,
    )


def test_tables_with_a_mistake_exit_2_with_its_place(cases: Path, overlay: Path) -> None:
    (overlay / "own.yaml").write_text(NO_NAMES.replace("value:", "valeu:"))
    result = render(cases, "--overlay", overlay)
    assert result.exit_code == 2
    assert re.search(r"own\.yaml:\d+.*valeu", result.output)


def test_tables_that_are_no_text_exit_2(cases: Path, overlay: Path) -> None:
    (overlay / "own.yaml").write_bytes(b"\xff\xfe")
    result = render(cases, "--overlay", overlay)
    assert result.exit_code == 2
    assert "own.yaml:1: can't be read: it is not UTF-8" in result.output


def test_direct_mode_loads_neither_grpc_nor_http() -> None:
    script = (
        "import sys\nfrom cio_conformance.cli import main\n"
        "try:\n    main(['run', '--render', '--filter', '^page'])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "print({'grpc', 'aiohttp', 'werkzeug', 'sqlite3'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_every_command_is_listed_and_shows_its_help() -> None:
    listed = CliRunner().invoke(main, ["--help"]).output
    for name in ("run", "delivery", "coverage", "mutate", "update", "new", "fake"):
        assert f"\n  {name} " in listed
        assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0
