"""Why the sidecar holds delivery back, and the circuit breaker that makes it do so. PURE.

Times are seconds of a monotonic clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from cio_sidecar.customerio.encoders import JOINED


class HoldReason(Enum):
    """Why delivery is on hold."""

    CREDENTIALS = "credentials"
    """Customer.io rejected them (401, 403)."""
    WRONG_ADDRESS = "wrong_address"
    """The answers are not the API's, or it knows no such path, and nothing was delivered yet."""
    CIRCUIT_BREAKER = "circuit_breaker"
    """Event after event was rejected, and none delivered."""
    RETRY_AFTER = "retry_after"
    """Customer.io asked to wait."""
    OUTAGE = "outage"
    """Requests fail, and none has succeeded since: no answer, or 5xx."""


PROBED: Final = frozenset(
    {HoldReason.CREDENTIALS, HoldReason.WRONG_ADDRESS, HoldReason.CIRCUIT_BREAKER}
)
"""Holds during which single events are tried from time to time, a different one each time."""


@dataclass(slots=True)
class Hold:
    """Delivery is on hold."""

    reason: HoldReason
    why: str
    """What came of the last request, and what to do; without a person's data."""
    since: float
    """When it began."""
    failures: int = 0
    """How many requests have failed since, the first one included."""


class CircuitBreaker:
    """Counts rejected events between two deliveries.

    It opens when as many events of distinct ordering keys as its threshold were rejected, each for
    itself, and none was delivered in between. A delivery closes it.
    """

    def __init__(self, threshold: int) -> None:
        """``threshold`` 0 never opens it."""
        self._threshold = threshold
        self._keys: set[str] = set()
        self._rejected = 0
        self.accepts_rejections = False
        """Whether it stays closed until the next delivery, whatever is rejected."""

    @property
    def rejected(self) -> int:
        """How many events of distinct keys were rejected since the last delivery."""
        return self._rejected

    def opens(self, lanes: Iterable[str]) -> bool:
        """Count rejected events by their lanes; whether these are too many."""
        if not self._threshold or self.accepts_rejections:
            return False
        for lane in lanes:
            if self._rejected >= self._threshold:
                break
            keys = lane.split(JOINED)
            if self._keys.isdisjoint(keys):
                self._keys.update(keys)
                self._rejected += 1
        return self._rejected >= self._threshold

    def delivered(self) -> None:
        """Count anew: an event was delivered."""
        if self._rejected:
            self._keys.clear()
            self._rejected = 0
        self.accepts_rejections = False

    def accept_rejections(self) -> None:
        """Stay closed, whatever is rejected, until the next delivery."""
        self.accepts_rejections = True
