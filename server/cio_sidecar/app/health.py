"""What readiness and the health of delivery report. PURE."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cio_sidecar.delivery.dispatcher import OnHold


@dataclass(frozen=True, slots=True)
class Check:
    """The state of one part of the sidecar."""

    check: str
    state: str
    healthy: bool = True
    since: float | None = None
    """Unix seconds of when the state began; None if that is not known."""
    message: str = ""
    what_to_do: str = ""

    def as_json(self) -> dict[str, Any]:
        """The check as a JSON object, with ``since`` in ISO 8601."""
        since = None
        if self.since is not None:
            since = datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds")
        return {
            "check": self.check,
            "state": self.state,
            "since": since,
            "message": self.message,
            "what_to_do": self.what_to_do,
        }


def queue_check(failing: str | None, full: str | None, since: float) -> Check:
    """Whether events can be stored. A full queue is healthy: it reached a limit, and works.

    Args:
        failing: Why the queue can't store events; None if it can.
        full: Why new events are rejected for now; None if they are not.
        since: Unix seconds of the last change of ``failing``.
    """
    if failing is not None:
        todo = "fix the disk, or follow the message; the log has more"
        return Check(
            "queue", "failing", healthy=False, since=since, message=failing, what_to_do=todo
        )
    if full is not None:
        todo = "callers retry; see GET /healthz/delivery for what holds delivery back"
        return Check("queue", "full", message=full, what_to_do=todo)
    return Check("queue", "accepting", since=since)


def delivery_check(
    paused_seconds: float | None, hold: OnHold | None, now: float, *, busy: bool
) -> Check:
    """Whether events are delivered.

    Args:
        paused_seconds: For how long an operator has paused delivery; None if it is not paused.
        hold: Why delivery is on hold; None if it is not.
        now: Unix seconds.
        busy: Whether events wait.
    """
    if paused_seconds is not None:
        message = "delivery is paused by an operator"
        if hold is not None:
            message = f"{message}, and on hold: {hold.why}"
        todo = "cio-sidecar delivery resume"
        since = now - paused_seconds
        return Check(
            "delivery", "paused", healthy=False, since=since, message=message, what_to_do=todo
        )
    if hold is not None:
        todo = (
            "fix what the message names; delivery resumes by itself, or at once with "
            "cio-sidecar delivery resume"
        )
        message = f"{hold.reason.value}: {hold.why}"
        return Check(
            "delivery",
            "on_hold",
            healthy=False,
            since=now - hold.seconds,
            message=message,
            what_to_do=todo,
        )
    return Check("delivery", "active" if busy else "idle")
