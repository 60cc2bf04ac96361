"""Short cuts of the long runs: real processes under load, killed and hindered in every way."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reliability.run import FAULTS, Plan, figures, new_folder, remove, run
from reliability.shim import FLAGS
from reliability.soak import wrong

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]


@pytest.fixture
def folder() -> Iterator[Path]:
    made = new_folder()
    yield made
    remove(made)


def faults() -> tuple[str, ...]:
    """All, but for those that need a C compiler where there is none."""
    if shutil.which("cc") or shutil.which("gcc") or os.environ.get("CI") == "true":
        return FAULTS
    return tuple(fault for fault in FAULTS if fault not in (*FLAGS, "clock"))


def test_a_minute_of_every_fault_loses_nothing(folder: Path) -> None:
    plan = Plan(seconds=60, seed=1, faults=faults(), per_second=600, share=0.15)
    outcome = asyncio.run(run(plan, folder, print))
    assert wrong(outcome) == []
    found = figures(plan, outcome)
    assert found["acknowledged"] > 5_000
    assert found["delivered"] + found["dead_letters"] >= found["acknowledged"]
    assert found["dead_letters"] > 0
    assert found["repeats"] > 0
    assert sum(outcome.done.values()) >= 5


def test_ten_kills_lose_nothing(folder: Path) -> None:
    plan = Plan(
        seconds=300,
        seed=2,
        faults=("kill", "cut", "503", "429"),
        per_second=600,
        share=0.15,
        every_seconds=(0.5, 5.0),
        rounds=10,
    )
    outcome = asyncio.run(run(plan, folder, print))
    assert wrong(outcome) == []
    assert outcome.done == {"kill": 10}
    assert outcome.verdict.acknowledged > 1_000


def test_a_customer_io_that_swallows_events_is_judged_to_have_lost_them(folder: Path) -> None:
    plan = Plan(seconds=5, seed=3, faults=("swallow",), per_second=300, share=0.2)
    outcome = asyncio.run(run(plan, folder, print))
    assert 0 < len(outcome.verdict.lost) < outcome.verdict.acknowledged
