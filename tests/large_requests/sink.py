"""A Customer.io that takes everything and keeps nothing: a process of its own.

``python -m tests.large_requests.sink`` prints its port and serves until standard input ends.
"""

import asyncio
import sys

from aiohttp import web


async def main() -> None:
    """Serve until standard input ends."""

    async def take(request: web.Request) -> web.Response:
        async for _ in request.content.iter_any():
            pass
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
