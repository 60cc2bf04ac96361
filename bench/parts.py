"""Parts of the way an event goes, each alone: ``bench.parts PART SECONDS [ADDRESS]``.

Prints how often a second the part can be done, as JSON.
"""

import asyncio
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from cio.sidecar.v1 import ingest_pb2
from cio_sidecar.cli.serve import collect_less_often
from cio_sidecar.customerio import requests
from cio_sidecar.customerio.encoders import Operation
from cio_sidecar.mapping.authoring.profiles import load_profile
from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.renderer import Rendered, Renderer
from cio_sidecar.rpc.event_json import to_event
from yarl import URL

from bench.events import Form, filled_in, message
from bench.processes import WORK

_GROUP = 500
_EVENTS = [
    {**filled_in(number), "receivedAt": "2026-03-02T09:30:01.000Z"} for number in range(1000)
]


def _rate(work: Callable[[], int], seconds: float) -> float:
    """How many a second, where each call does so many."""
    work()
    done, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        done += work()
    return done / took


def decode(form: Form, seconds: float) -> float:
    """Bytes of a message of 500 → events."""
    request = ingest_pb2.SendBatchRequest(
        events=[message(event, form) for event in _EVENTS[:_GROUP]]
    )
    data = request.SerializeToString()

    def work() -> int:
        return len([to_event(each) for each in ingest_pb2.SendBatchRequest.FromString(data).events])

    return _rate(work, seconds)


def _operations(event: dict[str, Any], renderer: Renderer) -> tuple[Operation, ...]:
    rendered = renderer.render(event)
    assert isinstance(rendered, Rendered)
    return rendered.operations


def mapping(seconds: float) -> float:
    """Decoded events → the bytes of a request."""
    renderer = Renderer(load_profile("standard", [], MappingOptions()))

    def work() -> int:
        operations: list[Operation] = []
        for event in _EVENTS[:_GROUP]:
            operations += _operations(event, renderer)
        requests.v2_batch(operations)
        return _GROUP

    return _rate(work, seconds)


def write_json(seconds: float) -> float:
    """Events → JSON, by orjson alone: mapping does this at least once."""

    def work() -> int:
        for event in _EVENTS:
            orjson.dumps(event)
        return len(_EVENTS)

    return _rate(work, seconds)


def sqlite(seconds: float) -> float:
    """Rows as large as an event's, 500 a transaction, each safe on disk."""
    event = orjson.dumps(_EVENTS[0])
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        db = sqlite3.connect(Path(folder) / "queue", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, event BLOB, operations BLOB)")

        def work() -> int:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO events VALUES (NULL, ?, ?)", [(event, event)] * _GROUP)
            db.execute("COMMIT")
            return _GROUP

        rate = _rate(work, seconds)
        db.close()
    return rate


def fsync(seconds: float) -> float:
    """Pages of a file, each made safe, with a pause before each: one over the median time."""
    taken: list[float] = []
    with tempfile.NamedTemporaryFile(dir=WORK) as file:
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            time.sleep(0.01)
            start = time.perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - start)
    return 1 / statistics.median(taken)


def bare_http(seconds: float, address: str) -> float:
    """Requests of one event each, ready-made, 64 at a time, by aiohttp alone."""
    renderer = Renderer(load_profile("standard", [], MappingOptions()))
    requests = [
        requests.v1_request(operation)
        for event in _EVENTS
        for operation in _operations(event, renderer)
    ]
    ready = [(URL(f"http://{address}{each.path}", encoded=True), each.body) for each in requests]

    async def one_by_one(session: aiohttp.ClientSession, until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            url, body = ready[done % len(ready)]
            async with session.post(url, data=body) as response:
                await response.read()
            done += 1
        return done

    async def run() -> float:
        connector = aiohttp.TCPConnector(limit=64)
        headers = {"Content-Type": "application/json", "Authorization": "Basic c2l0ZTprZXk="}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            await _all(one_by_one(session, time.perf_counter() + seconds / 3) for _ in range(64))
            began = time.perf_counter()
            done = await _all(one_by_one(session, began + seconds) for _ in range(64))
            return done / (time.perf_counter() - began)

    return asyncio.run(run())


async def _all(each: Iterable[Coroutine[Any, Any, int]]) -> int:
    counts: list[int] = await asyncio.gather(*each)
    return sum(counts)


def main(part: str, seconds: float, address: str = "") -> float:
    """Measure a part."""
    collect_less_often()
    if part == "bare-http":
        return bare_http(seconds, address)
    parts: dict[str, Callable[[float], float]] = {
        "decode-json": lambda seconds: decode("json", seconds),
        "decode-struct": lambda seconds: decode("struct", seconds),
        "mapping": mapping,
        "write-json": write_json,
        "sqlite": sqlite,
        "fsync": fsync,
    }
    return parts[part](seconds)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], float(sys.argv[2]), *sys.argv[3:])))
