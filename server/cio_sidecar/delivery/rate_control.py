"""How many requests may be in flight, and how fast they may follow. PURE.

Times are seconds of a monotonic clock.
"""

from dataclasses import dataclass
from typing import Final

START: Final = 8
"""How many requests may be in flight at the start."""
_DECREASE_OVERLOAD: Final = 0.5
_DECREASE_LATENCY: Final = 0.9
_SLOWER: Final = 2.0
_SLOWER_SECONDS: Final = 0.1
_RISE: Final = 0.05
_FALL: Final = 0.4


class Pacer:
    """Spaces requests evenly under a ceiling of requests a second, allowing a short burst."""

    def __init__(self, per_second: float, burst: int = 20) -> None:
        self._interval = 1 / per_second
        self._slack = self._interval * burst
        self._next = float("-inf")

    def reserve(self, now: float) -> float:
        """Take the next place; returns how many seconds to wait for it."""
        self._next = max(self._next, now - self._slack) + self._interval
        return max(0.0, self._next - now)


@dataclass(slots=True)
class _Round:
    """The requests since the limit was last looked at."""

    count: int = 0
    seconds: float = 0.0
    reached: bool = False
    """Whether as many were in flight as may be."""


class Concurrency:
    """Additive increase, multiplicative decrease.

    After each round (as many answers as may be in flight) the limit grows by one, if it was
    reached. An overloaded server (429, 5xx, no answer) halves it, at most once for the requests
    that were in flight together. A round that is much slower than usual takes a tenth of it: more
    than twice the usual time, and a tenth of a second besides, so that the difference between a
    small and a full batch is none.
    """

    def __init__(self, most: int) -> None:
        """``most``: the ceiling."""
        self.most = most
        self.in_flight = 0
        self.decreases: dict[str, int] = {"overload": 0, "latency": 0}
        """How often the limit went down, and why."""
        self._limit = float(min(START, most))
        self._usual: float | None = None
        self._round = _Round()
        self._decreased_at = float("-inf")

    @property
    def limit(self) -> int:
        """How many requests may be in flight now; at least one."""
        return int(self._limit)

    def started(self) -> None:
        """A request leaves."""
        self.in_flight += 1
        if self.in_flight >= self.limit:
            self._round.reached = True

    def ended(self, now: float, seconds: float, *, overloaded: bool) -> None:
        """A request came back after ``seconds``."""
        self.in_flight -= 1
        if overloaded:
            if now - seconds >= self._decreased_at:
                self._decrease(now, _DECREASE_OVERLOAD, "overload")
            return
        self._round.count += 1
        self._round.seconds += seconds
        if self._round.count >= self.limit:
            self._end_round(now)

    def left(self) -> None:
        """A request ended of which nothing is to be learnt."""
        self.in_flight -= 1

    def _end_round(self, now: float) -> None:
        mean = self._round.seconds / self._round.count
        usual = mean if self._usual is None else self._usual
        reached = self._round.reached
        self._round = _Round()
        # What gets faster is believed at once; what gets slower, only when it stays so.
        self._usual = usual + (mean - usual) * (_FALL if mean < usual else _RISE)
        if mean > usual * _SLOWER + _SLOWER_SECONDS:
            self._decrease(now, _DECREASE_LATENCY, "latency")
        elif reached:
            self._limit = min(float(self.most), self._limit + 1)

    def _decrease(self, now: float, factor: float, why: str) -> None:
        self._limit = max(1.0, self._limit * factor)
        self._decreased_at = now
        self._round = _Round()
        self.decreases[why] += 1
