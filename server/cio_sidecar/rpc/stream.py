"""One call of IngestService.Stream: what was read ahead, and the order in which it is accepted."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from typing import Final, NamedTuple

from cio.sidecar.v1 import event_pb2, ingest_pb2

from cio_sidecar.event_queue.errors import QueueError, QueueFull
from cio_sidecar.event_queue.put_order import PutOrder
from cio_sidecar.intake import Intake, Receipt, Rendered
from cio_sidecar.mapping.errors import Violation
from cio_sidecar.mapping.event import Event
from cio_sidecar.renderer import Rejected
from cio_sidecar.rpc.decode import InvalidRequest, Undecodable, decode_events

MESSAGES_AHEAD: Final = 64
"""How many messages of a stream are read before the first of them is acked."""
BYTES_AHEAD: Final = 16 * 1024 * 1024
"""At how many bytes of them no more are read."""
_FULL_AGAIN_SECONDS: Final = 0.1

ToEvents = Callable[[Iterable[event_pb2.Event | Undecodable]], Iterable[Event | Rejected]]


class Accepted(NamedTuple):
    """A message whose events are settled."""

    sequence: int
    receipts: list[Receipt]
    more: bool
    """Whether the one behind it is settled as well: an ack of that one will do for both."""


class _Message(NamedTuple):
    sequence: int
    size: int
    accepting: "asyncio.Task[list[Receipt]]"


class EventStream:
    """A stream of messages: accepted while earlier ones are being written, acked in order.

    While the queue is full nothing more is read, so that flow control holds the caller back, and
    what was read waits its turn: a smaller message never overtakes a larger one.
    """

    def __init__(self, intake: Intake, to_events: ToEvents) -> None:
        self._intake = intake
        self._to_events = to_events
        self._line = PutOrder()
        self._messages: asyncio.Queue[_Message | None] = asyncio.Queue()
        self._accepting: set[asyncio.Task[list[Receipt]]] = set()
        self._bytes = 0
        self._change = asyncio.Event()
        self._stopped = False
        self._reader: asyncio.Task[None] | None = None

    async def accepted(self, requests: AsyncIterator[bytes]) -> AsyncGenerator[Accepted]:
        """The messages, in order, each when its events are settled.

        Raises InvalidRequest for a message that can't be used, once all before it are settled, and
        QueueError where the queue can't take events or the stream is stopped.
        """
        reader = self._reader = asyncio.create_task(self._read(requests))
        reader.add_done_callback(lambda _: self._messages.put_nowait(None))
        if self._stopped:
            reader.cancel()
        try:
            message = await self._messages.get()
            while message is not None:
                receipts = await message.accepting
                # Those that share a transaction are settled together.
                at_hand = not self._messages.empty()
                behind = self._messages.get_nowait() if at_hand else None
                more = behind is not None and _is_settled(behind.accepting)
                yield Accepted(message.sequence, receipts, more)
                self._bytes -= message.size
                self._change.set()
                message = behind if at_hand else await self._messages.get()
            if reader.cancelled():
                raise QueueError("the sidecar is shutting down")
            reader.result()
        finally:
            reader.cancel()
            for task in self._accepting:
                task.cancel()

    def stop(self) -> None:
        """Read no more; what was read is still accepted, unless the queue is full."""
        self._stopped = True
        if self._reader:
            self._reader.cancel()

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        last = 0
        previous: asyncio.Task[list[Receipt]] | None = None
        async for data in requests:
            while (
                len(self._accepting) >= MESSAGES_AHEAD
                or self._messages.qsize() >= MESSAGES_AHEAD
                or self._bytes >= BYTES_AHEAD
                or self._line.closed
            ):
                self._change.clear()
                await self._change.wait()
            request, messages = decode_events(ingest_pb2.StreamRequest, data, self._intake.limits)
            if request.sequence <= last:
                raise InvalidRequest([_bad_sequence(request.sequence, last)])
            if not messages.count:
                raise InvalidRequest([required("events")])
            last = request.sequence
            rendered = await self._intake.render(self._to_events(messages))
            # A task runs to its first wait at once, so messages reach the queue in their order.
            previous = asyncio.create_task(self._accept(rendered, previous))
            self._accepting.add(previous)
            previous.add_done_callback(self._settled)
            self._bytes += len(data)
            self._messages.put_nowait(_Message(last, len(data), previous))

    async def _accept(
        self, rendered: Rendered, previous: "asyncio.Task[list[Receipt]] | None"
    ) -> list[Receipt]:
        try:
            return await self._intake.store(rendered, self._line)
        except QueueFull as error:
            full = error
        if previous is not None:
            await asyncio.wait({previous})
            previous.result()
        while True:
            if self._stopped or self._intake.is_empty:
                # Where nothing waits, a message that finds no room never will.
                raise full
            await asyncio.sleep(_FULL_AGAIN_SECONDS * (0.5 + random.random()))  # noqa: S311
            try:
                return await self._intake.store(rendered)
            except QueueFull as error:
                full = error

    def _settled(self, task: "asyncio.Task[list[Receipt]]") -> None:
        self._accepting.discard(task)
        if not self._accepting:
            self._line.open()
        self._change.set()
        # Take note of an error that nobody asks for: the stream has ended by the one before it.
        if not task.cancelled():
            task.exception()


def _is_settled(accepting: "asyncio.Task[list[Receipt]]") -> bool:
    return accepting.done() and not accepting.cancelled() and accepting.exception() is None


def required(field: str) -> Violation:
    """The violation of a request without events."""
    return Violation(field, "REQUIRED", "the request has none: give at least one event")


def _bad_sequence(sequence: int, last: int) -> Violation:
    what = f"expected a number greater than {last}, got {sequence}: number the messages upwards"
    return Violation("sequence", "INVALID_VALUE", what)
