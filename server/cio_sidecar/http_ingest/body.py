"""From the bytes of a request's body to JSON values. PURE."""

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from cio_sidecar.http_ingest.batch_splitter import Extent, Steps, split, too_many_events
from cio_sidecar.http_ingest.errors import RequestError
from cio_sidecar.intake import CallLimits
from cio_sidecar.mapping.errors import Violation
from cio_sidecar.mapping.event import INTEGERS
from cio_sidecar.mapping.running.transforms import json_type
from cio_sidecar.renderer import Rejected

BODY_BYTES: Final = 4 * 1024 * 1024
"""Maximum size of a body, both as sent and unpacked. SDKs send at most 500 KB."""
KEYLESS_BODY_BYTES: Final = 512 * 1024
"""The same for a body that has to be read to find the write key."""
AT_ONCE_BYTES: Final = 1024 * 1024
"""Maximum size of what is parsed at once: the worst 1 MiB takes 60 ms and 40 MB of memory."""
LENIENT_BYTES: Final = 256 * 1024
"""Maximum size of what the lenient parser reads, which is several times slower."""

_GZIP: Final = 31


@dataclass(frozen=True, slots=True)
class Body:
    """A body of which the events may be parsed one at a time."""

    fields: dict[str, Any]
    """The object without ``batch``."""
    events: Iterable[Any]
    """The elements of ``batch``; Rejected stands for one that was not parsed. Raises RequestError
    when it gets to one that is not JSON."""
    count: int


def too_large(limit: int = BODY_BYTES) -> RequestError:
    """The error of a body over the limit."""
    what = f"the body is over {limit:,} bytes (unpacked): send the events in several batches"
    if limit == KEYLESS_BODY_BYTES:
        what += ", or the write key as the user name of Basic authorization"
    return RequestError(413, "TOO_LARGE", what)


def too_large_event(size: int, limits: CallLimits) -> Rejected:
    """What stands for an event that is over the limit as received."""
    what = (
        f"{size:,} bytes, the limit is {limits.max_event_bytes:,} (CIO_EVENT_MAX_BYTES): "
        "send less in one event"
    )
    return Rejected("", [Violation("", "TOO_LARGE", what)])


def unpack(data: bytes, encoding: str, limit: int = BODY_BYTES) -> bytes:
    """Undo a body's Content-Encoding, without ever holding more than the limit. Raises
    RequestError.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return data
    if name not in ("gzip", "x-gzip"):
        what = "expected Content-Encoding gzip, or none"
        raise RequestError(415, "UNKNOWN_ENCODING", what, headers={"Accept-Encoding": "gzip"})
    stream = zlib.decompressobj(wbits=_GZIP)
    try:
        unpacked = stream.decompress(data, limit + 1)
    except zlib.error:
        raise _bad_gzip("the body is not gzip, though Content-Encoding says so") from None
    if len(unpacked) > limit:
        raise too_large(limit)
    if not stream.eof:
        raise _bad_gzip("the gzip body is cut short")
    if stream.unused_data:
        # A body of many small parts would take a time that grows with the square of their number.
        raise _bad_gzip("bytes follow the end of the gzip body: send it in one part")
    return unpacked


def read_batch(data: bytes, limits: CallLimits) -> Steps[Body]:
    """Reads a batch. One of ordinary size is parsed at once, a large one event by event.

    Raises RequestError, also for more events than the limit.
    """
    if len(data) <= AT_ONCE_BYTES:
        try:
            return _whole(orjson.loads(data), limits)
        except orjson.JSONDecodeError:
            if len(data) <= LENIENT_BYTES:
                return _whole(_parse_leniently(data), limits)
    parts = yield from split(
        data, most_events=limits.max_events, most_bytes=min(limits.max_event_bytes, AT_ONCE_BYTES)
    )
    if len(parts.rest) > AT_ONCE_BYTES:
        what = f"what is next to batch is over {AT_ONCE_BYTES:,} bytes: leave it out"
        raise RequestError(413, "TOO_LARGE", what)
    if parts.batch is None:
        return _whole(parse(parts.rest), limits)
    events = _parsed(data, parts.batch, limits)
    return Body(_object(parse(parts.rest)), events, len(parts.batch))


def parse(data: bytes) -> dict[str, Any]:
    """Reads a JSON object that is not over AT_ONCE_BYTES. Raises RequestError.

    What JSON or Customer.io has no place for, and SDKs write all the same (Python's NaN, half a
    surrogate pair from JavaScript), is read, so that only the event that holds it is rejected.
    """
    return _object(_parse(data))


def _parse(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if len(data) > LENIENT_BYTES:
            raise RequestError(
                400, "INVALID_JSON", f"the body is not valid JSON: {error}"
            ) from None
    return _parse_leniently(data)


def _object(value: Any) -> dict[str, Any]:
    if value.__class__ is not dict:
        raise RequestError(400, "INVALID_REQUEST", "expected a JSON object as the body")
    fields: dict[str, Any] = value
    return fields


def _whole(value: Any, limits: CallLimits) -> Body:
    fields = _object(value)
    got = "none" if "batch" not in fields else json_type(fields["batch"])
    batch = fields.pop("batch", None)
    if batch.__class__ is not list:
        raise wrong_type("batch", f"expected a list of events, got {got}")
    assert isinstance(batch, list)
    if len(batch) > limits.max_events:
        raise too_many_events(limits.max_events)
    return Body(fields, batch, len(batch))


def _parsed(data: bytes, batch: list[Extent], limits: CallLimits) -> Iterator[Any]:
    """The elements of a large batch, each parsed when it is asked for."""
    most_bytes = limits.max_event_bytes
    for index, (start, end) in enumerate(batch):
        if end - start > most_bytes:
            yield too_large_event(end - start, limits)
            continue
        element = data[start:end]
        try:
            yield orjson.loads(element)
        except orjson.JSONDecodeError as error:
            if len(element) <= LENIENT_BYTES:
                yield _parse_leniently(element, f"batch.{index}")
            else:
                what = f"the event is not valid JSON: {error}"
                yield Rejected("", [Violation("", "INVALID_JSON", what)])


def _parse_leniently(data: bytes, at: str = "the body") -> Any:
    try:
        return json.loads(data.decode(), parse_int=_integer)
    except UnicodeDecodeError as error:
        what = f"{at} is not valid UTF-8 (at byte {error.start})"
    except json.JSONDecodeError as error:
        what = f"{at} is not valid JSON: {error.msg} (at character {error.pos})"
    except RecursionError:
        what = f"{at} nests too deep: flatten its objects and lists"
    raise RequestError(400, "INVALID_JSON", what)


def _integer(text: str) -> int | float:
    """A whole number as orjson reads it: one beyond 64 bits as a double."""
    if len(text) <= 20 and (number := int(text)) in INTEGERS:
        return number
    return float(text)


def wrong_type(field: str, what: str) -> RequestError:
    """The error of a field of the body that is not what it must be."""
    violations = [Violation(field, "WRONG_TYPE", what)]
    return RequestError(400, "INVALID_REQUEST", f"{field}: {what}", violations=violations)


def _bad_gzip(what: str) -> RequestError:
    return RequestError(400, "INVALID_ENCODING", what)
