"""The benchmark runs and finds what it should; how fast anything is, it alone can tell."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import page
from bench.benchmarks import ALL
from bench.benchmarks.growth import steepest
from bench.result import Curve, Figure, Found, Plot, Run

ROOT = Path(__file__).parents[2]

FIGURES = (
    Figure("rate", "delivered", "events/s", at_least=100),
    Figure("wait", "p99", "ms", at_most=25),
    Figure("share", "its share", "%"),
)


def found(*runs: Run, plot: Plot | None = None) -> Found:
    return Found("some way in", FIGURES, plot, [*runs])


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


# From nothing, Go compiles gRPC for more than a minute.
@pytest.mark.timeout(600)
@pytest.mark.skipif(not shutil.which("go"), reason="go is not installed")
def test_a_benchmark_delivers_what_it_sends_and_says_how_fast(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    options = ("--runs", "2", "--seconds", "0.2", "--json", str(results))
    ran = run("--only", "batch-json", *options)
    assert ran.returncode == 0, ran.stderr
    measured = json.loads(results.read_text())
    assert measured["machine"]["Python"]
    figures = measured["benchmarks"]["batch-json"]["figures"]
    assert {"delivered", "noop", "ratio", "sidecar_core", "load_core"} <= figures.keys()
    for figure in figures.values():
        assert len(figure["values"]) == 2
        assert all(value > 0 for value in figure["values"])
    assert "delivered" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--only", ","), "it names no benchmark; there are batch-json"),
        (("--quick", "--docs"), "--quick measures too little for --docs"),
        (("--runs", "0"), "--runs"),
        (("--seconds", "0"), "--seconds"),
    ],
)
def test_what_can_not_be_measured_is_rejected(arguments: tuple[str, ...], words: str) -> None:
    ran = run(*arguments)
    assert ran.returncode == 2
    assert words in ran.stderr


def test_a_benchmark_that_is_not_there_is_named_with_those_that_are() -> None:
    ran = run("--only", "batch-jsn")
    assert ran.returncode == 2
    assert "batch-jsn" in ran.stderr
    assert "batch-struct" in ran.stderr


def test_a_goal_is_met_or_missed_by_the_median() -> None:
    runs = [Run({"rate": rate, "wait": 30, "share": 0.5}) for rate in (50, 120, 110)]
    figures = found(*runs).as_json()["figures"]
    assert (figures["rate"]["median"], figures["rate"]["met"]) == (110, True)
    assert figures["wait"]["met"] is False
    assert figures["share"]["met"] is None


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_growth_is_told_from_the_times_at_each_size(exponent: float) -> None:
    assert steepest({size: size**exponent for size in (1, 10, 100, 1000)}) == pytest.approx(
        exponent
    )


def test_growth_that_sets_in_late_is_told() -> None:
    assert steepest({1: 1.0, 10: 1.0, 100: 1.0, 1000: 10.0, 10_000: 1000.0}) > 1.4


@pytest.fixture
def results() -> dict[str, Any]:
    plot = Plot("Some title", "bytes", (Curve("rate", "delivered", "events/s"),))
    runs = [
        Run({"rate": rate, "wait": 30, "share": 0.5}, {"rate": {200: rate, 800: rate / 2}})
        for rate in (50.0, 120.0, 110.0)
    ]
    name = next(iter(ALL))
    return {"machine": {"cores": "2"}, "benchmarks": {name: found(*runs, plot=plot).as_json()}}


def test_the_page_names_each_goal_with_what_was_found(results: dict[str, Any]) -> None:
    lines = page.generated(results).splitlines()
    (goal,) = [line for line in lines if "≥ 100 events/s" in line]
    assert "| 110 events/s | 50.0 to 120 events/s | met |" in goal
    assert any("**missed**" in line for line in lines)


def test_what_is_written_by_hand_stays(results: dict[str, Any], tmp_path: Path) -> None:
    written = tmp_path / "performance.md"
    written.write_text(f"# By hand\n{page.BEGIN}\nold\n{page.END}\nThe rest.\n")
    folder = tmp_path / "performance"
    page.write(results, written, folder)
    text = written.read_text()
    assert text.startswith(f"# By hand\n{page.BEGIN}\n")
    assert text.endswith(f"\n{page.END}\nThe rest.\n")
    assert "old" not in text


def test_a_benchmark_measured_alone_leaves_the_others_as_they_were(
    results: dict[str, Any], tmp_path: Path
) -> None:
    written, folder = tmp_path / "performance.md", tmp_path / "performance"
    written.write_text(page.BEGIN + page.END)
    page.write(results, written, folder)
    first, second = [*ALL][:2]
    page.write(
        {
            **results,
            "benchmarks": {second: found(Run({"rate": 7, "wait": 3, "share": 0.5})).as_json()},
        },
        written,
        folder,
    )
    kept = json.loads((folder / "results.json").read_text())["benchmarks"]
    assert [*kept] == [first, second]
    assert kept[first] == results["benchmarks"][first]
