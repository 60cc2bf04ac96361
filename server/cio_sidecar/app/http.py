"""What is served over HTTP: health, readiness and metrics, and any other application."""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import web

from cio_sidecar.app.health import Check, report
from cio_sidecar.app.http_protocol import HEADERS_SECONDS, Protocol
from cio_sidecar.app.metrics import Metrics
from cio_sidecar.listen_address import port_of, require_free

# aiohttp logs a traceback for bytes that are no HTTP, and quotes them.
_SILENT: Final = logging.getLogger(f"{__name__}.protocol")
_SILENT.setLevel(logging.CRITICAL)

_GRACE_SECONDS: Final = 5


class HttpHost:
    """Serves an application on one address. Bodies come as they were sent, not unpacked."""

    def __init__(
        self, app: web.Application, *, grace_seconds: float, tls: ssl.SSLContext | None = None
    ) -> None:
        """``tls`` None is plain text."""
        self._tls = tls
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=grace_seconds)
        self._server: asyncio.Server | None = None

    async def start(self, listen: str) -> str:
        """Listen on ``host:port``; returns the address, with the port it got.

        Raises OSError if the address can't be had, ValueError if it is none.
        """
        host = listen.rpartition(":")[0]
        port = port_of(listen)
        if port is None:
            raise ValueError(f"expected host:port or off, got {listen!r}")
        await require_free(listen)
        await self._runner.setup()
        server = self._runner.server
        assert server
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Protocol(server, logger=_SILENT),
            host.strip("[]"),
            port,
            ssl=self._tls,
            ssl_handshake_timeout=HEADERS_SECONDS if self._tls else None,
        )
        return f"{host}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Stop listening, and let requests at hand end within the grace."""
        if self._server:
            self._server.close()
        await self._runner.cleanup()


class HttpServer(HttpHost):
    """Serves /livez, /readyz, /healthz/delivery and /metrics."""

    def __init__(
        self,
        metrics: Metrics,
        readiness: Callable[[], Sequence[Check]],
        delivery: Callable[[], Sequence[Check]],
    ) -> None:
        """``readiness`` and ``delivery`` return the checks of /readyz and /healthz/delivery."""
        self._metrics = metrics
        self._readiness = readiness
        self._delivery = delivery
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/healthz/delivery", self._delivery_health),
                web.get("/metrics", self._metrics_page),
            ]
        )
        super().__init__(app, grace_seconds=_GRACE_SECONDS)

    async def _livez(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        status, body = report("ready", self._readiness())
        return web.json_response(body, status=status)

    async def _delivery_health(self, _: web.Request) -> web.Response:
        status, body = report("healthy", self._delivery())
        return web.json_response(body, status=status)

    async def _metrics_page(self, _: web.Request) -> web.Response:
        return web.Response(
            body=await self._metrics.text(time.time()),
            headers={"Content-Type": "text/plain; version=0.0.4"},
        )
