"""The soak: mixed load for a while, random faults, and a verdict.

    python -m reliability.soak --minutes 30 --seed 7

Exits with 1 where anything was lost, doubled, out of order or otherwise wrong.
"""

from pathlib import Path

import click

from reliability.command import carry_out, chosen, options, seed_of
from reliability.plan import Plan


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", default=1.0, show_default=True, help="How long the load lasts.")
@options("all")
def main(
    minutes: float,
    seed: int | None,
    faults: str,
    per_second: float,
    json_path: Path | None,
    *,
    keep: bool,
) -> None:
    """Load a sidecar, hinder it in every way, and judge what came of the events."""
    plan = Plan(
        seconds=minutes * 60, seed=seed_of(seed), faults=chosen(faults), per_second=per_second
    )
    carry_out(plan, json_path=json_path, keep=keep)


if __name__ == "__main__":
    main()
