"""Serves a fake Customer.io from a running asyncio loop, with aiohttp."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from aiohttp import web

from cio_fake import admin
from cio_fake.http_messages import UNANSWERED, Request, Response
from cio_fake.server import FakeCustomerIO


@dataclass(frozen=True, slots=True)
class Running:
    """A fake that is being served."""

    url: str
    """Its base URL, without a slash at the end."""
    _runner: web.AppRunner

    async def stop(self) -> None:
        """Close the listener and all connections."""
        await self._runner.cleanup()


async def start(fake: FakeCustomerIO, host: str = "127.0.0.1", port: int = 0) -> Running:
    """Serve a fake at an address; port 0 takes a free one.

    Raises:
        OSError: the address can't be listened on.
    """

    async def handle(incoming: web.Request) -> web.StreamResponse:
        body = await incoming.read()
        # `raw_path` is the target as it came: `path` would be decoded, and `%2F` lost.
        request = Request.from_target(incoming.method, incoming.raw_path, incoming.headers, body)
        response = admin.respond(fake, request, time.time())
        if response.delay_seconds:
            await asyncio.sleep(response.delay_seconds)
        if response.cut_after is not None:
            return await _cut(incoming, response, response.cut_after)
        return web.Response(
            status=response.status,
            body=response.body,
            headers=response.headers,
            content_type=response.content_type,
        )

    # No size limit here: what is too large is the fake's to say.
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except BaseException:
        await runner.cleanup()
        raise
    bound = runner.addresses[0][1]
    return Running(f"http://{f'[{host}]' if ':' in host else host}:{bound}", runner)


async def _cut(incoming: web.Request, response: Response, after: int) -> web.StreamResponse:
    """Send as much of the answer as is to be sent, and close the connection."""
    sent = web.StreamResponse(status=response.status or 500, headers=response.headers)
    if after != UNANSWERED:
        sent.content_type = response.content_type
        sent.content_length = response.promised_bytes
        await sent.prepare(incoming)
        await sent.write(response.body[:after])
    if incoming.transport is not None:
        # What was written is sent yet. Nothing can follow it.
        incoming.transport.close()
    return sent
