from __future__ import annotations

import pytest
from cio_fake import FakeCustomerIO

from tests.fake.client import Api


@pytest.fixture
def api() -> Api:
    return Api(FakeCustomerIO("site", "key"))
