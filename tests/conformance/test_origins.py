"""Cases from the outside: what users of other connectors and SDKs ran into."""

from __future__ import annotations

import json
from pathlib import Path

from cio_conformance.cases.golden_cases import load_fixtures, parse_fixtures
from cio_conformance.cases.origins import THREAD, told
from cio_conformance.cli import main
from click.testing import CliRunner

from tests.conformance.toy import CASES

ORIGINS = [golden.case.origin for golden in load_fixtures() if golden.case.origin]
THREADS = {origin for origin in ORIGINS if THREAD.fullmatch(origin)}


def test_at_least_60_cases_come_from_the_outside() -> None:
    assert len(ORIGINS) >= 60


def test_at_least_40_public_threads_are_behind_them() -> None:
    assert len(THREADS) >= 40


def test_an_origin_is_a_thread_or_a_pitfall_in_words() -> None:
    assert [
        origin for origin in ORIGINS if origin not in THREADS and not origin.startswith("pitfall: ")
    ] == []


def test_the_number_of_cases_from_the_outside_is_told() -> None:
    event = {"type": "page"}
    expect: dict[str, list[object]] = {"v1": [], "v2": []}
    cases = [
        {"name": str(number), "event": event, "expect": expect, **more}
        for number, more in enumerate(
            [
                {},
                {"origin": "a/b.c#1"},
                {"origin": "a/b.c#1"},
                {"origin": "a/b#2"},
                {"origin": "pitfall: p"},
            ]
        )
    ]
    goldens = parse_fixtures(json.dumps({"family": "f", "cases": cases}), "f.yaml")
    assert told(goldens) == (
        "4 cases come from what users of others ran into: 3 from 2 public threads, 1 from common "
        "pitfalls"
    )
    assert told(goldens[:1]) == ""


def test_coverage_tells_it_where_cases_have_origins(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(CASES)
    own = CliRunner().invoke(main, ["coverage", "--fixtures", str(tmp_path)])
    assert "ran into" not in own.output
    suite = CliRunner().invoke(main, ["coverage"])
    assert f"{len(ORIGINS)} cases come from what users of others ran into" in suite.output
