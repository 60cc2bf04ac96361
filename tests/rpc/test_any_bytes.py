"""Whatever bytes come as a request: a status that says what is wrong, and a server that lives."""

import json

import grpc
import pytest
from cio.sidecar.v1 import ingest_pb2, mapping_pb2
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rpc.harness import (
    ACCEPTED,
    INGEST,
    MAPPING,
    Caller,
    field,
    identify,
    json_object,
    struct_object,
    track,
    varint,
)

UNARY: dict[str, type[Message]] = {
    f"{INGEST}/Send": ingest_pb2.SendResponse,
    f"{INGEST}/SendBatch": ingest_pb2.SendBatchResponse,
    f"{MAPPING}/Render": mapping_pb2.RenderResponse,
    f"{MAPPING}/GetTable": mapping_pb2.GetTableResponse,
    f"{MAPPING}/ListTables": mapping_pb2.ListTablesResponse,
}
EXPECTED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}

EVENTS = [
    track({"total": 3, "list": [1, None]}, message_id="m1", context=json_object({"a": 1})),
    track(struct_object({"a": {"b": [1.5, "t", None, True]}})),
    identify({"email": "a@example.com"}),
]
REQUESTS: list[Message] = [
    *(ingest_pb2.SendRequest(event=event) for event in EVENTS),
    ingest_pb2.SendBatchRequest(events=EVENTS),
    ingest_pb2.StreamRequest(sequence=1, events=EVENTS),
    mapping_pb2.RenderRequest(event=EVENTS[0], api=mapping_pb2.API_V1),
    mapping_pb2.GetTableRequest(name="page"),
]


def numbered(wire_type: int, payload: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    numbers = st.integers(1, 16)
    return st.builds(lambda n, data: varint(n << 3 | wire_type) + data, numbers, payload)


LEAVES = st.one_of(
    numbered(0, st.integers(0, 2**64 - 1).map(varint)),
    numbered(1, st.binary(min_size=8, max_size=8)),
    numbered(5, st.binary(min_size=4, max_size=4)),
    numbered(3, st.just(b"")),
    numbered(4, st.just(b"")),
    st.builds(field, st.integers(1, 16), st.binary(max_size=20)),
    st.builds(field, st.integers(1, 16), st.text(max_size=10).map(str.encode)),
    st.builds(field, st.integers(1, 16), st.sampled_from([b"{}", b'{"a":1}', b"[1]", b"NaN"])),
)


def joined(parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(parts, max_size=5).map(b"".join)


WIRE = joined(
    st.recursive(
        LEAVES, lambda inner: st.builds(field, st.integers(1, 16), joined(inner)), max_leaves=15
    )
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good request with a few of its bytes changed, put in or taken out."""
    data = bytearray(draw(st.sampled_from(REQUESTS)).SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(start + 3, len(data))))
        data[start:end] = draw(st.binary(max_size=3))
    return bytes(data)


ANY_BYTES = st.one_of(st.binary(max_size=60), WIRE, mutated())
MANY = settings(
    max_examples=150,
    deadline=None,
    # The sidecar and its fake serve all the examples of a test.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("method", UNARY)
@MANY
@given(data=ANY_BYTES)
async def test_any_bytes_get_an_answer_or_an_explained_error(
    caller: Caller, method: str, data: bytes
) -> None:
    try:
        answer = await caller.raw(method, data)
    except grpc.aio.AioRpcError as error:
        assert error.code() in EXPECTED, error  # noqa: PT017
        assert error.details()  # noqa: PT017
    else:
        UNARY[method].FromString(answer)
    assert (await caller.send(track())).status == ACCEPTED


@MANY
@given(messages=st.lists(ANY_BYTES, min_size=1, max_size=4))
async def test_any_bytes_on_a_stream_get_acks_or_an_explained_error(
    caller: Caller, messages: list[bytes]
) -> None:
    call: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = caller.channel.stream_stream(
        f"{INGEST}/Stream"
    )
    stream = call(timeout=30)
    last = 0
    try:
        # One by one: Python's client hides a status that comes while it writes.
        for message in messages:
            await stream.write(message)
            ack = await stream.read()
            assert isinstance(ack, bytes)
            sequence = ingest_pb2.StreamResponse.FromString(ack).sequence
            assert sequence > last
            last = sequence
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error  # noqa: PT017
        assert error.details()  # noqa: PT017
    assert (await caller.send(track())).status == ACCEPTED


@MANY
@given(raw=st.one_of(st.binary(max_size=40), JSON.map(lambda value: json.dumps(value).encode())))
async def test_of_any_json_what_is_accepted_is_what_customer_io_takes(
    caller: Caller, raw: bytes
) -> None:
    before = caller.fake.stats["operations"]
    results = await caller.send_batch(track(raw), identify(raw), track(context=json_object(raw)))
    accepted = sum(result.status == ACCEPTED for result in results)
    await caller.settled()
    assert (await caller.sidecar.queue.stats()).dead_letters == 0
    assert caller.fake.stats["operations"] - before == accepted
