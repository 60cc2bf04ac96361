"""/readyz, /healthz/delivery and gRPC health: while running, on hold, and at shutdown."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import grpc
import pytest
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings
from cio_sidecar.app.sidecar import Sidecar
from cio_sidecar.cli import serve
from cio_sidecar.cli.signals import run_until_signal
from cio_sidecar.customerio.answers import Answer
from cio_sidecar.delivery.dispatcher import Dispatcher
from cio_sidecar.delivery.http_client import Sender
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue
from click.testing import CliRunner
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.app.command import Serving, serving
from tests.delivery.support import free_port

Until = Callable[..., Any]
Make = Callable[..., Settings]
Checks = dict[str, dict[str, Any]]


async def get(address: str | None, path: str) -> tuple[int, Checks]:
    """Status, and checks by their names."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}{path}") as response,
    ):
        body = await response.json()
        key = "ready" if path == "/readyz" else "healthy"
        assert body[key] == (response.status == 200)
        checks = {check["check"]: check for check in body["checks"]}
    for check in checks.values():
        since = datetime.fromisoformat(check["since"])
        assert since.tzinfo == UTC
        assert abs(since.timestamp() - time.time()) < 600
    return response.status, checks


async def send(address: str) -> None:
    event = event_pb2.Event(user_id="u1", track=event_pb2.Track(event="E"))
    async with grpc.aio.insecure_channel(address) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        await stub.Send(ingest_pb2.SendRequest(event=event), timeout=30)


async def is_serving(address: str, service: str) -> bool:
    async with grpc.aio.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def test_health_of_a_running_sidecar(make_settings: Make) -> None:
    async with Sidecar(make_settings(http_listen="127.0.0.1:0")) as sidecar:
        status, checks = await get(sidecar.http_address, "/readyz")
        states = {name: check["state"] for name, check in checks.items()}
        assert (status, states) == (200, {"life_cycle": "serving", "queue": "accepting"})
        status, checks = await get(sidecar.http_address, "/healthz/delivery")
        assert (status, checks["delivery"]["state"]) == (200, "active")


@pytest.mark.parametrize("required", [False, True])
async def test_readiness_includes_delivery_only_if_required(
    make_settings: Make, fake: FakeCustomerIO, until: Until, *, required: bool
) -> None:
    fake.set_credentials("another site", "another key")
    settings = make_settings(http_listen="127.0.0.1:0", ready_requires_delivery=required)
    async with Sidecar(settings) as sidecar:
        await until(lambda: sidecar.dispatcher.hold, "the hold")
        status, checks = await get(sidecar.http_address, "/readyz")
        assert status == (503 if required else 200)
        assert ("delivery" in checks) == required
        status, checks = await get(sidecar.http_address, "/healthz/delivery")
        delivery = checks["delivery"]
        assert (status, delivery["state"], delivery["reason"]) == (503, "on_hold", "credentials")
        assert "HTTP 401" in delivery["message"]
        assert "CIO_API_KEY" in delivery["what_to_do"]
        for service in ("", "cio.sidecar.v1.IngestService", "cio.sidecar.v1.DeliveryService"):
            assert await is_serving(sidecar.address, service)


async def test_delivery_health_follows_a_pause(make_settings: Make) -> None:
    async with Sidecar(make_settings(http_listen="127.0.0.1:0")) as sidecar:
        sidecar.dispatcher.pause()
        status, checks = await get(sidecar.http_address, "/healthz/delivery")
        assert (status, checks["delivery"]["state"]) == (503, "paused")
        assert "delivery resume" in checks["delivery"]["what_to_do"]
        assert (await get(sidecar.http_address, "/readyz"))[0] == 200
        sidecar.dispatcher.resume()
        assert (await get(sidecar.http_address, "/healthz/delivery"))[0] == 200


async def test_readiness_reports_a_full_queue_and_stays_on(make_settings: Make) -> None:
    settings = make_settings(http_listen="127.0.0.1:0", queue_max_events=1)
    async with Sidecar(settings) as sidecar:
        sidecar.dispatcher.pause()
        await send(sidecar.address)
        with pytest.raises(grpc.aio.AioRpcError):
            await send(sidecar.address)
        status, checks = await get(sidecar.http_address, "/readyz")
        assert (status, checks["queue"]["state"]) == (200, "full")
        assert "CIO_QUEUE_MAX_EVENTS" in checks["queue"]["what_to_do"]


# At shutdown


async def stop(served: Serving) -> None:
    served.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(served.process.wait(), 60) == 0
    await served.logged("stopped; ")


async def test_shutdown_delay_accepts_events_until_a_second_signal(
    env: dict[str, str], fake: FakeCustomerIO, until: Until
) -> None:
    env |= {"CIO_HTTP_LISTEN": f"127.0.0.1:{free_port()}", "CIO_SHUTDOWN_DELAY_SECONDS": "3600"}
    async with serving(env) as served:
        served.process.send_signal(signal.SIGTERM)
        await served.logged("events are accepted for another 3600 s")
        status, checks = await get(env["CIO_HTTP_LISTEN"], "/readyz")
        assert (status, checks["life_cycle"]["state"]) == (503, "shutting_down")
        assert (await get(env["CIO_HTTP_LISTEN"], "/healthz/delivery"))[0] == 200
        assert not await is_serving(served.address, "")
        assert not await is_serving(served.address, "cio.sidecar.v1.IngestService")
        assert await is_serving(served.address, "cio.sidecar.v1.DeliveryService")
        await send(served.address)
        await until(lambda: len(fake.events) == 1, "delivery")
        await stop(served)


async def leaving(sidecar: Sidecar, until: Until) -> asyncio.Task[None]:
    """A sidecar's life after a signal, which has begun."""
    stopped = asyncio.Event()
    living = asyncio.create_task(sidecar.until(stopped))
    # After the task's first step.
    asyncio.get_running_loop().call_soon(stopped.set)
    await until(lambda: sidecar._life.state == "shutting_down", "the delay")
    return living


async def test_shutdown_delay_ends_by_itself(make_settings: Make, until: Until) -> None:
    async with Sidecar(make_settings(shutdown_delay_seconds=0.01)) as sidecar:
        await asyncio.wait_for(await leaving(sidecar, until), 30)


async def test_two_signals_at_a_time_end_the_shutdown_delay(env: dict[str, str]) -> None:
    env["CIO_SHUTDOWN_DELAY_SECONDS"] = "3600"
    async with serving(env) as served:
        served.process.send_signal(signal.SIGINT)
        await stop(served)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_event_loop_runs_ends_serve(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(serve, "settings_from", lambda *_: signal.raise_signal(number))
    try:
        result = CliRunner().invoke(serve.serve)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert (result.exit_code, result.output) == (0, "")


async def test_a_signal_during_the_start_skips_the_shutdown_delay(make_settings: Make) -> None:
    stopped = asyncio.Event()
    stopped.set()
    async with Sidecar(make_settings(shutdown_delay_seconds=3600)) as sidecar:
        await asyncio.wait_for(sidecar.until(stopped), 30)


async def test_health_does_not_come_back_during_the_shutdown_delay(
    make_settings: Make, until: Until
) -> None:
    async with Sidecar(make_settings(shutdown_delay_seconds=3600)) as sidecar:
        living = await leaving(sidecar, until)
        sidecar.queue.on_condition()
        assert not await is_serving(sidecar.address, "")
        sidecar.stop_at_once()
        await asyncio.wait_for(living, 30)


@pytest.mark.parametrize("last", ["delivery", "queue"])
async def test_health_and_metrics_are_served_to_the_very_end(
    make_settings: Make, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    reached, go = asyncio.Event(), asyncio.Event()
    run_delivery, to_thread = Dispatcher.run, asyncio.to_thread

    async def run_late(dispatcher: Dispatcher) -> None:
        await run_delivery(dispatcher)
        reached.set()
        await go.wait()

    async def close_and_wait(work: Callable[..., Any], *given: Any) -> Any:
        done = await to_thread(work, *given)
        if getattr(work, "__func__", None) is SqliteQueue.close:
            reached.set()
            await go.wait()
        return done

    if last == "delivery":
        monkeypatch.setattr(Dispatcher, "run", run_late)
    else:
        monkeypatch.setattr(asyncio, "to_thread", close_and_wait)
    sidecar = Sidecar(make_settings(http_listen="127.0.0.1:0", shutdown_grace_seconds=60))
    async with sidecar, aiohttp.ClientSession() as session:
        stop = asyncio.create_task(sidecar.__aexit__(None, None, None))
        await asyncio.wait_for(reached.wait(), 30)
        statuses = []
        for path in ("/readyz", "/livez", "/metrics"):
            async with session.get(f"http://{sidecar.http_address}{path}") as response:
                statuses.append(response.status)
        assert statuses == [503, 200, 200]
        go.set()
        await stop


# What must not end unseen


async def test_delivery_that_ends_by_itself_ends_the_sidecar(
    make_settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ends(_: Dispatcher) -> None:
        pass

    monkeypatch.setattr(Dispatcher, "run", ends)
    with pytest.raises(RuntimeError, match="delivery ended"):
        async with asyncio.timeout(10), Sidecar(make_settings()) as sidecar:
            await sidecar.until(asyncio.Event())


async def test_delivery_that_dies_during_the_shutdown_delay_ends_it(
    make_settings: Make, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    die = asyncio.Event()

    async def dies(_: Dispatcher) -> None:
        await die.wait()
        raise LookupError("a mistake")

    monkeypatch.setattr(Dispatcher, "run", dies)
    async with Sidecar(make_settings(shutdown_delay_seconds=3600)) as sidecar:
        living = await leaving(sidecar, until)
        die.set()
        with pytest.raises(LookupError):
            await asyncio.wait_for(living, 30)


def test_an_unexpected_error_ends_the_process_without_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def fails(_: asyncio.Event) -> bool:
        raise LookupError("ann@example.com")

    with pytest.raises(SystemExit) as caught:
        run_until_signal(fails)
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("cio-sidecar: internal error, please report it: LookupError in test_hea")
    assert said.count("\n") == 1
    assert "ann@" not in said


async def test_check_of_the_credentials_logs_an_unexpected_error(
    make_settings: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    until: Until,
) -> None:
    async def fails(_: Sender) -> None:
        raise LookupError("ann@example.com")

    monkeypatch.setattr(Sender, "region", fails)
    async with Sidecar(make_settings()):
        await until(lambda: "_check_credentials ended (LookupError)" in caplog.text, "the log")
    assert "ann@" not in caplog.text


async def test_check_of_the_credentials_names_a_redirect(
    make_settings: Make,
    caplog: pytest.LogCaptureFixture,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def redirects(_: Sender) -> Answer:
        return Answer(301, location_host="elsewhere.example")

    monkeypatch.setattr(Sender, "region", redirects)
    async with Sidecar(make_settings()):
        await until(lambda: "elsewhere.example" in caplog.text, "the log")
    loud = [record for record in caplog.records if record.levelno > logging.INFO]
    assert [record.levelno for record in loud] == [logging.ERROR]
    assert "CIO_BASE_URL" in caplog.text
