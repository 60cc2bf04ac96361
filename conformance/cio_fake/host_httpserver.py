"""Serves a fake Customer.io from threads, with pytest-httpserver: for tests that aren't async.

Werkzeug closes every connection after one answer; where keep-alive matters, use `host_aiohttp`. So
the connections that a scenario cuts are always new ones here, and never one that lay idle.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import werkzeug
from pytest_httpserver import HTTPServer
from werkzeug.serving import WSGIRequestHandler, make_server

from cio_fake import admin
from cio_fake.http_messages import UNANSWERED, Request, Response
from cio_fake.server import FakeCustomerIO


class _Handler(WSGIRequestHandler):
    """One connection, without a word on stderr."""

    # Headers and body are two writes; with Nagle's algorithm the second waits for a delayed ACK.
    disable_nagle_algorithm = True

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Log nothing."""


class _Server(HTTPServer):
    """An `HTTPServer` with the handler above, that doesn't pile up a log of all requests."""

    def start(self) -> None:
        try:
            self.server = make_server(
                self.host,
                self.port,
                werkzeug.Request.application(self.application),
                threaded=True,
                request_handler=_Handler,
            )
        except SystemExit as error:
            # Werkzeug, made for a command line, leaves the process when it can't listen.
            cause = error.__context__
            raise cause if isinstance(cause, OSError) else OSError("can't listen") from None
        self.port = self.server.port
        self.server_thread = threading.Thread(target=self.thread_target, daemon=True)
        self.server_thread.start()

    def thread_target(self) -> None:
        # Its stop waits for the end of a poll, half a second if not told otherwise.
        assert self.server is not None
        self.server.serve_forever(poll_interval=0.02)

    def application(self, request: werkzeug.Request) -> werkzeug.Response:
        response = self.dispatch(request)
        self.clear_log()
        return response


@contextmanager
def hosted(fake: FakeCustomerIO, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve a fake at an address while the context lasts; port 0 takes a free one.

    Yields:
        Its base URL, without a slash at the end.

    Raises:
        OSError: the address can't be listened on.
    """
    lock = threading.Lock()

    def handle(incoming: werkzeug.Request) -> werkzeug.Response:
        # `RAW_URI` is the target as it came: `path` would be decoded, and `%2F` lost.
        request = Request.from_target(
            incoming.method,
            incoming.environ["RAW_URI"],
            dict(incoming.headers),
            incoming.get_data(),
        )
        with lock:
            response = admin.respond(fake, request, time.time())
        if response.delay_seconds:
            time.sleep(response.delay_seconds)
        if response.cut_after is not None:
            _cut(incoming.environ["werkzeug.socket"], response, response.cut_after)
        return werkzeug.Response(
            response.body,
            response.status or 500,
            response.headers,
            content_type=response.content_type,
        )

    with _Server(host, port) as server:
        server.expect_request(re.compile("")).respond_with_handler(handle)
        yield server.url_for("").rstrip("/")


def _cut(connection: socket.socket, response: Response, after: int) -> None:
    """Send as much of the answer as is to be sent, and close the connection.

    Past Werkzeug, which knows only whole answers: what it sends after this goes nowhere.
    """
    with suppress(OSError):  # the caller may have gone before
        if after != UNANSWERED:
            headers = {
                **response.headers,
                "Content-Type": response.content_type,
                "Content-Length": str(response.promised_bytes),
            }
            lines = [f"HTTP/1.1 {response.status} As Told"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            head = "\r\n".join([*lines, "", ""]).encode("latin-1")
            connection.sendall(head + response.body[:after])
        connection.shutdown(socket.SHUT_RDWR)
