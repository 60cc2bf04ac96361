"""A running sidecar as an operator sees it: health, metrics, logs, and starts that are rejected."""

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import REGIONS, ConfigError, Settings
from cio_sidecar.app.sidecar import Sidecar
from cio_sidecar.delivery.dispatcher import Dispatcher
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

Until = Callable[..., Any]
Make = Callable[..., Settings]


async def get(sidecar: Sidecar, path: str) -> tuple[int, str]:
    url = f"http://{sidecar.http_address}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def metrics(sidecar: Sidecar) -> dict[str, float]:
    """Each sample by its name and labels, such as ``cio_requests_total{status=200}``."""
    status, text = await get(sidecar, "/metrics")
    assert status == 200
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


async def send(sidecar: Sidecar, *events: event_pb2.Event) -> list[int]:
    async with grpc.aio.insecure_channel(sidecar.address) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        response = await stub.SendBatch(ingest_pb2.SendBatchRequest(events=events))
        return [result.status for result in response.results]


def track(name: str = "Order Completed", **fields: Any) -> event_pb2.Event:
    return event_pb2.Event(user_id="u1", track=event_pb2.Track(event=name), **fields)


def logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


async def start_rejected(settings: Settings) -> str:
    with pytest.raises(ConfigError) as caught:
        async with Sidecar(settings):
            pass
    return str(caught.value)


# Over HTTP


async def test_a_running_sidecar_is_live_and_ready(make_settings: Make) -> None:
    async with Sidecar(make_settings(http_listen="127.0.0.1:0")) as sidecar:
        assert await get(sidecar, "/livez") == (200, '{"live": true}')
        assert (await get(sidecar, "/readyz"))[0] == 200
        assert (await get(sidecar, "/nonsense"))[0] == 404


async def test_http_listens_on_ipv6_too(make_settings: Make) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with Sidecar(make_settings(http_listen="[::1]:0", listen="[::1]:0")) as sidecar:
        assert sidecar.http_address is not None
        assert sidecar.http_address.startswith("[::1]:")
        assert (await get(sidecar, "/livez"))[0] == 200
        assert await send(sidecar, track()) == [ingest_pb2.EVENT_STATUS_ACCEPTED]


async def test_http_can_be_turned_off(make_settings: Make) -> None:
    async with Sidecar(make_settings(http_listen="off")) as sidecar:
        assert sidecar.http_address is None


async def test_metrics_count_what_came_in_and_what_became_of_it(
    make_settings: Make, until: Until
) -> None:
    async with Sidecar(make_settings(http_listen="127.0.0.1:0")) as sidecar:
        before = await metrics(sidecar)
        assert before["cio_events_received_total{status=accepted}"] == 0
        await send(
            sidecar,
            track(message_id="m1"),
            track(message_id="m1"),
            track("e" * 101),
            event_pb2.Event(),
        )
        await until(lambda: sidecar.queue.waiting == 0, "delivery")
        after = await metrics(sidecar)
    assert after["cio_events_received_total{status=accepted}"] == 2
    assert after["cio_events_received_total{status=duplicate}"] == 1
    assert after["cio_events_received_total{status=rejected}"] == 1
    assert after["cio_events_warned_total"] == 1
    assert after["cio_events_delivered_total"] == 2
    assert after["cio_requests_total{status=200}"] >= 1
    assert after["cio_queue_events"] == 0
    assert after["cio_delivery_paused"] == 0


async def test_metrics_tell_retries_and_a_backlog(
    make_settings: Make, fake: FakeCustomerIO, until: Until
) -> None:
    fake.fail_next(503)
    async with Sidecar(make_settings(http_listen="127.0.0.1:0")) as sidecar:
        await send(sidecar, track())
        await until(lambda: sidecar.dispatcher.counters.retried, "an attempt")
        found = await metrics(sidecar)
        assert found["cio_events_retried_total"] >= 1
        assert found["cio_requests_total{status=503}"] >= 1
        assert found["cio_delivery_hold_seconds"] > 0
        assert found["cio_queue_events"] == 1
        assert found["cio_queue_bytes"] > 100
        assert found["cio_queue_oldest_seconds"] >= 0
        assert found["cio_queue_file_bytes"] > found["cio_queue_bytes"]
        assert found["cio_dead_letters"] == 0
        fake.heal()
        fake.fail_next(400)
        await until(lambda: sidecar.queue.waiting == 0, "the dead letter")
        found = await metrics(sidecar)
        assert found["cio_dead_letters"] == 1
        assert found["cio_delivery_hold_seconds"] == 0


# Credentials


async def test_wrong_credentials_put_delivery_on_hold_loudly_until_they_are_fixed(
    make_settings: Make,
    fake: FakeCustomerIO,
    credentials: dict[str, str],
    until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.set_credentials("another site", "another key")
    async with Sidecar(make_settings(http_listen="127.0.0.1:0")) as sidecar:
        # Before any event comes: the sidecar asks at its start.
        await until(lambda: sidecar.dispatcher.hold, "the check of the credentials")
        assert (await get(sidecar, "/readyz"))[0] == 200
        assert await get(sidecar, "/livez") == (200, '{"live": true}')
        assert (await metrics(sidecar))["cio_delivery_on_hold{reason=credentials}"] == 1
        (loud,) = logged(caplog, logging.ERROR)
        assert "ON HOLD (credentials)" in loud
        for word in ("HTTP 401", "CIO_SITE_ID", "CIO_API_KEY", "CIO_REGION", "events are kept"):
            assert word in loud
        accepted = await send(sidecar, track(), track())
        assert accepted == [ingest_pb2.EVENT_STATUS_ACCEPTED] * 2
        assert fake.events == []

        fake.set_credentials(credentials["CIO_SITE_ID"], credentials["CIO_API_KEY"])
        await until(lambda: len(fake.events) == 2, "the kept events")
        await until(lambda: sidecar.dispatcher.hold is None, "the end of the hold")
        assert (await metrics(sidecar))["cio_delivery_on_hold{reason=credentials}"] == 0
    assert "delivery resumed" in " ".join(logged(caplog, logging.INFO))
    assert credentials["CIO_API_KEY"] not in caplog.text


async def test_a_hold_for_credentials_ends_without_any_event(
    make_settings: Make, fake: FakeCustomerIO, credentials: dict[str, str], until: Until
) -> None:
    fake.set_credentials("another site", "another key")
    async with Sidecar(make_settings(http_listen="127.0.0.1:0")) as sidecar:
        await until(lambda: sidecar.dispatcher.hold, "the check of the credentials")
        fake.set_credentials(credentials["CIO_SITE_ID"], credentials["CIO_API_KEY"])
        await until(lambda: sidecar.dispatcher.hold is None, "the end of the hold")


async def test_a_workspace_of_another_region_is_told(
    make_settings: Make,
    fake: FakeCustomerIO,
    until: Until,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(REGIONS, "us", make_settings().base_url)
    fake.region = "eu"
    async with Sidecar(make_settings(base_url="")):
        await until(lambda: logged(caplog, logging.ERROR), "the check of the region")
    (loud,) = logged(caplog, logging.ERROR)
    assert "set CIO_REGION=eu" in loud


# A Customer.io that is not there


async def test_a_base_url_that_does_not_answer_is_named_and_events_are_kept(
    make_settings: Make,
    fake: FakeCustomerIO,
    fake_url: str,
    until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        nobody = f"http://127.0.0.1:{reserved.getsockname()[1]}"
    settings = make_settings(base_url=nobody, http_listen="127.0.0.1:0")
    async with Sidecar(settings) as sidecar:
        assert await send(sidecar, track()) == [ingest_pb2.EVENT_STATUS_ACCEPTED]
        await until(lambda: sidecar.dispatcher.counters.retried, "an attempt")
        await until(lambda: len(logged(caplog, logging.WARNING)) == 2, "both warnings")
        # Nothing is wrong with the sidecar: it goes on taking events in.
        assert (await get(sidecar, "/readyz"))[0] == 200
        assert await send(sidecar, track()) == [ingest_pb2.EVENT_STATUS_ACCEPTED]
    at_start, at_delivery = sorted(logged(caplog, logging.WARNING), key=len, reverse=True)
    assert f"{nobody} can't be reached" in at_start
    assert "CIO_BASE_URL" in at_start
    assert "events are kept" in at_start
    assert f"{nobody} can't be reached" in at_delivery
    async with Sidecar(make_settings(base_url=fake_url)):
        await until(lambda: len(fake.events) == 2, "the kept events")


async def test_a_server_that_is_not_customer_io_loses_no_event(
    make_settings: Make, fake_url: str, until: Until, fake: FakeCustomerIO
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        host, port = mute.getsockname()
        settings = make_settings(base_url=f"http://{host}:{port}", timeout_seconds=0.2)
        async with Sidecar(settings) as sidecar:
            assert await send(sidecar, track()) == [ingest_pb2.EVENT_STATUS_ACCEPTED]
            await until(lambda: sidecar.dispatcher.counters.retried, "an attempt")
            assert sidecar.queue.waiting == 1
    async with Sidecar(make_settings(base_url=fake_url)):
        await until(lambda: len(fake.events) == 1, "the kept event")


# Starts that are rejected


async def test_missing_credentials_reject_the_start(make_settings: Make, tmp_path: Path) -> None:
    assert "CIO_SITE_ID must be set" in await start_rejected(make_settings(site_id=""))
    # Nothing was touched.
    assert not (tmp_path / "data").exists()


async def test_an_http_port_in_use_rejects_the_start_and_frees_the_data(
    make_settings: Make,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        message = await start_rejected(make_settings(http_listen=address))
    assert message.startswith("CIO_HTTP_LISTEN: ")
    assert "in use" in message
    async with Sidecar(make_settings(http_listen=address)):
        pass


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1", "127.0.0.1:x", "h:99999", "h:-1", ":"])
async def test_an_http_address_that_is_none_is_named(make_settings: Make, listen: str) -> None:
    message = await start_rejected(make_settings(http_listen=listen))
    assert message == f"CIO_HTTP_LISTEN: expected host:port or off, got {listen!r}"


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1", "127.0.0.1:x", "h:99999", ":"])
async def test_a_grpc_address_that_is_none_is_named(make_settings: Make, listen: str) -> None:
    message = await start_rejected(make_settings(listen=listen))
    assert message == f"CIO_LISTEN: expected host:port or unix:PATH, got {listen!r}"


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("no.such.host.invalid:1", ": check the name"),
        ("192.0.2.1:1", "this machine has no such address"),
        ("unix:/no/such/x", "there is no such folder"),
    ],
)
async def test_an_address_that_can_not_be_had_is_named(
    make_settings: Make, listen: str, why: str
) -> None:
    message = await start_rejected(make_settings(listen=listen))
    assert message.startswith(f"CIO_LISTEN: can't listen on {listen}: ")
    assert why in message


async def test_a_data_folder_that_can_not_be_made_is_named(
    make_settings: Make, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        message = await start_rejected(make_settings(data_dir=folder))
        assert message.startswith("CIO_DATA_DIR: ")
        assert str(tmp_path / "file") in message


async def test_a_queue_file_that_is_none_is_named_and_left_alone(
    make_settings: Make, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    queue = tmp_path / "data" / "queue.sqlite3"
    queue.write_bytes(b"no database at all, but of some length" * 100)
    message = await start_rejected(make_settings())
    assert message.startswith(f"CIO_DATA_DIR: {queue} is damaged")
    assert queue.read_bytes().startswith(b"no database")


async def test_a_second_sidecar_on_the_same_data_is_rejected(
    make_settings: Make, tmp_path: Path
) -> None:
    async with Sidecar(make_settings()) as first:
        message = await start_rejected(make_settings(listen="127.0.0.1:0"))
        assert message.startswith("CIO_DATA_DIR: ")
        assert str(tmp_path / "data" / "queue.sqlite3") in message
        assert "in use by another cio-sidecar" in message
        assert await send(first, track()) == [ingest_pb2.EVENT_STATUS_ACCEPTED]
    async with Sidecar(make_settings()):
        pass


async def test_an_overlay_folder_that_is_missing_or_empty_is_named(
    make_settings: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "tables"
    missing = await start_rejected(make_settings(overlay=folder))
    assert missing == f"CIO_OVERLAY: there is no folder {folder}"
    folder.mkdir()
    (folder / "notes.txt").write_text("no table")
    empty = await start_rejected(make_settings(overlay=folder))
    assert empty == f"CIO_OVERLAY: the folder {folder} holds no tables (*.yaml)"
    (folder / "page.yaml").write_bytes(b"\xff\xfe")
    assert str(folder / "page.yaml") in await start_rejected(make_settings(overlay=folder))


async def test_every_mistake_in_an_overlay_is_named_by_file_and_line(
    make_settings: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a.yaml").write_text(
        "table: page\nrows:\n  - key: data.x\n    level: sometimes\n    value: 1\n    doc: d\n"
    )
    (folder / "b.yaml").write_text("table: [page\n")
    message = await start_rejected(make_settings(overlay=folder))
    assert f"{folder / 'a.yaml'}:4" in message
    assert "sometimes" in message
    assert f"{folder / 'b.yaml'}:" in message


async def test_start_names_a_proxy_that_can_not_be_used(
    make_settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://ann:secret@:x")
    monkeypatch.setenv("no_proxy", "")
    settings = make_settings(base_url="https://cio.invalid")
    message = await start_rejected(settings)
    assert message.startswith("https_proxy: expected")
    assert "secret" not in message
    # Nothing was touched.
    assert not settings.data_dir.exists()


# The end


async def test_what_is_left_at_the_end_is_told_and_delivered_at_the_next_start(
    make_settings: Make,
    fake: FakeCustomerIO,
    until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    fake.fail_next(500)
    async with Sidecar(make_settings()) as sidecar:
        await send(sidecar, *(track(message_id=f"m{n}") for n in range(5)))
        await until(lambda: sidecar.dispatcher.counters.retried, "an attempt")
    assert logged(caplog, logging.INFO)[-1].startswith("stopped; 5 event(s) left in the queue")
    fake.heal()
    caplog.clear()
    async with Sidecar(make_settings()):
        assert logged(caplog, logging.INFO)[0].endswith("5 event(s) in the queue")
        await until(lambda: len(fake.events) == 5, "the events left by the first")
    assert sorted(event["id"] for event in fake.events) == [f"m{n}" for n in range(5)]


async def test_readiness_goes_off_while_calls_at_hand_still_hold_the_end_up(
    make_settings: Make, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    waiting, go = asyncio.Event(), asyncio.Event()
    put = SqliteQueue.put

    async def put_late(*given: Any, **named: Any) -> list[bool]:
        waiting.set()
        await go.wait()
        return await put(*given, **named)

    monkeypatch.setattr(SqliteQueue, "put", put_late)
    sidecar = Sidecar(make_settings(http_listen="127.0.0.1:0", shutdown_grace_seconds=60))
    async with sidecar:
        call = asyncio.create_task(send(sidecar, track()))
        await waiting.wait()
        stop = asyncio.create_task(sidecar.__aexit__(None, None, None))
        await until(lambda: sidecar._stopping, "the stop to begin")
        status, body = await get(sidecar, "/readyz")
        assert status == 503
        assert "shutting down" in body
        go.set()
        assert await call == [ingest_pb2.EVENT_STATUS_ACCEPTED]
        await stop


async def test_a_watch_of_its_health_holds_no_end_up(make_settings: Make) -> None:
    sidecar = Sidecar(make_settings(shutdown_grace_seconds=600))
    async with sidecar, grpc.aio.insecure_channel(sidecar.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await asyncio.wait_for(sidecar.__aexit__(None, None, None), 30)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_sidecar_whose_delivery_dies_does_not_look_alive(
    make_settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(_: Dispatcher) -> None:
        raise LookupError("a mistake")

    monkeypatch.setattr(Dispatcher, "run", dies)
    with pytest.raises(LookupError):
        async with asyncio.timeout(10), Sidecar(make_settings()) as sidecar:
            await sidecar.until(asyncio.Event())


@pytest.mark.usefixtures("fake")
async def test_metrics_show_that_the_queue_is_full_until_there_is_room(
    make_settings: Make, until: Until
) -> None:
    settings = make_settings(http_listen="127.0.0.1:0", queue_max_events=2)
    async with Sidecar(settings) as sidecar:
        sidecar.dispatcher.pause()
        await send(sidecar, track(), track())
        assert (await metrics(sidecar))["cio_queue_accepting"] == 1
        with pytest.raises(grpc.aio.AioRpcError):
            await send(sidecar, track())
        found = await metrics(sidecar)
        assert (found["cio_queue_accepting"], found["cio_queue_full"]) == (0, 1)
        assert (await get(sidecar, "/readyz"))[0] == 200
        sidecar.dispatcher.resume()
        await until(lambda: sidecar.queue.full_because is None, "room in the queue")
        found = await metrics(sidecar)
        assert (found["cio_queue_accepting"], found["cio_queue_full"]) == (1, 0)
