"""Serves the fake Customer.io alone, until it is told to stop."""

import asyncio
import re
import signal
from collections.abc import Callable
from typing import Final

from cio_fake import FakeCustomerIO, Received, host_aiohttp

_BODY_CHARACTERS: Final = 200
_REQUESTS_KEPT: Final = 10_000
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def serve_fake(
    host: str, port: int, *, site_id: str, api_key: str, say: Callable[[str], None]
) -> None:
    """Serve a fake until SIGINT or SIGTERM; ``say`` gets a line for each request.

    Raises OSError if it can't listen on the address.
    """
    asyncio.run(_serve(host, port, site_id=site_id, api_key=api_key, say=say))


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
    host: str, port: int, *, site_id: str, api_key: str, say: Callable[[str], None]
) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    fake = FakeCustomerIO(
        site_id,
        api_key,
        keep_requests=_REQUESTS_KEPT,
        on_received=lambda received: say(line(received)),
    )
    running = await host_aiohttp.start(fake, host, port)
    try:
        say(f"listening on {running.url}; its state is under {running.url}/_fake/people and others")
        await stopped.wait()
    finally:
        await running.stop()
