"""Tables are taken up without a restart: when asked, and when their folder changes."""

import asyncio
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings

from tests.app.command import Serving, serving
from tests.app.test_sidecar import metrics
from tests.rpc.harness import calling, track

Until = Callable[..., Any]


def overlay(folder: Path, version: int) -> None:
    """A table that puts its version among the data."""
    folder.mkdir(exist_ok=True)
    text = f"table: default\nrows:\n  - {{key: data.version, value: {version}, doc: d}}\n"
    (folder / "default.yaml").write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    overlay(tmp_path / "overlay", 1)
    return tmp_path / "overlay"


async def versions(served: Serving, fake: FakeCustomerIO, until: Until, count: int) -> list[int]:
    """Send an event, and tell by which versions all ``count`` of them were mapped."""
    async with grpc.aio.insecure_channel(served.address) as channel:
        event = event_pb2.Event(user_id="u1", track=event_pb2.Track(event="E"))
        await ingest_pb2_grpc.IngestServiceStub(channel).Send(ingest_pb2.SendRequest(event=event))
    await until(lambda: len(fake.events) == count, "delivery")
    return [event["data"]["version"] for event in fake.events]


async def test_sighup_takes_up_changed_tables(
    env: dict[str, str], fake: FakeCustomerIO, folder: Path, until: Until
) -> None:
    async with serving(env | {"CIO_OVERLAY": str(folder)}) as served:
        assert await versions(served, fake, until, 1) == [1]
        overlay(folder, 2)
        assert await versions(served, fake, until, 2) == [1, 1]
        served.process.send_signal(signal.SIGHUP)
        await served.logged("tables reloaded: profile standard")
        assert await versions(served, fake, until, 3) == [1, 1, 2]


async def test_bad_tables_leave_those_in_force_and_say_so(
    env: dict[str, str], fake: FakeCustomerIO, folder: Path, until: Until
) -> None:
    async with serving(env | {"CIO_OVERLAY": str(folder)}) as served:
        (folder / "default.yaml").write_text("table: default\nrows:\n  - {key: data.x, from: 5}\n")
        served.process.send_signal(signal.SIGHUP)
        await served.logged("NOT reloaded, the current ones stay")
        await served.logged(r"default\.yaml:3 \(row default\.data\.x\)")
        assert await versions(served, fake, until, 1) == [1]
        # Mended, they are taken up: a mistake ends nothing.
        overlay(folder, 3)
        served.process.send_signal(signal.SIGHUP)
        await served.logged("tables reloaded")
        assert await versions(served, fake, until, 2) == [1, 3]


async def test_a_folder_that_is_gone_leaves_the_tables_in_force(
    env: dict[str, str], fake: FakeCustomerIO, folder: Path, until: Until
) -> None:
    async with serving(env | {"CIO_OVERLAY": str(folder)}) as served:
        await asyncio.to_thread(shutil.rmtree, folder)
        served.process.send_signal(signal.SIGHUP)
        await served.logged("there is no folder")
        assert await versions(served, fake, until, 1) == [1]


def reloads(served: Serving) -> int:
    return sum("tables reloaded" in line for line in served.log)


async def test_a_watched_folder_is_taken_up_however_it_changes(
    env: dict[str, str], fake: FakeCustomerIO, tmp_path: Path, until: Until
) -> None:
    """A file written anew, one renamed over it, a link to another folder, a folder made anew."""
    for version in (1, 4):
        overlay(tmp_path / f"v{version}", version)
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "v1")
    watching = {"CIO_OVERLAY": str(link), "CIO_OVERLAY_WATCH": "true", "CIO_LOG_LEVEL": "debug"}

    def rename() -> None:
        overlay(tmp_path / "next", 3)
        (tmp_path / "next" / "default.yaml").rename(tmp_path / "v1" / "default.yaml")

    def point_elsewhere() -> None:
        (tmp_path / "new").symlink_to(tmp_path / "v4")
        (tmp_path / "new").rename(link)

    def make_anew() -> None:
        shutil.rmtree(tmp_path / "v4")
        overlay(tmp_path / "v4", 5)

    changes: list[Callable[[], None]] = [
        lambda: overlay(tmp_path / "v1", 2),
        rename,
        point_elsewhere,
        make_anew,
    ]
    async with serving(env | watching) as served:
        await served.logged("watching ")
        for number, change in enumerate(changes, 1):
            await asyncio.to_thread(change)
            await until(lambda: reloads(served) >= number, f"reload {number}")  # noqa: B023
            mapped = await versions(served, fake, until, number)
            assert mapped[-1] == number + 1


async def test_reloads_are_counted(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO, folder: Path, until: Until
) -> None:
    settings = make_settings(overlay=folder, http_listen="127.0.0.1:0")
    async with calling(settings, fake) as caller:
        reloader = caller.sidecar.reloader
        before = reloader.loaded_at
        caller.sidecar.reload()
        await until(lambda: reloader.reloads["taken up"] == 1, "a reload")
        (folder / "default.yaml").write_text("[")
        caller.sidecar.reload()
        await until(lambda: reloader.reloads["rejected"] == 1, "a rejection")
        shown = await metrics(caller.sidecar)
        assert shown["cio_tables_reloads_total{result=taken_up}"] == 1
        assert shown["cio_tables_reloads_total{result=rejected}"] == 1
        assert shown["cio_tables_loaded_timestamp_seconds"] >= before


async def test_the_events_of_one_call_are_mapped_by_one_version(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO, folder: Path, until: Until
) -> None:
    async with calling(make_settings(overlay=folder), fake) as caller:
        for version in range(2, 8):
            overlay(folder, version)
            caller.sidecar.reload()
            await caller.send_batch(*[track() for _ in range(200)])
        await until(lambda: caller.sidecar.reloader.reloads["taken up"] >= 1, "a reload")
        operations = await caller.delivered(1200)
    found = [operation["body"]["attributes"]["version"] for operation in operations]
    for start in range(0, 1200, 200):
        assert len(set(found[start : start + 200])) == 1
    assert found == sorted(found)


async def test_reloader_continues_after_an_unexpected_error(
    make_settings: Callable[..., Settings],
    fake: FakeCustomerIO,
    folder: Path,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with calling(make_settings(overlay=folder), fake) as caller:
        reloader = caller.sidecar.reloader
        with monkeypatch.context() as patched:
            patched.setattr("cio_sidecar.app.reload.load_tables", lambda _: 1 // 0)
            caller.sidecar.reload()
            await until(lambda: reloader.reloads["rejected"] == 1, "a failed reload")
        caller.sidecar.reload()
        await until(lambda: reloader.reloads["taken up"] == 1, "a reload")


async def test_watcher_continues_after_an_unexpected_error(
    *,
    make_settings: Callable[..., Settings],
    fake: FakeCustomerIO,
    folder: Path,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = make_settings(overlay=folder, overlay_watch=True)
    async with calling(settings, fake) as caller:
        with monkeypatch.context() as patched:
            patched.setattr("cio_sidecar.app.reload._state", lambda _: 1 // 0)
            await until(lambda: "CIO_OVERLAY_WATCH: can't look at" in caplog.text, "an error")
        overlay(folder, 2)
        await until(lambda: caller.sidecar.reloader.reloads["taken up"] == 1, "a reload")
    assert "ZeroDivisionError at test_reload.py" in caplog.text


def large_table(version: int) -> str:
    """A table that takes seconds to load."""
    rows = "".join(
        f"  - {{key: data.k{n}, from: [properties.k{n}, context.v{version}], doc: d}}\n"
        for n in range(4_000)
    )
    return f"table: default\nrows:\n{rows}"


async def test_sigterm_during_a_reload_ends_the_process(env: dict[str, str], folder: Path) -> None:
    env |= {"CIO_OVERLAY": str(folder), "CIO_LOG_LEVEL": "debug"}
    async with serving(env) as served:
        for number in range(8):
            head = f"table: t{number}\ndoc: d\nevents: []\noperation: event"
            text = large_table(number).replace("table: default", head)
            (folder / f"t{number}.yaml").write_text(text)
        served.process.send_signal(signal.SIGHUP)
        await served.logged("loading the tables")
        served.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(served.process.wait(), 60) == 0
        await served.logged("stopped; ")
        assert reloads(served) == 0


async def test_large_table_maps_after_a_reload(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO, folder: Path, until: Until
) -> None:
    async with calling(make_settings(overlay=folder), fake) as caller:
        (folder / "default.yaml").write_text(large_table(1))
        caller.sidecar.reload()
        await until(lambda: caller.sidecar.reloader.reloads["taken up"] == 1, "a reload")
        await caller.send(track({"k0": 0, "k3999": 3_999}))
        attributes = (await caller.delivered_one())["attributes"]
    assert (attributes["k0"], attributes["k3999"]) == (0, 3_999)
