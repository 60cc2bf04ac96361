"""What becomes of time when events, batches and the number of people grow."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from bench.bench import Bench, Flow
from bench.benchmark import Benchmark
from bench.benchmarks.throughput import BATCH_JSON
from bench.machine import memory_bytes
from bench.processes import sidecar
from bench.result import Curve, Figure, Plot, Run

# A message of large events holds fewer, so that it is no larger than 500 orders.
_MESSAGE_BYTES: Final = 250_000

_SIZES: Final = {
    size: replace(
        BATCH_JSON, size_bytes=size, batch=max(1, min(BATCH_JSON.batch, _MESSAGE_BYTES // size))
    )
    for size in (200, 1_000, 5_000, 25_000, 95_000)
}
_BATCHES: Final = {size: replace(BATCH_JSON, batch=size) for size in (1, 10, 100, 1_000, 5_000)}
_PEOPLE: Final = {
    number: replace(BATCH_JSON, people=number) for number in (1, 100, 10_000, 100_000, 1_000_000)
}


def steepest(seconds: Mapping[float, float]) -> float:
    """The greatest exponent with which a time grows over either half of the places: 1 is linear.

    From one place to the next, scatter would pass for growth.
    """
    places = sorted(seconds)
    halves = itertools.pairwise((places[0], places[len(places) // 2], places[-1]))
    return max(
        math.log(seconds[far] / seconds[near]) / math.log(far / near) for near, far in halves
    )


def _sweep(flows: Mapping[int, Flow], by_message: bool, bench: Bench) -> Run:
    chosen: Sequence[int] = [*flows][:: 2 if bench.quick else 1]
    rates: dict[float, float] = {}
    memory: dict[float, float] = {}
    short = bench.shorter(0.4)
    # What is over 32 KB goes alone, and would meet the ceiling of requests.
    with sidecar(bench.sink.address, uncapped=True) as server:
        for place in chosen:
            flow = flows[place]
            everybody = flow.people >= 100_000 and not bench.quick
            flags = ("-messages", str(flow.people // flow.batch)) if everybody else ()
            rates[place] = short.send(server, flow, *flags).delivered_per_second
            memory[place] = memory_bytes(server.pid) / 1e6
    seconds = {x: (flows[int(x)].batch if by_message else 1) / rate for x, rate in rates.items()}
    return Run({"steepest": steepest(seconds)}, {"rate": rates, "memory": memory})


def _benchmark(
    name: str, title: str, x_words: str, flows: Mapping[int, Flow], *, by_message: bool = False
) -> Benchmark:
    what = "a message" if by_message else "an event"
    return Benchmark(
        name,
        f"{title}, by SendBatch",
        partial(_sweep, flows, by_message),
        (
            Figure(
                "steepest",
                f"time of {what}: its steepest growth (1 is linear)",
                at_most=1.1,
            ),
        ),
        Plot(
            title,
            x_words,
            (
                Curve("rate", "delivered", "events/s"),
                Curve("memory", "memory after it (RSS)", "MB"),
            ),
        ),
    )


BENCHMARKS: Final = (
    _benchmark("growth-size", "Events from 200 bytes to 95 KB", "bytes of an event", _SIZES),
    _benchmark(
        "growth-batch",
        "Messages of 1 to 5,000 events",
        "events a message",
        _BATCHES,
        by_message=True,
    ),
    _benchmark("growth-people", "Events of 1 to 1,000,000 people", "people", _PEOPLE),
)
