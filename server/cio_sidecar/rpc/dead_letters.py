"""Between the gRPC messages of dead letters, and what the queue knows of them."""

import logging
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from cio.sidecar.v1 import delivery_pb2, mapping_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from cio_sidecar.event_queue.dead_letters import EVERY, DeadLetter, Filter
from cio_sidecar.mapping.errors import MOST_VIOLATIONS, Violation
from cio_sidecar.rpc.decode import InvalidRequest
from cio_sidecar.rpc.masking import Masked

FILTER_ITEMS: Final = 1000
"""How many items each list of a filter may have."""
REASON_CHARACTERS: Final = 1000
"""How long a filter's words of a reason may be; no reason is longer."""
HIDDEN: Final = "hidden: it could not be masked; --reveal shows it"
"""Replaces the reason of a dead letter that can't be masked."""

_Made = TypeVar("_Made")

log = logging.getLogger(__name__)


def to_filter(message: delivery_pb2.DeadLetterFilter) -> Filter:
    """What a filter asks for. Raises InvalidRequest."""
    for name in ("message_ids", "statuses", "event_types", "event_names"):
        if (count := len(getattr(message, name))) > FILTER_ITEMS:
            what = f"{count:,} items, the limit is {FILTER_ITEMS:,}: ask several times"
            raise InvalidRequest([Violation(f"filter.{name}", "TOO_MANY", what)])
    if len(message.reason) > REASON_CHARACTERS:
        what = f"{len(message.reason):,} characters, the limit is {REASON_CHARACTERS:,}"
        raise InvalidRequest([Violation("filter.reason", "TOO_LARGE", f"{what}: shorten it")])
    return Filter(
        reason=message.reason,
        statuses=tuple(message.statuses),
        died_after=message.died_after.seconds if message.HasField("died_after") else None,
        died_before=message.died_before.seconds if message.HasField("died_before") else None,
        message_ids=tuple(message.message_ids),
        event_types=tuple(message.event_types),
        event_names=tuple(message.event_names),
    )


def chosen(
    request: delivery_pb2.ReplayDeadLettersRequest | delivery_pb2.PurgeDeadLettersRequest,
) -> Filter:
    """What is to be changed: a filter, or all by name. Raises InvalidRequest."""
    which = to_filter(request.filter)
    if which == EVERY and not request.all:
        what = "the filter is empty: set one of its fields, or `all` for every dead letter"
        raise InvalidRequest([Violation("filter", "REQUIRED", what)])
    if which != EVERY and request.all:
        what = "`all` and a filter exclude each other: give one of them"
        raise InvalidRequest([Violation("all", "INVALID_VALUE", what)])
    return which


def summaries(letters: Iterable[DeadLetter], *, reveal: bool) -> list[delivery_pb2.DeadLetter]:
    """Dead letters without event, request and answer."""
    return [_try(_summary, letter, reveal) or _hidden(letter, reveal) for letter in letters]


def records(letters: Iterable[DeadLetter], *, reveal: bool) -> list[delivery_pb2.DeadLetterRecord]:
    """Dead letters whole."""
    return [record(letter, reveal=reveal) for letter in letters]


def record(letter: DeadLetter, *, reveal: bool) -> delivery_pb2.DeadLetterRecord:
    """A dead letter whole."""
    return _try(_record, letter, reveal) or delivery_pb2.DeadLetterRecord(
        dead_letter=_hidden(letter, reveal),
        event=letter.event if reveal else b"",
        request=_request(letter, letter.path, letter.request) if reveal else None,
        response=letter.response if reveal else b"",
    )


def rejected(
    letter: DeadLetter, violations: Iterable[Violation], *, reveal: bool
) -> tuple[str, list[Violation]]:
    """The message_id of a dead letter that the tables reject, and what is wrong with it."""
    if reveal:
        return letter.message_id, [*violations]
    violations = [*violations]
    masked = _try(lambda letter, _: _masked(letter), letter, reveal)
    shown = [
        Violation(masked.words(each.field), each.reason, masked.words(each.description))
        if masked
        else Violation("", each.reason, HIDDEN)
        for each in violations[:MOST_VIOLATIONS]
    ]
    # The others are only counted.
    return letter.message_id, shown + [Violation("", "", "")] * (len(violations) - len(shown))


def moment(seconds: int | None) -> Timestamp | None:
    """Unix seconds as a message; None stays None."""
    return None if seconds is None else Timestamp(seconds=seconds)


def _masked(letter: DeadLetter) -> Masked:
    return Masked(letter.event, letter.path, letter.request)


def _record(letter: DeadLetter, reveal: bool) -> delivery_pb2.DeadLetterRecord:
    masked = _masked(letter)
    path, body = (letter.path, letter.request) if reveal else (masked.path, masked.request)
    return delivery_pb2.DeadLetterRecord(
        dead_letter=_summary(letter, reveal, masked),
        event=letter.event if reveal else masked.event,
        request=_request(letter, path, body),
        response=letter.response if reveal else masked.answer(letter.response),
    )


def _request(letter: DeadLetter, path: str, body: bytes) -> mapping_pb2.HttpRequest:
    # The body may have been cut in the middle of a character.
    return mapping_pb2.HttpRequest(
        method=letter.method, path=path, body=body.decode(errors="replace")
    )


def _summary(
    letter: DeadLetter, reveal: bool, masked: Masked | None = None
) -> delivery_pb2.DeadLetter:
    masked = masked or _masked(letter)
    return _message(
        letter,
        event_type=masked.event_type,
        event_name=masked.name if reveal else masked.event_name,
        reason=letter.reason if reveal else masked.words(letter.reason),
    )


def _hidden(letter: DeadLetter, reveal: bool) -> delivery_pb2.DeadLetter:
    """A dead letter that can't be masked."""
    return _message(letter, reason=letter.reason if reveal else HIDDEN)


def _message(letter: DeadLetter, **words: str) -> delivery_pb2.DeadLetter:
    return delivery_pb2.DeadLetter(
        number=letter.seq,
        message_id=letter.message_id,
        status=letter.status,
        attempts=letter.attempts,
        accepted_at=moment(letter.accepted_at),
        died_at=moment(letter.died_at),
        **words,
    )


def _try(
    make: Callable[[DeadLetter, bool], _Made], letter: DeadLetter, reveal: bool
) -> _Made | None:
    """Make something of a dead letter; None if that fails, so that the others are shown."""
    try:
        return make(letter, reveal)
    except Exception as error:
        # The error's own words may hold data.
        log.error(
            "dead letter %d can't be masked (%s) and is hidden", letter.seq, type(error).__name__
        )
        return None
