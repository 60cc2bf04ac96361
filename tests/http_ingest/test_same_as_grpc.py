"""The same event becomes the same requests, whichever http_api it comes through."""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from cio_conformance.cases.golden_cases import load_fixtures
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings
from cio_sidecar.rpc.event_json import NotSendable, from_event

from tests.http_ingest.support import HttpCaller, http_api_of
from tests.rpc.harness import ACCEPTED, REJECTED, violations_of

Make = Callable[..., Settings]


def sendable(profile: str) -> list[tuple[dict[str, Any], Any]]:
    """The events of the fixtures that a gRPC message has a place for, with their messages."""
    found = []
    for golden in load_fixtures():
        if golden.case.profile != profile or golden.settings or golden.family.needs != "grpc":
            continue
        event = dict(golden.case.event)
        if not str(event.get("messageId") or "").strip():
            # The sidecar would make another one each time.
            event["messageId"] = golden.name
        with contextlib.suppress(NotSendable):
            found.append((event, from_event(event)))
    return found


def requests_of(fake: FakeCustomerIO) -> list[bytes]:
    """What was asked, in an order that does not depend on when it came."""
    asked = []
    for received in fake.received:
        for operation in received.operations:
            body = _without_receipt(operation["body"])
            asked.append(orjson.dumps([operation["path"], body], option=orjson.OPT_SORT_KEYS))
    return sorted(asked)


def _without_receipt(value: Any) -> Any:
    """A value in which nothing tells when the event came."""
    if isinstance(value, dict):
        return {key: _without_receipt(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_receipt(inner) for inner in value]
    if isinstance(value, int) and abs(value - time.time()) < 3600:
        return "the time of receipt"
    return value


@pytest.mark.parametrize("api", ["auto", "v1"])
@pytest.mark.parametrize("profile", ["documented", "standard"])
async def test_every_fixture_becomes_the_same_requests_by_grpc_and_by_http(
    http_api_settings: Make, fake: FakeCustomerIO, tmp_path: Path, profile: str, api: str
) -> None:
    given = sendable(profile)
    assert len(given) > 50
    settings = {"profile": profile, "api": api, "dedup_window_seconds": 0}

    async def through(
        send: Callable[[HttpCaller], Any], folder: str
    ) -> tuple[list[Any], list[bytes]]:
        fake.reset()
        async with http_api_of(
            http_api_settings(data_dir=tmp_path / folder, **settings), fake
        ) as http_api:
            rejected = await send(http_api)
            await http_api.grpc.settled()
            return rejected, requests_of(fake)

    async def by_grpc(http_api: HttpCaller) -> list[Any]:
        results = await http_api.grpc.send_batch(*(message for _, message in given))
        assert {result.status for result in results} <= {ACCEPTED, REJECTED}
        return [
            (index, violations_of(result))
            for index, result in enumerate(results)
            if result.status == REJECTED
        ]

    async def by_http(http_api: HttpCaller) -> list[Any]:
        # As Python's SDKs write it, NaN included.
        body = json.dumps({"batch": [event for event, _ in given]}).encode()
        answer = await http_api.post("batch", body)
        return [
            (each["index"], [(v["field"], v["reason"]) for v in each["violations"]])
            for each in answer.body.get("rejected", [])
        ]

    assert await through(by_grpc, "grpc") == await through(by_http, "http")
