"""What the commands have in common: their options, and to carry out a plan."""

import asyncio
import random
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import click
import orjson

from reliability.errors import Broken
from reliability.plan import FAULTS, Outcome, Plan
from reliability.report import figures, problems, table
from reliability.run import new_folder, remove, run
from reliability.shim import possible

_SHOWN: Final = 5

Command = Callable[..., None]


def options(default_faults: str) -> Callable[[Command], Command]:
    """The options of every run, as a decorator."""
    each = [
        click.option("--seed", type=int, help="Repeats the faults and the load of another run."),
        click.option(
            "--faults",
            default=default_faults,
            show_default=True,
            help="all, all,-NAME or NAME,NAME.",
        ),
        click.option("--per-second", default=1_000.0, show_default=True, help="Events a second."),
        click.option(
            "--json", "json_path", type=click.Path(path_type=Path), help="Write figures there."
        ),
        click.option(
            "--keep",
            is_flag=True,
            help="Keep the folder with ledger, records, log and queue, though nothing is wrong.",
        ),
    ]

    def decorate(command: Command) -> Command:
        for option in reversed(each):
            command = option(command)
        return command

    return decorate


def chosen(text: str) -> tuple[str, ...]:
    """``all``, ``all,-kill`` or ``kill,cut``. Raises click.BadParameter."""
    parts = [part for part in text.split(",") if part]
    names = list(FAULTS) if parts and parts[0].startswith("-") else []
    for part in parts:
        name = part.removeprefix("-")
        if name not in (*FAULTS, "all"):
            raise click.BadParameter(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
        if part.startswith("-"):
            names = [each for each in names if name not in (each, "all")]
        else:
            names += FAULTS if name == "all" else [name]
    return tuple(dict.fromkeys(names))


def seed_of(given: int | None) -> int:
    """The seed that was given, or one of chance."""
    return random.SystemRandom().randrange(1_000_000) if given is None else given


def carry_out(plan: Plan, *, json_path: Path | None, keep: bool) -> None:
    """Run a plan, and print what came of it; exit with 1 where anything is wrong.

    The folder of a run in which anything is wrong is kept.
    """
    try:
        plan.faults, lacking = possible(plan.faults)
    except FileNotFoundError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"seed {plan.seed}, faults: {', '.join(plan.faults) or 'none'}")
    if lacking:
        click.echo(f"skipped, for want of a C compiler (cc): {', '.join(lacking)}")
    folder = new_folder()
    wrong = ["the run was broken off"]
    try:
        wrong = _play(plan, folder, json_path)
    finally:
        if keep or wrong:
            click.echo(f"kept in {folder}")
        else:
            remove(folder)
    if wrong:
        sys.exit(1)


async def _terminable(running: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Await a run that SIGTERM cancels, so that it ends its processes."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await running


def _play(plan: Plan, folder: Path, json_path: Path | None) -> list[str]:
    try:
        outcome = asyncio.run(_terminable(run(plan, folder, click.echo)))
    except (Broken, asyncio.CancelledError, KeyboardInterrupt) as error:
        why = str(error) or "by a signal"
        click.echo(f"the run was broken off: {why}", err=True)
        return [why]
    found: dict[str, Any] = figures(plan, outcome)
    click.echo(table(found))
    if json_path is not None:
        json_path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    wrong = problems(plan, outcome)
    if wrong:
        click.echo(f"{len(wrong)} WRONG:", err=True)
        for problem in wrong[:_SHOWN]:
            click.echo(f"  {problem}", err=True)
        if len(wrong) > _SHOWN:
            click.echo(f"  and {len(wrong) - _SHOWN} more", err=True)
    return wrong
