"""A caller of a sidecar under test: plain gRPC in, what the fake Customer.io received out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc
import orjson
from cio.sidecar.v1 import (
    delivery_pb2_grpc,
    event_pb2,
    ingest_pb2,
    ingest_pb2_grpc,
    mapping_pb2_grpc,
)
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings
from cio_sidecar.app.sidecar import Sidecar
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from google.rpc import error_details_pb2, status_pb2

INGEST = "/cio.sidecar.v1.IngestService"
DELIVERY = "/cio.sidecar.v1.DeliveryService"
MAPPING = "/cio.sidecar.v1.MappingService"
ACCEPTED = ingest_pb2.EVENT_STATUS_ACCEPTED
DUPLICATE = ingest_pb2.EVENT_STATUS_DUPLICATE
REJECTED = ingest_pb2.EVENT_STATUS_REJECTED
OPTIONS = (("grpc.max_send_message_length", -1),)

# In ascending order, so that the n-th differs from the others.
_ULID = "01JD00000000000000000{:05d}"


def ulid(number: int = 0) -> str:
    return _ULID.format(number)


def json_object(value: Any) -> event_pb2.Object:
    """An object as JSON bytes; bytes are taken as they are."""
    return event_pb2.Object(json=value if isinstance(value, bytes) else orjson.dumps(value))


def struct_object(value: dict[str, Any]) -> event_pb2.Object:
    return event_pb2.Object(struct=ParseDict(value, Struct()))


def track(
    properties: Any = None, *, event: str = "Order Completed", **fields: Any
) -> event_pb2.Event:
    """A track event of user u1; ``properties`` as an Object, or as what JSON bytes hold."""
    if properties is not None and not isinstance(properties, event_pb2.Object):
        properties = json_object(properties)
    given = {"user_id": "u1", "timestamp": "2026-03-02T09:30:00Z", **fields}
    return event_pb2.Event(track=event_pb2.Track(event=event, properties=properties), **given)


def identify(traits: Any = None, **fields: Any) -> event_pb2.Event:
    if traits is not None and not isinstance(traits, event_pb2.Object):
        traits = json_object(traits)
    return event_pb2.Event(
        identify=event_pb2.Identify(traits=traits), **{"user_id": "u1", **fields}
    )


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field on the wire."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


class Violation(NamedTuple):
    field: str
    reason: str
    description: str


@dataclass(frozen=True)
class Rejection:
    """A call that ended in an error, with its google.rpc details."""

    code: grpc.StatusCode
    words: str
    violations: list[Violation]
    """Of google.rpc.BadRequest."""
    reason: str
    """Of google.rpc.ErrorInfo."""
    domain: str
    retry_seconds: float | None
    """Of google.rpc.RetryInfo."""

    @property
    def fields(self) -> list[tuple[str, str]]:
        return [(violation.field, violation.reason) for violation in self.violations]


async def rejection(call: Awaitable[Any]) -> Rejection:
    """The error that a call ends in; fails where it ends well."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return explain(error)
    raise AssertionError(f"expected an error, got {answer}")


def explain(error: Any) -> Rejection:
    violations: list[Violation] = []
    reason = domain = ""
    retry_seconds = None
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        status = status_pb2.Status.FromString(value)
        assert status.code == error.code().value[0]
        assert status.message == error.details()
        for detail in status.details:
            bad_request = error_details_pb2.BadRequest()
            info = error_details_pb2.ErrorInfo()
            retry = error_details_pb2.RetryInfo()
            if detail.Unpack(bad_request):
                violations = [
                    Violation(found.field, found.reason, found.description)
                    for found in bad_request.field_violations
                ]
            elif detail.Unpack(info):
                reason, domain = info.reason, info.domain
            elif detail.Unpack(retry):
                retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()
    return Rejection(error.code(), error.details() or "", violations, reason, domain, retry_seconds)


async def read(
    stream: grpc.aio.StreamStreamCall[ingest_pb2.StreamRequest, ingest_pb2.StreamResponse],
) -> ingest_pb2.StreamResponse:
    """The next ack of a stream."""
    ack = await stream.read()
    assert isinstance(ack, ingest_pb2.StreamResponse)
    return ack


def violations_of(result: ingest_pb2.EventResult) -> list[tuple[str, str]]:
    return [(violation.field, violation.reason) for violation in result.violations]


class Caller:
    """A channel to a sidecar, its stubs, and a view of what the fake received."""

    def __init__(self, sidecar: Sidecar, channel: grpc.aio.Channel, fake: FakeCustomerIO) -> None:
        self.sidecar = sidecar
        self.channel = channel
        self.fake = fake
        self.ingest = ingest_pb2_grpc.IngestServiceStub(channel)
        self.delivery = delivery_pb2_grpc.DeliveryServiceStub(channel)
        self.mapping = mapping_pb2_grpc.MappingServiceStub(channel)

    async def send(self, event: event_pb2.Event) -> ingest_pb2.EventResult:
        """The receipt of one event."""
        response = await self.ingest.Send(ingest_pb2.SendRequest(event=event))
        return response.result

    async def send_rejected(self, event: event_pb2.Event) -> Rejection:
        found = await rejection(self.ingest.Send(ingest_pb2.SendRequest(event=event)))
        assert found.code is grpc.StatusCode.INVALID_ARGUMENT
        assert (found.reason, found.domain) == ("EVENT_REJECTED", "cio-sidecar")
        return found

    async def send_batch(self, *events: event_pb2.Event) -> list[ingest_pb2.EventResult]:
        response = await self.ingest.SendBatch(ingest_pb2.SendBatchRequest(events=events))
        assert len(response.results) == len(events)
        return list(response.results)

    async def raw(self, method: str, data: bytes) -> bytes:
        """Send any bytes as the request of a unary call; returns the bytes of the answer."""
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(method)
        answer: bytes = await call(data)
        return answer

    async def stream(
        self, messages: Iterable[ingest_pb2.StreamRequest]
    ) -> list[ingest_pb2.StreamResponse]:
        """Send messages, close the sending side, and read every ack."""
        return [ack async for ack in self.ingest.Stream(iter(messages))]

    async def stream_to_error(
        self, messages: Iterable[ingest_pb2.StreamRequest]
    ) -> tuple[list[ingest_pb2.StreamResponse], Rejection]:
        """Send messages without waiting for acks; what is answered, and the error at the end.

        By gRPC's blocking client: that of asyncio hides an error that comes while it writes.
        """
        acks: list[ingest_pb2.StreamResponse] = []

        def run() -> Rejection:
            with grpc.insecure_channel(self.sidecar.address, options=OPTIONS) as channel:
                try:
                    for ack in ingest_pb2_grpc.IngestServiceStub(channel).Stream(iter(messages)):
                        acks.append(ack)  # noqa: PERF402 (they must outlive the error)
                except grpc.RpcError as error:
                    return explain(error)
            raise AssertionError(f"expected an error after {len(acks)} acks")

        return acks, await asyncio.to_thread(run)

    async def delivered(self, count: int) -> list[dict[str, Any]]:
        """What the fake was asked for, once ``count`` operations have come and all is settled."""
        await self.settled(count)
        assert len(self.operations) == count
        return self.operations

    async def settled(self, count: int = 0) -> None:
        """Wait until ``count`` operations have come to the fake, and the queue is empty."""
        try:
            async with asyncio.timeout(30):
                while (  # noqa: ASYNC110 (the fake tells nobody)
                    len(self.operations) < count or self.sidecar.queue.waiting
                ):
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(
                f"waited in vain for {count} operations: {len(self.operations)} came, "
                f"{self.sidecar.queue.waiting} wait"
            ) from None

    async def die(self, event: event_pb2.Event, status: int = 400) -> None:
        """Have an event rejected permanently."""
        self.fake.fail_next(status)
        await self.send(event)
        await self.settled()
        self.fake.heal()

    async def fill(self) -> None:
        """Send events of 30 KB until the queue is full."""
        for _ in range(200):
            try:
                await self.send(track({"text": "x" * 30_000}))
            except grpc.aio.AioRpcError:
                return
        raise AssertionError("a queue took 6 MB")

    async def delivered_one(self) -> dict[str, Any]:
        """The body of the only operation."""
        (operation,) = await self.delivered(1)
        body: dict[str, Any] = operation["body"]
        return body

    @property
    def operations(self) -> list[dict[str, Any]]:
        return [operation for received in self.fake.received for operation in received.operations]


@asynccontextmanager
async def calling(settings: Settings, fake: FakeCustomerIO) -> AsyncIterator[Caller]:
    """A sidecar and a caller of it."""
    async with (
        Sidecar(settings) as sidecar,
        grpc.aio.insecure_channel(sidecar.address, options=OPTIONS) as channel,
    ):
        yield Caller(sidecar, channel, fake)
