"""``python -m bench``: measures, and writes docs/performance.md with its plots."""

import os
import sys
from pathlib import Path

import click
import orjson

from bench.bench import Bench
from bench.benchmark import Benchmark
from bench.benchmarks import ALL
from bench.machine import LOAD_CORE, describe
from bench.processes import WORK, Broken, build_load, sink
from bench.result import Figure, Found, shown


def _chosen(names: str) -> list[Benchmark]:
    wanted = [name for name in names.replace(",", " ").split() if name]
    unknown = [name for name in wanted if name not in ALL]
    if unknown:
        raise click.BadParameter(f"no benchmark {', '.join(unknown)}; there are {', '.join(ALL)}")
    return [ALL[name] for name in wanted] or list(ALL.values())


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", default="", help="Names of benchmarks, separated by commas.")
@click.option("--quick", is_flag=True, help="Shorter, and fewer runs.")
@click.option("--runs", type=int, help="How often each is measured.")
@click.option("--seconds", type=float, help="How long one load lasts.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write results there.")
def main(
    only: str, quick: bool, runs: int | None, seconds: float | None, json_path: Path | None
) -> None:
    """Measure the sidecar."""
    os.sched_setaffinity(0, {LOAD_CORE})
    runs = runs or (1 if quick else 5)
    seconds = seconds or (1.5 if quick else 5.0)
    try:
        load = build_load()
        with sink(load) as taking:
            bench = Bench(load, taking, seconds, quick=quick)
            found = [_measure(benchmark, bench, runs) for benchmark in _chosen(only)]
    except Broken as error:
        raise click.ClickException(str(error)) from None
    if json_path is not None:
        results = {
            "machine": describe(WORK),
            "benchmarks": {each.name: each.as_json() for each in found},
        }
        json_path.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def _measure(benchmark: Benchmark, bench: Bench, runs: int) -> Found:
    click.echo(f"\n{benchmark.name}: {benchmark.words}")
    found = Found(benchmark.name, benchmark.figures, benchmark.plot)
    runs = min(runs, benchmark.most_runs)
    for _ in range(runs):
        found.runs.append(benchmark.once(bench))
        _progress(f"{len(found.runs)} of {runs}")
    _progress("")
    for figure in benchmark.figures:
        click.echo(_line(found, figure))
    return found


def _line(found: Found, figure: Figure) -> str:
    values, median = found.values(figure), found.median(figure)
    spread = ""
    if len(values) > 1:
        spread = f"  ({shown(min(values), figure.unit)} to {shown(max(values), figure.unit)})"
    goal = ""
    if (met := figure.met(median)) is not None:
        goal = f"  {'met' if met else 'MISSED'}: {figure.goal}"
    return f"  {figure.words:<45}{shown(median, figure.unit):>18}{spread}{goal}"


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{text:<20}\r", nl=False, err=True)


if __name__ == "__main__":
    main()
