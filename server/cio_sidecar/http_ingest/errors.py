"""What is answered to a request that can't be taken."""

from collections.abc import Mapping, Sequence
from typing import Any

from cio_sidecar.intake import RETRY_SECONDS
from cio_sidecar.mapping.errors import Violation, clip


class RequestError(Exception):
    """A request that is rejected as a whole; nothing of it was accepted.

    ``code`` is a stable word, ``str()`` says what was expected, what came and what to do. SDKs try
    again at 408, 429 and 5xx, and give up at any other status.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.violations = violations
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, Any]:
        """The answer; SDKs read ``code`` and ``message``."""
        body: dict[str, Any] = {"success": False, "code": self.code, "message": str(self)}
        if self.violations:
            body["violations"] = [violation._asdict() for violation in clip(self.violations)]
        return body


def unavailable(why: str) -> RequestError:
    """The error of a request that may be tried again."""
    retry = {"Retry-After": str(RETRY_SECONDS)}
    return RequestError(503, "UNAVAILABLE", f"{why}; nothing was accepted", headers=retry)
