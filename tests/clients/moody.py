"""An IngestService that answers as it is told: a status, or success where it is told nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from cio.sidecar.v1 import ingest_pb2, ingest_pb2_grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

ACCEPTED = ingest_pb2.EVENT_STATUS_ACCEPTED


def failure(code: grpc.StatusCode, *details: Message) -> status_pb2.Status:
    """A status with details; ``RetryInfo`` among them asks for another try."""
    packed = []
    for detail in details:
        box = any_pb2.Any()
        box.Pack(detail)
        packed.append(box)
    return status_pb2.Status(code=code.value[0], message="as told", details=packed)


def retry_info(milliseconds: int) -> error_details_pb2.RetryInfo:
    delay = duration_pb2.Duration(nanos=milliseconds * 1_000_000)
    return error_details_pb2.RetryInfo(retry_delay=delay)


class Moody(ingest_pb2_grpc.IngestServiceServicer):
    """Ends the next calls with ``moods``, in order; then it accepts everything."""

    def __init__(self, moods: list[status_pb2.Status]) -> None:
        self.moods = moods
        self.seen: list[list[str]] = []
        """The message ids of each call."""

    def Send(self, request: Any, context: grpc.ServicerContext) -> ingest_pb2.SendResponse:  # noqa: N802
        self.seen.append([request.event.message_id])
        self._obey(context)
        return ingest_pb2.SendResponse(result=_accepted(request.event))

    def SendBatch(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> ingest_pb2.SendBatchResponse:
        self.seen.append([event.message_id for event in request.events])
        self._obey(context)
        return ingest_pb2.SendBatchResponse(results=map(_accepted, request.events))

    def Stream(  # noqa: N802
        self, requests: Iterator[Any], context: grpc.ServicerContext
    ) -> Iterator[ingest_pb2.StreamResponse]:
        ids: list[str] = []
        self.seen.append(ids)
        for request in requests:
            ids += [event.message_id for event in request.events]
            # A mood comes after the first message has been acked, and the second has not.
            if len(ids) > 1:
                self._obey(context)
            yield ingest_pb2.StreamResponse(sequence=request.sequence)

    def _obey(self, context: grpc.ServicerContext) -> None:
        if self.moods:
            context.abort_with_status(rpc_status.to_status(self.moods.pop(0)))


def _accepted(event: Any) -> ingest_pb2.EventResult:
    return ingest_pb2.EventResult(message_id=event.message_id, status=ACCEPTED)


@contextmanager
def served(moody: Moody) -> Iterator[str]:
    """Serve it while the context lasts; its address."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(moody, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
