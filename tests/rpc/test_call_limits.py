"""Limits of a call: its events, their bytes, and the size of the response."""

import grpc
import pytest
from cio.sidecar.v1 import event_pb2, ingest_pb2

from tests.rpc.harness import (
    ACCEPTED,
    INGEST,
    REJECTED,
    Caller,
    field,
    identify,
    json_object,
    rejection,
    track,
    violations_of,
)

BATCH = f"{INGEST}/SendBatch"


@pytest.mark.parametrize("event", [b"", b"\xff"], ids=["empty", "undecodable"])
async def test_send_batch_more_events_than_the_limit(caller: Caller, event: bytes) -> None:
    found = await rejection(caller.raw(BATCH, field(1, event) * 10_001))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_MANY_EVENTS")
    assert found.fields == [("events", "TOO_MANY_EVENTS")]
    assert "10,000" in found.words
    assert "CIO_CALL_MAX_EVENTS" in found.words


async def test_send_batch_unknown_fields_without_end(caller: Caller) -> None:
    found = await rejection(caller.raw(BATCH, field(1, b"") + b"\x78\x01" * 1_000_000))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_send_batch_response_to_ten_thousand_rejected_events(caller: Caller) -> None:
    bad = identify({f"{n}{'k' * 180}": 1 for n in range(3)}, message_id="m" * 300)
    data = ingest_pb2.SendBatchRequest(events=[bad] * 10_000).SerializeToString()
    answer = await caller.raw(BATCH, data)
    assert len(answer) < 3_600_000
    results = ingest_pb2.SendBatchResponse.FromString(answer).results
    assert len(results) == 10_000
    assert all(result.status == REJECTED and result.violations[0].reason for result in results)


async def test_send_batch_event_over_the_limit_as_received(caller: Caller) -> None:
    large = track(context=event_pb2.Object(json=b'{"a":1}' + b" " * 1_000_000))
    first, second = await caller.send_batch(large, track())
    assert violations_of(first) == [("", "TOO_LARGE")]
    assert "CIO_EVENT_MAX_BYTES" in first.violations[0].description
    assert second.status == ACCEPTED


async def test_send_batch_event_over_the_limit_as_stored(caller: Caller) -> None:
    # Each quote takes two bytes in JSON.
    (result,) = await caller.send_batch(track(context=json_object({"a": chr(34) * 400_000})))
    assert result.status == ACCEPTED
    event = track()
    event.context.struct.update({"a": chr(34) * 600_000})
    (result,) = await caller.send_batch(event)
    assert violations_of(result) == [("", "TOO_LARGE")]


async def test_send_batch_struct_of_too_many_values(caller: Caller) -> None:
    event = track()
    values = field(1, b"") * 200_000
    event.context.struct.fields["a"].list_value.MergeFromString(values)
    (result,) = await caller.send_batch(event)
    assert violations_of(result) == [("context", "TOO_MANY")]
