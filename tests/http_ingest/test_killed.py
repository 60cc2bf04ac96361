"""What was answered over HTTP outlives the process that answered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from cio_fake import FakeCustomerIO

from tests.app.command import serving
from tests.rpc.harness import ulid


async def test_a_batch_that_was_answered_survives_a_kill(
    credentials: dict[str, str],
    fake: FakeCustomerIO,
    fake_url: str,
    tmp_path: Path,
    until: Callable[..., Any],
) -> None:
    env = {
        **credentials,
        "CIO_BASE_URL": fake_url,
        "CIO_LISTEN": f"unix:{tmp_path}/grpc.sock",
        "CIO_HTTP_LISTEN": "off",
        "CIO_DATA_DIR": str(tmp_path / "data"),
        "CIO_HTTP_INGEST": "127.0.0.1:0",
    }
    batch = [
        {"type": "track", "event": "E", "userId": f"u{number}", "messageId": ulid(number)}
        for number in range(50)
    ]
    fake.fail_next(503)
    async with serving(env) as sidecar, aiohttp.ClientSession() as session:
        url = (await sidecar.logged(r"served on (http://\S+)"))[1]
        async with session.post(f"{url}/v1/batch", json={"batch": batch}) as response:
            assert await response.json() == {"success": True}
        sidecar.process.kill()
        await sidecar.process.wait()
    fake.heal()
    async with serving(env):
        await until(lambda: len(fake.events) == len(batch), "all that was answered")
    assert {event["userId"] for event in batch} == {
        operation["body"]["identifiers"]["id"]
        for received in fake.received
        if received.response.status == 200
        for operation in received.operations
    }
