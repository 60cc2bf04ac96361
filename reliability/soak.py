"""The soak and the kills: long runs with random faults, and a verdict.

    python -m reliability.soak --minutes 30 --seed 7
    python -m reliability.soak --rounds 200 --faults kill

Exits with 1 where anything was lost, doubled, out of order or otherwise wrong.
"""

import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import orjson

from reliability.run import FAULTS, Outcome, Plan, figures, new_folder, remove, run
from reliability.shim import FLAGS

_SHOWN = 5


def chosen(text: str) -> tuple[str, ...]:
    """``all``, ``all,-kill`` or ``kill,cut``. Raises click.BadParameter."""
    names: list[str] = []
    for part in filter(None, text.split(",")):
        name = part.removeprefix("-")
        if name not in (*FAULTS, "all"):
            raise click.BadParameter(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
        if part.startswith("-"):
            names = [each for each in names or FAULTS if each != name]
        else:
            names += FAULTS if name == "all" else [name]
    return tuple(dict.fromkeys(names))


def wrong(outcome: Outcome) -> list[str]:
    """Each thing that is wrong with a run, in words."""
    verdict = outcome.verdict
    left = [f"{outcome.left} events still wait"] if outcome.left != 0 else []
    log = [f"the log: {line}" for line in outcome.log.splitlines()]
    return [
        *verdict.lost,
        *verdict.duplicated,
        *verdict.disordered,
        *verdict.wrong,
        *left,
        *log,
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", default=1.0, show_default=True, help="How long the load lasts.")
@click.option("--rounds", type=int, help="In place of that: how many faults of process or disk.")
@click.option("--seed", type=int, help="Repeats the faults and the load of another run.")
@click.option("--faults", default="all", show_default=True, help="all, all,-NAME or NAME,NAME.")
@click.option("--per-second", default=1_000.0, show_default=True, help="Events a second.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures there.")
@click.option("--keep", is_flag=True, help="Keep the folder with ledger, record, log and queue.")
def main(  # noqa: PLR0917 (options)
    minutes: float,
    rounds: int | None,
    seed: int | None,
    faults: str,
    per_second: float,
    json_path: Path | None,
    keep: bool,
) -> None:
    """Load a sidecar, hinder it in every way, and judge what came of the events."""
    names = chosen(faults)
    plan = Plan(
        seconds=minutes * 60 if rounds is None else float("inf"),
        seed=random.SystemRandom().randrange(1_000_000) if seed is None else seed,
        faults=names,
        per_second=per_second,
        rounds=rounds,
    )
    if rounds is not None:
        if not set(names) & {"kill", "term", "freeze", "clock", *FLAGS}:
            raise click.UsageError("--rounds counts faults of process, disk and clock: name one")
        plan.every_seconds = (0.5, 5.0)
        plan.seconds = rounds * 30.0
    folder = new_folder()
    click.echo(f"seed {plan.seed}, faults: {', '.join(names)}")
    try:
        outcome = asyncio.run(run(plan, folder, click.echo))
    finally:
        if keep:
            click.echo(f"kept in {folder}")
        else:
            remove(folder)
    found = figures(plan, outcome)
    show(found)
    if json_path is not None:
        json_path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    problems = wrong(outcome)
    if problems:
        _say_wrong(problems)
        sys.exit(1)


def show(found: dict[str, Any]) -> None:
    """Print figures, a line each."""
    for name, value in found.items():
        if isinstance(value, dict):
            words = ", ".join(f"{key} {_text(key, each)}" for key, each in value.items())
        elif isinstance(value, list):
            words = ", ".join(_text(name, each) for each in value)
        else:
            words = _text(name, value)
        click.echo(f"{name.removesuffix('_bytes').replace('_', ' '):>20}  {words}")


def _text(name: str, value: Any) -> str:
    if name.endswith("_bytes") or "sqlite" in name:
        return f"{value / 1e6:,.1f} MB"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _say_wrong(problems: Sequence[str]) -> None:
    click.echo(f"{len(problems)} WRONG:", err=True)
    for problem in problems[:_SHOWN]:
        click.echo(f"  {problem}", err=True)
    if len(problems) > _SHOWN:
        click.echo(f"  and {len(problems) - _SHOWN} more", err=True)


if __name__ == "__main__":
    main()
