"""Writes what was measured: results.json, and a part of docs/performance.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from bench.benchmarks import ALL
from bench.processes import ROOT
from bench.result import shown, spread

PAGE: Final = ROOT / "docs" / "performance.md"
FOLDER: Final = ROOT / "docs" / "performance"
WAYS: Final = "ways"
"""The plot of all ways in, without the ending."""
BEGIN: Final = "<!-- make bench writes what follows -->"
END: Final = "<!-- make bench writes what comes before -->"


def write(results: dict[str, Any], page: Path = PAGE, folder: Path = FOLDER) -> dict[str, Any]:
    """Put results beside those of other benchmarks, and write the page anew; returns all of them.

    Of the page, what is not between the marks stays as it is.
    """
    folder.mkdir(exist_ok=True)
    path = folder / "results.json"
    known = orjson.loads(path.read_bytes())["benchmarks"] if path.exists() else {}
    known |= results["benchmarks"]
    kept = {
        "machine": results["machine"],
        "benchmarks": {name: known[name] for name in ALL if name in known},
    }
    path.write_bytes(orjson.dumps(kept, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    text = page.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n{generated(kept)}\n{END}{after}")
    return kept


def generated(results: dict[str, Any]) -> str:
    """The part of the page that holds what was measured."""
    machine = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    parts = [
        f"Measured on: {machine}.",
        "Every run of each benchmark is in [results.json](performance/results.json), and the plots "
        "are beside it as PNG too.",
        f"![Events delivered a second, by each way in](performance/{WAYS}.svg)",
        "\n".join(_goals(results["benchmarks"])),
    ]
    parts += ["\n".join(_section(name, each)) for name, each in results["benchmarks"].items()]
    return "\n\n".join(parts)


def _goals(benchmarks: dict[str, Any]) -> Iterator[str]:
    yield "| what | goal | found | least to most | | again |"
    yield "|---|---|---|---|---|---|"
    for name, found in benchmarks.items():
        for figure in found["figures"].values():
            if figure["goal"]:
                value = shown(figure["median"], figure["unit"])
                met = "met" if figure["met"] else "**missed**"
                what = f"[{found['words']}](#{name}): {figure['words']}"
                again = f"`make bench ONLY={name}`"
                between = spread(figure["values"], figure["unit"])
                yield f"| {what} | {figure['goal']} | {value} | {between} | {met} | {again} |"


def _section(name: str, found: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    runs = "one run" if found["runs"] == 1 else f"medians of {found['runs']} runs"
    yield f"{found['words'][0].upper()}{found['words'][1:]}; {runs}.\n"
    yield "| | found | least to most |"
    yield "|---|---:|---:|"
    for figure in found["figures"].values():
        value = shown(figure["median"], figure["unit"])
        yield f"| {figure['words']} | {value} | {spread(figure['values'], figure['unit'])} |"
    if "plot" in found:
        yield f"\n![{found['plot']['title']}](performance/{name}.svg)"
