"""gRPC status with details: google.rpc.BadRequest, ErrorInfo and RetryInfo."""

from collections.abc import Sequence
from typing import Final, NoReturn

import grpc
from cio.sidecar.v1 import ingest_pb2
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from cio_sidecar.event_queue.errors import QueueError, QueueFull
from cio_sidecar.intake import RETRY_SECONDS
from cio_sidecar.mapping.errors import (
    FIELD_CHARACTERS,
    MOST_VIOLATIONS,
    FieldWarning,
    Violation,
    clip,
    shorten,
)

DOMAIN: Final = "cio-sidecar"
"""The domain of every ErrorInfo."""

# A status travels in HTTP/2 headers, of which clients take 8 KB by default: its words once with
# three bytes for each that is not ASCII, and once more with the details, in base64.
_WORDS_BYTES: Final = 600
_DETAILS_BYTES: Final = 3000


async def abort_invalid(
    context: grpc.aio.ServicerContext[object, object], reason: str, violations: Sequence[Violation]
) -> NoReturn:
    """End the call with INVALID_ARGUMENT; ``reason`` is the ErrorInfo's."""
    shown = clip(violations, most_bytes=_DETAILS_BYTES)
    bad_request = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field=violation.field, description=violation.description, reason=violation.reason
            )
            for violation in shown
        ]
    )
    words = "; ".join(
        f"{violation.field}: {violation.description}" if violation.field else violation.description
        for violation in shown
    )
    await _abort(context, code_pb2.INVALID_ARGUMENT, words, reason, bad_request)


async def abort_queue(
    context: grpc.aio.ServicerContext[object, object], error: QueueError
) -> NoReturn:
    """End the call with RESOURCE_EXHAUSTED and RetryInfo (full), or UNAVAILABLE."""
    if isinstance(error, QueueFull):
        retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS))
        await _abort(context, code_pb2.RESOURCE_EXHAUSTED, str(error), "QUEUE_FULL", retry)
    await _abort(context, code_pb2.UNAVAILABLE, str(error), "QUEUE_UNAVAILABLE")


async def abort_not_found(
    context: grpc.aio.ServicerContext[object, object], reason: str, words: str
) -> NoReturn:
    """End the call with NOT_FOUND."""
    await _abort(context, code_pb2.NOT_FOUND, words, reason)


async def abort_internal(context: grpc.aio.ServicerContext[object, object], words: str) -> NoReturn:
    """End the call with INTERNAL."""
    await _abort(context, code_pb2.INTERNAL, words, "INTERNAL")


def violation_messages(violations: Sequence[Violation]) -> list[ingest_pb2.FieldViolation]:
    """Violations as they stand in a result."""
    return [
        ingest_pb2.FieldViolation(
            field=violation.field, reason=violation.reason, description=violation.description
        )
        for violation in clip(violations)
    ]


def warning_messages(warnings: Sequence[FieldWarning]) -> list[ingest_pb2.FieldWarning]:
    """Warnings as they stand in a result."""
    return [
        ingest_pb2.FieldWarning(
            field=shorten(warning.field, FIELD_CHARACTERS), description=warning.description
        )
        for warning in warnings[:MOST_VIOLATIONS]
    ]


async def _abort(
    context: grpc.aio.ServicerContext[object, object],
    code: int,
    words: str,
    reason: str,
    *details: error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> NoReturn:
    words = words.encode()[:_WORDS_BYTES].decode(errors="ignore")
    status = status_pb2.Status(code=code, message=words)
    for detail in (*details, error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)):
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    converted = rpc_status.to_status(status)
    await context.abort(converted.code, converted.details, converted.trailing_metadata)
    raise AssertionError("abort() raises")
