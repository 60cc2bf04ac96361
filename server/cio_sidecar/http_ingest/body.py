"""From the bytes of a request's body to JSON values. PURE."""

import json
import zlib
from typing import Any, Final

import orjson

from cio_sidecar.http_ingest.errors import RequestError
from cio_sidecar.mapping.event import INTEGERS

BODY_BYTES: Final = 16 * 1024 * 1024
"""The largest body, as it was sent and as it is unpacked: as large as a gRPC message."""

_GZIP: Final = 31


def too_large() -> RequestError:
    """The error of a body over the limit."""
    what = f"the body is over {BODY_BYTES:,} bytes (unpacked): send the events in several batches"
    return RequestError(413, "TOO_LARGE", what)


def unpack(data: bytes, encoding: str) -> bytes:
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
        unpacked = stream.decompress(data, BODY_BYTES + 1)
    except zlib.error:
        raise _bad_gzip("the body is not gzip, though Content-Encoding says so") from None
    if len(unpacked) > BODY_BYTES:
        raise too_large()
    if not stream.eof:
        raise _bad_gzip("the gzip body is cut short")
    if stream.unused_data:
        # A body of many small parts would take a time that grows with the square of their number.
        raise _bad_gzip("bytes follow the end of the gzip body: send it in one part")
    return unpacked


def parse(data: bytes) -> dict[str, Any]:
    """Read a JSON object. Raises RequestError.

    What JSON or Customer.io has no place for, and SDKs write all the same (Python's NaN, half a
    surrogate pair from JavaScript), is read, so that only the event that holds it is refused.
    """
    value: Any
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = _parse_leniently(data)
    if value.__class__ is not dict:
        raise RequestError(400, "INVALID_REQUEST", "expected a JSON object as the body")
    return value


def _parse_leniently(data: bytes) -> Any:
    try:
        return json.loads(data.decode(), parse_int=_integer)
    except UnicodeDecodeError as error:
        what = f"the body is not valid UTF-8 (at byte {error.start})"
    except json.JSONDecodeError as error:
        what = f"the body is not valid JSON: {error.msg} (at character {error.pos})"
    except RecursionError:
        what = "the body nests too deep: flatten its objects and lists"
    raise RequestError(400, "INVALID_JSON", what)


def _integer(text: str) -> int | float:
    """A whole number as orjson reads it: one beyond 64 bits as a double."""
    if len(text) <= 20 and (number := int(text)) in INTEGERS:
        return number
    return float(text)


def _bad_gzip(what: str) -> RequestError:
    return RequestError(400, "INVALID_ENCODING", what)
