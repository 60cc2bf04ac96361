"""The gRPC server: the services, health checking and reflection."""

import asyncio
from collections.abc import Mapping
from typing import Final

import grpc
from grpc_health.v1 import health_pb2

from cio_sidecar.listen_address import SocketAccess, port_of, require_free, socket_path
from cio_sidecar.rpc.delivery_service import SERVICE as DELIVERY
from cio_sidecar.rpc.delivery_service import DeliveryService
from cio_sidecar.rpc.health import Health
from cio_sidecar.rpc.ingest import SERVICE as INGEST
from cio_sidecar.rpc.ingest import IngestService
from cio_sidecar.rpc.mapping_service import SERVICE as MAPPING
from cio_sidecar.rpc.mapping_service import MappingService
from cio_sidecar.rpc.reflection import enable_reflection

MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""The largest message that a caller may send."""
METADATA_BYTES: Final = 16 * 1024
"""The largest metadata of a call, counted as HTTP/2 counts headers: 32 bytes for each on top."""

_HEALTH: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    # Callers may keep connections alive with pings, idle ones too, as often as every second.
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Between two limits gRPC would reject calls at random.
    ("grpc.max_metadata_size", METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES),
)


class Server:
    """The services at an address, and, where one is shared, at that too."""

    def __init__(
        self,
        ingest: IngestService,
        mapping: MappingService,
        delivery: DeliveryService,
        socket: SocketAccess,
    ) -> None:
        """``socket``: who may connect to a unix socket."""
        self._socket = socket
        self._ingest = ingest
        self._delivery = delivery
        self._health = Health()
        self._servers: list[grpc.aio.Server] = []
        self._shared = {INGEST: ingest.handler(), MAPPING: mapping.handler()}
        self._own = {**self._shared, DELIVERY: delivery.handler()}
        for name in self._own:
            self._health.set(name, serving=True)
        self.set_accepting(True)

    async def start(self, listen: str, credentials: grpc.ServerCredentials | None = None) -> str:
        """Listen on ``host:port`` or ``unix:PATH``; returns the address, with the port it got.

        ``credentials`` are those of TLS; None for plain text. Raises OSError if the address can't
        be had, ValueError if it is none.
        """
        is_socket = listen.startswith("unix:") and listen != "unix:"
        if not is_socket and port_of(listen) is None:
            # gRPC would take a default port, or what is left of a number that is too large.
            raise ValueError(f"expected host:port or unix:PATH, got {listen!r}")
        return await self._serve(listen, self._own, credentials, shared=False)

    async def share(self, listen: str, credentials: grpc.ServerCredentials | None = None) -> str:
        """Listen on a ``host:port`` as well that other sidecars of this machine listen on too: the
        system gives each connection to one of them.

        DeliveryService is not served there: nobody could know whose queue it tells of. Raises
        OSError if the address can't be had.
        """
        return await self._serve(listen, self._shared, credentials, shared=True)

    async def _serve(
        self,
        listen: str,
        handlers: Mapping[str, grpc.GenericRpcHandler],
        credentials: grpc.ServerCredentials | None,
        *,
        shared: bool,
    ) -> str:
        # Without reuse, a second sidecar on the port fails to start.
        server = grpc.aio.server(options=(*_OPTIONS, ("grpc.so_reuseport", int(shared))))
        server.add_generic_rpc_handlers(tuple(handlers.values()))
        server.add_generic_rpc_handlers((self._health.handler(),))
        enable_reflection((*handlers, _HEALTH), server)
        await require_free(listen, shared=shared)
        with self._socket.applied_to(socket_path(listen)):
            try:
                if credentials is None:
                    port = server.add_insecure_port(listen)
                else:
                    port = server.add_secure_port(listen, credentials)
            except RuntimeError:
                port = 0
        if not port:
            raise OSError(f"can't listen on {listen}: gRPC's line above says why")
        await server.start()
        self._servers.append(server)
        return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"

    def set_accepting(self, accepting: bool) -> None:
        """Whether events can be stored; else the whole, and IngestService, are NOT_SERVING."""
        for name in ("", INGEST):
            self._health.set(name, serving=accepting)

    async def stop(self, grace_seconds: float) -> None:
        """Report NOT_SERVING, take no new call, and let those at hand end within the grace.

        Streams and watches are ended: their callers would go on for as long as they like.
        """
        self._health.stop()
        self._ingest.stop()
        self._delivery.stop()
        await asyncio.gather(*(server.stop(grace_seconds) for server in self._servers))
