"""Arbitrary bytes as requests: decoded, or InvalidRequest, never another exception."""

import pytest
from cio.sidecar.v1 import ingest_pb2
from cio_sidecar.intake import CallLimits
from cio_sidecar.rpc.decode import InvalidRequest, Undecodable, decode_event, decode_events
from cio_sidecar.rpc.event_json import to_event
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.support import FUZZ
from tests.rpc.harness import field

LIMITS = CallLimits(max_events=8, max_event_bytes=1024)
PAYLOADS = st.recursive(
    st.binary(max_size=12),
    lambda inner: st.lists(st.builds(field, st.integers(1, 20), inner), max_size=4).map(b"".join),
)


@pytest.mark.parametrize("request_class", [ingest_pb2.SendBatchRequest, ingest_pb2.StreamRequest])
@FUZZ
@given(data=PAYLOADS)
def test_decode_events_any_bytes_are_decoded_or_rejected(
    request_class: type[ingest_pb2.SendBatchRequest] | type[ingest_pb2.StreamRequest], data: bytes
) -> None:
    try:
        _, events = decode_events(request_class, data, LIMITS)
        for event in events:
            if isinstance(event, Undecodable):
                assert event.violations
            else:
                to_event(event)
    except InvalidRequest as error:
        assert error.violations  # noqa: PT017


@FUZZ
@given(PAYLOADS)
def test_decode_event_any_bytes_are_decoded_or_rejected(data: bytes) -> None:
    try:
        to_event(decode_event(ingest_pb2.SendRequest, data, LIMITS).event)
    except InvalidRequest as error:
        assert error.violations  # noqa: PT017
