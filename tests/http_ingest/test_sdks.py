"""The SDKs of Segment and RudderStack, as their registries have them, need only another host."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import rudderstack.analytics.client
import segment.analytics.client
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings
from cio_sidecar.event_queue.errors import QueueError
from pydantic import SecretStr

from tests.http_ingest.support import HttpCaller, http_api_of
from tests.rpc.harness import ulid

Make = Callable[..., Settings]
Send = Callable[[str, list[dict[str, Any]]], Any]

KEY = "write-key-5d41402a"
NODE = Path(__file__).parent / "node"
JAVA = Path(__file__).parent / "java"


def events(rounds: int = 10) -> list[dict[str, Any]]:
    """Every kind of call, again and again, each with an id and a time of its own."""
    calls: list[dict[str, Any]] = [
        {"type": "identify", "userId": "u1", "traits": {"plan": "pro", "email": "a@example.com"}},
        {
            "type": "track",
            "userId": "u1",
            "event": "Order Completed",
            "properties": {"total": 27.5, "items": [{"sku": "ü✓", "count": 2}], "none": None},
            "context": {"page": {"url": "https://example.com/cart"}, "ip": "127.0.0.1"},
        },
        {"type": "track", "anonymousId": "a1", "event": "Banner Seen", "properties": {}},
        {"type": "page", "userId": "u1", "name": "Home", "properties": {"title": "Hello"}},
        {"type": "screen", "userId": "u1", "name": "A", "category": "B", "properties": {}},
        {"type": "group", "userId": "u1", "groupId": "g1", "traits": {"name": "Acme"}},
        {"type": "alias", "userId": "u1", "previousId": "u0"},
    ]
    return [
        {
            **call,
            "messageId": ulid(round_ * len(calls) + index),
            "timestamp": f"2026-03-02T09:{round_:02}:{index:02}.500+00:00",
        }
        for round_ in range(rounds)
        for index, call in enumerate(calls)
    ]


def _arguments(event: dict[str, Any]) -> dict[str, Any]:
    snake = {"userId": "user_id", "anonymousId": "anonymous_id", "groupId": "group_id"}
    snake |= {"previousId": "previous_id", "messageId": "message_id"}
    given = {snake.get(key, key): value for key, value in event.items() if key != "type"}
    given["timestamp"] = datetime.fromisoformat(event["timestamp"])
    return given


def segment_python(url: str, given: list[dict[str, Any]]) -> None:
    failures: list[Exception] = []
    client = segment.analytics.client.Client(
        KEY,
        host=url,
        gzip=True,
        upload_size=15,
        upload_interval=0.05,
        on_error=lambda error, _: failures.append(error),
    )
    for event in given:
        getattr(client, event["type"])(**_arguments(event))
    client.shutdown()
    assert failures == []


def rudderstack_python(url: str, given: list[dict[str, Any]]) -> None:
    failures: list[Exception] = []
    client = rudderstack.analytics.client.Client(
        KEY,
        host=url,
        gzip=True,
        upload_size=15,
        upload_interval=0.05,
        on_error=lambda error, _: failures.append(error),
    )
    for event in given:
        getattr(client, event["type"])(**_arguments(event))
    client.flush()
    client.join()
    assert failures == []


def segment_node(url: str, given: list[dict[str, Any]]) -> None:
    install()
    result = subprocess.run(
        ["node", "send.mjs", url, KEY],
        cwd=NODE,
        input=b"".join(orjson.dumps(event) + b"\n" for event in given),
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode()


def segment_java(url: str, given: list[dict[str, Any]]) -> None:
    built = JAVA / "target" / "built"
    sources = [JAVA / "pom.xml", *JAVA.rglob("*.java")]
    if not built.exists() or any(each.stat().st_mtime > built.stat().st_mtime for each in sources):
        command = ["mvn", "--quiet", "--batch-mode", "process-classes"]
        subprocess.run(command, cwd=JAVA, timeout=300, check=True)
        built.touch()
    result = subprocess.run(
        ["java", "-cp", "target/classes:target/lib/*", "Send", url, KEY],
        cwd=JAVA,
        input=b"".join(orjson.dumps(event) + b"\n" for event in given),
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode()


def install() -> None:
    """Install what the lock file names, unless that was done."""
    done, lock = NODE / "node_modules" / ".package-lock.json", NODE / "package-lock.json"
    if not done.exists() or done.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run(["npm", "ci", "--silent"], cwd=NODE, timeout=100, check=True)


NEEDS = {segment_node: ["npm"], segment_java: ["mvn", "java"]}


PROMPT = [segment_python, rudderstack_python, segment_node]
"""Those that try again at once: Segment's for Java waits 15 seconds."""


@pytest.fixture(params=[*PROMPT, segment_java], ids=lambda send: send.__name__)
def send(request: pytest.FixtureRequest) -> Any:
    for tool in NEEDS.get(request.param, []):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    return request.param


def requests_of(fake: FakeCustomerIO) -> list[bytes]:
    """What was asked of Customer.io, in an order that does not depend on when it came."""
    return sorted(
        orjson.dumps(operation["body"], option=orjson.OPT_SORT_KEYS)
        for received in fake.received
        for operation in received.operations
    )


async def settled(http_api: HttpCaller, given: Sequence[object]) -> None:
    await http_api.grpc.settled(len(given))
    assert (await http_api.grpc.sidecar.queue.stats()).dead_letters == 0


async def test_every_call_of_an_sdk_arrives_with_its_id_and_its_time(
    send: Send, http_api_settings: Make, fake: FakeCustomerIO
) -> None:
    given = events()
    async with http_api_of(
        http_api_settings(http_ingest_write_key=SecretStr(KEY)), fake
    ) as http_api:
        await asyncio.to_thread(send, http_api.url, given)
        # All are on disk once the SDK is closed.
        assert http_api.counters.events["accepted"] == len(given)
        await settled(http_api, given)
        by_sdk = requests_of(fake)
    assert len(by_sdk) == len(given)
    named = {each["id"]: each["timestamp"] for each in map(orjson.loads, by_sdk) if "id" in each}
    for event in given:
        if event["type"] in ("track", "page", "screen"):
            when = int(datetime.fromisoformat(event["timestamp"]).timestamp())
            assert named[event["messageId"]] == when


async def test_what_an_sdk_sends_becomes_what_the_plain_event_becomes(
    send: Send, http_api_settings: Make, fake: FakeCustomerIO, tmp_path: Path
) -> None:
    given = events(2)
    if send is segment_java:
        # It writes no null, and its screens have no category.
        for event in given:
            event.pop("category", None)
            event.get("properties", {}).pop("none", None)
    async with http_api_of(http_api_settings(), fake) as http_api:
        await asyncio.to_thread(send, http_api.url, given)
        await settled(http_api, given)
        by_sdk = requests_of(fake)
    fake.reset()
    async with http_api_of(http_api_settings(data_dir=tmp_path / "other"), fake) as http_api:
        assert (await http_api.batch(*given)).body == {"success": True}
        await settled(http_api, given)
        assert requests_of(fake) == by_sdk


@pytest.mark.parametrize("send", PROMPT, indirect=True)
async def test_an_sdk_waits_while_the_queue_is_full_and_loses_nothing(
    send: Send, http_api_settings: Make, fake: FakeCustomerIO, until: Callable[..., Any]
) -> None:
    fake.fail_next(503)
    async with http_api_of(http_api_settings(queue_max_bytes=1024 * 1024), fake) as http_api:
        await http_api.grpc.fill()
        big = {"text": "x" * 30_000}
        given = [{**event, "properties": big} for event in events(3) if event["type"] == "track"]
        sending = asyncio.create_task(asyncio.to_thread(send, http_api.url, given))
        await until(lambda: http_api.counters.requests[429], "a 429")
        fake.heal()
        await sending
        await http_api.grpc.settled()
        assert (await http_api.grpc.sidecar.queue.stats()).dead_letters == 0
    got = [orjson.loads(each).get("id") for each in requests_of(fake)]
    for event in given:
        assert got.count(event["messageId"]) == 1


@pytest.mark.parametrize("send", PROMPT, indirect=True)
async def test_an_sdk_tries_again_while_the_disk_fails_and_loses_nothing(
    send: Send, http_api_settings: Make, fake: FakeCustomerIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = events(1)
    async with http_api_of(http_api_settings(), fake) as http_api:
        put = http_api.grpc.sidecar.queue.put
        failures = [QueueError("the disk is full")] * 2

        async def fails_at_first(*arguments: Any, **named: Any) -> list[bool]:
            if failures:
                raise failures.pop()
            return await put(*arguments, **named)

        monkeypatch.setattr(http_api.grpc.sidecar.queue, "put", fails_at_first)
        await asyncio.to_thread(send, http_api.url, given)
        assert http_api.counters.requests[503] == 2
        await settled(http_api, given)
    assert len(requests_of(fake)) == len(given)
