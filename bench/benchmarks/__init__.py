"""The benchmarks, by name."""

from bench.benchmark import Benchmark
from bench.benchmarks import backlog, growth, latency, parts, shared, start, throughput

ALL: dict[str, Benchmark] = {
    each.name: each
    for each in (
        *throughput.BENCHMARKS,
        *latency.BENCHMARKS,
        *parts.BENCHMARKS,
        *start.BENCHMARKS,
        *shared.BENCHMARKS,
        *backlog.BENCHMARKS,
        *growth.BENCHMARKS,
    )
}
