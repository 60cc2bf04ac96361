"""The ways in which an answer goes wrong, each by its name. None names an event."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from reliability.wire import SPELL_REASON, operations

if TYPE_CHECKING:
    from reliability.receiver import Receiver

Handler = Callable[["Receiver", web.Request], Coroutine[Any, Any, web.StreamResponse]]

_SLOW_SECONDS: Final = 8.0
_HUGE_BYTES: Final = 4 * 1024 * 1024


def partial(errors: list[dict[str, Any]]) -> web.Response:
    """A 207."""
    return web.json_response({"errors": errors}, status=207)


def _abort(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _status(status: int, headers: dict[str, str] | None = None) -> Handler:
    async def answer(_: "Receiver", request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.json_response({"meta": {"error": "failing"}}, status=status, headers=headers)

    return answer


def _page(status: int) -> Handler:
    async def answer(_: "Receiver", request: web.Request) -> web.StreamResponse:
        await request.read()
        page = "<!DOCTYPE html><html><h1>Please sign in</h1></html>"
        return web.Response(text=page, status=status, content_type="text/html")

    return answer


def _taken_with(body: bytes) -> Handler:
    """The request is taken, and the answer's body is none that the API would give."""

    async def answer(receiver: "Receiver", request: web.Request) -> web.StreamResponse:
        taken = receiver.take(request, await request.read(), clean=False)
        return web.Response(body=body, status=200 if taken else 503)

    return answer


async def _reset_before(_: "Receiver", request: web.Request) -> web.StreamResponse:
    return _abort(request)


async def _reset_during(_: "Receiver", request: web.Request) -> web.StreamResponse:
    await request.content.read(10)
    return _abort(request)


async def _cut(receiver: "Receiver", request: web.Request) -> web.StreamResponse:
    """The request is taken, and the connection breaks before the answer."""
    receiver.take(request, await request.read(), clean=False)
    return _abort(request)


async def _hangup(receiver: "Receiver", request: web.Request) -> web.StreamResponse:
    """A good answer, after which the connection is closed unannounced, under the next request."""
    if not receiver.take(request, await request.read(), clean=False):
        return web.json_response({}, status=503)
    response = web.json_response({})
    await response.prepare(request)
    await response.write_eof()
    if request.transport is not None:
        request.transport.close()
    return response


async def _truncated(receiver: "Receiver", request: web.Request) -> web.StreamResponse:
    receiver.take(request, await request.read(), clean=False)
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    return _abort(request)


async def _drip(receiver: "Receiver", request: web.Request, wait: float) -> web.StreamResponse:
    taken = receiver.take(request, await request.read(), clean=False)
    response = web.StreamResponse(status=200 if taken else 503)
    await response.prepare(request)
    end = time.monotonic() + _SLOW_SECONDS
    with suppress(ConnectionError):
        while time.monotonic() < end:
            await response.write(b" " * (1 if wait else 65536))
            await asyncio.sleep(wait)
    return response


async def _endless(receiver: "Receiver", request: web.Request) -> web.StreamResponse:
    return await _drip(receiver, request, 0.0)


async def _slow(receiver: "Receiver", request: web.Request) -> web.StreamResponse:
    return await _drip(receiver, request, 0.3)


async def _late(receiver: "Receiver", request: web.Request) -> web.StreamResponse:
    """A good answer, after a while."""
    body = await request.read()
    await asyncio.sleep(receiver.pick(0.05, 0.2, 0.5))
    if receiver.take(request, body, clean=False):
        return web.json_response({})
    return web.json_response({}, status=503)


async def _wrong_indexes(receiver: "Receiver", request: web.Request) -> web.StreamResponse:
    """A 207 that names an item that there is not. About a single item it would be a rejection."""
    body = await request.read()
    if len(operations(request.path, body)) == 1:
        return web.json_response({}, status=503)
    receiver.take(request, body, clean=False)
    return partial([{"batch_index": receiver.pick(-1, 100_000, None), "reason": "invalid"}])


async def _garbage(receiver: "Receiver", request: web.Request) -> web.StreamResponse:
    """A 207 whose body is no JSON."""
    receiver.take(request, await request.read(), clean=False)
    return web.Response(body=b'\xff{"errors": [', status=207)


async def _redirect(receiver: "Receiver", request: web.Request) -> web.StreamResponse:
    """To where everything is answered with 200, and nothing is taken."""
    await request.read()
    status = receiver.pick(301, 302, 303, 307, 308)
    return web.Response(status=status, headers={"Location": "/elsewhere"})


async def _retry_after(receiver: "Receiver", request: web.Request) -> web.StreamResponse:
    """One request is to be made again after an hour, while others succeed."""
    await request.read()
    return web.json_response(
        {"meta": {"error": "failing"}},
        status=receiver.pick(429, 503),
        headers={"Retry-After": "3600"},
    )


async def _reject(receiver: "Receiver", request: web.Request) -> web.StreamResponse:
    await request.read()
    status = receiver.pick(404, 410, 400)
    return web.json_response({"meta": {"error": SPELL_REASON}}, status=status)


async def _swallow(_: "Receiver", request: web.Request) -> web.StreamResponse:
    await request.read()
    return web.json_response({})


FAULTS: Final[dict[str, Handler]] = {
    "reset": _reset_before,
    "reset-during": _reset_during,
    "cut": _cut,
    "hangup": _hangup,
    "truncated": _truncated,
    "endless": _endless,
    "slow": _slow,
    "late": _late,
    "indexes": _wrong_indexes,
    "garbage": _garbage,
    "garbage200": _taken_with(b'\xff{"'),
    "empty": _taken_with(b""),
    "huge": _taken_with(b" " * _HUGE_BYTES),
    "html502": _page(502),
    "html200": _page(200),
    "html404": _page(404),
    "redirect": _redirect,
    "429": _status(429),
    "429-after": _status(429, {"Retry-After": "1"}),
    "500": _status(500),
    "503": _status(503),
    "401": _status(401),
    "retry-after-mixed": _retry_after,
    "spell-404": _reject,
}
FATAL: Final[dict[str, Handler]] = {"swallow": _swallow}
"""What nothing can withstand: taken by the answer's word, and not in truth. A run with one of these
must be judged to have lost something; it proves that the judge looks."""
SPELLS: Final = frozenset({"reset", "429", "429-after", "500", "503", "401", "html502", "html200"})
"""Those of which each may be the answer to everything for a while."""
REJECTIONS: Final = "spell-404"
"""The answer that always comes as a spell: without the circuit breaker it would empty the queue."""
