"""The receiver of the reliability runs takes what it says it took, and fails as each name says."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer

from reliability import answers
from reliability.receiver import Receiver, application
from reliability.wire import BATCH_PATH, POISON, STUCK, message_id

EXAMPLES = [
    ("reset", 0, False),
    ("reset-during", 0, False),
    ("cut", 0, True),
    ("hangup", 200, True),
    ("truncated", 0, True),
    ("endless", 0, True),
    ("slow", 0, True),
    ("late", 200, True),
    ("indexes", 207, True),
    ("garbage", 207, True),
    ("garbage200", 200, True),
    ("empty", 200, True),
    ("huge", 200, True),
    ("html502", 502, False),
    ("html200", 200, False),
    ("html404", 404, False),
    ("429", 429, False),
    ("429-after", 429, False),
    ("500", 500, False),
    ("503", 503, False),
    ("401", 401, False),
    ("retry-after-mixed", 503, False),
    ("spell-404", 410, False),
    ("swallow", 200, False),
]
"""Each fault, the status of its answer (0: none came whole), and whether it takes the request."""


@asynccontextmanager
async def receiving(*faults: str) -> AsyncIterator[tuple[TestClient[Any, Any], io.BytesIO]]:
    """A receiver of which every request meets one of these faults, and its record."""
    record = io.BytesIO()
    app = application(Receiver(record, seed=1, faults=list(faults), share=1.0))
    async with TestClient(TestServer(app)) as client:
        await client.post("/_faults/on")
        yield client, record


def batch(*names: str) -> dict[str, Any]:
    return {"batch": [{"name": name, "id": f"id-{name}"} for name in names]}


async def answer_of(client: TestClient[Any, Any], body: object) -> tuple[int, bytes]:
    """The answer to a batch; status 0 where none came whole."""
    try:
        async with client.post(
            BATCH_PATH,
            json=body,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=1),
        ) as response:
            return response.status, await response.read()
    except (aiohttp.ClientError, TimeoutError):
        return 0, b""


def taken(record: io.BytesIO) -> list[tuple[str, bool]]:
    lines = map(orjson.loads, record.getvalue().splitlines())
    return [(line["id"], line["clean"]) for line in lines]


@pytest.mark.parametrize(("fault", "status", "takes"), EXAMPLES)
async def test_a_fault_answers_so_and_takes_what_it_says(
    fault: str, status: int, *, takes: bool
) -> None:
    async with receiving(fault) as (client, record):
        found, _ = await answer_of(client, batch("a", "b"))
    assert found == status
    assert taken(record) == ([("id-a", False), ("id-b", False)] if takes else [])


async def test_a_redirect_leads_to_where_nothing_is_taken() -> None:
    async with receiving("redirect") as (client, record):
        for _ in range(20):
            async with client.post(BATCH_PATH, json=batch("a")) as response:
                assert response.status == 200
                assert [300 < each.status < 309 for each in response.history] == [True]
    assert taken(record) == []


def test_every_fault_has_an_example_here() -> None:
    assert {fault for fault, _, _ in EXAMPLES} | {"redirect"} == {*answers.FAULTS, *answers.FATAL}


@pytest.mark.parametrize("fault", [*answers.FAULTS])
async def test_no_fault_takes_what_is_rejected_for_good(fault: str) -> None:
    async with receiving(fault) as (client, record):
        status, body = await answer_of(client, batch("a", POISON))
    assert taken(record) == []
    if fault not in ("html200", "garbage", "indexes"):
        assert not 200 <= status < 300, body


async def test_without_faults_a_batch_is_taken_and_only_poison_rejected() -> None:
    async with receiving() as (client, record):
        answers_seen = [await answer_of(client, batch("a", POISON, "b")) for _ in range(20)]
    assert {status for status, _ in answers_seen} == {207, 400}
    partly = [orjson.loads(body) for status, body in answers_seen if status == 207]
    assert partly[0] == {"errors": [{"batch_index": 1, "reason": "invalid"}]}
    assert taken(record) == [("id-a", True), ("id-b", True)] * len(partly)


async def test_the_receiver_counts_what_met_a_fault() -> None:
    async with receiving("503", "html404") as (client, _):
        seen = [(await answer_of(client, batch("a")))[0] for _ in range(20)]
        met = await (await client.post("/_faults/off")).json()
        await answer_of(client, batch("a"))
        assert await (await client.post("/_faults/on")).json() == met
    assert met == {"503": seen.count(503), "html404": seen.count(404)}


async def test_what_is_stuck_is_taken_once_the_faults_are_over() -> None:
    async with receiving() as (client, record):
        assert (await answer_of(client, batch(STUCK)))[0] == 500
        await client.post("/_faults/off")
        assert (await answer_of(client, batch(STUCK)))[0] == 200
    assert taken(record) == [(f"id-{STUCK}", True)]


@pytest.mark.parametrize(
    ("operation", "found"),
    [
        ({"action": "event", "id": "e"}, "e"),
        ({"action": "identify", "attributes": {"mark": "i"}}, "i"),
        ({"mark": "i1", "n": 4}, "i1"),
        ({"action": "merge", "primary": {"id": "p"}, "secondary": {"id": "m"}}, "m"),
    ],
)
def test_each_operation_tells_its_message_id(operation: dict[str, Any], found: str) -> None:
    assert message_id(operation) == found
