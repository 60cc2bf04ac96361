"""The benchmarks, by name."""

from bench.benchmark import Benchmark
from bench.benchmarks import throughput

ALL: dict[str, Benchmark] = {each.name: each for each in (*throughput.BENCHMARKS,)}
