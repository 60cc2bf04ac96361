"""A benchmark: something that is measured anew in every run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.bench import Bench
from bench.result import Figure, Plot, Run


@dataclass(frozen=True)
class Benchmark:
    """What is measured, and what it should come to."""

    name: str
    words: str
    once: Callable[[Bench], Run]
    """Measures once."""
    figures: Sequence[Figure] = ()
    plot: Plot | None = None
    most_runs: int = 100
    """However many runs are asked for: of one that takes long."""
