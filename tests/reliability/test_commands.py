"""The commands of the reliability runs tell what they were given wrongly, and how a run ended."""

from __future__ import annotations

import asyncio
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


def outcome(*lost: str) -> Outcome:
    sample = Sample(1.0, 50_000_000, 3, {"queue.sqlite3": 1_000_000})
    return Outcome(Verdict(sent=1234, lost=list(lost)), [sample], {"kill": 2}, {}, 0, "", 61.0, 0)


def soaked(
    found: Outcome | Broken, monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str
) -> tuple[int, str]:
    """The soak's exit code and output, where a run ends so."""

    async def run(*_: object) -> Outcome:
        await asyncio.sleep(0)
        if isinstance(found, Broken):
            raise found
        return found

    folder.mkdir()
    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(command, "new_folder", lambda: folder)
    result = CliRunner().invoke(soak.main, ["--seed", "7", *arguments])
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
