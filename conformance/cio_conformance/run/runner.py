"""Runs cases against one sidecar: sends the event, and looks at what reaches the fake."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import orjson
from ulid import ULID

from cio_conformance.cases.golden_cases import Golden
from cio_conformance.run.compare import Window, matches
from cio_conformance.run.inbox import Inbox
from cio_conformance.run.result import Result, Setup
from cio_conformance.run.verdict import ACCEPTED, Answer, Arrival, judge, plain, sides

SENTINEL: Final = "Conformance Sentinel"
"""Name of the event that shows that nothing more is coming."""


class Sends(Protocol):
    """What the runner needs of a caller."""

    def send(self, event: dict[str, Any]) -> Answer:
        """Send one event and say what the sidecar answered."""


class Runner:
    """Runs cases one after the other, and keeps what came of each apart without waiting for time.

    After each case's requests a sentinel, an event of the suite's own, goes the same way: what came
    before it belongs to the case. What comes later yet is blamed on the case that it repeats, or
    else on the case after which it came.
    """

    def __init__(
        self,
        setup: Setup,
        caller: Sends,
        inbox: Inbox,
        *,
        patience_seconds: float,
        explain: Callable[[], str] = str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``patience_seconds``: how long requests may take to arrive; ``clock`` is Unix time.

        ``explain`` says what is known of a sidecar that delivers nothing more.
        """
        self._setup = setup
        self._caller = caller
        self._inbox = inbox
        self._patience_seconds = patience_seconds
        self._explain = explain
        self._clock = clock
        self._problems: dict[str, list[str]] = {}
        self._seen: dict[str, tuple[float, Any, Any]] = {}
        """Of each case that was run the seconds that it took, and both sides of its comparison."""
        self._came: dict[bytes, str] = {}
        """The case that each expected operation came for."""
        self._stuck: str | None = None

    def run(self, goldens: Iterable[Golden]) -> None:
        """Run cases. A sidecar that delivers nothing more ends the run; `results` says so."""
        for golden in goldens:
            if self._stuck:
                self._problems[golden.name] = [f"not run: {self._stuck}"]
            else:
                self._problems[golden.name] = []
                self._problems[golden.name] += self._case(golden)

    def close(self) -> None:
        """Blame what is left over on the last case; when the sidecar has stopped, or will send no
        more.
        """
        left = [arrival for arrival in self._inbox.take() if mark_of(arrival) is None]
        if left and self._problems:
            self._blame(left, next(reversed(self._problems)))

    def results(self, goldens: Iterable[Golden]) -> list[Result]:
        """How each case ended."""
        return [self._result(golden) for golden in goldens]

    def _result(self, golden: Golden) -> Result:
        seconds, expected, received = self._seen.get(golden.name, (0.0, None, None))
        if problems := self._problems[golden.name]:
            words = "\n".join(problems)
            return Result(golden, self._setup, "failed", words, seconds, expected, received)
        return Result(golden, self._setup, "passed", duration_seconds=seconds)

    def _case(self, golden: Golden) -> list[str]:
        case, api = golden.case, self._setup.golden_api
        expected = plain(case.expect.by(api)) if case.expect else []
        start = self._clock()
        answer = self._caller.send(case.event)
        if answer.status == ACCEPTED:
            self._inbox.wait(
                lambda arrivals: len(arrivals) >= len(expected), self._patience_seconds
            )
        arrivals = self._flush(golden.name)
        window = Window(start, self._clock())
        received = [arrival.operation for arrival in arrivals]
        if not matches(expected, received, window):
            mine = [arrival for arrival in arrivals if self._of(arrival) in (None, golden.name)]
            self._blame([arrival for arrival in arrivals if arrival not in mine], golden.name)
            arrivals = mine
        for arrival in arrivals:
            if any(matches(request, arrival.operation, window) for request in expected):
                self._came[_key(arrival)] = golden.name
        problems = judge(case, api, answer, arrivals, window)
        both = sides(case, api, answer, arrivals, window)
        self._seen[golden.name] = (window.end - window.start, *both)
        if problems and len(arrivals) < len(expected) and answer.status == ACCEPTED:
            problems.append(f"waited {self._patience_seconds:g} s for it")
        if self._stuck:
            problems += filter(None, [self._stuck, self._explain()])
        return problems

    def _flush(self, name: str) -> list[Arrival]:
        """What came before a sentinel that is sent now."""
        mark = str(ULID())
        answer = self._caller.send(
            {
                "type": "track",
                "messageId": mark,
                "userId": "conformance-sentinel",
                "event": SENTINEL,
            }
        )
        came = answer.status == ACCEPTED and self._inbox.wait(
            lambda arrivals: any(mark_of(arrival) == mark for arrival in arrivals),
            self._patience_seconds,
        )
        if not came:
            got = (
                f"it did not reach Customer.io within {self._patience_seconds:g} s"
                if answer.status == ACCEPTED
                else f"the sidecar answered {answer}"
            )
            self._stuck = f"a plain track event, sent after {name!r}, was not delivered: {got}"
        return [arrival for arrival in self._inbox.take() if mark_of(arrival) is None]

    def _of(self, arrival: Arrival) -> str | None:
        return self._came.get(_key(arrival))

    def _blame(self, arrivals: Sequence[Arrival], after: str) -> None:
        """Make a failure of what no case expected."""
        for arrival in arrivals:
            owner = self._of(arrival)
            shown = orjson.dumps(arrival.operation).decode()[:1000]
            why = f"came again after {after!r}" if owner else f"came after {after!r}"
            self._problems[owner or after].append(f"a request that no case expects {why}: {shown}")


def mark_of(arrival: Arrival) -> Any:
    """The id of a sentinel; None for everything else."""
    body = arrival.operation["body"]
    is_sentinel = isinstance(body, dict) and body.get("name") == SENTINEL
    return body.get("id") if is_sentinel else None


def _key(arrival: Arrival) -> bytes:
    return orjson.dumps(arrival.operation, option=orjson.OPT_SORT_KEYS)
