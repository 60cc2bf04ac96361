from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings

from tests.http_ingest.support import Door, door_of


@pytest.fixture
def door_settings(make_settings: Callable[..., Settings]) -> Callable[..., Settings]:
    def make(**changes: Any) -> Settings:
        return make_settings(**{"http_ingest": "127.0.0.1:0", **changes})

    return make


@pytest.fixture
async def door(door_settings: Callable[..., Settings], fake: FakeCustomerIO) -> AsyncIterator[Door]:
    async with door_of(door_settings(), fake) as door:
        yield door
