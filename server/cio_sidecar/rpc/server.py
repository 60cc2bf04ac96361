"""The gRPC server: the services, health checking and reflection."""

from typing import Final

import grpc
from cio.sidecar.v1 import delivery_pb2, ingest_pb2, mapping_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cio_sidecar.rpc.address import port_of, require_free
from cio_sidecar.rpc.delivery_service import DeliveryService
from cio_sidecar.rpc.health import Health
from cio_sidecar.rpc.ingest import SERVICE as INGEST
from cio_sidecar.rpc.ingest import IngestService
from cio_sidecar.rpc.mapping_service import MappingService

MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""The largest message that a caller may send."""

_HEALTH: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    # A second sidecar on the port must fail to start, not share it.
    ("grpc.so_reuseport", 0),
    # Callers may keep idle connections alive with pings, as often as every ten seconds.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class Server:
    """A server that listens on one address."""

    def __init__(
        self, ingest: IngestService, mapping: MappingService, delivery: DeliveryService
    ) -> None:
        self._ingest = ingest
        self._delivery = delivery
        self._health = Health()
        self._accepting = True
        self._server = grpc.aio.server(options=_OPTIONS)
        services = (ingest, mapping, delivery)
        self._server.add_generic_rpc_handlers(tuple(each.handler() for each in services))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._names = [
            service.full_name
            for file in (ingest_pb2, mapping_pb2, delivery_pb2)
            for service in file.DESCRIPTOR.services_by_name.values()
        ]
        others = (_HEALTH, reflection.SERVICE_NAME)
        reflection.enable_server_reflection((*self._names, *others), self._server)

    async def start(self, listen: str, credentials: grpc.ServerCredentials | None = None) -> str:
        """Listen on ``host:port`` or ``unix:PATH``; returns the address, with the port it got.

        ``credentials`` are those of TLS; None for plain text. Raises OSError if the address can't
        be had, ValueError if it is none.
        """
        is_socket = listen.startswith("unix:") and listen != "unix:"
        if not is_socket and port_of(listen) is None:
            # gRPC would take a default port, or what is left of a number that is too large.
            raise ValueError(f"expected host:port or unix:PATH, got {listen!r}")
        await require_free(listen)
        try:
            port = self._add_port(listen, credentials)
        except RuntimeError:
            port = 0
        if not port:
            raise OSError(f"can't listen on {listen}: gRPC's line above says why")
        await self._server.start()
        for name in self._names:
            if name != INGEST:
                self._health.set(name, serving=True)
        self.set_accepting(self._accepting)
        if listen.startswith("unix:"):
            return listen
        return f"{listen.rpartition(':')[0]}:{port}"

    def _add_port(self, listen: str, credentials: grpc.ServerCredentials | None) -> int:
        if credentials is None:
            return self._server.add_insecure_port(listen)
        return self._server.add_secure_port(listen, credentials)

    def set_accepting(self, accepting: bool) -> None:
        """Whether events can be stored; else the whole, and IngestService, are NOT_SERVING."""
        self._accepting = accepting
        for name in ("", INGEST):
            self._health.set(name, serving=accepting)

    async def stop(self, grace_seconds: float) -> None:
        """Report NOT_SERVING, take no new call, and let those at hand end within the grace.

        Streams and watches are ended: their callers would go on for as long as they like.
        """
        self._health.stop()
        self._ingest.stop()
        self._delivery.stop()
        await self._server.stop(grace_seconds)
