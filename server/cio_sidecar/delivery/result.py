"""What came of a shipment."""

from dataclasses import dataclass
from typing import Final

from cio_sidecar.customerio.answers import Outcome
from cio_sidecar.customerio.http_request import Request


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one event."""

    outcome: Outcome
    """Any but PARTIAL."""
    why: str = ""
    status: int = 0
    """Of the HTTP answer; 0 for none."""
    request: Request | None = None
    response: bytes = b""
    wait_seconds: float | None = None
    """How long the server asked to wait (``Retry-After``)."""


DELIVERED: Final = Result(Outcome.DELIVERED)


@dataclass(frozen=True, slots=True)
class Returned:
    """What came of a shipment."""

    results: list[Result]
    """One for each of its events, in order."""
    whole: bool = False
    """Whether the answer was to the request as a whole, and names no event."""
    seconds: float = 0.0
    """How long the answer took."""
