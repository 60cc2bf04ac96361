"""A queue of millions: memory, and how fast it fills and empties."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc
from cio.sidecar.v1 import delivery_pb2, delivery_pb2_grpc

from bench.bench import Bench
from bench.benchmark import Benchmark
from bench.benchmarks.throughput import BATCH_JSON
from bench.machine import memory_bytes
from bench.processes import CHANNEL_OPTIONS, Server, sidecar
from bench.result import Curve, Figure, Plot, Run

_EVENTS: Final = 5_000_000
_QUICK_EVENTS: Final = 100_000
_SLICES: Final = 10
_SETTINGS: Final = {
    "queue_max_bytes": str(64 * 1024**3),
    "queue_max_events": str(2 * _EVENTS),
}


class _Memory:
    """The memory of a process, looked at ten times a second."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    def look(self, server: Server, done: threading.Event) -> None:
        while not done.wait(0.1):
            self.now = memory_bytes(server.pid)
            self.most = max(self.most, self.now)


@contextmanager
def _watched(server: Server) -> Iterator[_Memory]:
    memory, done = _Memory(), threading.Event()
    watcher = threading.Thread(target=memory.look, args=(server, done))
    watcher.start()
    try:
        yield memory
    finally:
        done.set()
        watcher.join()


def _backlog(bench: Bench) -> Run:
    events = _QUICK_EVENTS if bench.quick else _EVENTS
    with (
        sidecar(bench.sink.address, _SETTINGS) as server,
        grpc.insecure_channel(server.target, options=CHANNEL_OPTIONS) as channel,
        _watched(server) as memory,
    ):
        empty = bench.send(server, BATCH_JSON).delivered_per_second
        delivery: Any = delivery_pb2_grpc.DeliveryServiceStub(channel)
        delivery.Pause(delivery_pb2.PauseRequest())
        filled, held = _fill(bench, server, events, memory)
        bench.sink.reset()
        delivery.Resume(delivery_pb2.ResumeRequest())
        drained = _drain(bench, events)
        most = memory.most / 1e6
    deep, shallow = drained[events], drained[min(drained)]
    values = {
        "memory": most,
        "empty": empty,
        "drain": deep,
        "drain_ratio": deep / empty,
        "depth_ratio": deep / shallow,
        "fill_ratio": filled[events] / filled[events // _SLICES],
    }
    return Run(values, {"fill": filled, "drain": drained, "memory": held})


def _fill(
    bench: Bench, server: Server, events: int, memory: _Memory
) -> tuple[dict[float, float], dict[float, float]]:
    """How fast events are acknowledged while so many wait, and the memory that it takes."""
    rates: dict[float, float] = {}
    held: dict[float, float] = {}
    slice_ = events // _SLICES
    for number in range(1, _SLICES + 1):
        messages = str(slice_ // BATCH_JSON.batch)
        found = bench.send_at_once(server, BATCH_JSON, "-messages", messages, delivers=False)
        rates[slice_ * number] = found.acked_per_second
        held[slice_ * number] = memory.now / 1e6
    return rates, held


def _drain(bench: Bench, events: int) -> dict[float, float]:
    """How fast events are delivered while so many wait."""
    rates: dict[float, float] = {}
    slice_ = events // _SLICES
    since, before = time.time(), 0
    while before < events:
        tally = bench.sink.until(min(events, before + slice_))
        # Those that were delivered, and not those that were waited for: it looks now and then.
        rates[events - before // slice_ * slice_] = (tally["operations"] - before) / (
            tally["last_at"] - since
        )
        since, before = tally["last_at"], tally["operations"]
    return rates


BENCHMARKS: Final = (
    Benchmark(
        "backlog",
        f"a queue of {_EVENTS:,} orders (quick: {_QUICK_EVENTS:,}), filled and drained",
        _backlog,
        (
            Figure("memory", "the most memory at any time (RSS)", "MB", at_most=150),
            Figure("empty", "delivered with an empty queue, as batch-json", "events/s"),
            Figure("drain", "drained from the full queue", "events/s"),
            Figure("drain_ratio", "drained, of what is delivered when empty", "%", at_least=0.8),
            Figure("depth_ratio", "drained when full, of drained when nearly empty", "%"),
            Figure("fill_ratio", "acknowledged when full, of when nearly empty", "%"),
        ),
        Plot(
            "A queue filled and drained",
            "events waiting",
            (
                Curve("fill", "acknowledged, delivery paused", "events/s"),
                Curve("drain", "drained, nothing coming in", "events/s"),
                Curve("memory", "memory (RSS)", "MB"),
            ),
        ),
        most_runs=1,
    ),
)
