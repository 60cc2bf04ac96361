"""Scenarios: what the fake does instead of its best, request by request. PURE: time is passed in.

A scenario is a list of steps. A request goes to the first step that has requests left and whose
`when` it meets; where there is none, it is answered as usual.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class When:
    """Which operations are meant; what is None doesn't matter."""

    name: str | None = None
    """The event's name."""
    person: str | None = None
    """Any identifier of the person, or of the anonymous visitor."""
    index: int | None = None
    """The place in the batch, from 0; a request that is no batch has the place 0 alone."""

    def meets(self, operation: dict[str, Any], index: int) -> bool:
        """Whether an operation (`{"method", "path", "body"}`) at a place is meant."""
        body = operation["body"] if isinstance(operation["body"], dict) else {}
        return (
            (self.index is None or self.index == index)
            and (self.name is None or body.get("name") == self.name)
            and (self.person is None or self.person in _people(operation["path"], body))
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """How many requests the fake takes."""

    per_second: int
    """Within any second."""
    retry_after: int | None = None
    """The `Retry-After` of the 429 that the others get, in seconds; None sends none."""


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to a number of requests. At most one of `status` and what follows it is set."""

    count: int | None = None
    """For how many requests; None: for all that come."""
    when: When | None = None
    """Only for requests with such an operation."""
    delay_ms: int = 0
    """How long the answer is kept back. The request is taken before."""
    status: int | None = None
    """This answer, and nothing is taken."""
    retry_after: int | None = None
    """The `Retry-After` that goes with `status`, in seconds."""
    cut: str | None = None
    """Where the connection is closed: `before` (nothing was taken), `after` (it was taken, no
    answer), `headers` (it was taken, the answer ends after its headers)."""
    truncate: int | None = None
    """It is taken, and the connection closed after so many bytes of the answer's body."""
    malformed: str | None = None
    """`html`: a page with status 502 (or `status`), nothing is taken. `json`: it is taken, and
    answered with 207 (or `status`) and half a JSON object. `indexes`: it is taken, and answered
    with a 207 that names an item behind the last."""
    reject: tuple[When, ...] = ()
    """These operations are rejected: 207 for a batch, 400 for a single operation."""
    rate: Rate | None = None


class Scenario:
    """Steps, and how far they have come."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self.steps: Sequence[Step] = tuple(steps)
        self.used = [0] * len(self.steps)
        """How many requests each step had."""
        self._taken: list[deque[float]] = [deque() for _ in self.steps]

    def next(self, operations: Sequence[dict[str, Any]], now: float) -> Step | None:
        """What to do with a request that came at `now` (Unix seconds); None: as usual.

        A step with a rate comes back with the status 429, or as one that only delays.
        """
        for place, step in enumerate(self.steps):
            if step.count is not None and self.used[place] >= step.count:
                continue
            if step.when and not any(step.when.meets(o, i) for i, o in enumerate(operations)):
                continue
            self.used[place] += 1
            return step if step.rate is None else _paced(step, step.rate, self._taken[place], now)
        return None

    def unused(self) -> list[str]:
        """What of the steps did not happen, in words: a count that is not reached, or no request
        for a step without one.
        """
        return [
            f"step {place + 1} had {used} of its {step.count or 'requests'}"
            for place, (step, used) in enumerate(zip(self.steps, self.used, strict=True))
            if used < (1 if step.count is None else step.count)
        ]


def _paced(step: Step, rate: Rate, taken: deque[float], now: float) -> Step:
    """What becomes of a request where those of the last second came at the times `taken`."""
    while taken and taken[0] <= now - 1:
        taken.popleft()
    if len(taken) >= rate.per_second:
        return replace(step, rate=None, status=429, retry_after=rate.retry_after)
    taken.append(now)
    return replace(step, rate=None)


def _people(path: str, body: dict[str, Any]) -> set[Any]:
    identifiers = body.get("identifiers")
    people = list(identifiers.values()) if isinstance(identifiers, dict) else []
    parts = path.split("/")
    if parts[:4] == ["", "api", "v1", "customers"] and len(parts) > 4:
        people.append(unquote(parts[4]))
    # In v2 an anonymous_id among the attributes says who else this is, and is no name.
    people.append(body.get("anonymous_id"))
    return {person for person in people if isinstance(person, str)}
