from collections.abc import AsyncIterator, Callable

import pytest
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings

from tests.rpc.harness import Caller, calling


@pytest.fixture
async def caller(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> AsyncIterator[Caller]:
    """A caller of a sidecar with default settings that delivers to the fake."""
    async with calling(make_settings(), fake) as caller:
        yield caller
