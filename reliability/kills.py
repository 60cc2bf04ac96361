"""The kills: a sidecar under load is killed again and again, and a verdict.

    python -m reliability.kills --rounds 200 --seed 11

Exits with 1 where anything was lost, doubled, out of order or otherwise wrong, and where so little
was acknowledged that nothing is proved.
"""

from pathlib import Path

import click

from reliability.command import carry_out, chosen, options, seed_of
from reliability.plan import HINDRANCES, Plan


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", default=10, show_default=True, help="How many kills.")
@options("kill,cut,503,429")
def main(
    rounds: int,
    seed: int | None,
    faults: str,
    per_second: float,
    json_path: Path | None,
    *,
    keep: bool,
) -> None:
    """Kill a sidecar under load at random moments, and judge what came of the events.

    Other faults of process, disk or clock count as rounds where --faults names them.
    """
    names = chosen(faults)
    if not set(names) & set(HINDRANCES):
        raise click.UsageError(f"--faults must name one of {', '.join(HINDRANCES)}")
    carry_out(plan_of(rounds, seed_of(seed), names, per_second), json_path=json_path, keep=keep)


def plan_of(rounds: int, seed: int, faults: tuple[str, ...], per_second: float) -> Plan:
    """So many rounds of half a second to five seconds from their first ack."""
    return Plan(
        seconds=rounds * 45.0,
        seed=seed,
        faults=faults,
        per_second=per_second,
        every_seconds=(0.5, 5.0),
        rounds=rounds,
    )


if __name__ == "__main__":
    main()
