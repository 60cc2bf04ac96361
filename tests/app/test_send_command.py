"""``cio-sidecar send``: events in, through gRPC, a receipt out for each as it comes."""

import asyncio
import json
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from cio.sidecar.v1 import ingest_pb2
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings
from cio_sidecar.app.sidecar import Sidecar

from tests.app.command import Finished, assert_no_traceback, end_of_input, run, start

SAMPLES = files("cio_sidecar.cli").joinpath("samples.ndjson").read_bytes()


def event(message_id: str = "", **fields: Any) -> bytes:
    given = {"type": "track", "event": "E", "userId": "u1", "messageId": message_id, **fields}
    return orjson.dumps(given) + b"\n"


@pytest.fixture
async def sidecar(make_settings: Callable[..., Settings]) -> AsyncIterator[Sidecar]:
    async with Sidecar(make_settings()) as sidecar:
        yield sidecar


async def send(sidecar: Sidecar, stdin: bytes) -> Finished:
    return await run("send", "--target", sidecar.address, stdin=stdin)


def statuses(finished: Finished) -> list[str]:
    return [line["status"] for line in finished.lines]


async def test_every_sample_gets_a_receipt_in_order_and_is_delivered(
    sidecar: Sidecar, fake: FakeCustomerIO, until: Callable[..., Any]
) -> None:
    finished = await send(sidecar, SAMPLES)
    assert (finished.code, finished.err) == (0, "")
    assert finished.lines == [
        {"message_id": orjson.loads(line)["messageId"], "status": "accepted"}
        for line in SAMPLES.splitlines()
    ]
    await until(lambda: sidecar.queue.waiting == 0, "delivery")
    assert fake.stats["operations"] == len(SAMPLES.splitlines())


async def test_a_repeat_is_told_and_is_no_failure(sidecar: Sidecar) -> None:
    finished = await send(sidecar, event("m1") + event("m2") + event("m1"))
    assert statuses(finished) == ["accepted", "accepted", "duplicate"]
    assert finished.code == 0
    assert statuses(await send(sidecar, event("m2"))) == ["duplicate"]


@pytest.mark.parametrize("absent", ["", "  ", None])
async def test_a_missing_message_id_is_filled_in_and_told(sidecar: Sidecar, absent: Any) -> None:
    finished = await send(sidecar, event(absent) + event(absent))
    ids = {line["message_id"] for line in finished.lines}
    assert len(ids) == 2
    assert all(len(message_id) == 26 for message_id in ids)


async def test_bad_lines_are_rejected_by_field_and_the_good_ones_sent(
    sidecar: Sidecar, fake: FakeCustomerIO, until: Callable[..., Any]
) -> None:
    deep = b'{"a":' * 1010 + b"null" + b"}" * 1010
    stdin = b"".join(
        [
            event("m1"),
            b"not json\n",
            b"\n",
            b"[1]\n",
            event("m5", type="purchase"),
            event("m6", userId=True),
            event("m7", userId=None),
            event("m8", properties=[1]),
            event("m9", traits={"a": 1}),
            event("m10", messageId={}),
            b'{"type":"track","event":"E","userId":"u","messageId":"m11","properties":%s}\n' % deep,
            b'{"type":"track","event":"E","userId":"u","properties":{"n":NaN}}\n',
            event("m13", messageId=0),
        ]
    )
    finished = await send(sidecar, stdin)
    assert finished.code == 1
    assert finished.err == ""
    named = [
        [(violation["field"], violation["reason"]) for violation in line.get("violations", [])]
        for line in finished.lines
    ]
    assert named == [
        [],
        [("", "INVALID_JSON")],
        [("", "WRONG_TYPE")],
        [("type", "UNKNOWN_TYPE")],
        [("userId", "WRONG_TYPE")],
        [("userId", "NO_PERSON")],
        [("properties", "WRONG_TYPE")],
        [("traits", "WRONG_TYPE")],
        [("messageId", "WRONG_TYPE")],
        [("properties", "TOO_DEEP")],
        [("", "INVALID_JSON")],
        [],
    ]
    assert "line 2 is not JSON" in finished.lines[1]["violations"][0]["description"]
    assert finished.lines[-1] == {"message_id": "0", "status": "accepted"}
    await until(lambda: len(fake.events) == 2, "the good ones")


async def test_an_event_too_large_for_a_call_is_rejected_and_the_next_one_sent(
    sidecar: Sidecar,
) -> None:
    finished = await send(sidecar, event("m1", properties={"a": "x" * 17_000_000}) + event("m2"))
    assert finished.code == 1
    assert statuses(finished) == ["rejected", "accepted"]
    (violation,) = finished.lines[0]["violations"]
    assert violation["reason"] == "TOO_LARGE"
    assert "line 1" in violation["description"]


async def test_warnings_stand_in_the_receipt(sidecar: Sidecar) -> None:
    finished = await send(sidecar, event("m1", event="e" * 101))
    (line,) = finished.lines
    assert line["status"] == "accepted"
    assert [warning["field"] for warning in line["warnings"]] == ["event"]


async def test_thousands_of_events_keep_their_order(
    sidecar: Sidecar, fake: FakeCustomerIO, until: Callable[..., Any]
) -> None:
    stdin = b"".join(event(f"m{n}", properties={"n": n}) for n in range(3000))
    finished = await send(sidecar, stdin)
    assert [line["message_id"] for line in finished.lines] == [f"m{n}" for n in range(3000)]
    await until(lambda: len(fake.events) == 3000, "delivery")
    assert [sent["data"]["n"] for sent in fake.events] == list(range(3000))


async def test_nothing_in_is_nothing_out_and_needs_no_sidecar() -> None:
    assert await run("send", "--target", "127.0.0.1:1", "--patience", "0") == (0, "", "")


async def receipt(process: Process) -> Any:
    assert process.stdout is not None
    return orjson.loads(await asyncio.wait_for(process.stdout.readline(), 60))


async def test_the_receipt_of_a_line_comes_before_the_next_line_is_written(
    sidecar: Sidecar,
) -> None:
    process = await start("send", "--target", sidecar.address)
    assert process.stdin is not None
    for message_id in ("m1", "m2", "m3"):
        process.stdin.write(event(message_id))
        await process.stdin.drain()
        assert await receipt(process) == {"message_id": message_id, "status": "accepted"}
    out, err = await end_of_input(process)
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_an_interrupt_while_it_waits_for_input_ends_it_quietly(sidecar: Sidecar) -> None:
    process = await start("send", "--target", sidecar.address)
    assert process.stdin is not None
    process.stdin.write(event("m1"))
    await receipt(process)
    process.send_signal(signal.SIGINT)
    # Its input is still open: the thread that reads it must not hold the end up.
    await asyncio.wait_for(process.wait(), 60)
    _, err = await end_of_input(process)
    assert process.returncode == 1
    assert_no_traceback(err.decode())


# A sidecar that is not there


async def test_a_target_that_can_not_be_reached_is_named_and_exits_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        target = f"127.0.0.1:{reserved.getsockname()[1]}"
    finished = await run("send", "--target", target, "--patience", "0", stdin=event("m1"))
    assert (finished.code, finished.out) == (3, "")
    assert target in finished.err
    assert "is the sidecar running there" in finished.err


async def test_an_unreachable_target_ends_it_though_the_input_stays_open() -> None:
    process = await start("send", "--target", "unix:/no/such/socket", "--patience", "0")
    assert process.stdin is not None
    process.stdin.write(event("m1"))
    await process.stdin.drain()
    assert await asyncio.wait_for(process.wait(), 60) == 3
    _, err = await end_of_input(process)
    assert_no_traceback(err.decode())


async def test_it_waits_for_a_sidecar_that_is_still_starting(
    make_settings: Callable[..., Settings],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        closing.setblocking(False)
        target = f"127.0.0.1:{closing.getsockname()[1]}"
        process = await start("send", "--target", target, "--patience", "60")
        assert process.stdin is not None
        process.stdin.write(event("m1"))
        # It has knocked once, and was rejected.
        (await asyncio.get_running_loop().sock_accept(closing))[0].close()
    async with Sidecar(make_settings(listen=target)):
        out, err = await end_of_input(process)
    assert json.loads(out) == {"message_id": "m1", "status": "accepted"}
    assert (process.returncode, err) == (0, b"")


class Moody:
    """Answers one call with an error, and any other by accepting."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self.code = code
        self.failing = 1
        """Which call."""
        self.calls: list[bytes] = []

    async def send_batch(
        self, request: ingest_pb2.SendBatchRequest, context: Any
    ) -> ingest_pb2.SendBatchResponse:
        self.calls.append(request.SerializeToString())
        if len(self.calls) == self.failing:
            await context.abort(self.code, "not now")
        accepted = ingest_pb2.EVENT_STATUS_ACCEPTED
        return ingest_pb2.SendBatchResponse(
            results=[
                ingest_pb2.EventResult(message_id=event.message_id, status=accepted)
                for event in request.events
            ]
        )


@asynccontextmanager
async def moody(code: grpc.StatusCode, folder: Path) -> AsyncIterator[tuple[Moody, str]]:
    servicer = Moody(code)
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(
        servicer.send_batch,
        request_deserializer=ingest_pb2.SendBatchRequest.FromString,
        response_serializer=ingest_pb2.SendBatchResponse.SerializeToString,
    )
    service = "cio.sidecar.v1.IngestService"
    handler = grpc.method_handlers_generic_handler(service, {"SendBatch": method})
    server.add_generic_rpc_handlers((handler,))
    address = f"unix:{folder}/moody.sock"
    server.add_insecure_port(address)
    await server.start()
    try:
        yield servicer, address
    finally:
        await server.stop(None)


@pytest.mark.parametrize(
    "code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED"]
)
async def test_what_may_pass_is_tried_again_with_the_same_message_ids(
    tmp_path: Path, code: str
) -> None:
    async with moody(grpc.StatusCode[code], tmp_path) as (servicer, address):
        finished = await run("send", "--target", address, stdin=event())
    assert statuses(finished) == ["accepted"]
    assert (finished.code, finished.err) == (0, "")
    first, second = servicer.calls
    assert first == second


async def test_who_gives_up_says_how_far_it_came(tmp_path: Path) -> None:
    async with moody(grpc.StatusCode.PERMISSION_DENIED, tmp_path) as (servicer, address):
        servicer.failing = 3
        process = await start("send", "--target", address)
        assert process.stdin is not None
        for lines in (event("m1"), b"\nnot json\n", event("m2")):
            process.stdin.write(lines)
            await process.stdin.drain()
            await receipt(process)
        process.stdin.write(event("m3"))
        out, err = await end_of_input(process)
    assert (process.returncode, out) == (3, b"")
    assert err.endswith(
        b"not now; 2 event(s) acknowledged, and line 5 is the first without a receipt\n"
    )


@pytest.mark.parametrize("code", ["UNIMPLEMENTED", "INVALID_ARGUMENT", "PERMISSION_DENIED"])
async def test_what_will_not_pass_ends_it_at_once(tmp_path: Path, code: str) -> None:
    async with moody(grpc.StatusCode[code], tmp_path) as (servicer, address):
        finished = await run("send", "--target", address, stdin=event())
    assert (finished.code, finished.out) == (3, "")
    assert f"{code}: not now" in finished.err
    assert len(servicer.calls) == 1


async def test_the_target_may_come_from_the_variable_that_the_sidecar_listens_by(
    sidecar: Sidecar,
) -> None:
    finished = await run("send", stdin=event("m1"), env={"CIO_LISTEN": sidecar.address})
    assert statuses(finished) == ["accepted"]


@pytest.mark.parametrize(("option", "value"), [("--patience", "soon"), ("--nonsense", "1")])
async def test_a_wrong_option_is_named(option: str, value: str) -> None:
    finished = await run("send", option, value)
    assert finished.code == 2
    assert option in finished.err
