"""Sends cases through a driver, many at a time, and looks at what reaches the fake."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson
from ulid import ULID

from cio_conformance.cases.golden_cases import ExpectedRequest, Golden
from cio_conformance.drivers import Route
from cio_conformance.drivers.lines import NotByLine, line_of
from cio_conformance.drivers.process import Driver
from cio_conformance.run.compare import Window, matches
from cio_conformance.run.inbox import Inbox
from cio_conformance.run.result import Result, Setup
from cio_conformance.run.runner import SENTINEL, mark_of
from cio_conformance.run.verdict import ACCEPTED, Answer, Arrival, judge, plain, sides

AT_ONCE: Final = 64
"""How many cases are sent before anything is looked at."""


@dataclass(slots=True)
class _Sent:
    """A case whose event was sent, and what came of it."""

    golden: Golden
    expected: list[dict[str, Any]]
    answer: Answer
    arrivals: list[Arrival] = field(default_factory=list)

    def awaits(self, arrival: Arrival, window: Window) -> bool:
        """Whether the next request that it expects is this one."""
        place = len(self.arrivals)
        return place < len(self.expected) and matches(
            self.expected[place], arrival.operation, window
        )


class ViaRunner:
    """Runs cases through a driver by one route. What comes belongs to the case that expects it.

    What no case expects is blamed on one that is named in it, else on one that lacks something,
    else on the last. After each window of cases a sentinel shows that nothing more is coming.
    """

    def __init__(
        self,
        setup: Setup,
        driver: Driver,
        route: Route,
        inbox: Inbox,
        *,
        patience_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``patience_seconds``: how long a receipt, or a request's way to the fake, may take."""
        self._setup = setup
        self._driver = driver
        self._route: Route = route
        self._inbox = inbox
        self._patience_seconds = patience_seconds
        self._clock = clock

    def run(self, goldens: Iterable[Golden]) -> tuple[list[Result], dict[str, str]]:
        """Run cases: the results, and by name why others can't go by this route.

        Raises TargetError where the driver fails.
        """
        lines: list[tuple[Golden, bytes]] = []
        left: dict[str, str] = {}
        for golden in goldens:
            try:
                lines.append((golden, line_of(golden.case.event, self._route)))
            except NotByLine as error:
                left[golden.name] = str(error)
        results: list[Result] = []
        for first in range(0, len(lines), AT_ONCE):
            results += self._window(lines[first : first + AT_ONCE])
        return results, left

    def _window(self, lines: Sequence[tuple[Golden, bytes]]) -> Iterator[Result]:
        start = self._clock()
        answers = self._driver.send([line for _, line in lines], self._patience_seconds)
        sent = [
            _Sent(golden, self._expected(golden), answer)
            for (golden, _), answer in zip(lines, answers, strict=True)
        ]
        due = sum(len(each.expected) for each in sent if each.answer.status == ACCEPTED)
        self._inbox.wait(lambda arrivals: len(arrivals) >= due, self._patience_seconds)
        stuck = self._flush()
        window = Window(start, self._clock())
        for came in self._inbox.take():
            if mark_of(came) is None:
                arrival = replace(came, operation=self._comparable(came.operation))
                _owner(sent, arrival, window).arrivals.append(arrival)
        seconds = (window.end - window.start) / len(sent)
        for each in sent:
            yield replace(self._result(each, window, stuck), duration_seconds=seconds)

    def _expected(self, golden: Golden) -> list[dict[str, Any]]:
        expect = golden.case.expect
        requests = plain(expect.by(self._setup.golden_api)) if expect else []
        return [self._comparable(request) for request in requests]

    def _comparable(self, operation: dict[str, Any]) -> dict[str, Any]:
        """An operation without what a route does not keep: a Struct's keys have no order."""
        if self._route == "json":
            return operation
        ordered: dict[str, Any] = _in_order(operation)
        return ordered

    def _flush(self) -> str:
        """Wait until a sentinel has come, which is sent now; why it has not, or nothing."""
        mark = str(ULID())
        event = {
            "type": "track",
            "messageId": mark,
            "userId": "conformance-sentinel",
            "event": SENTINEL,
        }
        (answer,) = self._driver.send([line_of(event, self._route)], self._patience_seconds)
        if answer.status != ACCEPTED:
            return f"a plain track event was answered with {answer}"
        came = self._inbox.wait(
            lambda arrivals: any(mark_of(arrival) == mark for arrival in arrivals),
            self._patience_seconds,
        )
        waited = f"within {self._patience_seconds:g} s"
        return "" if came else f"a plain track event did not reach Customer.io {waited}"

    def _result(self, sent: _Sent, window: Window, stuck: str) -> Result:
        case, api = sent.golden.case, self._setup.golden_api
        if case.expect:
            requests = [ExpectedRequest(**request) for request in sent.expected]
            expect = case.expect.model_copy(update={api: requests})
            case = case.model_copy(update={"expect": expect})
        problems = judge(case, api, sent.answer, sent.arrivals, window)
        if not problems:
            return Result(sent.golden, self._setup, "passed")
        expected, received = sides(case, api, sent.answer, sent.arrivals, window)
        words = "\n".join(filter(None, [*problems, stuck]))
        return Result(
            sent.golden, self._setup, "failed", words, expected=expected, received=received
        )


def _owner(sent: Sequence[_Sent], arrival: Arrival, window: Window) -> _Sent:
    for each in sent:
        if each.awaits(arrival, window):
            return each
    text = orjson.dumps(arrival.operation).decode()
    lacking = [each for each in sent if len(each.arrivals) < len(each.expected)]
    for each in (*lacking, *sent):
        names = (each.golden.case.event.get(key) for key in ("messageId", "userId", "anonymousId"))
        if any(isinstance(name, str) and name and name in text for name in names):
            return each
    return (lacking or sent)[-1]


def _in_order(value: Any) -> Any:
    """A JSON value in which every text that is a JSON object has its keys in order."""
    if isinstance(value, dict):
        return {key: _in_order(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_order(item) for item in value]
    if isinstance(value, str) and value.startswith(("{", "[")):
        try:
            return orjson.dumps(orjson.loads(value), option=orjson.OPT_SORT_KEYS).decode()
        except orjson.JSONDecodeError:
            return value
    return value
