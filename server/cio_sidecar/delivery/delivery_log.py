"""What the log says of delivery, and how often: what comes and goes is not said each time."""

import logging
from collections.abc import Callable
from typing import Final

from cio_sidecar.delivery.hold import PROBED, HoldReason
from cio_sidecar.delivery.policy import Policy, Settlement

_SUSPECT_EVERY_SECONDS: Final = 60.0
_REJECTED_EVERY_SECONDS: Final = 10.0
_TROUBLE_EVERY_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class News:
    """Logs what has changed. No message holds a person's data."""

    def __init__(self, policy: Policy, clock: Callable[[], float]) -> None:
        """``clock`` is monotonic, in seconds."""
        self._policy = policy
        self._clock = clock
        self._said: str | None = None
        self._said_reason: HoldReason | None = None
        self._said_at = float("-inf")
        self._said_suspect_at = float("-inf")
        self._said_rejected_at = float("-inf")
        self._unsaid_rejected = 0
        self._rejected_status = 0

    def say(self, settlement: Settlement | None = None) -> None:
        """Say whether delivery is on hold, or has resumed."""
        hold = self._policy.hold
        news = hold.why if hold else None
        now = self._clock()
        if news == self._said:
            pass
        elif hold is None:
            log.info("delivery resumed")
            self._said = None
        elif hold.reason in PROBED:
            if self._said_reason is not hold.reason or self._said is None:
                log.error("delivery is ON HOLD (%s), events are kept: %s", hold.reason.value, news)
            self._said = news
            self._said_reason = hold.reason
        elif now - self._said_at >= _TROUBLE_EVERY_SECONDS:
            # Where requests fail now and then, it would come and go many times a second.
            log.warning(
                "delivery is ON HOLD (%s), events are kept and tried again: %s",
                hold.reason.value,
                news,
            )
            self._said = news
            self._said_reason = hold.reason
            self._said_at = now
        if (
            settlement
            and settlement.again
            and settlement.failed
            and settlement.most == 1
            and now - self._said_suspect_at >= _SUSPECT_EVERY_SECONDS
        ):
            self._said_suspect_at = now
            log.warning(
                "an event fails again and again while others are delivered: it is tried on its "
                "own, and holds back its person's events alone: %s",
                settlement.why,
            )

    def resumed(self) -> None:
        """Note that an operator has ended the hold, which the log knows."""
        self._said = None
        self._said_reason = None

    def rejected(self, count: int, status: int) -> None:
        """Say what was rejected: at once, and then every ten seconds at most."""
        self._unsaid_rejected += count
        self._rejected_status = status
        if self._clock() - self._said_rejected_at >= _REJECTED_EVERY_SECONDS:
            self.say_unsaid()

    def due_at(self) -> float | None:
        """When say_due() has something to say; None if nothing waits to be said."""
        return self._said_rejected_at + _REJECTED_EVERY_SECONDS if self._unsaid_rejected else None

    def say_due(self) -> None:
        """Say what was rejected a while ago and not said yet."""
        due_at = self.due_at()
        if due_at is not None and self._clock() >= due_at:
            self.say_unsaid()

    def say_unsaid(self) -> None:
        """Say at last what was rejected and not said yet."""
        if self._unsaid_rejected:
            log.warning(
                "%d event(s) rejected by Customer.io and kept as dead letters; the last by HTTP %d "
                "(cio-sidecar dead-letters list)",
                self._unsaid_rejected,
                self._rejected_status,
            )
            self._unsaid_rejected = 0
            self._said_rejected_at = self._clock()

    def unforeseen(self, error: BaseException) -> None:
        """Say that there is a mistake of ours. Its words may hold a person's data."""
        log.error("delivery failed in an unforeseen way: %s", type(error).__name__)
