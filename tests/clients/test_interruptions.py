"""Callers and sidecars that are killed in mid-stream lose nothing and double nothing."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cio_conformance.drivers.process import Driver
from cio_conformance.run.credentials import Credentials
from cio_conformance.run.sidecars import hosted_fake
from cio_fake import Received

from tests.clients.support import LANGUAGES, driver
from tests.delivery.process import sidecar
from tests.delivery.support import API_KEY, SITE_ID, new_id

EVENTS = 3000
SECONDS = 60
any_language = pytest.mark.parametrize("language", LANGUAGES)


def lines(ids: list[str]) -> list[bytes]:
    return [
        json.dumps(
            {
                "type": "track",
                "messageId": each,
                "userId": f"user-{number % 50}",
                "event": "Step Taken",
                "properties": json.dumps({"number": number}),
            }
        ).encode()
        + b"\n"
        for number, each in enumerate(ids)
    ]


def receipts(running: Driver, count: int) -> list[dict[str, Any]]:
    return [json.loads(running.receipt(SECONDS)) for _ in range(count)]


@any_language
@pytest.mark.timeout(300)
async def test_a_caller_killed_in_mid_stream_and_started_again(
    language: str, tmp_path: Path
) -> None:
    command = driver(language)
    came: Counter[str] = Counter()

    def count(received: Received) -> None:
        came.update(operation["body"]["id"] for operation in received.operations)

    ids = [new_id() for _ in range(EVENTS)]
    with hosted_fake(Credentials(SITE_ID, API_KEY), count) as (_, url):
        async with sidecar(tmp_path, url) as running:
            with Driver(command, running.target, "stream") as first:
                giving = asyncio.create_task(asyncio.to_thread(first.give, lines(ids)))
                acked = await asyncio.to_thread(receipts, first, EVENTS // 10)
                first.kill()
                await asyncio.gather(giving, return_exceptions=True)
            assert [receipt["status"] for receipt in acked] == ["accepted"] * len(acked)
            known = {receipt["message_id"] for receipt in acked}
            left = [each for each in ids if each not in known]
            with Driver(command, running.target, "stream") as second:
                giving = asyncio.create_task(asyncio.to_thread(second.give, lines(left)))
                again = await asyncio.to_thread(receipts, second, len(left))
                await giving
            await running.drained()
    assert [receipt["message_id"] for receipt in again] == left
    assert {receipt["status"] for receipt in again} <= {"accepted", "duplicate"}
    assert came == Counter(ids)


@any_language
@pytest.mark.timeout(300)
async def test_a_sidecar_killed_in_mid_stream_and_started_again(
    language: str, tmp_path: Path
) -> None:
    command = driver(language)

    def ignore(_: Received) -> None:
        pass

    ids = [new_id() for _ in range(EVENTS)]
    with hosted_fake(Credentials(SITE_ID, API_KEY), ignore) as (customer_io, url):
        async with sidecar(tmp_path, url) as running:
            with Driver(command, running.target, "stream") as caller:
                giving = asyncio.create_task(asyncio.to_thread(caller.give, lines(ids)))
                acked = await asyncio.to_thread(receipts, caller, EVENTS // 10)
                running.kill()
                await running.ended()
                await running.start()
                acked += await asyncio.to_thread(receipts, caller, EVENTS - len(acked))
                await giving
            await running.drained()
    assert [receipt["message_id"] for receipt in acked] == ids
    assert {receipt["status"] for receipt in acked} <= {"accepted", "duplicate"}
    # What was in flight may have come twice; Customer.io ignores the repeat of a ULID.
    stored = Counter(event["id"] for event in customer_io.events)
    assert stored == Counter(ids)
