"""HTTP connections with bounds on time and number, whose every answer is JSON."""

import asyncio
import logging
from typing import Any, Final

import orjson
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

HEADERS_SECONDS: Final = 10
"""How long a caller may take to send a request's headers, from their first byte."""
IDLE_SECONDS: Final = 75
"""After how many seconds a connection without a request is closed."""
MOST_CONNECTIONS: Final = 1000
"""Maximum number of connections of one listener at the same time."""

_MESSAGES: Final = {
    400: ("INVALID_REQUEST", "the request is not valid HTTP/1.1, or has over 128 headers"),
    404: ("NOT_FOUND", "there is no such path"),
    405: ("METHOD_NOT_ALLOWED", "the method is not allowed for this path"),
    408: ("TIMEOUT", f"the headers did not come within {HEADERS_SECONDS} seconds: try again"),
    417: ("INVALID_REQUEST", "expected 100-continue in the header Expect"),
    431: ("HEADERS_TOO_LARGE", "a header or the path is over 8,190 bytes"),
    500: ("INTERNAL", "the sidecar failed: please report it"),
    503: ("UNAVAILABLE", f"more than {MOST_CONNECTIONS:,} connections: reuse them, or try again"),
}
_OTHER: Final = ("INVALID_REQUEST", "the request can't be answered")


class Protocol(web.RequestHandler):
    """One connection. Bodies come as they were sent, not unpacked."""

    __slots__ = ("_headers_timeout",)

    def __init__(self, server: web.Server, *, logger: logging.Logger) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # None is its documented "off"
            auto_decompress=False,
            keepalive_timeout=IDLE_SECONDS,
            logger=logger,
        )
        self._headers_timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve a connection, unless there are too many."""
        if self._manager is not None and len(self._manager.connections) >= MOST_CONNECTIONS:
            self.transport = transport  # type: ignore[assignment]
            self._end(503)
            return
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget a connection that ended."""
        self._stop_waiting_for_headers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; begins to wait for the rest of a request's headers if they are not whole."""
        super().data_received(data)
        if self._waiter is None or self._waiter.done():
            self._stop_waiting_for_headers()
        elif self._headers_timeout is None:
            self._headers_timeout = self._loop.call_later(HEADERS_SECONDS, self._end, 408)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  (quotes the request)
    ) -> web.StreamResponse:
        """The answer to a request that can't be parsed, or that failed; closes the connection.

        aiohttp's own is text, and quotes the request.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer is sent")
        response = _json(431 if isinstance(exc, LineTooLong) else status)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; aiohttp's own errors, such as those of its router, become JSON."""
        if isinstance(resp, web.HTTPException):
            allow = {"Allow": resp.headers["Allow"]} if "Allow" in resp.headers else None
            resp = _json(resp.status, allow)
        return await super().finish_response(request, resp, start_time)

    def _stop_waiting_for_headers(self) -> None:
        if self._headers_timeout is not None:
            self._headers_timeout.cancel()
            self._headers_timeout = None

    def _end(self, status: int) -> None:
        """Answer on a connection that has no request, and close it."""
        body = _body(status)
        head = (
            f"HTTP/1.1 {status} \r\nContent-Type: application/json; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        )
        if status == 503:
            head += "Retry-After: 1\r\n"
        if self.transport is not None:
            self.transport.write(head.encode() + b"\r\n" + body)
        self.force_close()


def _json(status: int, headers: Any = None) -> web.Response:
    return web.Response(
        status=status,
        body=_body(status),
        content_type="application/json",
        charset="utf-8",
        headers=headers,
    )


def _body(status: int) -> bytes:
    code, message = _MESSAGES.get(status, _OTHER)
    return orjson.dumps({"success": False, "code": code, "message": message})
