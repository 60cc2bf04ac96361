"""The standard health service (grpc.health.v1), whose watchers don't hold a shutdown up."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class Health(health_pb2_grpc.HealthServicer):
    """The health of each service by its name; that of the whole has none.

    The servicer that comes with gRPC's library lets a watch go on for as long as its caller likes,
    and a server that stops would wait for it until the grace period is over.
    """

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {}
        self._changed = asyncio.Event()
        self._stopped = False

    def handler(self) -> grpc.GenericRpcHandler:
        """The handler to add to a server. Requests come as bytes: gRPC logs a traceback for those
        that it can't decode.
        """

        async def check(request: bytes, context: Context) -> Any:
            return await self.Check(await _decoded(request, context), context)

        async def watch(request: bytes, context: Context) -> AsyncIterator[Any]:
            async for response in self.Watch(await _decoded(request, context), context):
                yield response

        return grpc.method_handlers_generic_handler(
            health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
            {
                "Check": grpc.unary_unary_rpc_method_handler(check, None, _encode),
                "List": grpc.unary_unary_rpc_method_handler(self.List, None, _encode),
                "Watch": grpc.unary_stream_rpc_method_handler(watch, None, _encode),
            },
        )

    def set(self, name: str, *, serving: bool) -> None:
        """Say how a service is from now on, unless all are stopped."""
        self._serving[name] = serving and not self._stopped
        self._tell()

    def stop(self) -> None:
        """Every service is NOT_SERVING, permanently; watchers are told, and each watch ends."""
        self._serving = dict.fromkeys(self._serving, False)
        self._stopped = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """How a service is; NOT_FOUND for one that there is not."""
        if request.service not in self._serving:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    async def List(self, _: Any, __: Context) -> Any:  # noqa: N802
        """How each service is, by its name: a HealthListResponse, which the type stubs lack."""
        return health_pb2.HealthListResponse(  # type: ignore[attr-defined]
            statuses={
                name: health_pb2.HealthCheckResponse(status=self._status(name))
                for name in self._serving
            }
        )

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """How a service is, now and whenever that changes; ends with UNAVAILABLE at shutdown."""
        told = None
        while True:
            changed = self._changed
            status = self._status(request.service)
            if status != told:
                yield health_pb2.HealthCheckResponse(status=status)
                told = status
                # It may have changed while it was told.
                continue
            if self._stopped:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the sidecar is shutting down")
            await changed.wait()

    def _status(self, name: str) -> int:
        if name not in self._serving:
            return health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        if self._serving[name]:
            return health_pb2.HealthCheckResponse.SERVING
        return health_pb2.HealthCheckResponse.NOT_SERVING


def _encode(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded


async def _decoded(request: bytes, context: Context) -> health_pb2.HealthCheckRequest:
    try:
        return health_pb2.HealthCheckRequest.FromString(request)
    except DecodeError:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the bytes are no HealthCheckRequest")
        raise
