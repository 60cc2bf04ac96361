"""The commands of the reliability runs tell what they were given wrongly, and how a run ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click
import orjson
import pytest
from click.testing import CliRunner

from reliability import command, kills, soak
from reliability.errors import Broken
from reliability.judge import Verdict
from reliability.plan import Outcome, Sample


@pytest.mark.parametrize("main", [soak.main, kills.main], ids=["soak", "kills"])
def test_a_fault_that_there_is_not_is_told_with_those_there_are(main: click.Command) -> None:
    result = CliRunner().invoke(main, ["--faults", "kil"])
    assert result.exit_code == 2
    assert "there is no fault 'kil'; there are reset, " in result.output


def test_kills_need_a_fault_to_count() -> None:
    result = CliRunner().invoke(kills.main, ["--faults", "cut"])
    assert result.exit_code == 2
    assert "--faults must name one of kill, term, freeze" in result.output


def outcome(*lost: str, acked: Sequence[int] = (500, 700)) -> Outcome:
    sample = Sample(1.0, 50_000_000, 3, {"queue.sqlite3": 1_000_000})
    verdict = Verdict(sent=1234, acknowledged=sum(acked), lost=list(lost))
    return Outcome(verdict, [sample], {"kill": len(acked)}, {}, 0, "", 61.0, 0, [*acked])


def soaked(
    found: Outcome | Broken,
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    *arguments: str,
    main: click.Command = soak.main,
) -> tuple[int, str]:
    """The exit code and output of the soak, or of the kills, where a run ends so."""

    async def run(*_: object) -> Outcome:
        await asyncio.sleep(0)
        if isinstance(found, Broken):
            raise found
        return found

    folder.mkdir()
    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(command, "new_folder", lambda: folder)
    result = CliRunner().invoke(main, ["--seed", "7", *arguments])
    return result.exit_code, result.output


def test_a_good_run_ends_with_its_figures_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    json = tmp_path / "figures.json"
    code, output = soaked(outcome(), monkeypatch, tmp_path / "run", "--json", str(json))
    assert code == 0
    assert "                sent  1,234\n" in output
    assert "queue.sqlite3 1.0 MB" in output
    assert not (tmp_path / "run").exists()
    written = orjson.loads(json.read_bytes())
    assert (written["seed"], written["sent"], written["lost"]) == (7, 1234, 0)


def test_a_run_in_which_something_is_lost_fails_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = [f"ann's {number} is nowhere" for number in range(7)]
    code, output = soaked(outcome(*lost), monkeypatch, tmp_path / "run")
    assert code == 1
    assert "7 WRONG:\n  ann's 0 is nowhere\n" in output
    assert "and 2 more" in output
    assert f"kept in {tmp_path / 'run'}" in output
    assert (tmp_path / "run").exists()


def test_a_run_that_is_broken_off_fails_with_the_reason_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, output = soaked(Broken("the sidecar did not start"), monkeypatch, tmp_path / "run")
    assert code == 1
    assert "the run was broken off: the sidecar did not start\n" in output
    assert (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("acked", "why"),
    [
        ((900, 0, 3), "too little was acknowledged for the run to prove anything: 3 events"),
        ((900, 800), "only 2 of 3 rounds were done"),
        ((0, 0, 0), "nothing was acknowledged"),
    ],
)
def test_kills_that_prove_nothing_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, acked: Sequence[int], why: str
) -> None:
    run = tmp_path / "run"
    found = outcome(acked=acked)
    code, output = soaked(found, monkeypatch, run, "--rounds", "3", main=kills.main)
    assert code == 1
    assert f"1 WRONG:\n  {why}" in output


def test_kills_in_which_enough_was_acknowledged_are_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = outcome(acked=(900, 0, 10))
    code, output = soaked(found, monkeypatch, tmp_path / "run", "--rounds", "3", main=kills.main)
    assert (code, "WRONG" in output) == (0, False)
    assert "acks of median round  10\n" in output


def test_a_soak_in_which_nothing_was_acknowledged_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, output = soaked(outcome(acked=()), monkeypatch, tmp_path / "run")
    assert code == 1
    assert "nothing was acknowledged: the run proves nothing" in output
