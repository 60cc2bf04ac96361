"""Draws curves, as SVG and PNG."""

import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.page import WAYS

# Without a date and with names of their own, the same curves make the same file.
mpl.rcParams["svg.hashsalt"] = "bench"
_COLOURS = ("#1f6feb", "#d1570a", "#2e7d32", "#7b1fa2")


def draw_all(results: dict[str, Any], folder: Path) -> None:
    """Draw the plot of each benchmark that has one, and all ways in beside each other."""
    _draw_ways(results["benchmarks"], folder / WAYS)
    for name, found in results["benchmarks"].items():
        if "plot" in found:
            _draw(found["plot"], folder / name)


def _draw_ways(benchmarks: dict[str, Any], path: Path) -> None:
    """Bars of what is delivered: grey by Customer.io's own client."""
    rates = {
        found["words"]: found["figures"]["delivered"]["median"]
        for name, found in benchmarks.items()
        if "delivered" in found["figures"] and name != "official"
    }
    if "official" in benchmarks:
        own = benchmarks["official"]["figures"]
        rates |= {own[key]["words"]: own[key]["median"] for key in ("batch", "one")}
    figure = Figure(figsize=(7.5, 0.9 + 0.4 * len(rates)), layout="constrained")
    axes = figure.subplots()
    colours = ["#9aa4b0" if "client" in words else _COLOURS[0] for words in rates]
    bars = axes.barh([*rates], [*rates.values()], color=colours, height=0.6)
    axes.bar_label(bars, fmt="{:,.0f}", padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel("events delivered a second, one core")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _draw(plot: dict[str, Any], path: Path) -> None:
    """``path`` is without the ending. Curves of one unit share their axes."""
    units = list(dict.fromkeys(curve["unit"] for curve in plot["curves"]))
    figure = Figure(figsize=(7.5, 0.6 + 2.9 * len(units)), layout="constrained")
    all_axes = figure.subplots(len(units), 1, sharex=True, squeeze=False)[:, 0]
    for unit, axes in zip(units, all_axes, strict=True):
        for curve, colour in zip(plot["curves"], _COLOURS, strict=False):
            if curve["unit"] == unit:
                _add(axes, curve, colour)
        places = {point["x"] for curve in plot["curves"] for point in curve["points"]}
        if max(places) > 20 * min(places):
            axes.set_xscale("log")
        axes.margins(y=0.1)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(unit)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.grid(visible=True, alpha=0.3)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[-1].xaxis.set_major_formatter("{x:,.0f}")
    all_axes[-1].set_xlabel(plot["x_words"])
    figure.suptitle(plot["title"])
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=120, metadata={"Software": None})


def _add(axes: Any, curve: dict[str, Any], colour: str) -> None:
    points = sorted(curve["points"], key=lambda point: point["x"])
    places = [point["x"] for point in points]
    medians = [statistics.median(point["values"]) for point in points]
    axes.plot(places, medians, marker="o", color=colour, label=curve["words"])
    least = [min(point["values"]) for point in points]
    most = [max(point["values"]) for point in points]
    axes.fill_between(places, least, most, color=colour, alpha=0.15, linewidth=0)
