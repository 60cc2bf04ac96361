"""What most tests of delivery need: a path for a queue file, a clock, and a fake that runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cio_fake import host_aiohttp

from tests.delivery.support import Clock, Script


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.sqlite3"


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def fake(clock: Clock) -> Script:
    return Script(clock)


@pytest.fixture
async def url(fake: Script) -> AsyncIterator[str]:
    running = await host_aiohttp.start(fake)
    yield running.url
    await running.stop()
