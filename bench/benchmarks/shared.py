"""What a second sidecar on a core of its own is worth, where both share an address."""

from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from bench.bench import Bench, Flow
from bench.benchmark import Benchmark
from bench.machine import SECOND_CORE, SERVER_CORE
from bench.processes import free_port, sidecar
from bench.result import Figure, Run

_FLOW: Final = Flow("SendBatch", "json", batch=500, in_flight=32, connections=32)


def _delivered(bench: Bench, cores: tuple[int, ...]) -> float:
    """Through sidecars on these cores, the connections spread over them."""
    shared = f"127.0.0.1:{free_port()}"
    with ExitStack() as running:
        for core in cores:
            settings = {"shared_listen": shared}
            server = running.enter_context(sidecar(bench.sink.address, settings, core=core))
        return bench.send(replace(server, target=shared), _FLOW).delivered_per_second


def _shared(bench: Bench) -> Run:
    one, two = _delivered(bench, (SERVER_CORE,)), _delivered(bench, (SERVER_CORE, SECOND_CORE))
    return Run({"one": one, "two": two, "ratio": two / one})


BENCHMARKS: Final = (
    Benchmark(
        "shared",
        "two sidecars that share an address, 32 connections of batches of 500",
        _shared,
        (
            Figure("one", "delivered by one", "events/s"),
            Figure("two", "delivered by two", "events/s"),
            Figure("ratio", "two, to one", "times"),
        ),
    ),
)
