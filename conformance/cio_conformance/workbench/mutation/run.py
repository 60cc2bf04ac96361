"""Tries mutants, in several processes where there are many, and sums up what became of them."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cio_conformance.workbench.mutation.equivalents import gone, without_profile

_FEW: Final = 100
"""So many mutants are tried before a second process has started."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Killer = Callable[[Any], str | None]
"""Finds what tells of a mutant; None if nothing does."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of all mutants, by name."""

    killed: Mapping[str, str]
    """Each with the first case found that tells."""
    equivalent: Mapping[str, str]
    """Survivors that are listed, each with its reason."""
    survived: Sequence[str]
    stale: Sequence[str]
    """Mistakes in the list of equivalents: what is killed after all, or is gone."""

    @property
    def total(self) -> int:
        """How many mutants were tried."""
        return len(self.killed) + len(self.equivalent) + len(self.survived)

    @property
    def passed(self) -> bool:
        """Whether every mutant is killed or rightly listed."""
        return not (self.survived or self.stale)

    def __str__(self) -> str:
        return (
            f"{self.total} mutants, {len(self.killed)} killed, {len(self.equivalent)} equivalent, "
            f"{len(self.survived)} survived"
        )


def try_mutants(
    mutants: Sequence[_Named],
    killer: Killer,
    reasons: Mapping[str, str],
    *,
    known: Iterable[str],
    jobs: int = 1,
) -> Verdict:
    """Try mutants.

    ``reasons`` lists the equivalent ones; ``known`` are the names of all that there are, tried or
    not: what is listed must be among them.
    """
    found = _killers(mutants, killer, jobs)
    killed: dict[str, str] = {}
    equivalent: dict[str, str] = {}
    survived: list[str] = []
    stale = [f"{name}: there is no such mutant" for name in gone(reasons, [*known])]
    for mutant, case in zip(mutants, found, strict=True):
        name = mutant.name
        reason = reasons.get(name) or reasons.get(without_profile(name))
        if case is not None:
            killed[name] = case
            if reason:
                stale.append(f"{name}: is killed by {case}")
        elif reason:
            equivalent[name] = reason
        else:
            survived.append(name)
    return Verdict(killed, equivalent, survived, stale)


def processors() -> int:
    """How many processes pay."""
    return min(os.cpu_count() or 1, 4)


def _killers(mutants: Sequence[_Named], killer: Killer, jobs: int) -> list[str | None]:
    if jobs == 1 or len(mutants) < _FEW or "fork" not in multiprocessing.get_all_start_methods():
        return [killer(mutant) for mutant in mutants]
    with ProcessPoolExecutor(
        jobs,
        # Forked, a process has everything that is loaded, and need not get it.
        mp_context=multiprocessing.get_context("fork"),
        initializer=_begin,
        initargs=(killer,),
    ) as pool:
        return list(pool.map(_kill, mutants, chunksize=25))


_killer: Killer
"""Of a process of its own."""


def _begin(killer: Killer) -> None:
    global _killer  # noqa: PLW0603 (the one way to give a process something)
    _killer = killer


def _kill(mutant: _Named) -> str | None:
    return _killer(mutant)
