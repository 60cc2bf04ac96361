"""``cio-sidecar serve`` and ``dev`` as processes: start, signals, exit codes, users' mistakes."""

import asyncio
import os
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from cio_fake import FakeCustomerIO
from cio_sidecar import __version__
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.app.command import Serving, run, serving


async def send(address: str, *message_ids: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        for message_id in message_ids:
            event = event_pb2.Event(
                message_id=message_id, user_id="u1", track=event_pb2.Track(event="E")
            )
            await stub.Send(ingest_pb2.SendRequest(event=event), wait_for_ready=True, timeout=30)


async def stop(served: Serving, number: signal.Signals) -> None:
    served.process.send_signal(number)
    assert await asyncio.wait_for(served.process.wait(), 60) == 0
    await served.logged("stopped; ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_delivers_until_a_signal_and_exits_0(
    env: dict[str, str],
    fake: FakeCustomerIO,
    fake_url: str,
    until: Callable[..., Any],
    number: signal.Signals,
) -> None:
    async with serving(env) as served:
        assert served.address == env["CIO_LISTEN"]
        assert f"delivering to {fake_url}" in served.log[0]
        await send(served.address, "m1", "m2")
        await until(lambda: len(fake.events) == 2, "delivery")
        await stop(served, number)
    assert env["CIO_API_KEY"] not in "\n".join(served.log)


async def test_callers_that_watch_or_idle_do_not_hold_a_stop_up(env: dict[str, str]) -> None:
    # Far longer than the test may take: only an end of their own lets it pass.
    env["CIO_SHUTDOWN_GRACE_SECONDS"] = "3600"
    async with serving(env) as served, grpc.aio.insecure_channel(served.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        watches = [
            health.Watch(health_pb2.HealthCheckRequest(service=name)) for name in ("", "Nonsense")
        ]
        assert [(await watch.read()).status for watch in watches] == [
            health_pb2.HealthCheckResponse.SERVING,
            health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
        ]
        stream = ingest_pb2_grpc.IngestServiceStub(channel).Stream()
        # A call that the server has not begun when it stops is cancelled by gRPC itself.
        event = event_pb2.Event(user_id="u1", track=event_pb2.Track(event="E"))
        await stream.write(ingest_pb2.StreamRequest(sequence=1, events=[event]))
        assert await stream.read() != grpc.aio.EOF
        await stop(served, signal.SIGTERM)
        assert (await watches[0].read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        for call in (*watches, stream):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "shutting down" in str(caught.value.details())


async def test_what_serve_accepted_survives_a_kill(
    env: dict[str, str], fake: FakeCustomerIO, until: Callable[..., Any]
) -> None:
    fake.fail_next(500)
    async with serving(env) as served:
        await send(served.address, "m1", "m2", "m3")
        served.process.kill()
        await served.process.wait()
    assert fake.events == []
    fake.heal()
    async with serving(env) as served:
        await until(lambda: len(fake.events) == 3, "what the killed one had accepted")
        assert "3 event(s) in the queue" in served.log[0]
    assert [event["id"] for event in fake.events] == ["m1", "m2", "m3"]


async def test_a_second_serve_on_the_same_data_exits_2_and_disturbs_nobody(
    env: dict[str, str], fake: FakeCustomerIO, until: Callable[..., Any], tmp_path: Path
) -> None:
    async with serving(env) as served:
        finished = await run("serve", env={**env, "CIO_LISTEN": "127.0.0.1:0"})
        assert finished.code == 2
        assert "CIO_DATA_DIR" in finished.err
        assert "in use by another cio-sidecar" in finished.err
        second = {**env, "CIO_DATA_DIR": str(tmp_path / "other")}
        finished = await run("serve", env=second)
        assert finished.code == 2
        assert "CIO_LISTEN" in finished.err
        await send(served.address, "m1")
        await until(lambda: len(fake.events) == 1, "delivery")


@pytest.mark.parametrize("setting", ["CIO_LISTEN", "CIO_HTTP_LISTEN", "CIO_HTTP_INGEST"])
async def test_a_port_in_use_is_told_in_one_line_that_says_what_to_do(
    env: dict[str, str], setting: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        finished = await run("serve", env={**env, setting: address})
    assert finished.code == 2
    assert finished.err == (
        f"cio-sidecar: {setting}: can't listen on {address}: it is in use: stop what serves there, "
        "or give another one\n"
    )


async def test_a_flag_goes_before_a_variable_and_that_before_the_file(
    env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "s.yaml").write_text("profile: documented\napi: v1\nlog_level: warning\n")
    file = {**env, "CIO_CONFIG": str(tmp_path / "s.yaml"), "CIO_LOG_LEVEL": "info"}
    async with serving(file, "--api", "auto") as served:
        assert "(api auto, profile documented)" in served.log[0]


async def test_a_disk_that_fails_while_serving_rejects_and_is_told_and_mends(
    env: dict[str, str], fake: FakeCustomerIO, until: Callable[..., Any]
) -> None:
    async with serving(env) as served:
        await send(served.address, "m1")
        await until(lambda: len(fake.events) == 1, "delivery")
        limits = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await send(served.address, "m2")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "can't be written" in str(caught.value.details())
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, limits)
        await send(served.address, "m2")
        await until(lambda: len(fake.events) == 2, "delivery after the disk is fixed")
        await stop(served, signal.SIGTERM)


# Mistakes of a user: a line that names the setting, exit 2, no traceback (run() checks).


async def test_a_wrong_start_names_the_setting_and_exits_2(
    env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "unknown.toml").write_text("regoin = 'eu'")
    (tmp_path / "file").write_text("")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "bad.yaml").write_text("table: page\nrows: 3\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        in_use = f"127.0.0.1:{taken.getsockname()[1]}"
        mistakes: list[tuple[dict[str, str], str]] = [
            ({"CIO_SITE_ID": "", "CIO_API_KEY": ""}, "CIO_SITE_ID and CIO_API_KEY must be set"),
            ({"CIO_REGION": "mars"}, "CIO_REGION: "),
            ({"CIO_CONCURRENCY": "many"}, "CIO_CONCURRENCY: "),
            ({"CIO_LISTEN": in_use}, "CIO_LISTEN: "),
            ({"CIO_LISTEN": "nonsense"}, "CIO_LISTEN: "),
            ({"CIO_HTTP_LISTEN": in_use}, "CIO_HTTP_LISTEN: "),
            ({"CIO_HTTP_LISTEN": "127.0.0.1:99999"}, "CIO_HTTP_LISTEN: "),
            ({"CIO_DATA_DIR": str(tmp_path / "file")}, "CIO_DATA_DIR: "),
            ({"CIO_BASE_URL": "http://h:none"}, "CIO_BASE_URL: "),
            ({"CIO_API_KEY_FILE": "/no/such/file"}, "CIO_API_KEY"),
            ({"CIO_OVERLAY": str(tmp_path / "none")}, "CIO_OVERLAY: "),
            ({"CIO_OVERLAY": str(tmp_path / "tables")}, "bad.yaml:2"),
            ({"CIO_CONFIG": str(tmp_path / "none.toml")}, "none.toml: "),
            ({"CIO_CONFIG": str(tmp_path / "broken.yaml")}, "broken.yaml: "),
            ({"CIO_CONFIG": str(tmp_path / "unknown.toml")}, "regoin: there is no such setting"),
        ]
        all_finished = await asyncio.gather(
            *(
                run("serve", env={**env, "CIO_DATA_DIR": str(tmp_path / str(number)), **changes})
                for number, (changes, _) in enumerate(mistakes)
            )
        )
    for (changes, said), finished in zip(mistakes, all_finished, strict=True):
        assert finished.code == 2, (changes, finished)
        assert finished.out == ""
        assert any(line.startswith("cio-sidecar: ") for line in finished.err.splitlines()), (
            finished.err
        )
        assert said in finished.err, (changes, finished.err)
        assert env["CIO_API_KEY"] not in finished.err


async def test_serve_reports_every_mistake_at_once(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("regoin: eu\nshutdown: leave\n")
    (tmp_path / "ca").write_text("no certificate")
    mistakes = {
        "CIO_CONFIG": str(tmp_path / "s.yaml"),
        "CIO_SITE_ID": "",
        "CIO_CONCURRENCY": "many",
        "CIO_LISTEN": "nonsense",
        "CIO_HTTP_LISTEN": "127.0.0.1:99999",
        "CIO_BASE_URL": "https://track.test",
        "HTTPS_PROXY": "socks5://proxy:1080",
        "CIO_OVERLAY": str(tmp_path / "tables"),
        "CIO_TLS_CERT_FILE": str(tmp_path / "none"),
        "CIO_TLS_KEY_FILE": str(tmp_path),
        "CIO_TLS_CLIENT_CA_FILE": str(tmp_path / "ca"),
        "CIO_CONCURENCY": "3",
    }
    finished = await run("serve", env={**env, **mistakes})
    assert finished.code == 2
    for said in (
        "CIO_CONCURENCY is set, but there is no such setting",
        "regoin: there is no such setting; did you mean region?",
        "CIO_SITE_ID must be set",
        "CIO_CONCURRENCY: ",
        "CIO_LISTEN: expected host:port or unix:PATH, got 'nonsense'",
        "CIO_HTTP_LISTEN: expected host:port or off, got '127.0.0.1:99999'",
        "HTTPS_PROXY: expected ",
        f"CIO_OVERLAY: there is no folder {tmp_path}/tables",
        f"CIO_TLS_CERT_FILE: can't read {tmp_path}/none: No such file",
        f"CIO_TLS_KEY_FILE: can't read {tmp_path}: Is a directory",
        f"CIO_TLS_CLIENT_CA_FILE: {tmp_path}/ca: expected a PEM file with a certificate",
    ):
        assert said in finished.err, (said, finished.err)


async def test_the_api_key_is_no_flag() -> None:
    finished = await run("serve", "--api-key", "k")
    assert finished.code == 2
    assert "No such option" in finished.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "serve"),
        (("--help",), "Every setting is also a variable"),
        (("serve", "-h"), "--data-dir"),
        (("--version",), f"cio-sidecar, version {__version__}"),
    ],
)
async def test_help_and_version_are_there(arguments: tuple[str, ...], said: str) -> None:
    finished = await run(*arguments)
    assert finished.code == (0 if arguments else 2)
    assert said in finished.out + finished.err


# dev


async def test_dev_once_plays_the_samples_and_exits_0(tmp_path: Path) -> None:
    finished = await run("dev", "--once", cwd=tmp_path)
    assert finished.code == 0
    lines = finished.out.rstrip().splitlines()
    assert lines[-1].startswith("34 events sent, 34 requests received; the fake holds ")
    assert lines[-1].endswith("0 waiting, 0 dead letters")
    assert finished.out.count(" receipt accepted ") == 34
    assert finished.out.count(" answer  200 ") == 34
    # Nothing stays behind.
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_dev_once_can_be_run_twice_at_the_same_time_and_by_v1() -> None:
    finished = await asyncio.gather(run("dev", "--once"), run("dev", "--once", "--api", "v1"))
    assert [one.code for one in finished] == [0, 0]
    assert "PUT /api/v1/customers/" in finished[1].out


async def test_dev_with_tables_that_reject_a_sample_says_so_and_exits_1(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "table: page\nrows:\n"
        "  - {key: data.x, level: required, from: properties.x, doc: Never there.}\n"
    )
    finished = await run("dev", "--once", "--overlay", str(tmp_path))
    assert finished.code == 1
    assert "properties.x" in finished.out


async def test_dev_with_a_setting_that_can_not_be_used_exits_2() -> None:
    finished = await run("dev", "--once", "--profile", "mine")
    assert finished.code == 2
    assert "CIO_PROFILE: " in finished.err


async def test_a_variable_that_is_no_setting_is_told(
    credentials: dict[str, str], fake_url: str, tmp_path: Path
) -> None:
    env = {
        **credentials,
        "CIO_BASE_URL": fake_url,
        "CIO_LISTEN": f"unix:{tmp_path}/grpc.sock",
        "CIO_HTTP_LISTEN": "off",
        "CIO_DATA_DIR": str(tmp_path / "data"),
        "CIO_LOGLEVEL": "debug",
    }
    async with serving(env) as served:
        await served.logged("CIO_LOGLEVEL is set, but there is no such setting")
