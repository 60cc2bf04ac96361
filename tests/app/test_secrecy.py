"""Neither logs nor metrics tell who somebody is or what they did, nor the credentials."""

import asyncio
import base64
import socket
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import aiohttp
import grpc
import orjson
import pytest
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from cio_fake import FakeCustomerIO, Request, Response, host_aiohttp
from cio_sidecar.rpc.event_json import from_event

from tests.app.command import run, serving

SAMPLES = [
    orjson.loads(line)
    for line in files("cio_sidecar.cli").joinpath("samples.ndjson").read_bytes().splitlines()
]

PRIVATE = "privat-5d41402a"
"""Stands in every bad event, in each place where something can be wrong."""


def leaves(value: Any) -> Iterator[str]:
    """Every text and number of an event, of some length."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif not isinstance(value, bool) and len(str(value)) > 4:
        yield str(value)


def secrets() -> set[str]:
    """Ids, addresses, names of events and whatever stands in properties, traits and context."""
    found = {PRIVATE}
    for event in SAMPLES:
        found |= set(leaves({name: value for name, value in event.items() if name != "type"}))
    # Words that the sidecar has reason to say.
    return found - {"email"}


def bad_events() -> list[event_pb2.Event]:
    """Events that are rejected, each for a reason of its own."""
    who = f"{PRIVATE}@example.com"
    track = event_pb2.Track(event=PRIVATE)

    def properties(**given: Any) -> event_pb2.Event:
        return event_pb2.Event(
            user_id=who, track=event_pb2.Track(event=PRIVATE, properties=event_pb2.Object(**given))
        )

    def traits(value: Any) -> event_pb2.Event:
        held = event_pb2.Object(json=orjson.dumps(value))
        return event_pb2.Event(user_id=who, identify=event_pb2.Identify(traits=held))

    not_a_number = event_pb2.Object()
    not_a_number.struct.update({PRIVATE: float("nan")})
    return [
        event_pb2.Event(user_id=who),
        event_pb2.Event(message_id=PRIVATE, track=track),
        event_pb2.Event(user_id=PRIVATE * 20, track=track),
        event_pb2.Event(message_id=PRIVATE * 20, track=track, user_id=who),
        properties(json=f'{{"{PRIVATE}":'.encode()),
        properties(json=f'["{PRIVATE}"]'.encode()),
        properties(json=orjson.dumps({PRIVATE: f"{PRIVATE}\0"})),
        properties(json=orjson.dumps({PRIVATE: PRIVATE * 10_000})),
        properties(struct=not_a_number.struct),
        properties(json=b'{"%s":' % PRIVATE.encode() * 300 + b"1" + b"}" * 300),
        traits({PRIVATE: PRIVATE * 100}),
        traits({f"{PRIVATE}{n}": n for n in range(400)}),
    ]


@pytest.mark.parametrize("api", ["auto", "v1"])
async def test_no_log_line_and_no_metric_holds_a_secret(
    env: dict[str, str], fake: FakeCustomerIO, until: Callable[..., Any], api: str
) -> None:
    env |= {"CIO_HTTP_LISTEN": "127.0.0.1:0", "CIO_API": api, "CIO_LOG_LEVEL": "debug"}
    # In turn: the credentials are rejected, the service is down, requests are rejected permanently,
    # an answer is no answer; then all is well.
    troubles = [(401, 2), (503, 1), (400, 3), (302, 1), (207, 1), (422, 1)]
    events = [from_event(sample) for sample in SAMPLES]
    async with serving(env) as served, grpc.aio.insecure_channel(served.address) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        address = (await served.logged(r"metrics on http://(\S+)"))[1]
        for status, count in troubles:
            fake.fail_next(status, count)
            request = ingest_pb2.SendBatchRequest(events=[*events[:3], *bad_events()])
            del events[:3]
            results = (await stub.SendBatch(request)).results
            assert [result.status for result in results[3:]] == [3] * len(bad_events())
            await until(lambda: fake.stats["by_status"].get(str(status)), f"a {status}")  # noqa: B023
            assert_tells_nothing(await metrics(address), env)
        await stub.SendBatch(ingest_pb2.SendBatchRequest(events=events))
        for event in bad_events():
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.Send(ingest_pb2.SendRequest(event=event))
        garbled: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/cio.sidecar.v1.IngestService/Send"
        )
        with pytest.raises(grpc.aio.AioRpcError):
            await garbled(f"\n\x40{PRIVATE}".encode())
        assert_tells_nothing(await metrics(address, settled=True), env)
        served.process.terminate()
        assert await served.process.wait() == 0
        assert_tells_nothing("\n".join(served.log), env)
    assert fake.events


async def test_no_log_line_holds_a_secret_where_customer_io_can_not_be_reached(
    env: dict[str, str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        env["CIO_BASE_URL"] = f"http://127.0.0.1:{reserved.getsockname()[1]}"
    env["CIO_LOG_LEVEL"] = "debug"
    async with serving(env) as served, grpc.aio.insecure_channel(served.address) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        events = [from_event(sample) for sample in SAMPLES]
        await stub.SendBatch(ingest_pb2.SendBatchRequest(events=events))
        await served.logged("delivery is ON HOLD")
        await served.logged("check CIO_REGION")
        served.process.terminate()
        assert await served.process.wait() == 0
        assert_tells_nothing("\n".join(served.log), env)


class Echo(FakeCustomerIO):
    """Answers every request with a status of a test's and the credentials that came with it."""

    status = 400

    def handle(self, request: Request, now: float) -> Response:  # noqa: ARG002
        header = request.headers["authorization"]
        site_id, api_key = base64.b64decode(header.split()[1]).decode().split(":")
        shifted = base64.b64encode(f"x{site_id}:{api_key}".encode()).decode()
        words = f"{header} {shifted} {quote(api_key)} {site_id}:{api_key}"
        errors = [{"batch_index": 0, "field": header, "message": words, api_key: api_key}]
        return Response(self.status, orjson.dumps({"errors": errors, "region": api_key}))


@pytest.mark.parametrize("status", [207, 400, 401, 500])
async def test_credentials_that_an_answer_echoes_are_nowhere(
    env: dict[str, str], credentials: dict[str, str], status: int
) -> None:
    echo = Echo(*credentials.values())
    echo.status = status
    running = await host_aiohttp.start(echo)
    env |= {"CIO_BASE_URL": running.url, "CIO_HTTP_LISTEN": "127.0.0.1:0", "CIO_LOG_LEVEL": "debug"}
    commands = [
        ["delivery", "stats", "--json"],
        ["dead-letters", "list", "--json", "--reveal"],
        ["dead-letters", "show", "m1", "--reveal"],
        ["dead-letters", "export", "--reveal"],
    ]
    try:
        async with serving(env) as served:
            address = (await served.logged(r"metrics on http://(\S+)"))[1]
            async with grpc.aio.insecure_channel(served.address) as channel:
                event = from_event({**SAMPLES[0], "messageId": "m1"})
                request = ingest_pb2.SendRequest(event=event)
                await ingest_pb2_grpc.IngestServiceStub(channel).Send(request)
            if status in (207, 400):
                await served.logged("kept as dead letters")
            else:
                await served.logged("ON HOLD")
            told = [await metrics(address)]
            target = {"CIO_LISTEN": served.address}
            for finished in await asyncio.gather(*(run(*each, env=target) for each in commands)):
                told += [finished.out, finished.err]
            if status in (207, 400):
                assert "[redacted]" in told[-2]
            served.process.terminate()
            assert await served.process.wait() == 0
    finally:
        await running.stop()
    assert_tells_no_credentials("\n".join([*served.log, *told]), env)


async def metrics(address: str, *, settled: bool = False) -> str:
    """The page of metrics; with ``settled`` that which tells an empty queue."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            async with session.get(f"http://{address}/metrics") as response:
                page = await response.text()
            if not settled or "cio_queue_events 0.0" in page:
                return page


def assert_tells_nothing(text: str, env: dict[str, str]) -> None:
    assert text
    told = {secret for secret in secrets() | {env["CIO_SITE_ID"]} if secret.lower() in text.lower()}
    assert not told
    assert_tells_no_credentials(text, env)


def assert_tells_no_credentials(text: str, env: dict[str, str]) -> None:
    """Neither the API key nor what base64 makes of it, wherever it starts."""
    key = env["CIO_API_KEY"].encode()
    forms = {key.decode()}
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + key).decode()
        # The first and the last characters depend on what is next to the key.
        forms.add(encoded[4:-4])
    assert not {form for form in forms if form.lower() in text.lower()}
