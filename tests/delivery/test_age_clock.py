"""The clock by which ages are measured."""

from __future__ import annotations

import pytest
from cio_sidecar.delivery.age_clock import HOLD_SECONDS, AgeClock

from tests.delivery.support import NOW, Clock

DAY = 86_400


@pytest.fixture
def wall() -> Clock:
    return Clock(NOW)


def test_age_clock_follows_small_steps(wall: Clock, clock: Clock) -> None:
    ages = AgeClock(wall, clock)
    for _ in range(100):
        wall.now += 31
        clock.now += 1
        assert ages() == wall.now


def test_age_clock_holds_back_a_jump_ahead(
    wall: Clock, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    ages = AgeClock(wall, clock)
    wall.now += 3 * DAY
    assert ages() == NOW
    for each in (wall, clock):
        each.now += HOLD_SECONDS - 1
    assert ages() == NOW + HOLD_SECONDS - 1
    for each in (wall, clock):
        each.now += 1
    assert ages() == wall.now
    assert len(caplog.records) == 1


def test_age_clock_forgets_a_jump_that_is_taken_back(wall: Clock, clock: Clock) -> None:
    ages = AgeClock(wall, clock)
    wall.now += 3 * DAY
    ages()
    wall.now -= 3 * DAY
    for each in (wall, clock):
        each.now += HOLD_SECONDS
    assert ages() == wall.now
    wall.now += 3 * DAY
    assert ages() == wall.now - 3 * DAY


def test_age_clock_follows_a_jump_back_at_once(wall: Clock, clock: Clock) -> None:
    ages = AgeClock(wall, clock)
    wall.now -= 3 * DAY
    assert ages() == wall.now


def test_age_clock_counts_a_long_run_without_a_look(wall: Clock, clock: Clock) -> None:
    ages = AgeClock(wall, clock)
    for each in (wall, clock):
        each.now += 30 * DAY
    assert ages() == wall.now
