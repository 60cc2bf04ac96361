"""Says whether anything was lost, doubled or out of order. PURE."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reliability.ledger import Arrival, DeadLetter, Interruptions, Sent
from reliability.wire import SPELL_REASON


@dataclass(slots=True)
class Verdict:
    """The counts, and each thing that is wrong, in words."""

    sent: int = 0
    acknowledged: int = 0
    delivered: int = 0
    """Of the acknowledged: those that the receiver took, by id."""
    dead_letters: int = 0
    rejected_in_spells: int = 0
    """Good events among them, rejected before the circuit breaker opened."""
    rejected: int = 0
    """By the sidecar, before they were accepted."""
    repeats: int = 0
    """Arrivals of an id that had come before; Customer.io drops them."""
    lost: list[str] = field(default_factory=list)
    """Acknowledged, and neither taken nor a dead letter."""
    duplicated: list[str] = field(default_factory=list)
    """Came again for no reason: the answer had been whole, and nothing had hindered the sidecar."""
    disordered: list[str] = field(default_factory=list)
    """Came before an earlier event of the person."""
    wrong: list[str] = field(default_factory=list)
    """Anything else: what nobody sent, what ended twice, good events rejected, bad ones taken."""

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.duplicated or self.disordered or self.wrong)


def judge(
    ledger: Mapping[str, Sent],
    arrivals: Iterable[Arrival],
    dead_letters: Iterable[DeadLetter],
    interruptions: Interruptions,
    *,
    may_reject: int = 0,
) -> Verdict:
    """Judge a run that has come to its end: load stopped, faults over, queue empty.

    ``may_reject``: of how many persons good events may be dead letters, because they were rejected
    in a spell before the circuit breaker opened.
    """
    verdict = Verdict(sent=len(ledger))
    first: dict[str, int] = {}
    last: dict[str, tuple[int, Arrival]] = {}
    for place, arrival in enumerate(arrivals):
        known = ledger.get(arrival.id)
        if known is None:
            verdict.wrong.append(f"{arrival.id} was taken, and never sent")
            continue
        if arrival.id in first:
            verdict.repeats += 1
            _check_repeat(verdict, known, last[arrival.id][1], arrival, interruptions)
        first.setdefault(arrival.id, place)
        last[arrival.id] = (place, arrival)
    letters = list(dead_letters)
    dead = _dead(verdict, ledger, letters, may_reject)
    # Its answer was lost, it was sent again, and rejected then: the sidecar could not know.
    unknown = {
        letter.id
        for letter in letters
        if SPELL_REASON in letter.reason and letter.id in last
        if not (arrival := last[letter.id][1]).clean
        or interruptions.touch(arrival.at, float("inf"))
    }
    for event in ledger.values():
        is_dead = event.id in dead and event.id not in unknown
        _check_end(verdict, event, taken=event.id in first, dead=is_dead)
    _check_order(verdict, ledger, first, "first")
    # One that was rejected when it was sent again has no place among the last.
    ended = {id_: place for id_, (place, _) in last.items() if id_ not in unknown}
    _check_order(verdict, ledger, ended, "last")
    return verdict


def _check_repeat(
    verdict: Verdict, event: Sent, before: Arrival, now: Arrival, interruptions: Interruptions
) -> None:
    if before.clean and not interruptions.touch(before.at, now.at):
        verdict.duplicated.append(
            f"{_name(event)} came again {now.at - before.at:.3f} s after it was taken and answered"
        )


def _dead(
    verdict: Verdict,
    ledger: Mapping[str, Sent],
    dead_letters: Iterable[DeadLetter],
    may_reject: int,
) -> set[str]:
    dead: set[str] = set()
    rejected: set[str] = set()
    for letter in dead_letters:
        event = ledger.get(letter.id)
        if event is None:
            verdict.wrong.append(f"{letter.id} is a dead letter, and was never sent")
        elif letter.id in dead:
            verdict.wrong.append(f"{_name(event)} is a dead letter twice")
        elif not letter.reason:
            verdict.wrong.append(f"{_name(event)} is a dead letter without a reason")
        elif not event.poison and SPELL_REASON in letter.reason:
            rejected.add(event.person)
            verdict.rejected_in_spells += 1
        elif not event.poison:
            verdict.wrong.append(f"{_name(event)} is a good event, and died: {letter.reason}")
        dead.add(letter.id)
    verdict.dead_letters = len(dead)
    if len(rejected) > may_reject:
        verdict.wrong.append(
            f"good events of {len(rejected)} persons were rejected in spells and are dead letters, "
            f"the circuit breaker allows {may_reject}"
        )
    return dead


def _check_end(verdict: Verdict, event: Sent, *, taken: bool, dead: bool) -> None:
    if taken and event.poison:
        verdict.wrong.append(f"{_name(event)} is rejected permanently, and was taken")
    elif taken and dead:
        verdict.wrong.append(f"{_name(event)} was taken, and is a dead letter too")
    if event.fate == "rejected":
        verdict.rejected += 1
        if taken or dead:
            verdict.wrong.append(f"{_name(event)} was rejected to the caller, and delivered")
    elif event.fate == "acked":
        verdict.acknowledged += 1
        verdict.delivered += taken
        if not taken and not dead:
            verdict.lost.append(f"{_name(event)} was acknowledged, and is nowhere")


def _check_order(
    verdict: Verdict, ledger: Mapping[str, Sent], places: Mapping[str, int], which: str
) -> None:
    """Both the first and the last arrivals of each person must ascend: a repeat alone, behind what
    came later, would bring old values back."""
    by_person: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for id_, place in places.items():
        by_person[ledger[id_].person].append((ledger[id_].number, place))
    for person, found in by_person.items():
        found.sort()
        for (number, place), (next_number, next_place) in itertools.pairwise(found):
            if next_place < place:
                verdict.disordered.append(
                    f"{person}: {next_number} came before {number} ({which} arrivals)"
                )


def _name(event: Sent) -> str:
    return f"{event.person}'s {event.number} ({event.id})"
