"""What a benchmark finds: figures with their goals, each with a value a run. PURE."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A number that a benchmark finds in every run."""

    key: str
    words: str
    unit: str = ""
    at_least: float | None = None
    """The goal: its median must be no less."""
    at_most: float | None = None
    """The goal: its median must be no more."""

    @property
    def goal(self) -> str:
        """The goal in words; empty where there is none."""
        if self.at_least is not None:
            return f"≥ {shown(self.at_least, self.unit)}"
        return f"≤ {shown(self.at_most, self.unit)}" if self.at_most is not None else ""

    def met(self, median: float) -> bool | None:
        """Whether a median meets the goal; None where there is none."""
        if self.at_least is not None:
            return median >= self.at_least
        return median <= self.at_most if self.at_most is not None else None


@dataclass
class Found:
    """The values of a benchmark's figures."""

    name: str
    figures: Sequence[Figure]
    runs: list[Mapping[str, float]] = field(default_factory=list)

    def values(self, figure: Figure) -> list[float]:
        """Its value in each run."""
        return [run[figure.key] for run in self.runs]

    def median(self, figure: Figure) -> float:
        """Its median over all runs."""
        return statistics.median(self.values(figure))

    def as_json(self) -> dict[str, Any]:
        """For the file of results."""
        return {
            figure.key: {
                "words": figure.words,
                "unit": figure.unit,
                "median": self.median(figure),
                "least": min(self.values(figure)),
                "most": max(self.values(figure)),
                "values": self.values(figure),
                "at_least": figure.at_least,
                "at_most": figure.at_most,
                "met": figure.met(self.median(figure)),
            }
            for figure in self.figures
        }


def shown(value: float, unit: str) -> str:
    """A value for a person: three digits that count, and its unit."""
    if unit == "%":
        return f"{value * 100:.0f} %"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()
