"""``cio-sidecar send``: events on standard input, through gRPC, receipts on standard output."""

import io
import queue
import random
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import click
import grpc
import orjson
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from ulid import ULID

from cio_sidecar.cli.client import open_channel
from cio_sidecar.cli.options import (
    EXIT_REJECTED,
    EXIT_UNAVAILABLE,
    Target,
    fail,
    require_input,
    target_option,
)
from cio_sidecar.delivery.policy import backoff_seconds
from cio_sidecar.mapping.errors import Violation
from cio_sidecar.rpc.event_json import NotSendable, from_event
from cio_sidecar.rpc.server import MESSAGE_BYTES

BATCH_EVENTS: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024
CALL_SECONDS: Final = 30
_EVENT_BYTES: Final = MESSAGE_BYTES - 16
"""The largest event that fits in a call, with room for what stands around it."""

_STATUS: Final = {
    ingest_pb2.EVENT_STATUS_ACCEPTED: "accepted",
    ingest_pb2.EVENT_STATUS_DUPLICATE: "duplicate",
    ingest_pb2.EVENT_STATUS_REJECTED: "rejected",
}


class SendFailed(Exception):  # noqa: N818 (named for the condition)
    """The events could not be handed over; ``str()`` says why, and how far it came."""


class _Line(NamedTuple):
    """An input line: the message to send, or the receipt of one that can't be sent."""

    number: int
    message: event_pb2.Event | None
    size: int
    receipt: dict[str, Any] | None


@click.command()
@target_option
@click.option(
    "--patience",
    default=30.0,
    show_default=True,
    help="Time to retry while the sidecar is busy or unreachable, in seconds.",
)
def send(target: Target, patience: float) -> None:
    """Send events: NDJSON on standard input, one JSON receipt per event on standard output.

    Exits 1 if any event is rejected, and 3 if the sidecar can't be reached; then it prints how many
    events were acknowledged, and the first line without a receipt.
    """
    counts = {"accepted": 0, "duplicate": 0, "rejected": 0}
    require_input()
    # A reader of its own: a thread may be waiting on it when the process ends, and that of sys
    # could not be closed then.
    lines = io.BufferedReader(io.FileIO(0, closefd=False))
    output = sys.stdout.buffer
    progress = sys.stderr.isatty() and not sys.stdout.isatty()
    try:
        for receipt in send_lines(lines, target, patience_seconds=patience):
            output.write(orjson.dumps(receipt) + b"\n")
            output.flush()
            counts[receipt["status"]] += 1
            if progress and sum(counts.values()) % 100 == 0:
                click.echo(f"\r{sum(counts.values()):,} events", nl=False, err=True)
    except SendFailed as error:
        fail(error, EXIT_UNAVAILABLE)
    if progress:
        words = ", ".join(f"{count:,} {status}" for status, count in counts.items())
        click.echo(f"\r{words}", err=True)
    if counts["rejected"]:
        sys.exit(EXIT_REJECTED)


def send_lines(
    lines: Iterable[bytes], target: Target, *, patience_seconds: float
) -> Iterator[dict[str, Any]]:
    """Send NDJSON events; yields a receipt for each, in order, as soon as it is there.

    A line goes out at once when it comes alone; lines that come faster share a call. A busy or
    starting sidecar is tried again for ``patience_seconds``; a message_id, made here where an event
    has none, makes that harmless. Raises SendFailed.
    """
    with open_channel(target) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        acknowledged = 0
        first = 1
        try:
            for batch in _batches(lines):
                first = batch[0].number
                messages = [line.message for line in batch if line.message is not None]
                results = iter(_send(stub, target, messages, patience_seconds) if messages else ())
                for line in batch:
                    receipt = line.receipt or _receipt(next(results))
                    acknowledged += receipt["status"] != "rejected"
                    yield receipt
                    first = line.number + 1
        except SendFailed as error:
            raise SendFailed(
                f"{error}; {acknowledged:,} event(s) acknowledged, and line {first} is the first "
                "without a receipt"
            ) from None


def _batches(lines: Iterable[bytes]) -> Iterator[list[_Line]]:
    """Whatever has come in meanwhile, within the limits of a call."""
    arrived: queue.Queue[_Line | None] = queue.Queue(4 * BATCH_EVENTS)
    troubles: list[OSError] = []

    def read() -> None:
        try:
            for number, raw in enumerate(lines, 1):
                if raw.strip():
                    arrived.put(_read(raw, number))
        except OSError as error:
            troubles.append(error)
        finally:
            arrived.put(None)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    batch: list[_Line] = []
    size = 0
    while True:
        try:
            line = arrived.get(block=not batch)
        except queue.Empty:
            yield batch
            batch, size = [], 0
            continue
        if batch and (line is None or len(batch) == BATCH_EVENTS or size + line.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        if line is None:
            if troubles:
                raise SendFailed(f"standard input can't be read: {troubles[0].strerror}")
            return
        batch.append(line)
        size += line.size


def _read(raw: bytes, number: int) -> _Line:
    message_id: Any = ""
    try:
        event = orjson.loads(raw)
        if not isinstance(event, dict):
            raise NotSendable("", "WRONG_TYPE", f"line {number} is no JSON object")
        message_id = event.get("messageId")
        if message_id is None or (isinstance(message_id, str) and not message_id.strip()):
            message_id = str(ULID())
        message = from_event({**event, "messageId": message_id})
        if message.ByteSize() > _EVENT_BYTES:
            what = f"line {number} is {len(raw):,} bytes, a call takes {MESSAGE_BYTES:,}"
            raise NotSendable("", "TOO_LARGE", what)
    except orjson.JSONDecodeError as error:
        violation = Violation("", "INVALID_JSON", f"line {number} is not JSON: {error.msg}")
    except NotSendable as error:
        violation = error.violation
    else:
        return _Line(number, message, len(raw), None)
    return _Line(number, None, 0, _line_receipt(message_id, "rejected", [violation._asdict()], []))


def _send(
    stub: "ingest_pb2_grpc.IngestServiceStub",
    target: Target,
    messages: list[event_pb2.Event],
    patience_seconds: float,
) -> Iterable[ingest_pb2.EventResult]:
    request = ingest_pb2.SendBatchRequest(events=messages)
    deadline = time.monotonic() + patience_seconds
    for attempt in range(1, 1_000_000):
        try:
            return stub.SendBatch(request, timeout=CALL_SECONDS).results
        except grpc.RpcError as error:
            again = error.code() in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.StatusCode.CANCELLED,
            )
            wait = backoff_seconds(attempt, random.random())  # noqa: S311
            if not again or time.monotonic() + wait > deadline:
                hint = (
                    "; is the sidecar running there (cio-sidecar serve)?"
                    if error.code() is grpc.StatusCode.UNAVAILABLE
                    else ""
                )
                raise SendFailed(
                    f"{target.address}: {error.code().name}: {error.details()}{hint}"
                ) from None
            time.sleep(wait)
    raise AssertionError("the deadline ends the loop")


def _receipt(result: ingest_pb2.EventResult) -> dict[str, Any]:
    return _line_receipt(
        result.message_id,
        _STATUS[result.status],
        [
            {"field": item.field, "reason": item.reason, "description": item.description}
            for item in result.violations
        ],
        [{"field": item.field, "description": item.description} for item in result.warnings],
    )


def _line_receipt(
    message_id: Any,
    status: str,
    violations: list[dict[str, str]],
    warnings: list[dict[str, str]],
) -> dict[str, Any]:
    receipt: dict[str, Any] = {"message_id": str(message_id), "status": status}
    if violations:
        receipt["violations"] = violations
    if warnings:
        receipt["warnings"] = warnings
    return receipt
