"""The words that the fake and its hosts share: request, response, what was received, a problem.

Nothing here does I/O. A host turns its own framework's request into a `Request` and a `Response`
back into its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

# orjson reads deeper than it writes (1,024 against 254 levels). What is accepted must be writable
# again, inside the few levels that a view puts around it.
_ENVELOPE_LEVELS = 8

UNANSWERED = -1
"""As `Response.cut_after`: the connection is closed without an answer."""


class NotJSONError(ValueError):
    """A body isn't JSON by RFC 8259 (so no NaN and no Infinity), or is nested beyond reason."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, as it was on the wire."""

    method: str
    path: str
    """Still percent-encoded, without the query."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By lower-case name. Not in the repr: they hold the credentials."""
    body: bytes = b""
    query: str = ""
    """What follows the `?`, still percent-encoded."""

    @classmethod
    def from_target(
        cls, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Request:
        """Make a request from a request line's target: a path with query, or a whole URL."""
        if not target.startswith("/"):
            try:
                parts = urlsplit(target)
            except ValueError:
                parts = urlsplit("")
            target = f"{parts.path or '/'}?{parts.query}"
        path, _, query = target.partition("?")
        lowered = {name.lower(): value for name, value in headers.items()}
        return cls(method, path, lowered, body, query)


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer, and how a host carries it out.

    Its body is JSON, or empty with status 204, unless a scenario asks for something worse.
    """

    status: int
    """0: the request was not taken, and there is no answer (`cut_after` is UNANSWERED)."""
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    delay_seconds: float = 0.0
    """How long to wait before it is sent."""
    cut_after: int | None = None
    """After how many bytes of the body the connection is closed, though the headers promise more;
    UNANSWERED: before any of it is sent. None: it is sent whole."""

    @property
    def promised_bytes(self) -> int:
        """The Content-Length: that of the body, and more than what is sent where it is cut."""
        return len(self.body) if self.cut_after is None else max(len(self.body), self.cut_after + 1)


@dataclass(frozen=True, slots=True)
class Received:
    """A request that came to the Track API's paths, with its answer."""

    request: Request
    response: Response
    at: float
    """When it came, in Unix seconds, by the host's clock."""
    operations: list[dict[str, Any]]
    """What it asked for, in one form for v1 and v2: `{"method", "path", "body"}` each.

    One entry for a v1 request or `/api/v2/entity`, one an item for `/api/v2/batch`, none for a
    GET, which asks for no change. `body` is decoded JSON, or None where there is none that can be
    decoded.
    """

    def view(self) -> dict[str, Any]:
        """This request as JSON, without headers and so without credentials.

        `cut` is there where the answer did not get through whole.
        """
        return {
            "method": printable(self.request.method),
            "path": printable(self.request.path),
            "query": printable(self.request.query),
            "body": decode_or_text(self.request.body),
            "status": self.response.status,
            "at": self.at,
            **({} if self.response.cut_after is None else {"cut": True}),
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request, or an item of a batch, is rejected."""

    reason: str
    """`required`, `invalid`, `unknown`, `too_large` or `malformed`."""
    field: str
    """The dotted path of the value, as the caller wrote it; empty for the whole body."""
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message

    def view(self) -> dict[str, Any]:
        """This problem as v2 writes it."""
        return {"reason": self.reason, "field": self.field, "message": self.message}


def decode(body: bytes) -> Any:
    """Decode JSON, integers staying integers.

    Raises:
        NotJSONError: the body is no JSON that the fake could write again.
    """
    try:
        value = orjson.loads(body)
        wrapped = value
        for _ in range(_ENVELOPE_LEVELS):
            wrapped = [wrapped]
        orjson.dumps(wrapped)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise NotJSONError(str(error)) from error
    return value


def decode_or_text(body: bytes) -> Any:
    """Decode JSON, or else give the body as text; None when there is no body."""
    if not body:
        return None
    try:
        return decode(body)
    except NotJSONError:
        return body.decode("utf-8", "replace")


def encode(value: Any) -> bytes:
    """Write compact JSON, UTF-8."""
    return orjson.dumps(value)


def printable(text: str) -> str:
    """Replace what cannot be written as UTF-8: a host may hand on bytes as lone surrogates."""
    return text.encode("utf-8", "replace").decode("utf-8")
