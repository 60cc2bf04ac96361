"""What an answer of the Track API means for what was sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Final

import orjson

from cio_sidecar.customerio.answer_body import parse


class Outcome(Enum):
    """What becomes of a request, or of one operation of it."""

    DELIVERED = "delivered"
    PARTIAL = "partial"
    """Some operations of a batch were rejected, the others delivered (207)."""
    RETRY = "retry"
    REJECTED = "rejected"
    UNAUTHORIZED = "unauthorized"
    """The credentials were rejected: nothing can be delivered until they are fixed."""
    NOT_FOUND = "not_found"
    """There is no such path: the address is wrong, or that of this one operation."""
    MISDIRECTED = "misdirected"
    """The answer is not the API's own (a redirect, a web page, a proxy that wants credentials): the
    address is wrong, or something in between answered."""


_OUTCOMES: Final = {
    200: Outcome.DELIVERED,
    207: Outcome.PARTIAL,
    400: Outcome.REJECTED,
    401: Outcome.UNAUTHORIZED,
    403: Outcome.UNAUTHORIZED,
    404: Outcome.NOT_FOUND,
    405: Outcome.NOT_FOUND,
    407: Outcome.MISDIRECTED,
    410: Outcome.NOT_FOUND,
    413: Outcome.REJECTED,
    422: Outcome.REJECTED,
}


_REASON_CHARACTERS: Final = 1000
"""Maximum length of a reason."""
_RETRY_AFTER_CHARACTERS: Final = 100
"""More than any number of seconds or HTTP date has."""
_EVEN_BY_PAGE: Final = {401, 413}
"""Statuses that mean the same whoever gives them: a front end may say them for the API."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, as far as delivery needs it."""

    status: int
    body: bytes = b""
    retry_after: str | None = None
    """The ``Retry-After`` header as it came."""
    location_host: str = ""
    """The host that a redirect names; empty where there is none."""


def classify(answer: Answer) -> Outcome:
    """The outcome of an answer. A status that the API does not document is tried again; so is a web
    page with a 5xx status, which a proxy gives while the API is down.
    """
    status = answer.status
    if is_page(answer) and status not in _EVEN_BY_PAGE:
        return Outcome.RETRY if status >= 500 or status == 429 else Outcome.MISDIRECTED
    if 300 <= status < 400:
        return Outcome.MISDIRECTED
    default = Outcome.DELIVERED if 200 <= status < 300 else Outcome.RETRY
    return _OUTCOMES.get(status, default)


def is_page(answer: Answer) -> bool:
    """Whether the answer is a web page, and so not the API's own."""
    return answer.body[:200].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def rejections(answer: Answer, count: int) -> Mapping[int, str] | None:
    """The rejected items of a 207: index in the batch → reason, at most 1,000 characters each. None
    if the body doesn't say.

    ``count`` is the number of items of the batch; an index outside it means that the answer can't
    be trusted, and is None as well. Of a single item every error tells.
    """
    errors = _errors(answer.body)
    if not errors:
        return None
    if count == 1:
        return {0: _joined(errors)}
    by_index: dict[int, list[Any]] = {}
    for error in errors:
        index = error.get("batch_index") if isinstance(error, dict) else None
        if type(index) is not int or not 0 <= index < count:
            return None
        by_index.setdefault(index, []).append(error)
    return {index: _joined(mine) for index, mine in by_index.items()}


def parts(answer: Answer, count: int) -> Mapping[int, bytes]:
    """What a 207 says of each rejected item alone: index in the batch → the answer without the
    errors of others. For an answer and a ``count`` of which rejections() tells.
    """
    if count == 1:
        return {0: answer.body}
    errors: dict[int, list[Any]] = {}
    for error in _errors(answer.body):
        errors.setdefault(error["batch_index"], []).append(error)
    return {index: orjson.dumps({"errors": mine}) for index, mine in errors.items()}


def reason(answer: Answer) -> str:
    """Why a request was rejected, in the server's words if it gave any; up to 1,000 characters.

    Reads v1's ``{"meta": {"errors": [...]}}`` and ``{"meta": {"error": ...}}`` and v2's
    ``{"errors": [{"reason", "field", "message"}]}``.
    """
    words = _joined(_errors(answer.body))
    return f"HTTP {answer.status}{': ' if words else ''}{words}"[:_REASON_CHARACTERS]


def retry_after_seconds(answer: Answer, now: float) -> float | None:
    """The ``Retry-After`` of an answer as seconds from ``now`` (Unix seconds), never negative.

    Takes both forms, seconds and an HTTP date. None if there is none that can be read.
    """
    value = (answer.retry_after or "")[:_RETRY_AFTER_CHARACTERS].strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment: datetime = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            # An HTTP date is in GMT, whether it says so or not.
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _errors(body: bytes) -> list[Any]:
    parsed = parse(body)
    if not isinstance(parsed, dict):
        return []
    meta = parsed.get("meta")
    if isinstance(meta, dict) and ("error" in meta or "errors" in meta):
        single = meta.get("error")
        parsed = {"errors": [single] if single is not None else meta.get("errors")}
    errors = parsed.get("errors")
    return errors if isinstance(errors, list) else []


def _joined(errors: list[Any]) -> str:
    """The words of errors, no more of them than a reason holds."""
    words: list[str] = []
    size = 0
    for error in errors:
        words.append(_text(error)[:_REASON_CHARACTERS])
        size += len(words[-1]) + 2
        if size > _REASON_CHARACTERS:
            break
    return "; ".join(words)[:_REASON_CHARACTERS]


def _text(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error)
    field = error.get("field")
    words = error.get("message") or error.get("reason") or "no reason given"
    return f"{field}: {words}" if field else str(words)
