"""Shows what DeliveryService tells: as JSON, and to people."""

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from cio.sidecar.v1 import delivery_pb2, ingest_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table

OUTCOMES: Final = {
    delivery_pb2.OUTCOME_DELIVERED: "delivered",
    delivery_pb2.OUTCOME_RETRIED: "retried",
    delivery_pb2.OUTCOME_DEAD_LETTERED: "dead-lettered",
}
HOLDS: Final = {
    number: name.removeprefix("HOLD_REASON_").lower()
    for name, number in delivery_pb2.HoldReason.items()
}


def stats_json(stats: delivery_pb2.GetStatsResponse) -> dict[str, Any]:
    """The counts as an object."""
    oldest = stats.HasField("oldest_accepted_at")
    return {
        "waiting_events": stats.waiting_events,
        "waiting_bytes": stats.waiting_bytes,
        "max_waiting_events": stats.max_waiting_events,
        "max_waiting_bytes": stats.max_waiting_bytes,
        "full_because": stats.full_because or None,
        "oldest_accepted_at": _iso(stats.oldest_accepted_at) if oldest else None,
        "requests_in_flight": stats.requests_in_flight,
        "dead_letters": stats.dead_letters,
        "dead_letter_bytes": stats.dead_letter_bytes,
        "delivered": stats.delivered,
        "retried": stats.retried,
        "dead_lettered": stats.dead_lettered,
        "pause": {"since": _iso(stats.pause.since)} if stats.HasField("pause") else None,
        "hold": _hold_json(stats.hold) if stats.HasField("hold") else None,
        "accepts_rejections": stats.accepts_rejections,
    }


def stats_lines(stats: delivery_pb2.GetStatsResponse) -> Iterator[str]:
    """The counts in lines."""
    waiting = f"{stats.waiting_events:,} events, {stats.waiting_bytes:,} bytes"
    if stats.HasField("oldest_accepted_at"):
        waiting += f"; the oldest was accepted at {_iso(stats.oldest_accepted_at)}"
    yield f"waiting          {waiting}"
    full = max(
        stats.waiting_events / (stats.max_waiting_events or 1),
        stats.waiting_bytes / (stats.max_waiting_bytes or 1),
    )
    bounds = f"{stats.max_waiting_events:,} events, {stats.max_waiting_bytes:,} bytes"
    yield f"queue            {math.floor(full * 100)}% full; at most {bounds}"
    if stats.full_because:
        yield f"                 calls are rejected: {stats.full_because}"
    yield f"in flight        {stats.requests_in_flight:,} requests"
    yield f"dead letters     {stats.dead_letters:,}, {stats.dead_letter_bytes:,} bytes"
    yield (
        f"since the start  {stats.delivered:,} delivered, {stats.dead_lettered:,} dead-lettered, "
        f"{stats.retried:,} attempts to be made again"
    )
    yield from delivery_lines(stats)


def delivery_lines(stats: delivery_pb2.GetStatsResponse) -> Iterator[str]:
    """Whether delivery is active, in lines."""
    words = []
    if stats.HasField("pause"):
        since = _iso(stats.pause.since)
        words.append(f"PAUSED by an operator since {since}: cio-sidecar delivery resume ends it")
    if stats.HasField("hold"):
        words.append(f"ON HOLD ({HOLDS[stats.hold.reason]}): {_hold(stats.hold)}")
    if stats.accepts_rejections:
        off = "the circuit breaker is off until an event is delivered (resume --accept-rejections)"
        words.append(off if words else f"active; {off}")
    for line in words or ["active"]:
        yield f"delivery         {line}"


def resumed_lines(resumed: delivery_pb2.ResumeResponse) -> Iterator[str]:
    """What resuming has ended, in lines."""
    if resumed.HasField("pause"):
        yield f"ended the pause since {_iso(resumed.pause.since)}"
    if resumed.HasField("hold"):
        hold = resumed.hold
        yield f"ended the hold ({HOLDS[hold.reason]}) since {_iso(hold.since)}: {hold.description}"
    yield "delivery resumed"


def letter_json(letter: delivery_pb2.DeadLetter) -> dict[str, Any]:
    """A dead letter without its event, request and answer, as an object."""
    shown: dict[str, Any] = {"message_id": letter.message_id, "event_type": letter.event_type}
    if letter.event_name:
        shown["event_name"] = letter.event_name
    return {
        **shown,
        "status": letter.status,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "accepted_at": _iso(letter.accepted_at),
        "died_at": _iso(letter.died_at),
        "number": letter.number,
    }


def record_json(record: delivery_pb2.DeadLetterRecord) -> dict[str, Any]:
    """A dead letter whole, as an object."""
    return {
        **letter_json(record.dead_letter),
        "event": _json(record.event),
        "request": {
            "method": record.request.method,
            "path": record.request.path,
            "body": _json(record.request.body.encode()),
        },
        "response": _json(record.response),
    }


def letters_table(letters: Iterable[delivery_pb2.DeadLetter]) -> Table:
    """Dead letters, a row each."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("DIED AT", no_wrap=True)
    table.add_column("MESSAGE ID", overflow="fold")
    table.add_column("EVENT", overflow="fold")
    table.add_column("REASON", overflow="fold")
    for letter in letters:
        event = f"{letter.event_type} {letter.event_name}".rstrip()
        cells = (_iso(letter.died_at), letter.message_id, event, letter.reason)
        table.add_row(*map(printable, cells))
    return table


def record_lines(record: delivery_pb2.DeadLetterRecord) -> Iterator[str]:
    """A dead letter whole, in lines."""
    letter = record.dead_letter
    yield f"message id   {printable(letter.message_id)}"
    yield f"event        {printable(f'{letter.event_type} {letter.event_name}'.rstrip())}"
    yield f"reason       {printable(letter.reason)}"
    yield f"attempts     {letter.attempts}"
    yield f"accepted at  {_iso(letter.accepted_at)}"
    yield f"died at      {_iso(letter.died_at)}"
    request = f"request {record.request.method} {record.request.path}"
    for title, document in (
        ("event", record.event),
        (request, record.request.body.encode()),
        (f"answer {letter.status}", record.response),
    ):
        yield ""
        yield printable(title)
        yield from _pretty(document)


def outcome_json(outcome: delivery_pb2.EventOutcome) -> dict[str, Any]:
    """What came of an event, as an object."""
    shown: dict[str, Any] = {
        "message_id": outcome.message_id,
        "outcome": OUTCOMES.get(outcome.outcome, ""),
        "attempts": outcome.attempts,
    }
    if outcome.reason:
        shown |= {"status": outcome.status, "reason": outcome.reason}
    return shown


def outcome_line(outcome: delivery_pb2.EventOutcome) -> str:
    """What came of an event, in a line."""
    line = f"{OUTCOMES.get(outcome.outcome, ''):<13}  {outcome.message_id}  {outcome.reason}"
    return printable(line.rstrip())


def rejection_json(rejection: delivery_pb2.RejectedReplay) -> dict[str, Any]:
    """A dead letter that the tables reject, as `cio-sidecar send` shows a rejected event."""
    return {
        "message_id": rejection.message_id,
        "status": "rejected",
        "violations": [
            {"field": each.field, "reason": each.reason, "description": each.description}
            for each in rejection.violations
        ],
    }


def rejection_line(rejection: delivery_pb2.RejectedReplay) -> str:
    """A dead letter that the tables reject, in a line."""
    why = "; ".join(map(_violation, rejection.violations))
    return printable(f"rejected  {rejection.message_id}  {why}")


def not_found_json(message_id: str) -> dict[str, Any]:
    """A message_id of which there is no dead letter to replay, as an object."""
    return {"message_id": message_id, "status": "not_found"}


def not_found_line(message_id: str) -> str:
    """A message_id of which there is no dead letter to replay, in a line."""
    return printable(f"not found  {message_id}")


def printable(text: str) -> str:
    """Text that does nothing to a terminal but stand there."""
    return "".join(each if each.isprintable() else "�" for each in text)


def _violation(violation: ingest_pb2.FieldViolation) -> str:
    field = f"{violation.field}: " if violation.field else ""
    return f"{field}{violation.description}"


def _hold(hold: delivery_pb2.DeliveryHold) -> str:
    count = f"{hold.failures:,} failed requests" if hold.failures > 1 else "1 failed request"
    seconds = _next_attempt_seconds(hold)
    words = f"{hold.description}; {count} since {_iso(hold.since)}, events are kept"
    return words if seconds is None else f"{words}; next attempt in {seconds:.1f} s"


def _hold_json(hold: delivery_pb2.DeliveryHold) -> dict[str, Any]:
    return {
        "reason": HOLDS[hold.reason],
        "description": hold.description,
        "since": _iso(hold.since),
        "failures": hold.failures,
        "next_attempt_seconds": _next_attempt_seconds(hold),
    }


def _next_attempt_seconds(hold: delivery_pb2.DeliveryHold) -> float | None:
    if not hold.HasField("next_attempt_in"):
        return None
    return hold.next_attempt_in.ToTimedelta().total_seconds()


def _iso(moment: Timestamp) -> str:
    return datetime.fromtimestamp(moment.seconds, UTC).isoformat().replace("+00:00", "Z")


def _json(document: bytes) -> Any:
    """A document as it is; one that is no JSON as text, and null where there is none.

    What was accepted as JSON may nest too deep to be encoded within anything else.
    """
    encoded = _encoded(document)
    if encoded is None:
        return document.decode(errors="replace") or None
    return orjson.Fragment(encoded)


def _pretty(document: bytes) -> Iterator[str]:
    if not document:
        yield "(none, or no whole JSON: only --reveal shows that)"
        return
    encoded = _encoded(document, orjson.OPT_INDENT_2)
    if encoded is None:
        yield printable(document.decode(errors="replace"))
    else:
        yield from encoded.decode().splitlines()


def _encoded(document: bytes, option: int = 0) -> bytes | None:
    """A document encoded anew; None if it is no JSON, or nests too deep."""
    try:
        return orjson.dumps(orjson.loads(document), option=option)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
