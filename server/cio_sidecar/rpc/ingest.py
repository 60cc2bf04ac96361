"""IngestService: Send, SendBatch and Stream."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from typing import Any, Final

import grpc
from cio.sidecar.v1 import event_pb2, ingest_pb2

from cio_sidecar.event_queue.errors import QueueError
from cio_sidecar.intake import Intake, Receipt, Status
from cio_sidecar.mapping.event import Event
from cio_sidecar.renderer import Rejected
from cio_sidecar.rpc import internal_errors
from cio_sidecar.rpc.decode import InvalidRequest, Undecodable, decode_event, decode_events
from cio_sidecar.rpc.error_status import abort_invalid, abort_queue
from cio_sidecar.rpc.event_json import to_event
from cio_sidecar.rpc.stream import EventStream, required

Context = grpc.aio.ServicerContext[Any, Any]

SERVICE: Final = "cio.sidecar.v1.IngestService"

_ACCEPTED: Final = ingest_pb2.EVENT_STATUS_ACCEPTED
_STATUS: Final = {
    Status.ACCEPTED: _ACCEPTED,
    Status.DUPLICATE: ingest_pb2.EVENT_STATUS_DUPLICATE,
    Status.REJECTED: ingest_pb2.EVENT_STATUS_REJECTED,
}


class IngestService:
    """The service's methods. Requests come as bytes, so that a bad one can be explained."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._streams: set[EventStream] = set()
        self._stopped = False

    def handler(self) -> grpc.GenericRpcHandler:
        """The handler to add to a server."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Send": grpc.unary_unary_rpc_method_handler(
                    internal_errors.unary(self.send),
                    response_serializer=ingest_pb2.SendResponse.SerializeToString,
                ),
                "SendBatch": grpc.unary_unary_rpc_method_handler(
                    internal_errors.unary(self.send_batch),
                    response_serializer=ingest_pb2.SendBatchResponse.SerializeToString,
                ),
                "Stream": grpc.stream_stream_rpc_method_handler(
                    internal_errors.stream(self.stream),
                    response_serializer=ingest_pb2.StreamResponse.SerializeToString,
                ),
            },
        )

    async def send(self, data: bytes, context: Context) -> ingest_pb2.SendResponse:
        """Accept one event."""
        try:
            request = decode_event(ingest_pb2.SendRequest, data, self._intake.limits)
        except InvalidRequest as error:
            await abort_invalid(context, error.reason, error.violations)
        if not request.HasField("event"):
            await abort_invalid(context, "INVALID_REQUEST", [required("event")])
        (receipt,) = await self._accept([request.event], context)
        if receipt.status is Status.REJECTED:
            await abort_invalid(context, "EVENT_REJECTED", receipt.violations)
        response = ingest_pb2.SendResponse()
        _fill(response.result, receipt)
        return response

    async def send_batch(self, data: bytes, context: Context) -> ingest_pb2.SendBatchResponse:
        """Accept many events."""
        try:
            _, events = decode_events(ingest_pb2.SendBatchRequest, data, self._intake.limits)
        except InvalidRequest as error:
            await abort_invalid(context, error.reason, error.violations)
        if not events.count:
            await abort_invalid(context, "INVALID_REQUEST", [required("events")])
        response = ingest_pb2.SendBatchResponse()
        add = response.results.add
        for receipt in await self._accept(events, context):
            _fill(add(), receipt)
        return response

    async def stream(
        self, requests: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[ingest_pb2.StreamResponse]:
        """Accept messages while earlier ones are being written, and ack them in order."""
        stream = EventStream(self._intake, _events)
        self._streams.add(stream)
        if self._stopped:
            stream.stop()
        try:
            async with aclosing(stream.accepted(requests)) as messages:
                async for sequence, receipts, more in messages:
                    results = _notable(sequence, receipts)
                    # An ack that names events stays as small as its message makes it.
                    if results or not more:
                        yield ingest_pb2.StreamResponse(sequence=sequence, results=results)
        except QueueError as error:
            await abort_queue(context, error)
        except InvalidRequest as error:
            await abort_invalid(context, error.reason, error.violations)
        finally:
            self._streams.discard(stream)

    def stop(self) -> None:
        """Read no more of the streams: each ends with UNAVAILABLE when what was read is acked."""
        self._stopped = True
        for stream in self._streams:
            stream.stop()

    async def _accept(
        self, events: Iterable[event_pb2.Event | Undecodable], context: Context
    ) -> list[Receipt]:
        try:
            return await self._intake.accept(_events(events))
        except QueueError as error:
            await abort_queue(context, error)


def _events(messages: Iterable[event_pb2.Event | Undecodable]) -> Iterator[Event | Rejected]:
    for message in messages:
        if isinstance(message, Undecodable):
            yield Rejected("", message.violations)
            continue
        event, violations = to_event(message)
        yield Rejected(message.message_id, violations) if violations else event


def _fill(result: ingest_pb2.EventResult, receipt: Receipt) -> None:
    """Make a result of a receipt. Filled where it stands: to copy it in would take four times as
    long."""
    result.message_id = receipt.message_id
    status = receipt.status
    result.status = _ACCEPTED if status is Status.ACCEPTED else _STATUS[status]
    if receipt.violations:
        for field, reason, description in receipt.violations:
            result.violations.add(field=field, reason=reason, description=description)
    if receipt.warnings:
        for field, description in receipt.warnings:
            result.warnings.add(field=field, description=description)


def _notable(sequence: int, receipts: list[Receipt]) -> list[ingest_pb2.StreamResult]:
    results = []
    for index, receipt in enumerate(receipts):
        if receipt.status is not Status.ACCEPTED or receipt.filled_in or receipt.warnings:
            notable = ingest_pb2.StreamResult(sequence=sequence, index=index)
            _fill(notable.result, receipt)
            results.append(notable)
    return results
