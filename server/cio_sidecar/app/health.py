"""What /readyz and /healthz/delivery report: named checks with their state. PURE.

Times are Unix seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cio_sidecar.delivery.dispatcher import OnHold
from cio_sidecar.delivery.hold import HoldReason

_WHAT_TO_DO: Final = {
    HoldReason.CREDENTIALS: "Set CIO_SITE_ID, CIO_API_KEY and CIO_REGION, and restart the sidecar.",
    HoldReason.WRONG_ADDRESS: "Check CIO_BASE_URL, CIO_REGION and any proxy in between, and "
    "restart the sidecar if a setting was wrong.",
    HoldReason.CIRCUIT_BREAKER: "Check what Customer.io rejects (cio-sidecar dead-letters list). "
    "Once the cause is gone, delivery resumes by itself; then run cio-sidecar dead-letters replay. "
    "If the events are at fault, run cio-sidecar delivery resume --accept-rejections.",
    HoldReason.RETRY_AFTER: "Wait for the next attempt, or run cio-sidecar delivery resume.",
    HoldReason.OUTAGE: "Check the network, CIO_BASE_URL and the status of Customer.io. Delivery "
    "resumes by itself.",
}


BREAKER_OFF: Final = (
    "the circuit breaker is off until an event is delivered (resume --accept-rejections)"
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is checked."""

    name: str
    state: str
    since: float
    """When the state began."""
    healthy: bool = True
    message: str = ""
    what_to_do: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """More keys of this check alone."""


def report(key: str, checks: Sequence[Check]) -> tuple[int, dict[str, Any]]:
    """HTTP status and JSON of checks: 200 if all are healthy, else 503. ``key`` names the whole."""
    healthy = all(check.healthy for check in checks)
    listed = [
        {
            "check": check.name,
            "state": check.state,
            "since": _iso(check.since),
            "message": check.message,
            "what_to_do": check.what_to_do,
            **check.details,
        }
        for check in checks
    ]
    return (200 if healthy else 503), {key: healthy, "checks": listed}


def queue_check(
    not_accepting_because: str | None,
    full_because: str | None,
    *,
    condition_since: float,
    fullness_since: float,
) -> Check:
    """Whether events can be stored. A full queue is healthy: reaching a limit is not a failure.

    Each ``_since`` says when the reason before it came or went.
    """
    if not_accepting_because:
        return Check(
            "queue",
            "failing",
            condition_since,
            healthy=False,
            message=not_accepting_because,
            what_to_do="Do what the message says. Do not remove the data directory "
            "(CIO_DATA_DIR): events may wait in it.",
        )
    if full_because:
        return Check(
            "queue",
            "full",
            fullness_since,
            message=full_because,
            what_to_do="Check /healthz/delivery: delivery makes room. Else raise "
            "CIO_QUEUE_MAX_EVENTS or CIO_QUEUE_MAX_BYTES, or free disk space.",
        )
    return Check("queue", "accepting", max(condition_since, fullness_since))


def delivery_check(
    *,
    paused_seconds: float | None,
    hold: OnHold | None,
    active_seconds: float,
    accepts_rejections: bool,
    now: float,
) -> Check:
    """Whether events are delivered; an operator's pause is shown before a hold.

    Each of the ``_seconds`` says for how long delivery has been so.
    """
    if paused_seconds is not None:
        return Check(
            "delivery",
            "paused",
            now - paused_seconds,
            healthy=False,
            message="paused by an operator; accepted events are kept",
            what_to_do="Run cio-sidecar delivery resume.",
        )
    if hold is None:
        message = BREAKER_OFF if accepts_rejections else ""
        return Check("delivery", "active", now - active_seconds, message=message)
    next_seconds = hold.next_attempt_seconds
    return Check(
        "delivery",
        "on_hold",
        now - hold.seconds,
        healthy=False,
        message=f"{hold.why}; accepted events are kept",
        what_to_do=_WHAT_TO_DO[hold.reason],
        details={
            "reason": hold.reason.value,
            "next_attempt": None if next_seconds is None else _iso(now + next_seconds),
        },
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
