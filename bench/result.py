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


@dataclass(frozen=True)
class Curve:
    """Something that is measured at several places."""

    key: str
    words: str
    unit: str


@dataclass(frozen=True)
class Plot:
    """Curves over one axis."""

    title: str
    x_words: str
    curves: Sequence[Curve]


@dataclass(frozen=True)
class Run:
    """What one run of a benchmark found, by the keys of its figures and curves."""

    values: Mapping[str, float]
    points: Mapping[str, Mapping[float, float]] = field(default_factory=dict)
    """Of each curve: a value for each place."""


@dataclass
class Found:
    """What all runs of a benchmark found."""

    words: str
    figures: Sequence[Figure]
    plot: Plot | None = None
    runs: list[Run] = field(default_factory=list)

    def values(self, figure: Figure) -> list[float]:
        """Its value in each run."""
        return [run.values[figure.key] for run in self.runs]

    def points(self, curve: Curve) -> dict[float, list[float]]:
        """A curve's values at each place, one a run."""
        places = self.runs[0].points[curve.key]
        return {x: [run.points[curve.key][x] for run in self.runs] for x in places}

    def median(self, figure: Figure) -> float:
        """Its median over all runs."""
        return statistics.median(self.values(figure))

    def as_json(self) -> dict[str, Any]:
        """For the file of results."""
        figures = {
            figure.key: {
                "words": figure.words,
                "unit": figure.unit,
                "median": self.median(figure),
                "values": self.values(figure),
                "goal": figure.goal,
                "met": figure.met(self.median(figure)),
            }
            for figure in self.figures
        }
        found: dict[str, Any] = {"words": self.words, "runs": len(self.runs), "figures": figures}
        if self.plot:
            found["plot"] = {
                "title": self.plot.title,
                "x_words": self.plot.x_words,
                "curves": [
                    {
                        "words": curve.words,
                        "unit": curve.unit,
                        "points": [
                            {"x": x, "values": values} for x, values in self.points(curve).items()
                        ],
                    }
                    for curve in self.plot.curves
                ],
            }
        return found


def spread(values: Sequence[float], unit: str) -> str:
    """The least and the greatest of several values; empty where there is one."""
    if len(values) < 2:
        return ""
    return f"{shown(min(values), '' if unit != '%' else unit)} to {shown(max(values), unit)}"


def shown(value: float, unit: str) -> str:
    """A value for a person: three digits that count, and its unit."""
    if unit == "%":
        return f"{value * 100:.0f} %"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()
