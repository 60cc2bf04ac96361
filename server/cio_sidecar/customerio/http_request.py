"""A request to the Track API, without credentials and base URL."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent."""

    method: str
    path: str
    """Percent-encoded, to be sent as it is."""
    body: bytes
    """JSON in UTF-8."""
