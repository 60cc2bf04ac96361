"""`run --known-failing`, and the order of cases."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import Result
from junitparser import JUnitXml

from tests.conformance.support import free_address, invoke
from tests.conformance.toy import CASES, Request, Toy, serving


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "toy.yaml").write_text(CASES)
    return folder


def run(cases: Path, *arguments: str, **behaviour: Any) -> Result:
    listen = free_address()
    with serving(Toy(f"http://{listen}", **behaviour)) as address:
        to = ("--target", address, "--fake-listen", listen, "--fixtures", str(cases))
        return invoke(*to, "--api", "v1", "--patience", "2", *arguments)


def misspelled(requests: list[Request]) -> list[Request]:
    return [(method, path, {**body, "name": "Wrong"}) for method, path, body in requests]


def known(tmp_path: Path, text: str) -> tuple[str, str]:
    file = tmp_path / "known.txt"
    file.write_text(text)
    return "--known-failing", str(file)


BOTH = """\
# The toy can't spell.
toy: a purchase                # of these

toy: a visit [standard, v1]
"""


def test_a_listed_case_that_fails_does_not_fail_the_run(cases: Path, tmp_path: Path) -> None:
    junit, plain = tmp_path / "junit.xml", tmp_path / "results.json"
    reports = ("--report", f"junit={junit}", "--report", f"json={plain}")
    result = run(cases, *known(tmp_path, BOTH), *reports, requests=misspelled)
    assert result.exit_code == 0, result.output
    assert "known failure toy: a purchase [standard, v1]: other requests:" in result.output
    assert "FAILED" not in result.output
    assert result.output.splitlines()[-1] == "1 passed, 0 failed, 0 skipped, 2 known to fail"
    outcomes = [told["outcome"] for told in orjson.loads(plain.read_bytes())]
    assert outcomes == ["known", "known", "passed"]
    (suite,) = JUnitXml.fromfile(str(junit))
    assert [case.is_skipped for case in suite] == [True, True, False]


def test_a_case_that_is_not_listed_fails_beside_a_known_failure(
    cases: Path, tmp_path: Path
) -> None:
    result = run(cases, *known(tmp_path, "toy: a purchase\n"), requests=misspelled)
    assert result.exit_code == 1
    assert "FAILED toy: a visit [standard, v1]" in result.output
    assert result.output.splitlines()[-1] == "1 passed, 1 failed, 0 skipped, 1 known to fail"


def test_a_listed_case_that_passes_fails_the_run(cases: Path, tmp_path: Path) -> None:
    result = run(cases, *known(tmp_path, "\ntoy: nobody\n"))
    assert result.exit_code == 1
    assert "FAILED toy: nobody [standard, v1]" in result.output
    assert f"it passed, but {tmp_path}/known.txt:2 lists it as failing" in result.output


def test_a_case_that_is_listed_for_another_setup_fails(cases: Path, tmp_path: Path) -> None:
    listed = known(tmp_path, "toy: a visit [standard, auto]\n")
    result = run(cases, "--filter", "visit", *listed, requests=misspelled)
    assert result.exit_code == 1
    assert "FAILED toy: a visit [standard, v1]" in result.output


def test_a_listed_case_that_does_not_run_is_no_mistake(cases: Path, tmp_path: Path) -> None:
    result = run(cases, "--filter", "visit", *known(tmp_path, "toy: nobody\n"))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\ntoy: a vist\n", "known.txt:2: there is no case 'toy: a vist'"),
        ("toy: a visit [standard]", "known.txt:1: there is no case 'toy: a visit [standard]'"),
        ("toy: nobody\ntoy: nobody\n", "known.txt:2: 'toy: nobody' stands in"),
    ],
)
def test_a_line_that_names_no_case_exits_2(
    cases: Path, tmp_path: Path, text: str, words: str
) -> None:
    result = run(cases, *known(tmp_path, text))
    assert result.exit_code == 2
    assert words in result.output


def test_a_list_that_cannot_be_read_exits_2(cases: Path) -> None:
    result = run(cases, "--known-failing", "/nowhere.txt")
    assert result.exit_code == 2
    assert "/nowhere.txt: can't be read: No such file" in result.output


MANY = "family: many\ncases:\n" + "".join(
    f"  - name: case {number}\n"
    f"    event: {{type: track, messageId: m{number}, userId: u{number}, event: Came}}\n"
    "    expect:\n"
    f"      v1: [{{method: POST, path: /api/v1/customers/u{number}/events,\n"
    "            body: {name: Came, data: {}, timestamp: $received_at}}]\n"
    "      v2: [{method: POST, path: /api/v2/batch, body: {type: person, action: event,\n"
    f"            identifiers: {{id: u{number}}}, name: Came}}}}]\n"
    for number in range(12)
)


def test_the_order_of_cases_is_random_and_its_seed_repeats_it(cases: Path) -> None:
    (cases / "toy.yaml").write_text(MANY)

    def order(*arguments: str) -> tuple[list[str], str]:
        seen: list[str] = []

        def look(requests: list[Request]) -> list[Request]:
            seen.extend(path for _, path, _ in requests)
            return requests

        result = run(cases, *arguments, requests=look)
        assert result.exit_code == 0, result.output
        assert len(seen) == 12
        return seen, result.output

    first, output = order()
    (seed,) = re.findall(r"--seed (\d+) repeats it", output)
    assert order("--seed", seed)[0] == first
    orders = [first, order("--seed", "1")[0], order("--seed", "2")[0]]
    assert len({tuple(paths) for paths in orders}) > 1
