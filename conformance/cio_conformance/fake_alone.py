"""Serves the fake Customer.io alone, until it is told to stop."""

import asyncio
import re
import signal
from collections.abc import Callable
from typing import Final

from cio_conformance.caller import TargetError
from cio_conformance.credentials import Credentials
from cio_conformance.fake import FakeCustomerIO, Received, host_aiohttp

_BODY_CHARACTERS: Final = 200
_REQUESTS_KEPT: Final = 10_000
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def serve_fake(host: str, port: int, credentials: Credentials, say: Callable[[str], None]) -> None:
    """Serve a fake until SIGINT or SIGTERM; ``say`` gets a line for each request.

    Raises TargetError where the address can't be had.
    """
    asyncio.run(_serve(host, port, credentials, say))


def line(received: Received) -> str:
    """A request in a line: method, path, status, and the body, cut."""
    request = received.request
    body = request.body[: 4 * _BODY_CHARACTERS].decode("utf-8", "replace")
    if len(body) > _BODY_CHARACTERS:
        body = f"{body[:_BODY_CHARACTERS]}…"
    shown = f"{request.method} {request.path} {received.response.status} {body}".rstrip()
    # A terminal obeys control characters; a line has none of its own.
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", shown)


async def _serve(
    host: str, port: int, credentials: Credentials, say: Callable[[str], None]
) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    fake = FakeCustomerIO(
        credentials.site_id,
        credentials.api_key,
        keep_requests=_REQUESTS_KEPT,
        on_received=lambda received: say(line(received)),
    )
    try:
        running = await host_aiohttp.start(fake, host, port)
    except OSError as error:
        raise TargetError(f"can't listen on {host}:{port}: {error.strerror or error}") from None
    try:
        say(f"listening on {running.url}; its state is under {running.url}/_fake/people and others")
        await stopped.wait()
    finally:
        await running.stop()
