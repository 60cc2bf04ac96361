"""How long a caller waits for an ack."""

from typing import Final

from bench.bench import Bench, Flow, Passage
from bench.benchmark import Benchmark
from bench.benchmarks.throughput import BATCH_JSON, UNARY
from bench.processes import Server, noop, run_python, sidecar
from bench.result import Curve, Figure, Plot, Run

_ALONE: Final = Flow("Send", in_flight=1)
_PERCENTILES: Final = {"p50": 2, "p90": 10, "p99": 100, "p999": 1000}
"""One of so many messages waits longer."""


def _idle(bench: Bench) -> Run:
    def send(server: Server, *, delivers: bool) -> float:
        return bench.send(server, _ALONE, *flags, delivers=delivers).latency_ms["p50"]

    flags = ("-pause", "10ms", "-for", f"{bench.seconds}s")
    with sidecar(bench.sink.address) as server:
        acked = send(server, delivers=True)
    with noop() as server:
        nothing = send(server, delivers=False)
    fsync = 1000 / run_python("bench.parts", "fsync", str(bench.seconds / 2))
    bound = nothing + 2 * fsync
    return Run({"ack": acked, "noop": nothing, "fsync": fsync, "bound": acked / bound})


def _half(bench: Bench) -> Run:
    values: dict[str, float] = {}
    points: dict[str, dict[float, float]] = {}
    for name, flow in (("unary", UNARY), ("batch", BATCH_JSON)):
        found, rate = _at_half(bench, flow)
        values |= {f"{name}_rate": rate}
        values |= {f"{name}_{key}": found.latency_ms[key] for key in ("p50", "p99", "max")}
        points[name] = {share: found.latency_ms[key] for key, share in _PERCENTILES.items()}
    return Run(values, points)


def _at_half(bench: Bench, flow: Flow) -> tuple[Passage, float]:
    """At half the rate at which everything is delivered, whatever becomes of earlier messages."""
    with sidecar(bench.sink.address) as server:
        most = bench.shorter(0.5).send(server, flow).delivered_per_second
        messages = most / 2 / flow.batch
        flags = ("-rate", f"{messages:.3f}", "-for", f"{bench.seconds}s")
        return bench.send_at_once(server, flow, *flags), most / 2


BENCHMARKS: Final = (
    Benchmark(
        "latency-idle",
        "Send alone, one every 10 ms",
        _idle,
        (
            Figure("ack", "p50 to the ack", "ms"),
            Figure("noop", "p50 of a server that does nothing", "ms"),
            Figure("fsync", "p50 of writing a page and fsync", "ms"),
            Figure("bound", "the ack, of one such call and two fsyncs", "%", at_most=1.0),
        ),
    ),
    Benchmark(
        "latency-half",
        "at half of the greatest load, open loop",
        _half,
        (
            Figure("unary_rate", "Send: half of the greatest load", "events/s"),
            Figure("unary_p50", "Send: p50 to the ack", "ms"),
            Figure("unary_p99", "Send: p99", "ms", at_most=25),
            Figure("unary_max", "Send: the longest", "ms"),
            Figure("batch_rate", "SendBatch of 500: half of the greatest load", "events/s"),
            Figure("batch_p50", "SendBatch of 500: p50 to the ack", "ms"),
            Figure("batch_p99", "SendBatch of 500: p99", "ms", at_most=25),
            Figure("batch_max", "SendBatch of 500: the longest", "ms"),
        ),
        Plot(
            "From a message to its ack, at half of the greatest load",
            "of so many messages one waits longer",
            (Curve("unary", "Send", "ms"), Curve("batch", "SendBatch of 500", "ms")),
        ),
    ),
)
