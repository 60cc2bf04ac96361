"""A benchmark: something that is measured anew in every run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.bench import Bench
from bench.result import Figure


@dataclass(frozen=True)
class Benchmark:
    """What is measured, and what it should come to."""

    name: str
    words: str
    once: Callable[[Bench], Mapping[str, float]]
    """Measures once: a value for each figure, by its key."""
    figures: Sequence[Figure]
