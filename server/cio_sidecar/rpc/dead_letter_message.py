"""Between the gRPC messages of dead letters, and what the queue knows of them."""

from collections.abc import Iterable
from typing import Final

from cio.sidecar.v1 import delivery_pb2, mapping_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from cio_sidecar.delivery.queue.dead_letters import EVERY, DeadLetter, Filter
from cio_sidecar.mapping.errors import Violation
from cio_sidecar.rpc.decode import InvalidRequest
from cio_sidecar.rpc.masking import Masked

MESSAGE_IDS: Final = 1000
"""How many message_ids a filter may name."""


def to_filter(message: delivery_pb2.DeadLetterFilter) -> Filter:
    """What a filter asks for. Raises InvalidRequest."""
    if len(message.message_ids) > MESSAGE_IDS:
        what = f"{len(message.message_ids):,} ids, the limit is {MESSAGE_IDS:,}: ask several times"
        raise InvalidRequest([Violation("filter.message_ids", "TOO_MANY", what)])
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
    return [_summary(letter, _masked(letter), reveal=reveal) for letter in letters]


def records(letters: Iterable[DeadLetter], *, reveal: bool) -> list[delivery_pb2.DeadLetterRecord]:
    """Dead letters whole."""
    return [record(letter, reveal=reveal) for letter in letters]


def record(letter: DeadLetter, *, reveal: bool) -> delivery_pb2.DeadLetterRecord:
    """A dead letter whole."""
    masked = _masked(letter)
    request = letter.request if reveal else masked.request
    return delivery_pb2.DeadLetterRecord(
        dead_letter=_summary(letter, masked, reveal=reveal),
        event=letter.event if reveal else masked.event,
        request=mapping_pb2.HttpRequest(
            method=letter.method,
            path=letter.path if reveal else masked.path,
            # It may have been cut in the middle of a character.
            body=request.decode(errors="replace"),
        ),
        response=letter.response if reveal else masked.answer(letter.response),
    )


def refused(
    letter: DeadLetter, violations: Iterable[Violation], *, reveal: bool
) -> tuple[str, list[Violation]]:
    """The message_id of a dead letter that the tables refuse, and what is wrong with it."""
    if reveal:
        return letter.message_id, [*violations]
    masked = _masked(letter)
    return letter.message_id, [
        Violation(masked.words(each.field), each.reason, masked.words(each.description))
        for each in violations
    ]


def moment(seconds: int | None) -> Timestamp | None:
    """Unix seconds as a message; None stays None."""
    return None if seconds is None else Timestamp(seconds=seconds)


def _masked(letter: DeadLetter) -> Masked:
    return Masked(letter.event, letter.path, letter.request)


def _summary(letter: DeadLetter, masked: Masked, *, reveal: bool) -> delivery_pb2.DeadLetter:
    return delivery_pb2.DeadLetter(
        number=letter.seq,
        message_id=letter.message_id,
        event_type=masked.event_type,
        event_name=masked.name if reveal else masked.event_name,
        reason=letter.reason if reveal else masked.words(letter.reason),
        status=letter.status,
        attempts=letter.attempts,
        accepted_at=moment(letter.accepted_at),
        died_at=moment(letter.died_at),
    )
