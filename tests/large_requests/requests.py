"""Large requests, built systematically: every field at its maximum, and one bad value at the end.

A request is bytes on the wire. Nothing here knows what the sidecar checks.
"""

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from cio.sidecar.v1 import delivery_pb2, ingest_pb2, mapping_pb2
from cio_sidecar.http_ingest.body import BODY_BYTES
from cio_sidecar.rpc.server import MESSAGE_BYTES
from google.protobuf.descriptor import FieldDescriptor

from tests.rpc.harness import field

EVENT_BYTES: Final = 990_000
"""Just under the default of CIO_EVENT_MAX_BYTES."""
_ROOM: Final = 1_000
"""For what is around a payload."""

_TEXTS: Final = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
_BAD_WIRE: Final = b"\xff"
"""A tag that is cut short."""


@dataclass(frozen=True)
class Request:
    """One request, and how to send it."""

    name: str
    path: str
    """The method of gRPC, or the path over HTTP."""
    body: bytes
    over_http: bool = False
    gzipped: bool = False
    authorized: bool = True


def _filled(item: bytes, size: int) -> bytes:
    return item * (size // len(item))


def _listed(item: str) -> Callable[[int], str]:
    return lambda size: f"[{','.join([item] * (size // (len(item) + 1)))}]"


def _keyed(value: str) -> Callable[[int], str]:
    def document(size: int) -> str:
        count = size // (len(value) + 12)
        return "{" + ",".join([f'"k{index:07}":{value}' for index in range(count)]) + "}"

    return document


def _quoted(text: str) -> Callable[[int], str]:
    return lambda size: f'"{text * (size // len(text.encode()))}"'


def _nested(opening: str, closing: str, depth: int) -> Callable[[int], str]:
    one = opening * depth + "0" + closing * depth
    return _listed(one)


JSON_VALUES: Final[dict[str, Callable[[int], str]]] = {
    "integers": _listed("0"),
    "doubles": _listed("1.5"),
    "nulls": _listed("null"),
    "empty texts": _listed('""'),
    "short texts": _listed('"ab"'),
    "empty lists": _listed("[]"),
    "empty objects": _listed("{}"),
    "small objects": _listed('{"a":1}'),
    "dates": _listed('"2026-03-02T09:30:00.123+01:00"'),
    "email addresses": _listed('"Ann.Example@example.com"'),
    "keys of integers": _keyed("0"),
    "keys of objects": _keyed("{}"),
    "equal keys": lambda size: "{" + ",".join(['"a":0'] * (size // 6)) + "}",
    "text": _quoted("x"),
    "text of at signs": _quoted("@"),
    "text of dots and at signs": _quoted("a.@"),
    "text of quotes": _quoted('\\"'),
    "text of backslashes": _quoted("\\\\"),
    "text of escapes": _quoted("\\u00e9"),
    "text of two bytes": _quoted("é"),
    "text of four bytes": _quoted("😀"),
    "text of digits": _quoted("1"),
    "text of spaces": _quoted(" "),
    "a long key": lambda size: '{"' + "x" * size + '":0}',
    "a long key of at signs": lambda size: '{"' + "@" * size + '":0}',
    "a long key above integers": lambda size: (
        '{"' + "x" * (size // 2) + '":' + _listed("0")(size // 2) + "}"
    ),
    "a long key above objects": lambda size: (
        '{"' + "x" * (size // 2) + '":' + _listed('{"a":[0]}')(size // 2) + "}"
    ),
    "lists in lists": _nested("[", "]", 200),
    "objects in objects": _nested('{"a":', "}", 200),
    "lists too deep": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "objects too deep": lambda size: '{"a":' * (size // 6) + "0" + "}" * (size // 6),
    "lists not closed": lambda size: "[" * size,
    "digits": lambda size: "1" * size,
    "a long fraction": lambda size: "0." + "1" * size,
}
"""JSON values of about so many bytes."""

_GOOD: Final = ""
_NULL: Final = "a null character"
_NAN: Final = "NaN"
BAD_LAST: Final = {_GOOD: "1", _NULL: '"\\u0000"', _NAN: "NaN"}
"""What the last key of a document holds."""


def json_documents(size: int, *bad_last: str) -> Iterator[tuple[str, bytes]]:
    """JSON objects of about ``size`` bytes: the value, then a last key that may be bad."""
    for name, make in JSON_VALUES.items():
        value = make(size)
        for bad in bad_last:
            last = BAD_LAST[bad]
            document = f'{{"value":{value},"last":{last}}}'
            yield f"{name}{', ' if bad else ''}{bad}", document.encode()


def _wrapped(path: tuple[int, ...], payload: bytes) -> bytes:
    for number in reversed(path):
        payload = field(number, payload)
    return payload


def wire_messages(
    descriptor: Any, size: int, seen: set[str] | None = None
) -> Iterator[tuple[str, bytes]]:
    """For each field of a message, and of each kind of message within it: as long, or as often, as
    ``size`` bytes allow.
    """
    seen = set() if seen is None else seen
    seen.add(descriptor.full_name)
    for each in descriptor.fields:
        if each.type in _TEXTS:
            yield f"{each.name} long", field(each.number, b"x" * size)
            yield f"{each.name} not UTF-8", field(each.number, b"x" * size + b"\xff")
        if each.is_repeated and each.message_type is None and each.type not in _TEXTS:
            yield f"{each.name} many", field(each.number, b"\x01" * size)
        elif each.message_type or each.type in _TEXTS:
            # Of a field that may occur once, the last occurrence counts.
            yield f"{each.name} many", _filled(field(each.number, b""), size)
        else:
            yield f"{each.name} many", _filled(bytes([each.number << 3, 1]), size)
        inner = each.message_type
        if inner is not None and inner.full_name not in seen:
            for name, payload in wire_messages(inner, size, seen):
                yield f"{each.name}.{name}", field(each.number, payload)
    yield "unknown fields", _filled(b"\xf8\x3f\x01", size)


def grpc_requests() -> Iterator[Request]:
    """Requests of every unary method, at the size of a message and at that of an event."""
    for module in (ingest_pb2, mapping_pb2, delivery_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                path = f"/{service.full_name}/{method.name}"
                for size in (MESSAGE_BYTES - _ROOM, EVENT_BYTES):
                    for name, body in wire_messages(method.input_type, size):
                        for bad in (b"", _BAD_WIRE):
                            full = f"{method.name} {size:,} {name}{' cut short' if bad else ''}"
                            yield Request(full, path, body + bad)
    yield from _grpc_json_requests()
    yield from _grpc_many_events()


def _event(call: int, objects: int, document: bytes) -> bytes:
    return field(4, b"u1") + field(
        call, field(1, b"Viewed") * (call == 11) + field(objects, field(2, document))
    )


def _grpc_json_requests() -> Iterator[Request]:
    send = "/cio.sidecar.v1.IngestService/Send"
    batch = "/cio.sidecar.v1.IngestService/SendBatch"
    for name, document in json_documents(EVENT_BYTES, *BAD_LAST):
        event = _event(11, 2, document)
        yield Request(f"Send properties of {name}", send, field(1, event))
        whole = _filled(field(1, event), MESSAGE_BYTES - _ROOM)
        yield Request(f"SendBatch properties of {name}", batch, whole)
    for name, document in json_documents(MESSAGE_BYTES - _ROOM, _NULL):
        yield Request(
            f"Send {len(document):,} properties of {name}", send, field(1, _event(11, 2, document))
        )
    for name, document in json_documents(95_000, _GOOD, _NULL):
        whole = _filled(field(1, _event(11, 2, document)), MESSAGE_BYTES - _ROOM)
        yield Request(f"SendBatch of many properties of {name}", batch, whole)


def _grpc_many_events() -> Iterator[Request]:
    batch = "/cio.sidecar.v1.IngestService/SendBatch"
    events = {
        "empty": b"",
        "undecodable": b"\x0a\x01\xff",
        "cut short": b"\xff",
        "minimal": _event(11, 2, b"{}"),
        "invalid JSON": _event(11, 2, b"{"),
        "null character": _event(11, 2, b'{"a":"\\u0000"}'),
        "no person": field(11, field(1, b"Viewed")),
        "12 violations": field(
            10,
            field(
                1,
                field(
                    2,
                    b'{"a":"\\u0000",%s}'
                    % b",".join(b'"k%d":"\\u0000"' % index for index in range(60)),
                ),
            ),
        ),
    }
    for name, event in events.items():
        item = field(1, event)
        yield Request(f"SendBatch 10,000 events {name}", batch, item * 10_000)
        yield Request(f"SendBatch 10,001 events {name}", batch, item * 10_001)
        yield Request(f"SendBatch events {name}", batch, _filled(item, MESSAGE_BYTES - _ROOM))
    half = _filled(field(1, events["minimal"]), 400_000)[: 10_000 * 20]
    yield Request("SendBatch padded", batch, half + _filled(b"\xf8\x3f\x01", MESSAGE_BYTES // 2))


def http_requests() -> Iterator[Request]:
    """Bodies over HTTP, plain and by gzip, with and without the write key."""
    for name, path, body in _http_bodies():
        yield Request(f"HTTP {name}", path, body, over_http=True)
        if path == "/v1/batch":
            packed = gzip.compress(body, 1)
            full = f"HTTP {name} by gzip"
            yield Request(full, path, packed, over_http=True, gzipped=True)
            yield Request(f"{full} without a key", path, packed, True, True, authorized=False)
    for size in (16 * 1024, BODY_BYTES - 1):
        bomb = gzip.compress(b" " * (size * 1_000), 9)[:size]
        yield Request(f"HTTP bomb of {size:,}", "/v1/batch", bomb, over_http=True, gzipped=True)


def _http_bodies() -> Iterator[tuple[str, str, bytes]]:
    track = b'{"type":"track","userId":"u1","event":"Viewed",%s}'
    whole = BODY_BYTES - _ROOM
    for name, document in json_documents(EVENT_BYTES, *BAD_LAST):
        one = track % (b'"properties":' + document)
        yield f"track properties of {name}", "/v1/track", one
        yield f"batch of properties of {name}", "/v1/batch", _batch(one, whole)
        yield f"unknown key of {name}", "/v1/track", track % (b'"more":' + document)
        yield f"integrations of {name}", "/v1/track", track % (b'"integrations":' + document)
    for name, document in json_documents(whole - _ROOM, _GOOD, _NAN):
        yield (
            f"track {whole:,} properties of {name}",
            "/v1/track",
            track % (b'"properties":' + document),
        )
        yield f"batch key of {name}", "/v1/batch", b'{"batch":[],"more":%s}' % document
    for text in ("messageId", "userId", "anonymousId", "timestamp", "event", "type"):
        for size in (EVENT_BYTES, whole):
            value = b"x" * size
            body = b'{"userId":"u1","event":"Viewed","%s":"%s"}' % (text.encode(), value)
            yield f"{text} of {size:,}", "/v1/track", body
    for name, item in {
        "zeros": b"0",
        "objects": b"{}",
        "lists": b"[]",
        "minimal events": track % b'"a":1',
        "bad events": track % b'"properties":{"a":"\\u0000"}',
        "NaN": track % b'"properties":{"a":NaN}',
    }.items():
        yield f"batch of {name}", "/v1/batch", _batch(item, whole)
        yield f"batch of 10,000 {name}", "/v1/batch", _batch(item, 10_000 * (len(item) + 1))
    shared = b'{"context":{"value":"%s"},"batch":[%s]}'
    for size in (1_000, 90_000, EVENT_BYTES):
        events = b",".join([track % b'"a":1'] * 10_000)
        yield f"shared context of {size:,}", "/v1/batch", shared % (b"x" * size, events)
    keys = ",".join([f'"k{index}":0' for index in range(9_000)]).encode()
    yield "shared context of keys", "/v1/batch", b'{"context":{%s},"batch":[%s]}' % (keys, events)


def _batch(item: bytes, size: int) -> bytes:
    return b'{"batch":[%s]}' % b",".join([item] * max(1, size // (len(item) + 1)))
