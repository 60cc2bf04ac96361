"""Short cuts of the long runs: real processes under load, killed and hindered in every way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from reliability import answers
from reliability.kills import plan_of
from reliability.plan import FAULTS, Plan
from reliability.receiver import REJECTION_SPELLS
from reliability.report import figures, problems
from reliability.run import new_folder, remove, run
from reliability.shim import possible

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

ALL, LACKING = possible(FAULTS)
"""The faults that can be done here, and those that lack a C compiler; on CI none may."""


@pytest.fixture
def folder() -> Iterator[Path]:
    made = new_folder()
    yield made
    remove(made)


def test_a_minute_of_every_fault_loses_nothing(folder: Path) -> None:
    plan = Plan(seconds=60, seed=1, faults=ALL, per_second=600, share=0.15)
    outcome = asyncio.run(run(plan, folder, print))
    assert problems(plan, outcome) == []
    found = figures(plan, outcome)
    assert found["acknowledged"] > 5_000
    assert found["delivered"] + found["dead_letters"] >= found["acknowledged"]
    assert found["dead_letters"] > 0
    assert found["repeats"] > 0
    assert sum(outcome.done.values()) >= 5
    assert {*outcome.met} == {*answers.FAULTS, REJECTION_SPELLS}


def test_ten_kills_lose_nothing(folder: Path) -> None:
    plan = plan_of(10, seed=2, faults=("kill", "cut", "503", "429"), per_second=600)
    plan.share = 0.15
    outcome = asyncio.run(run(plan, folder, print))
    assert problems(plan, outcome) == []
    assert outcome.done == {"kill": 10}
    assert len(outcome.acked) == 10
    assert 0 not in outcome.acked
    assert outcome.verdict.acknowledged > 1_000


def test_a_run_that_is_over_while_the_sidecar_is_frozen_comes_to_its_end(folder: Path) -> None:
    # Nearly all of the time it is frozen.
    plan = Plan(seconds=3, seed=4, faults=("freeze",), per_second=200, every_seconds=(0.0, 0.01))
    outcome = asyncio.run(run(plan, folder, print))
    assert problems(plan, outcome) == []
    assert outcome.done["freeze"] > 0


def test_a_customer_io_that_swallows_events_is_judged_to_have_lost_them(folder: Path) -> None:
    plan = Plan(seconds=5, seed=3, faults=("swallow",), per_second=300, share=0.5)
    outcome = asyncio.run(run(plan, folder, print))
    assert 0 < len(outcome.verdict.lost) < outcome.verdict.acknowledged
