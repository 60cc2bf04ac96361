"""Plays Customer.io for a run, as a process: takes events, writes down each, and misbehaves.

An event is written down, in the file, before it is answered. Faults are drawn from a seed.

    python -m reliability.receiver PORT RECORD SEED FAULT,FAULT,… SHARE

``POST /_faults/on`` and ``/_faults/off`` begin and end the misbehaviour; it begins off.
"""

import asyncio
import random
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web

POISON: Final = "Poison"
"""The name of events that are refused for good."""
STUCK: Final = "Stuck"
"""The name of events that fail again and again while faults are on."""
SPELL_SECONDS: Final = 1.5
"""How long a spell of trouble lasts."""
_SLOW_SECONDS: Final = 8.0

Handler = Callable[["Receiver", web.Request], Coroutine[Any, Any, web.StreamResponse]]


class Receiver:
    """What was taken, and what goes wrong next."""

    def __init__(self, record: Path, seed: int, faults: list[str], share: float) -> None:
        """``share``: of how many requests in one something goes wrong, from 0 to 1."""
        self._file = record.open("ab")
        self._random = random.Random(seed)  # noqa: S311 (repeatable, and no secret)
        self._faults = faults
        self._share = share
        self._on = False
        self._spell = ("", 0.0)

    async def switch(self, request: web.Request) -> web.Response:
        """Begin or end the misbehaviour."""
        self._on = request.match_info["what"] == "on"
        self._spell = ("", 0.0)
        return web.Response()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request of the sidecar."""
        fault = self._draw()
        if request.method == "GET":
            status = 401 if fault == "401" else 200
            return web.json_response({"region": "us"}, status=status)
        if fault is None:
            return await self._usual(request, await request.read())
        return await FAULTS[fault](self, request)

    def _draw(self) -> str | None:
        if not self._on or not self._faults:
            return None
        name, until = self._spell
        if time.monotonic() < until:
            return name
        if self._random.random() >= self._share:
            return None
        fault = self._random.choice(self._faults)
        if fault in SPELLS and self._random.random() < 0.2:
            self._spell = (fault, time.monotonic() + SPELL_SECONDS)
        return fault

    async def _usual(self, request: web.Request, body: bytes) -> web.StreamResponse:
        operations = _operations(request, body)
        names = [operation.get("name") for operation in operations]
        if self._on and STUCK in names:
            return web.json_response({"meta": {"error": "try again"}}, status=500)
        bad = [place for place, name in enumerate(names) if name == POISON]
        if not bad:
            self.take(request, body, clean=True)
            return web.json_response({})
        if request.path == "/api/v2/batch" and self._random.random() < 0.5:
            good = [each for place, each in enumerate(operations) if place not in bad]
            self._write(good, clean=True)
            return _partial([{"batch_index": place, "reason": "invalid"} for place in bad])
        return web.json_response({"meta": {"error": "a bad event"}}, status=400)

    def take(self, request: web.Request, body: bytes, *, clean: bool) -> bool:
        """Take all that a request holds, unless some of it is to be refused."""
        operations = _operations(request, body)
        names = {operation.get("name") for operation in operations}
        if POISON in names or (self._on and STUCK in names):
            return False
        self._write(operations, clean=clean)
        return True

    def _write(self, operations: list[dict[str, Any]], *, clean: bool) -> None:
        now = time.monotonic()
        lines = [{"id": _id(each), "at": now, "clean": clean} for each in operations]
        self._file.write(b"".join(orjson.dumps(line) + b"\n" for line in lines))
        self._file.flush()

    def pick(self, *choices: Any) -> Any:
        """One of these."""
        return self._random.choice(choices)


def _operations(request: web.Request, body: bytes) -> list[dict[str, Any]]:
    parsed = orjson.loads(body) if body else {}
    if request.path == "/api/v2/batch":
        batch: list[dict[str, Any]] = parsed["batch"]
        return batch
    return [parsed]


def _id(operation: dict[str, Any]) -> str:
    """The message_id: of an event its id, of an identify its attribute ``mark``, of a merge the
    person that is folded into the other."""
    if "secondary" in operation:
        return str(operation["secondary"]["id"])
    if operation.get("action") == "identify":
        return str(operation["attributes"]["mark"])
    return str(operation.get("id") or operation["mark"])


def _partial(errors: list[dict[str, Any]]) -> web.Response:
    return web.json_response({"errors": errors}, status=207)


def _abort(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _status(status: int, headers: dict[str, str] | None = None) -> Handler:
    async def answer(_: Receiver, request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.json_response({"meta": {"error": "failing"}}, status=status, headers=headers)

    return answer


def _page(status: int) -> Handler:
    async def answer(_: Receiver, request: web.Request) -> web.StreamResponse:
        await request.read()
        page = "<!DOCTYPE html><html><h1>Please sign in</h1></html>"
        return web.Response(text=page, status=status, content_type="text/html")

    return answer


async def _reset_before(_: Receiver, request: web.Request) -> web.StreamResponse:
    return _abort(request)


async def _reset_during(_: Receiver, request: web.Request) -> web.StreamResponse:
    await request.content.read(10)
    return _abort(request)


async def _cut(receiver: Receiver, request: web.Request) -> web.StreamResponse:
    """The request is taken, and the connection breaks before the answer."""
    receiver.take(request, await request.read(), clean=False)
    return _abort(request)


async def _truncated(receiver: Receiver, request: web.Request) -> web.StreamResponse:
    receiver.take(request, await request.read(), clean=False)
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    return _abort(request)


async def _drip(receiver: Receiver, request: web.Request, wait: float) -> web.StreamResponse:
    taken = receiver.take(request, await request.read(), clean=False)
    response = web.StreamResponse(status=200 if taken else 503)
    await response.prepare(request)
    end = time.monotonic() + _SLOW_SECONDS
    with suppress(ConnectionError):
        while time.monotonic() < end:
            await response.write(b" " * (1 if wait else 65536))
            await asyncio.sleep(wait)
    return response


async def _endless(receiver: Receiver, request: web.Request) -> web.StreamResponse:
    return await _drip(receiver, request, 0.0)


async def _slow(receiver: Receiver, request: web.Request) -> web.StreamResponse:
    return await _drip(receiver, request, 0.3)


async def _late(receiver: Receiver, request: web.Request) -> web.StreamResponse:
    """A good answer, after a while."""
    body = await request.read()
    await asyncio.sleep(receiver.pick(0.05, 0.2, 0.5))
    if receiver.take(request, body, clean=False):
        return web.json_response({})
    return web.json_response({}, status=503)


async def _wrong_indexes(receiver: Receiver, request: web.Request) -> web.StreamResponse:
    """A 207 that names an item that there is not. About a single item it would be a refusal."""
    body = await request.read()
    if len(_operations(request, body)) == 1:
        return web.json_response({}, status=503)
    receiver.take(request, body, clean=False)
    return _partial([{"batch_index": receiver.pick(-1, 100_000, None), "reason": "invalid"}])


async def _garbage(receiver: Receiver, request: web.Request) -> web.StreamResponse:
    """A 207 whose body is no JSON."""
    receiver.take(request, await request.read(), clean=False)
    return web.Response(body=b'\xff{"errors": [', status=207)


async def _redirect(_: Receiver, request: web.Request) -> web.StreamResponse:
    await request.read()
    return web.Response(status=302, headers={"Location": "/elsewhere"})


FAULTS: Final[dict[str, Handler]] = {
    "reset": _reset_before,
    "reset-during": _reset_during,
    "cut": _cut,
    "truncated": _truncated,
    "endless": _endless,
    "slow": _slow,
    "late": _late,
    "indexes": _wrong_indexes,
    "garbage": _garbage,
    "html502": _page(502),
    "html200": _page(200),
    "html404": _page(404),
    "redirect": _redirect,
    "429": _status(429),
    "429-after": _status(429, {"Retry-After": "1"}),
    "500": _status(500),
    "503": _status(503),
    "401": _status(401),
}
SPELLS: Final = frozenset({"reset", "429", "429-after", "500", "503", "401", "html502", "html200"})
"""Those of which each may be the answer to everything for a while."""


def main(port: str, record: str, seed: str, faults: str, share: str) -> None:
    """Serve until the process is ended."""
    receiver = Receiver(Path(record), int(seed), [f for f in faults.split(",") if f], float(share))
    app = web.Application(client_max_size=4 * 1024 * 1024)
    app.router.add_post("/_faults/{what}", receiver.switch)
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
