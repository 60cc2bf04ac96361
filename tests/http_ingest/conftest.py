from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings

from tests.http_ingest.support import HttpCaller, http_api_of


@pytest.fixture
def http_api_settings(make_settings: Callable[..., Settings]) -> Callable[..., Settings]:
    def make(**changes: Any) -> Settings:
        return make_settings(**{"http_ingest": "127.0.0.1:0", **changes})

    return make


@pytest.fixture
async def http_api(
    http_api_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> AsyncIterator[HttpCaller]:
    async with http_api_of(http_api_settings(), fake) as http_api:
        yield http_api
