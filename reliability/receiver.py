"""Plays Customer.io for a run, as a process: takes events, writes down each, and misbehaves.

An event is written down, in the file, before it is answered. Faults are drawn from a seed.

    python -m reliability.receiver PORT RECORD SEED FAULT,FAULT,… SHARE

``POST /_faults/on`` and ``/_faults/off`` begin and end the misbehaviour; it begins off. Both answer
with how many requests have met each fault so far.
"""

import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import IO, Any, Final

import orjson
from aiohttp import web

from reliability.answers import FATAL, FAULTS, REJECTIONS, SPELLS, partial
from reliability.bag import Bag
from reliability.wire import API_PATHS, BATCH_PATH, POISON, STUCK, message_id, operations

SPELL_SECONDS: Final = 1.5
"""How long a spell of trouble lasts."""
REJECTION_SECONDS: Final = 4.0
"""How long everything is rejected."""
REJECTION_SPELLS: Final = "spells-of-404"
"""The name under which spells of rejections are counted, next to the requests of each fault."""
STUCK_SECONDS: Final = 60.0
"""How long an event that is stuck fails while others don't, from the first time that it comes."""


class Receiver:
    """What was taken, and what goes wrong next."""

    def __init__(self, record: IO[bytes], seed: int, faults: list[str], share: float) -> None:
        """``record``: where what is taken is written, a line each. ``share``: of how many requests
        in one something goes wrong, from 0 to 1.
        """
        self._file = record
        self._random = random.Random(seed)  # noqa: S311 (repeatable, and no secret)
        self._faults = Bag(faults, self._random)
        self._sound = not faults
        self._share = share
        self._on = False
        self._spell = ("", 0.0)
        self._met: Counter[str] = Counter()
        self._stuck_since: dict[str, float] = {}

    async def switch(self, request: web.Request) -> web.Response:
        """Begin or end the misbehaviour; answers with how often each fault was met."""
        self._on = request.match_info["what"] == "on"
        self._spell = ("", 0.0)
        return web.json_response(self._met)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request of the sidecar."""
        if not request.path.startswith(API_PATHS):
            return web.json_response({})
        fault = self._draw()
        if request.method == "GET":
            status = 401 if fault == "401" else 200
            return web.json_response({"region": "us"}, status=status)
        if fault is None:
            return await self._usual(request, await request.read())
        self._met[fault] += 1
        return await (FAULTS | FATAL)[fault](self, request)

    def _draw(self) -> str | None:
        if not self._on or self._sound:
            return None
        name, until = self._spell
        if time.monotonic() < until:
            return name
        if self._random.random() >= self._share:
            return None
        fault = self._faults.draw()
        if fault == REJECTIONS:
            self._met[REJECTION_SPELLS] += 1
            self._spell = (fault, time.monotonic() + REJECTION_SECONDS)
        if fault in SPELLS and self._random.random() < 0.2:
            self._spell = (fault, time.monotonic() + SPELL_SECONDS)
        return fault

    async def _usual(self, request: web.Request, body: bytes) -> web.StreamResponse:
        asked = operations(request.path, body)
        names = [operation.get("name") for operation in asked]
        if self._is_stuck(asked):
            return web.json_response({"meta": {"error": "try again"}}, status=500)
        bad = [place for place, name in enumerate(names) if name == POISON]
        if not bad:
            self.take(request, body, clean=True)
            return web.json_response({})
        if request.path == BATCH_PATH and self._random.random() < 0.5:
            good = [each for place, each in enumerate(asked) if place not in bad]
            self._write(good, clean=True)
            return partial([{"batch_index": place, "reason": "invalid"} for place in bad])
        return web.json_response({"meta": {"error": "a bad event"}}, status=400)

    def take(self, request: web.Request, body: bytes, *, clean: bool) -> bool:
        """Take all that a request holds, unless some of it is to be rejected; whether it was."""
        asked = operations(request.path, body)
        names = {operation.get("name") for operation in asked}
        if POISON in names or self._is_stuck(asked):
            return False
        self._write(asked, clean=clean)
        return True

    def _is_stuck(self, asked: list[dict[str, Any]]) -> bool:
        now = time.monotonic()
        since = [
            self._stuck_since.setdefault(message_id(operation), now)
            for operation in asked
            if operation.get("name") == STUCK
        ]
        return self._on and any(now - each < STUCK_SECONDS for each in since)

    def _write(self, taken: list[dict[str, Any]], *, clean: bool) -> None:
        now = time.monotonic()
        lines = [{"id": message_id(each), "at": now, "clean": clean} for each in taken]
        self._file.write(b"".join(orjson.dumps(line) + b"\n" for line in lines))
        self._file.flush()

    def pick(self, *choices: Any) -> Any:
        """One of these."""
        return self._random.choice(choices)


def application(receiver: Receiver) -> web.Application:
    """The receiver as a web application."""
    app = web.Application(client_max_size=4 * 1024 * 1024)
    app.router.add_post("/_faults/{what}", receiver.switch)
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    return app


def main(port: str, record: str, seed: str, faults: str, share: str) -> None:
    """Serve until the process is ended."""
    with Path(record).open("ab") as file:
        names = [name for name in faults.split(",") if name]
        app = application(Receiver(file, int(seed), names, float(share)))
        web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
