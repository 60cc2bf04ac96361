"""A full queue, a failing disk, a shutdown: what callers hear, and that nothing is lost."""

import asyncio
import gc
import resource
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from cio.sidecar.v1 import ingest_pb2
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings
from cio_sidecar.app.sidecar import Sidecar
from cio_sidecar.intake import Status

from tests.rpc.harness import (
    ACCEPTED,
    DUPLICATE,
    Caller,
    Rejection,
    calling,
    read,
    rejection,
    track,
    ulid,
)

MEBIBYTE = 1024 * 1024


def large(number: int, user_id: str = "u1") -> Any:
    properties = {"text": "x" * 30_000, "n": number}
    return track(properties, user_id=user_id, message_id=ulid(number))


async def fill(caller: Caller) -> tuple[int, Rejection]:
    """Send large events until one is rejected; gives how many were taken, and the error."""
    for number in range(200):
        try:
            await caller.send(large(number))
        except grpc.aio.AioRpcError:
            return number, await rejection(
                caller.ingest.Send(ingest_pb2.SendRequest(event=large(number)))
            )
    raise AssertionError("a queue of 1 MiB took 6 MB")


@pytest.fixture
def full_settings(make_settings: Callable[..., Settings], fake: FakeCustomerIO) -> Settings:
    """A queue of 1 MiB, and a Customer.io that takes nothing."""
    fake.fail_next(500)
    return make_settings(queue_max_bytes=MEBIBYTE)


# A full queue


async def test_a_full_queue_says_when_to_try_again(
    full_settings: Settings, fake: FakeCustomerIO
) -> None:
    async with calling(full_settings, fake) as caller:
        _, error = await fill(caller)
        assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (error.reason, error.domain) == ("QUEUE_FULL", "cio-sidecar")
        assert error.retry_seconds == 1.0
        assert "1,048,576" in error.words
        batch = ingest_pb2.SendBatchRequest(events=[large(900)])
        again = await rejection(caller.ingest.SendBatch(batch))
        assert (again.code, again.reason) == (error.code, error.reason)


async def test_a_full_queue_still_tells_that_it_has_an_event(
    full_settings: Settings, fake: FakeCustomerIO
) -> None:
    async with calling(full_settings, fake) as caller:
        taken, _ = await fill(caller)
        assert (await caller.send(large(0))).status == DUPLICATE
        repeats = await caller.send_batch(*map(large, range(taken)))
        assert {result.status for result in repeats} == {DUPLICATE}


async def test_a_full_queue_takes_events_again_once_some_are_delivered_and_lost_none(
    full_settings: Settings, fake: FakeCustomerIO, until: Callable[..., Any]
) -> None:
    async with calling(full_settings, fake) as caller:
        taken, _ = await fill(caller)
        assert taken > 5
        fake.heal()
        await until(lambda: len(fake.events) == taken, "the backlog to be delivered")
        await caller.settled()
        assert (await caller.send(large(taken))).status == ACCEPTED
        await caller.settled()
    assert sorted(event["data"]["n"] for event in fake.events) == list(range(taken + 1))


async def test_a_batch_that_does_not_fit_is_turned_away_whole(
    full_settings: Settings, fake: FakeCustomerIO
) -> None:
    async with calling(full_settings, fake) as caller:
        await caller.send(track(message_id="first"))
        batch = ingest_pb2.SendBatchRequest(events=[large(number) for number in range(100)])
        error = await rejection(caller.ingest.SendBatch(batch))
        assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caller.sidecar.queue.waiting == 1
        # None of its ids counts as seen.
        assert (await caller.send(large(0))).status == ACCEPTED


async def test_a_full_queue_holds_a_stream_back_and_takes_it_on_in_order(
    full_settings: Settings, fake: FakeCustomerIO, until: Callable[..., Any]
) -> None:
    count = 60

    def message(number: int) -> ingest_pb2.StreamRequest:
        # A small event behind a large one must not overtake it where it alone finds room.
        event = large(1_000 + number, "ann") if number % 3 else track({"n": -1}, user_id="ann")
        return ingest_pb2.StreamRequest(sequence=number, events=[event])

    async def messages() -> AsyncIterator[ingest_pb2.StreamRequest]:
        for number in range(1, count + 1):
            yield message(number)

    async with calling(full_settings, fake) as caller:
        stream = caller.ingest.Stream(messages())
        acks: list[int] = []

        async def read_acks() -> None:
            async for ack in stream:
                acks.append(ack.sequence)  # noqa: PERF401 (read while it goes on)

        reading = asyncio.create_task(read_acks())
        await until(lambda: acks and acks[-1] > 5, "the first acks")
        _, error = await fill(caller)
        assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert acks[-1] < count
        assert not reading.done()
        fake.heal()
        await asyncio.wait_for(reading, 30)
        assert acks == sorted({*acks})
        assert acks[-1] == count
        await caller.settled()
        streamed = [n for event in fake.events if (n := event["data"]["n"]) > 1_000 or n < 0]
        assert streamed == [1_000 + n if n % 3 else -1 for n in range(1, count + 1)]


async def test_a_stream_that_waits_ends_when_the_sidecar_stops(
    full_settings: Settings, fake: FakeCustomerIO, caplog: pytest.LogCaptureFixture
) -> None:
    async with calling(full_settings, fake) as caller:
        waiting = asyncio.create_task(
            caller.stream_to_error(
                ingest_pb2.StreamRequest(sequence=number, events=[large(number)])
                for number in range(1, 61)
            )
        )
        await fill(caller)
    acks, error = await asyncio.wait_for(waiting, 30)
    assert error.code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
    settled = [ack.sequence for ack in acks]
    assert settled == sorted({*settled})
    assert max(settled, default=0) < 60
    gc.collect()
    await asyncio.sleep(0)
    # The messages behind the one that was rejected failed too, and nobody asks why.
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_a_message_that_never_finds_room_ends_its_stream(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    too_large = ingest_pb2.StreamRequest(sequence=2, events=[large(n) for n in range(100)])
    first = ingest_pb2.StreamRequest(sequence=1, events=[large(200)])
    async with calling(make_settings(queue_max_bytes=MEBIBYTE), fake) as caller:
        acks, error = await asyncio.wait_for(caller.stream_to_error([first, too_large]), 30)
        assert [ack.sequence for ack in acks] == [1]
        assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (error.reason, error.retry_seconds) == ("QUEUE_FULL", 1.0)


# A failing disk


@contextmanager
def no_room_on_disk() -> Iterator[None]:
    """Let no file of this process grow: what a full disk looks like from within."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


async def test_a_failing_disk_accepts_nothing_and_takes_events_again_when_it_is_mended(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    async with calling(make_settings(), fake) as caller:
        await caller.send(track(message_id="before"))
        await caller.delivered(1)
        batch = ingest_pb2.SendBatchRequest(events=[large(1), large(2)])
        stream = caller.ingest.Stream()
        with no_room_on_disk():
            one = await rejection(caller.ingest.Send(ingest_pb2.SendRequest(event=large(0))))
            many = await rejection(caller.ingest.SendBatch(batch))
            await stream.write(ingest_pb2.StreamRequest(sequence=1, events=[large(3)]))
            streamed = await rejection(stream.read())
        for error in (one, many, streamed):
            assert error.code is grpc.StatusCode.UNAVAILABLE
            assert (error.reason, error.domain) == ("QUEUE_UNAVAILABLE", "cio-sidecar")
            assert "queue.sqlite3 can't be written" in error.words
        assert caller.sidecar.queue.waiting == 0
        assert len(caller.operations) == 1
        results = await caller.send_batch(*(large(number) for number in range(4)))
        assert [result.status for result in results] == [ACCEPTED] * 4
        await caller.delivered(5)


# Shutdown


async def test_a_call_at_hand_is_answered_during_a_shutdown_and_a_new_one_turned_away(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    sidecar = Sidecar(make_settings())
    async with sidecar, grpc.aio.insecure_channel(sidecar.address) as channel:
        caller = Caller(sidecar, channel, fake)
        assert (await caller.send(track(message_id="before"))).status == ACCEPTED
        stopping = asyncio.create_task(sidecar.__aexit__(None, None, None))
        await stopping
        error = await rejection(
            caller.ingest.Send(ingest_pb2.SendRequest(event=track(message_id="after")))
        )
        assert error.code is grpc.StatusCode.UNAVAILABLE
    async with calling(make_settings(), fake) as caller:
        assert (await caller.send(track(message_id="before"))).status == DUPLICATE
        assert (await caller.send(track(message_id="after"))).status == ACCEPTED


async def test_an_open_stream_ends_at_shutdown_after_its_acks_and_does_not_hold_it_up(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    # Far longer than the test may take: only an end of the stream's own lets it pass.
    settings = make_settings(shutdown_grace_seconds=3600)
    sidecar = Sidecar(settings)
    async with sidecar, grpc.aio.insecure_channel(sidecar.address) as channel:
        stream = Caller(sidecar, channel, fake).ingest.Stream()
        await stream.write(ingest_pb2.StreamRequest(sequence=1, events=[track(message_id="m1")]))
        assert (await read(stream)).sequence == 1
        await sidecar.__aexit__(None, None, None)
        error = await rejection(stream.read())
        assert error.code is grpc.StatusCode.UNAVAILABLE
        assert "shutting down" in error.words


# Callers that go away


@pytest.mark.parametrize("method", ["Send", "SendBatch", "Stream"])
async def test_events_of_a_cancelled_call_are_counted_if_they_are_stored(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    committed = asyncio.Event()
    queue = caller.sidecar.queue
    put = queue.put

    async def started(*given: Any, **named: Any) -> list[bool]:
        committed.set()
        return await put(*given, **named)

    monkeypatch.setattr(queue, "put", started)
    event = track()
    calls: dict[str, Callable[[], Any]] = {
        "Send": lambda: caller.ingest.Send(ingest_pb2.SendRequest(event=event)),
        "SendBatch": lambda: caller.ingest.SendBatch(ingest_pb2.SendBatchRequest(events=[event])),
        "Stream": lambda: caller.ingest.Stream(
            iter([ingest_pb2.StreamRequest(sequence=1, events=[event])])
        ),
    }
    call = calls[method]()
    if method == "Stream":
        reading = asyncio.create_task(call.read())
    await committed.wait()
    call.cancel()
    await caller.settled(1)
    counted = caller.sidecar.intake.counters.by_status
    async with asyncio.timeout(10):
        while counted[Status.ACCEPTED] != 1:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.005)
    assert caller.sidecar.dispatcher.counters.delivered == 1
    if method == "Stream":
        reading.cancel()
