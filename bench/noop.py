"""A gRPC server that decodes requests of IngestService and does nothing: ``bench.noop ADDRESS``.

With the messages, the options and the garbage collection of the sidecar.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
from cio.sidecar.v1 import ingest_pb2
from cio_sidecar.cli.serve import collect_less_often
from cio_sidecar.rpc.ingest import SERVICE
from cio_sidecar.rpc.server import _OPTIONS
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_ACCEPTED = ingest_pb2.EventResult(message_id="0" * 26, status=ingest_pb2.EVENT_STATUS_ACCEPTED)


async def send(_request: ingest_pb2.SendRequest, _context: Context) -> ingest_pb2.SendResponse:
    """Say that an event was accepted."""
    return ingest_pb2.SendResponse(result=_ACCEPTED)


async def send_batch(
    request: ingest_pb2.SendBatchRequest, _context: Context
) -> ingest_pb2.SendBatchResponse:
    """Say that each event was accepted."""
    return ingest_pb2.SendBatchResponse(results=[_ACCEPTED] * len(request.events))


async def stream(
    requests: AsyncIterator[ingest_pb2.StreamRequest], _context: Context
) -> AsyncIterator[ingest_pb2.StreamResponse]:
    """Ack each message."""
    async for request in requests:
        yield ingest_pb2.StreamResponse(sequence=request.sequence)


async def _serve(address: str) -> None:
    server = grpc.aio.server(options=(*_OPTIONS, ("grpc.so_reuseport", 0)))
    handler = grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Send": grpc.unary_unary_rpc_method_handler(
                send,
                ingest_pb2.SendRequest.FromString,
                ingest_pb2.SendResponse.SerializeToString,
            ),
            "SendBatch": grpc.unary_unary_rpc_method_handler(
                send_batch,
                ingest_pb2.SendBatchRequest.FromString,
                ingest_pb2.SendBatchResponse.SerializeToString,
            ),
            "Stream": grpc.stream_stream_rpc_method_handler(
                stream,
                ingest_pb2.StreamRequest.FromString,
                ingest_pb2.StreamResponse.SerializeToString,
            ),
        },
    )
    server.add_generic_rpc_handlers((handler,))
    servicer = health.aio.HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(address)
    await server.start()
    collect_less_often()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await server.stop(1)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
