"""Whatever bytes come as a body over HTTP: what is read of a large one is what a parser reads."""

import gzip
import json
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from cio_sidecar.http_ingest.body import AT_ONCE_BYTES, Body, parse, read_batch, unpack
from cio_sidecar.http_ingest.errors import RequestError
from cio_sidecar.http_ingest.events import event_of, events_of, is_for_customer_io
from cio_sidecar.intake import CallLimits
from cio_sidecar.renderer import Rejected
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(max_size=8) | st.sampled_from(["batch", '"', "\\", "[", "}", ",", "\ud83d", "\0"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=30,
)
DEEP = st.integers(0, 30).map(lambda depth: json.loads("[" * depth + "1" + "]" * depth))
EVENT = st.dictionaries(
    st.sampled_from(["type", "userId", "context", "integrations", "messageId"]) | TEXT, JSON | DEEP
)
BODY = st.fixed_dictionaries(
    {"batch": st.lists(EVENT | JSON | DEEP, max_size=7)},
    optional={"context": JSON, "integrations": JSON, "writeKey": JSON, "sentAt": JSON},
)
WRITTEN = st.builds(
    lambda value, indent, ascii_only: json.dumps(
        value, indent=indent, ensure_ascii=ascii_only
    ).encode("utf-8", "replace"),
    BODY | EVENT,
    st.sampled_from([None, 0, 2]),
    st.booleans(),
)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A body with a few of its bytes changed, put in or taken out."""
    data = bytearray(draw(WRITTEN))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        new = draw(st.sampled_from([*b'[]{},:"\\ \n\x0b0']) | st.integers(0, 255))
        data[start : start + draw(st.integers(0, 2))] = bytes([new])[: draw(st.integers(0, 1))]
    return bytes(data)


BYTES = st.one_of(WRITTEN, spoiled(), st.binary(max_size=80))


def read(data: bytes, limits: CallLimits) -> tuple[Body, list[Any]] | RequestError:
    """The body and its events, as a large body is read: event by event."""
    bodies: list[Body] = []

    def run() -> Iterator[None]:
        bodies.append((yield from read_batch(data + b" " * AT_ONCE_BYTES, limits)))

    try:
        deque(run(), maxlen=0)
        return bodies[0], list(bodies[0].events)
    except RequestError as error:
        return error


def parsed(data: bytes) -> dict[str, Any] | None:
    """The object that a body is, as a small body is read: at once."""
    try:
        return parse(data)
    except RequestError:
        return None


@given(BYTES)
def test_a_large_body_has_the_events_that_a_small_one_has(data: bytes) -> None:
    whole = parsed(data)
    found = read(data, CallLimits(max_events=5))
    if isinstance(found, RequestError):
        assert found.status in (400, 413)
        batch = whole.get("batch") if whole else None
        assert not isinstance(batch, list) or len(batch) > 5
        return
    body, events = found
    assert whole is not None
    # As text, in which NaN equals itself.
    assert repr(events) == repr(whole.pop("batch"))
    assert repr(body.fields) == repr(whole)
    assert len(events) == body.count <= 5


@given(BYTES)
def test_every_event_of_a_large_body_is_one_or_is_rejected(data: bytes) -> None:
    found = read(data, CallLimits(max_events=5, max_event_bytes=100))
    if isinstance(found, RequestError):
        assert found.body["message"]
        return
    body, items = found
    try:
        events = list(events_of(Body(body.fields, items, body.count)))
    except RequestError:
        return
    assert len(events) == body.count
    for event in events:
        if not isinstance(event, Rejected):
            assert "writeKey" not in event
            assert is_for_customer_io(event) in (True, False)


@given(EVENT)
def test_a_call_of_one_event_is_one_or_is_rejected(fields: dict[str, Any]) -> None:
    event = event_of("track", fields)
    assert isinstance(event, Rejected) or event["type"] == "track"


@given(BYTES, st.integers(0, 60), st.binary(max_size=3))
def test_a_gzip_body_is_unpacked_whole_or_rejected(data: bytes, cut: int, more: bytes) -> None:
    packed = gzip.compress(data)
    assert unpack(packed, " GZIP ", len(data)) == data
    for bad in (packed[:-1][:cut] + more, packed + (more or b"x")):
        with pytest.raises(RequestError) as caught:
            unpack(bad, "gzip", len(data))
        assert caught.value.code in ("INVALID_ENCODING", "TOO_LARGE")
