"""``python -m bench``: measures, and writes docs/performance.md with its plots."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import click
import orjson

from bench import page
from bench.bench import Bench
from bench.benchmark import Benchmark
from bench.benchmarks import ALL
from bench.machine import LOAD_CORE, describe
from bench.processes import WORK, Broken, build_load, sink
from bench.result import Found, shown, spread


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", default="", help=f"Some of {', '.join(ALL)}; separated by commas.")
@click.option("--quick", is_flag=True, help="One short run of each, and a smaller backlog.")
@click.option(
    "--runs", type=click.IntRange(min=1), help="How often each is measured.  [default: 5]"
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="How long one load lasts.  [default: 5]",
)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write results there.")
@click.option(
    "--docs/--no-docs",
    default=None,
    help="Whether results go to docs/performance.md.  [default: those of all, and not quick]",
)
def main(
    *,
    only: str,
    quick: bool,
    runs: int | None,
    seconds: float | None,
    json_path: Path | None,
    docs: bool | None,
) -> None:
    """Measure the sidecar, on one core, with load and Customer.io's part on another."""
    chosen = _chosen(only)
    if quick and docs:
        raise click.UsageError("--quick measures too little for --docs")
    runs = runs or (1 if quick else 5)
    # So that the processes are ended and their queues removed, as on Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.sched_setaffinity(0, {LOAD_CORE})
    try:
        load = build_load()
        with sink(load) as taking:
            bench = Bench(load, taking, seconds or (1.0 if quick else 5.0), quick=quick)
            found = {each.name: _measure(each, bench, runs) for each in chosen}
    except Broken as error:
        raise click.ClickException(str(error)) from None
    results = {"machine": describe(WORK), "benchmarks": found}
    if json_path is not None:
        json_path.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    if docs or (docs is None and not quick and not only):
        # What draws is not there for the tests.
        from bench.plots import draw_all

        draw_all(page.write(results), page.FOLDER)


def _chosen(names: str) -> list[Benchmark]:
    wanted = names.replace(",", " ").split()
    unknown = [name for name in wanted if name not in ALL]
    if unknown:
        raise click.BadParameter(f"no benchmark {', '.join(unknown)}; there are {', '.join(ALL)}")
    if names and not wanted:
        raise click.BadParameter(f"it names no benchmark; there are {', '.join(ALL)}")
    return [ALL[name] for name in wanted] or list(ALL.values())


def _measure(benchmark: Benchmark, bench: Bench, runs: int) -> dict[str, Any]:
    click.echo(f"\n{benchmark.name}: {benchmark.words}")
    found = Found(benchmark.words, benchmark.figures, benchmark.plot)
    runs = min(runs, benchmark.most_runs)
    for number in range(1, runs + 1):
        _progress(f"run {number} of {runs}")
        found.runs.append(benchmark.once(bench))
    _progress("")
    for line in _lines(found):
        click.echo(line)
    return found.as_json()


def _lines(found: Found) -> list[str]:
    lines = []
    for figure in found.figures:
        median, values = found.median(figure), found.values(figure)
        met = figure.met(median)
        goal = "" if met is None else f"  {'met' if met else 'MISSED'}: {figure.goal}"
        between = f"  ({spread(values, figure.unit)})" if len(values) > 1 else ""
        lines.append(f"  {figure.words:<50}{shown(median, figure.unit):>18}{between}{goal}")
    for curve in found.plot.curves if found.plot else ():
        points = [
            f"{x:,}: {shown(sum(values) / len(values), '')}"
            for x, values in found.points(curve).items()
        ]
        lines.append(f"  {curve.words} ({curve.unit})  {'  '.join(points)}")
    return lines


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{text:<20}\r", nl=False, err=True)


if __name__ == "__main__":
    main()
