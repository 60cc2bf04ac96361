"""Sends events as services would: alone, in batches and by streams; again, where no receipt came.

A person's events are numbered, and sent in this order: the next ones when those before them have a
receipt, or behind them in one batch or stream.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Final

import grpc
import orjson
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from ulid import ULID

from reliability.errors import Broken
from reliability.ledger import Fate, Sent, Writer
from reliability.wire import POISON, STUCK

PEOPLE_OF_A_CALLER: Final = 300
_CALL_SECONDS: Final = 10
_BUSY: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
    }
)
"""After these nobody knows whether the events were accepted: they are sent again. The last two come
from a connection that breaks in the middle of an answer."""
_FATES: Final[dict[int, Fate]] = {
    ingest_pb2.EVENT_STATUS_ACCEPTED: "acked",
    ingest_pb2.EVENT_STATUS_DUPLICATE: "acked",
    ingest_pb2.EVENT_STATUS_REJECTED: "rejected",
}
_OPTIONS: Final = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    # The sidecar is on this machine, whatever http_proxy says.
    ("grpc.enable_http_proxy", 0),
]


class Load:
    """Callers that send until they are told to stop."""

    def __init__(self, target: str, ledger: Writer, seed: int, *, per_second: float) -> None:
        """``per_second``: events a second, of all callers together."""
        self.retries = 0
        """Calls that were made again, as no receipt came."""
        self.repeats = 0
        """Calls that were made again though the receipt had come: it might have been lost."""
        self._target = target
        self._ledger = ledger
        self._seed = seed
        self._per_second = per_second
        self._stopped = False

    def stop(self) -> None:
        """Begin nothing more; run() ends when each event that was sent has a receipt."""
        self._stopped = True

    async def run(self, callers: int = 4) -> None:
        """Send until stop(). Raises Broken for an answer that no caller should get."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(callers):
                    caller = _Caller(self, number, self._per_second / callers)
                    group.create_task(caller.run())
        except* grpc.aio.AioRpcError as failed:
            error = failed.exceptions[0]
            assert isinstance(error, grpc.aio.AioRpcError)
            unforeseen = Broken(f"a call ended with {error.code().name}: {error.details()}")
        else:
            return
        raise unforeseen


class _Caller:
    def __init__(self, load: Load, number: int, per_second: float) -> None:
        self._load = load
        self._ledger = load._ledger
        self._random = random.Random(load._seed * 1000 + number)  # noqa: S311
        self._name = f"c{number}"
        self._per_second = per_second
        self._numbers: dict[str, int] = {}

    async def run(self) -> None:
        async with grpc.aio.insecure_channel(self._load._target, options=_OPTIONS) as channel:
            stub = ingest_pb2_grpc.IngestServiceStub(channel)
            while not self._load._stopped:
                began = asyncio.get_running_loop().time()
                count = await self._turn(stub)
                spent = asyncio.get_running_loop().time() - began
                await asyncio.sleep(max(0.0, count / self._per_second - spent))

    async def _turn(self, stub: "ingest_pb2_grpc.IngestServiceAsyncStub") -> int:
        way = self._random.random()
        size = 1 if way < 0.2 else self._random.choice((2, 10, 50, 200))
        made = [self._event() for _ in range(size)]
        sent = [event for event, _ in made]
        messages = [message for _, message in made]
        self._ledger.sent(sent)
        if way < 0.2:
            await self._send(stub, messages[0])
        elif way < 0.6:
            await self._send_batch(stub, messages)
        else:
            await self._stream(stub, messages)
        if self._random.random() < 0.05:
            # As a caller does whose connection broke before the receipt came.
            self._load.repeats += 1
            await self._send_batch(stub, messages, again=True)
        return size

    def _event(self) -> tuple[Sent, event_pb2.Event]:
        # Some people are busy, most are not.
        place = int(PEOPLE_OF_A_CALLER * self._random.random() ** 3)
        person = f"{self._name}-{place}"
        number = self._numbers[person] = self._numbers.get(person, 0) + 1
        id_ = str(ULID())
        kind = self._random.random()
        sent = Sent(id_, person, number, poison=kind < 0.005)
        message = event_pb2.Event(message_id=id_, user_id=person)
        if sent.poison:
            message.track.event = POISON
        elif kind < 0.0052:
            message.track.event = STUCK
        elif kind < 0.01:
            # Nobody's: the sidecar rejects it.
            message.user_id = ""
            message.track.event = "Nobody's"
        elif kind < 0.2:
            message.identify.traits.json = orjson.dumps({"mark": id_, "n": number})
        elif kind < 0.25:
            message.alias.previous_id = id_
        elif kind < 0.4:
            message.page.name = "Home"
            message.page.properties.json = b'{"url": "https://example.com/"}'
        elif kind < 0.5:
            message.screen.name = "Start"
            message.screen.properties.struct.update({"n": number})
        else:
            message.track.event = "Order Completed"
            text = "x" * self._random.choice((0, 100, 300, 3000))
            message.track.properties.json = orjson.dumps({"n": number, "total": 99.5, "text": text})
        return sent, message

    async def _send(
        self, stub: "ingest_pb2_grpc.IngestServiceAsyncStub", message: event_pb2.Event
    ) -> None:
        request = ingest_pb2.SendRequest(event=message)
        while True:
            try:
                answer = await stub.Send(request, timeout=_CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                    self._ledger.told([(message.message_id, "rejected")])
                    return
                await self._again(error)
            else:
                self._told([answer.result])
                return

    async def _send_batch(
        self,
        stub: "ingest_pb2_grpc.IngestServiceAsyncStub",
        messages: Sequence[event_pb2.Event],
        *,
        again: bool = False,
    ) -> None:
        request = ingest_pb2.SendBatchRequest(events=messages)
        while True:
            try:
                answer = await stub.SendBatch(request, timeout=_CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                await self._again(error)
            else:
                if not again:
                    self._told(answer.results)
                return

    async def _stream(
        self, stub: "ingest_pb2_grpc.IngestServiceAsyncStub", messages: Sequence[event_pb2.Event]
    ) -> None:
        """Send by a stream; by another, from the first message without an ack, if it breaks."""
        parts = [messages[at : at + 10] for at in range(0, len(messages), 10)]
        settled = 0
        while settled < len(parts):

            async def requests(first: int = settled) -> AsyncIterator[ingest_pb2.StreamRequest]:
                for place in range(first, len(parts)):
                    yield ingest_pb2.StreamRequest(sequence=place + 1, events=parts[place])

            try:
                async for ack in stub.Stream(requests(), timeout=_CALL_SECONDS):
                    rejected = {
                        result.result.message_id
                        for result in ack.results
                        if result.result.status == ingest_pb2.EVENT_STATUS_REJECTED
                    }
                    for part in parts[settled : ack.sequence]:
                        self._ledger.told(
                            (
                                each.message_id,
                                "rejected" if each.message_id in rejected else "acked",
                            )
                            for each in part
                        )
                    settled = max(settled, ack.sequence)
            except grpc.aio.AioRpcError as error:
                await self._again(error)

    def _told(self, results: Sequence[ingest_pb2.EventResult]) -> None:
        self._ledger.told((result.message_id, _FATES[result.status]) for result in results)

    async def _again(self, error: grpc.aio.AioRpcError) -> None:
        if error.code() not in _BUSY:
            raise error
        self._load.retries += 1
        await asyncio.sleep(0.05 + 0.2 * self._random.random())
