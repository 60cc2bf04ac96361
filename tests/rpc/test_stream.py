"""IngestService.SendBatch and Stream: many events, acks in order, flow."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest
from cio.sidecar.v1 import event_pb2, ingest_pb2

from tests.rpc.harness import (
    ACCEPTED,
    DUPLICATE,
    INGEST,
    REJECTED,
    Caller,
    field,
    read,
    track,
    ulid,
    varint,
    violations_of,
)

Request = ingest_pb2.StreamRequest
Response = ingest_pb2.StreamResponse


def message(sequence: int, *events: event_pb2.Event) -> Request:
    return Request(sequence=sequence, events=events)


def good(number: int, user_id: str = "u1") -> event_pb2.Event:
    return track({"n": number}, message_id=ulid(number), user_id=user_id)


def bad() -> event_pb2.Event:
    """An event that belongs to nobody."""
    return track(user_id="", message_id="bad")


def places(acks: list[Response]) -> list[tuple[int, int, int]]:
    """Sequence, index and status of every result of a stream."""
    return [
        (result.sequence, result.index, result.result.status)
        for ack in acks
        for result in ack.results
    ]


async def numbers_at_the_fake(caller: Caller, count: int) -> list[int]:
    return [operation["body"]["attributes"]["n"] for operation in await caller.delivered(count)]


# SendBatch


async def test_a_batch_gets_a_result_for_each_event_in_its_order(caller: Caller) -> None:
    results = await caller.send_batch(good(1), bad(), good(2), good(1), track(message_id=""))
    assert [result.status for result in results] == [
        ACCEPTED,
        REJECTED,
        ACCEPTED,
        DUPLICATE,
        ACCEPTED,
    ]
    assert [result.message_id for result in results[:4]] == [ulid(1), "bad", ulid(2), ulid(1)]
    assert len(results[4].message_id) == 26
    assert violations_of(results[1]) == [("userId", "NO_PERSON")]
    assert [result.violations for result in results if result.status != REJECTED] == [
        [],
        [],
        [],
        [],
    ]
    await caller.delivered(3)


async def test_a_batch_of_nothing_but_bad_events_is_still_answered(caller: Caller) -> None:
    results = await caller.send_batch(bad(), bad())
    assert [result.status for result in results] == [REJECTED, REJECTED]
    assert caller.sidecar.queue.waiting == 0


async def test_a_batch_keeps_the_order_of_a_persons_events(caller: Caller) -> None:
    await caller.send_batch(*(good(number) for number in range(300)))
    assert await numbers_at_the_fake(caller, 300) == list(range(300))


async def test_three_bad_events_among_five_hundred_good_ones_are_named_and_the_rest_delivered(
    caller: Caller,
) -> None:
    events = [good(number, f"u{number % 7}") for number in range(500)]
    mistakes = {
        17: track(user_id=""),
        250: track(b"[]"),
        502: event_pb2.Event(user_id="u1"),
    }
    for place, event in mistakes.items():
        events.insert(place, event)
    results = await caller.send_batch(*events)
    assert {
        place: violations_of(result)
        for place, result in enumerate(results)
        if result.status != ACCEPTED
    } == {
        17: [("userId", "NO_PERSON")],
        250: [("properties", "WRONG_TYPE")],
        502: [("type", "UNKNOWN_TYPE")],
    }
    assert sorted(await numbers_at_the_fake(caller, 500)) == list(range(500))


# Stream


async def test_acks_come_in_order_and_settle_everything(caller: Caller) -> None:
    acks = await caller.stream(message(number, good(number)) for number in range(1, 101))
    assert [ack.sequence for ack in acks] == sorted({ack.sequence for ack in acks})
    assert acks[-1].sequence == 100
    assert places(acks) == []
    assert await numbers_at_the_fake(caller, 100) == list(range(1, 101))


async def test_messages_of_which_events_are_named_have_acks_of_their_own(caller: Caller) -> None:
    acks = await caller.stream(message(number, bad()) for number in range(1, 51))
    assert [ack.sequence for ack in acks] == list(range(1, 51))
    assert places(acks) == [(number, 0, REJECTED) for number in range(1, 51)]


async def test_an_ack_comes_while_the_stream_stays_open(caller: Caller) -> None:
    stream = caller.ingest.Stream()
    for number in (1, 2, 3):
        await stream.write(message(number, good(number)))
        assert (await read(stream)).sequence == number
        await caller.delivered(number)
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_what_was_sent_before_the_half_close_is_acked_after_it(caller: Caller) -> None:
    stream = caller.ingest.Stream()
    for number in range(1, 51):
        await stream.write(message(number, good(number)))
    await stream.done_writing()
    acks = [ack async for ack in stream]
    assert acks[-1].sequence == 50
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_stream_without_messages_ends_well(caller: Caller) -> None:
    assert await caller.stream([]) == []


async def test_numbers_may_leave_gaps(caller: Caller) -> None:
    largest = 2**64 - 1
    acks = await caller.stream(
        [message(5, good(1)), message(9, good(2)), message(largest, good(3))]
    )
    assert acks[-1].sequence == largest
    await caller.delivered(3)


@pytest.mark.parametrize(
    ("sequences", "settled"), [([0], 0), ([1, 1], 1), ([7, 3], 7), ([2, 0], 2)]
)
async def test_a_number_that_does_not_ascend_ends_the_stream_once_the_rest_is_acked(
    caller: Caller, sequences: list[int], settled: int
) -> None:
    acks, error = await caller.stream_to_error(
        [message(number, good(place)) for place, number in enumerate(sequences)]
    )
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "INVALID_REQUEST"
    assert error.fields == [("sequence", "INVALID_VALUE")]
    assert f"greater than {settled}" in error.words
    assert [ack.sequence for ack in acks] == ([settled] if settled else [])
    await caller.delivered(len(sequences) - 1)


async def test_a_message_may_hold_many_events_and_its_bad_ones_are_named_by_place(
    caller: Caller,
) -> None:
    acks = await caller.stream(
        [
            message(1, good(1), bad(), good(2)),
            message(2, good(3)),
            message(4, bad(), good(1), good(4)),
        ]
    )
    assert places(acks) == [(1, 1, REJECTED), (4, 0, REJECTED), (4, 1, DUPLICATE)]
    assert await numbers_at_the_fake(caller, 4) == [1, 2, 3, 4]


async def test_only_what_is_notable_is_told(caller: Caller) -> None:
    acks = await caller.stream(
        [
            message(1, good(1)),
            message(2, track(message_id="")),
            message(3, track(message_id="warned", event="e" * 101)),
            message(4, good(2)),
        ]
    )
    results = {result.sequence: result.result for ack in acks for result in ack.results}
    assert results.keys() == {2, 3}
    assert len(results[2].message_id) == 26
    assert [warning.field for warning in results[3].warnings] == ["event"]
    assert {result.status for result in results.values()} == {ACCEPTED}


async def test_a_message_without_events_ends_the_stream(caller: Caller) -> None:
    acks, error = await caller.stream_to_error([message(1)])
    assert acks == []
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.fields == [("events", "REQUIRED")]


async def test_an_event_that_can_not_be_decoded_is_named_and_the_stream_goes_on(
    caller: Caller,
) -> None:
    undecodable = field(4, b"\xff")  # user_id
    data = b"\x08\x01" + field(2, good(1).SerializeToString()) + field(2, undecodable)
    call: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = caller.channel.stream_stream(
        f"{INGEST}/Stream"
    )
    stream = call(iter([data, message(2, good(2)).SerializeToString()]))
    acks = [Response.FromString(ack) async for ack in stream]
    assert acks[-1].sequence == 2
    assert places(acks) == [(1, 1, REJECTED)]
    assert violations_of(acks[0].results[0].result) == [("userId", "INVALID_VALUE")]
    assert sorted(await numbers_at_the_fake(caller, 2)) == [1, 2]


async def test_a_known_field_of_a_wrong_wire_type_beside_a_bad_event_is_no_riddle(
    caller: Caller,
) -> None:
    """`events` as a number, in a message that protobuf can't read at once."""
    garbled = varint(2 << 3) + b"\x05" + b"\x08\x01" + field(2, field(4, b"\xff"))
    call: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = caller.channel.stream_stream(
        f"{INGEST}/Stream"
    )
    acks = [Response.FromString(ack) async for ack in call(iter([garbled]))]
    assert places(acks) == [(1, 0, REJECTED)]
    batch = varint(1 << 3) + b"\x05" + field(1, field(4, b"\xff"))
    answer = await caller.raw(f"{INGEST}/SendBatch", batch)
    (result,) = ingest_pb2.SendBatchResponse.FromString(answer).results
    assert violations_of(result) == [("userId", "INVALID_VALUE")]


async def test_thousands_of_messages_flow_through_in_order(caller: Caller) -> None:
    def messages() -> Iterator[Request]:
        for number in range(1, 3001):
            yield message(number, good(2 * number), good(2 * number + 1, "u2"))

    acks = await caller.stream(messages())
    sequences = [ack.sequence for ack in acks]
    assert sequences == sorted(set(sequences))
    assert sequences[-1] == 3000
    # Those that share a transaction share an ack.
    assert len(acks) < 1500
    assert places(acks) == []
    numbers = await numbers_at_the_fake(caller, 6000)
    assert [number for number in numbers if number % 2 == 0] == list(range(2, 6001, 2))
    assert [number for number in numbers if number % 2 == 1] == list(range(3, 6002, 2))


async def test_a_caller_that_reads_its_acks_late_loses_none(
    caller: Caller, until: Callable[..., Any]
) -> None:
    stream = caller.ingest.Stream()
    # Rejected events make the acks larger than the messages: unread, they fill every buffer.
    events = [track(user_id="", message_id="m" * 200) for _ in range(100)]

    written = 0

    async def write() -> None:
        nonlocal written
        for number in range(1, 201):
            await stream.write(message(number, *events))
            written = number
        await stream.done_writing()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        await until(lambda: written >= 50, "unread acks to pile up")
        acks = [ack async for ack in stream]
    assert [ack.sequence for ack in acks] == list(range(1, 201))
    assert len(places(acks)) == 20_000


async def test_two_streams_at_once_do_not_disturb_each_other(caller: Caller) -> None:
    async def messages(person: int) -> AsyncIterator[Request]:
        for number in range(1, 201):
            yield message(number, track({"n": number}, user_id=f"u{person}"))

    async def one(person: int) -> list[int]:
        return [ack.sequence async for ack in caller.ingest.Stream(messages(person))]

    first, second = await asyncio.gather(one(1), one(2))
    assert first == second == list(range(1, 201))
    operations = await caller.delivered(400)
    for person in ("u1", "u2"):
        assert [
            operation["body"]["attributes"]["n"]
            for operation in operations
            if operation["body"]["identifiers"] == {"id": person}
        ] == list(range(1, 201))


async def test_what_a_broken_stream_sent_is_safe_and_a_repeat_is_told(caller: Caller) -> None:
    stream = caller.ingest.Stream()
    await stream.write(message(1, good(1)))
    assert (await read(stream)).sequence == 1
    stream.cancel()
    acks = await caller.stream([message(1, good(1), good(2))])
    assert places(acks) == [(1, 0, DUPLICATE)]
    await caller.delivered(2)
