"""Prints all that is known of one person of a run: to find out why something is wrong.

    python -m reliability.history FOLDER PERSON

FOLDER is what a run has kept; PERSON is as the run names it (``c0-12``).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

from reliability import ledger
from reliability.ledger import Arrival, DeadLetter, Hindrance, Sent
from reliability.plan import FAULT_RECORD, LEDGER, RECORD
from reliability.sidecar import dead_letters

_FATES = {"acked": "acknowledged", "rejected": "rejected"}


def history(
    person: str,
    events: Mapping[str, Sent],
    arrivals: Iterable[Arrival],
    letters: Iterable[DeadLetter],
    hindrances: Sequence[Hindrance],
) -> list[str]:
    """What became of each event of a person, a line each, in the order of time.

    Seconds count from the first event of the run. Hindrances of the sidecar stand among them, those
    within the person's time.
    """
    mine = {id_: event for id_, event in events.items() if event.person == person}
    moments: list[tuple[float, str]] = []
    for event in mine.values():
        kind = " (rejected by Customer.io)" if event.poison else ""
        moments.append((event.sent_at, f"{event.number} sent, {event.id}{kind}"))
        if event.fate is not None and event.told_at is not None:
            moments.append((event.told_at, f"{event.number} {_FATES[event.fate]}"))
    seen: set[str] = set()
    for arrival in arrivals:
        if arrival.id in mine:
            how = "arrived again" if arrival.id in seen else "arrived"
            answer = "" if arrival.clean else ", its answer broken or late"
            moments.append((arrival.at, f"{mine[arrival.id].number} {how}{answer}"))
            seen.add(arrival.id)
    if not moments:
        return []
    first, last = min(moments)[0], max(moments)[0]
    moments += [
        (each.began, f"-- {each.name}, for {each.ended - each.began:.3f} s")
        for each in hindrances
        if each.ended >= first and each.began <= last
    ]
    # Lines of one moment stay in the order in which they were written.
    moments.sort(key=lambda moment: moment[0])
    start = min(event.sent_at for event in events.values())
    lines = [f"{at - start:10.3f} s  {what}" for at, what in moments]
    lines += [
        f"{'':>12}  {mine[letter.id].number} is a dead letter: {letter.reason}"
        for letter in letters
        if letter.id in mine
    ]
    lines += [
        f"{'':>12}  {event.number} was not heard of" for event in mine.values() if not event.fate
    ]
    return lines


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("person")
def main(folder: Path, person: str) -> None:
    """Print what became of each event of PERSON in the run whose FOLDER was kept."""
    if not (folder / LEDGER).is_file():
        raise click.BadParameter(f"{folder} is no run's folder: it has no {LEDGER}")
    events = ledger.read(folder / LEDGER)
    lines = history(
        person,
        events,
        ledger.read_arrivals(folder / RECORD),
        dead_letters(folder / "data"),
        ledger.read_hindrances(folder / FAULT_RECORD),
    )
    if not lines:
        some = ", ".join(sorted({event.person for event in events.values()})[:5])
        raise click.BadParameter(f"nobody of the run is {person!r}; there are {some}, …")
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
