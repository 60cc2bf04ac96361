"""What the tests share: a fake Customer.io on a port of its own, and settings to deliver to it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from cio_fake import FakeCustomerIO, host_aiohttp
from cio_sidecar.app.config import Settings
from hypothesis import settings as hypothesis_settings
from pydantic import SecretStr

SITE_ID = "site-5d41402abc4b"
API_KEY = "key-7d793037a076"

# A busy machine is no mistake: speed is measured elsewhere.
hypothesis_settings.register_profile("unhurried", deadline=None)
hypothesis_settings.load_profile("unhurried")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So it is in a job in the background, and the commands under test would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CI is true a skip is a failure: the build machine has all that the tests need."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which CI does not allow: {call.excinfo}"
    return report


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("CIO_"):
            monkeypatch.delenv(name)


@pytest.fixture
def credentials() -> dict[str, str]:
    """The variables that make a sidecar known to the fake."""
    return {"CIO_SITE_ID": SITE_ID, "CIO_API_KEY": API_KEY}


@pytest.fixture
def fake() -> FakeCustomerIO:
    return FakeCustomerIO(SITE_ID, API_KEY)


@pytest.fixture
async def fake_url(fake: FakeCustomerIO) -> AsyncIterator[str]:
    running = await host_aiohttp.start(fake)
    try:
        yield running.url
    finally:
        await running.stop()


@pytest.fixture
def make_settings(tmp_path: Path, fake_url: str) -> Callable[..., Settings]:
    """Settings of a sidecar that delivers to the fake, with changes."""

    def make(**changes: Any) -> Settings:
        given: dict[str, Any] = {
            "site_id": SITE_ID,
            "api_key": SecretStr(API_KEY),
            "base_url": fake_url,
            "listen": f"unix:{tmp_path}/grpc.sock",
            "http_listen": "off",
            "data_dir": tmp_path / "data",
            "queue_min_free_bytes": 0,
            "shutdown_grace_seconds": 5,
        }
        return Settings(**{**given, **changes})

    return make


@pytest.fixture
def until() -> Callable[..., Any]:
    """Waits on a condition: ``await until(lambda: …, "what is waited for")``."""

    async def wait(condition: Callable[[], Any], what: str = "the condition") -> Any:
        try:
            async with asyncio.timeout(30):
                while not (value := condition()):  # noqa: ASYNC110 (any condition)
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what}") from None
        return value

    return wait
