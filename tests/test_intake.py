"""Intake, which both APIs use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast

import pytest
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue
from cio_sidecar.intake import Intake, iso_time
from cio_sidecar.mapping.authoring.profiles import load_profile
from cio_sidecar.renderer import Renderer
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(-2_000_000_000_000, 7_000_000_000_000))
def test_a_time_of_whole_milliseconds_is_written_as_it_is(milliseconds: int) -> None:
    written = datetime.fromisoformat(iso_time(milliseconds / 1000))
    assert round(written.timestamp() * 1000) == milliseconds


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_772_443_800.001, "2026-03-02T09:30:00.001Z"),
        (1_772_443_800.9999, "2026-03-02T09:30:00.999Z"),
        (-0.5, "1969-12-31T23:59:59.500Z"),
    ],
)
def test_a_time_is_iso_8601_in_utc_to_the_millisecond(seconds: float, written: str) -> None:
    assert iso_time(seconds) == written


async def test_intake_render_of_a_large_call_lets_other_tasks_run() -> None:
    intake = Intake(
        Renderer(load_profile("standard")),
        cast(SqliteQueue, None),
        clock=lambda: 0.0,
        new_message_id=lambda: "m",
    )
    turns = 0

    def events() -> Iterator[dict[str, Any]]:
        asyncio.get_running_loop().call_soon(turn)
        # As many as it takes: how fast the machine is does not matter.
        while not turns:
            yield {"type": "track", "event": "e", "userId": "u"}

    def turn() -> None:
        nonlocal turns
        turns += 1

    rendered = await asyncio.wait_for(intake.render(events()), 30)
    assert len(rendered.entries) == len(rendered.receipts) > 1
