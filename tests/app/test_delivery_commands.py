"""``cio-sidecar dead-letters`` and ``delivery``: an operator's commands."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings

from tests.app.command import Finished, end_of_input, run, start
from tests.delivery.support import free_port
from tests.rpc.harness import Caller, calling, identify, track, ulid


@pytest.fixture
async def caller(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> AsyncIterator[Caller]:
    async with calling(make_settings(), fake) as caller:
        yield caller


@pytest.fixture
async def two_dead(caller: Caller) -> Caller:
    """A sidecar with two dead letters: a track event, and an identify rejected with 422."""
    await caller.die(
        track({"total": 99.5, "email": "ann@example.com"}, message_id=ulid(1), user_id="ann-77")
    )
    await caller.die(identify({"plan": "gold-77"}, message_id=ulid(2)), status=422)
    return caller


async def operate(caller: Caller, *arguments: str, stdin: bytes = b"") -> Finished:
    return await run(*arguments, stdin=stdin, env={"CIO_LISTEN": caller.sidecar.address})


async def left(caller: Caller) -> list[str]:
    finished = await operate(caller, "dead-letters", "list", "--json")
    return [line["message_id"] for line in finished.lines]


# Where they ask


async def test_who_asks_at_a_shared_address_is_told_where_to_ask(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    shared = f"127.0.0.1:{free_port()}"
    async with calling(make_settings(shared_listen=shared), fake):
        finished = await run("delivery", "stats", env={"CIO_LISTEN": shared})
    assert finished.code == 3
    assert "UNIMPLEMENTED" in finished.err
    assert "Is that a CIO_SHARED_LISTEN" in finished.err
    assert "own CIO_LISTEN" in finished.err


# list and show


async def test_list_shows_a_row_for_each_dead_letter_and_no_personal_data(two_dead: Caller) -> None:
    finished = await operate(two_dead, "dead-letters", "list")
    head, first, second = finished.out.splitlines()
    assert head.split() == ["DIED", "AT", "MESSAGE", "ID", "EVENT", "REASON"]
    assert f"{ulid(1)}  track Order Completed  HTTP 400: " in first
    assert f"{ulid(2)}  identify " in second
    assert "77" not in finished.out
    assert finished.code == 0


async def test_list_gives_json_lines_and_takes_a_filter(two_dead: Caller) -> None:
    finished = await operate(two_dead, "dead-letters", "list", "--json", "--status", "400")
    (line,) = finished.lines
    assert line.pop("accepted_at") <= line["died_at"]
    assert line.pop("died_at").endswith("Z")
    assert line == {
        "message_id": ulid(1),
        "event_type": "track",
        "event_name": "Order Completed",
        "status": 400,
        "reason": "HTTP 400: failing, as told to",
        "attempts": 1,
        "number": 1,
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), [1, 2]),
        ((ulid(2), ulid(9)), [2]),
        (("--type", "track"), [1]),
        (("--name", "Order Completed"), [1]),
        (("--reason", "HTTP 422"), [2]),
        (("--died-after", "2020-01-01"), [1, 2]),
        (("--died-before", "1700000000"), []),
        (("--status", "400", "--status", "422", "--limit", "1"), [1]),
        (("--limit", "0"), [1, 2]),
    ],
)
async def test_every_filter_can_be_given(
    two_dead: Caller, options: tuple[str, ...], expected: list[int]
) -> None:
    finished = await operate(two_dead, "dead-letters", "list", "--json", *options)
    assert [line["message_id"] for line in finished.lines] == [ulid(n) for n in expected]
    assert finished.code == 0


async def test_list_says_when_its_limit_hides_some(two_dead: Caller) -> None:
    finished = await operate(two_dead, "dead-letters", "list", "--limit", "1")
    assert "--limit" in finished.err
    assert (await operate(two_dead, "dead-letters", "list")).err == ""


async def test_list_says_that_there_are_none(caller: Caller) -> None:
    assert await operate(caller, "dead-letters", "list") == (0, "no dead letters\n", "")
    assert await operate(caller, "dead-letters", "list", "--json") == (0, "", "")


async def test_show_prints_event_request_and_answer_masked(two_dead: Caller) -> None:
    finished = await operate(two_dead, "dead-letters", "show", ulid(1))
    for part in ("reason       HTTP 400", '"total": "<number>"', "request POST /api/v2/batch"):
        assert part in finished.out
    assert "answer 400" in finished.out
    assert "ann" not in finished.out


async def test_show_reveals_what_it_is_asked_to(two_dead: Caller) -> None:
    finished = await operate(two_dead, "dead-letters", "show", ulid(1), "--reveal", "--json")
    (line,) = finished.lines
    assert line["event"]["userId"] == "ann-77"
    assert line["request"]["body"]["batch"][0]["identifiers"] == {"id": "ann-77"}
    assert line["response"] == {"meta": {"error": "failing, as told to"}}


async def test_an_unknown_dead_letter_is_named_and_exits_2(caller: Caller) -> None:
    finished = await operate(caller, "dead-letters", "show", "nobody")
    assert finished == (2, "", "cio-sidecar: no dead letter has the message_id 'nobody'\n")


# replay


async def test_replay_sends_again_under_the_same_message_id(
    two_dead: Caller, fake: FakeCustomerIO
) -> None:
    finished = await operate(two_dead, "dead-letters", "replay", "--status", "400")
    assert finished == (0, "1 replayed, 0 dropped, 0 rejected\n", "")
    await two_dead.settled()
    assert [event["id"] for event in fake.events] == [ulid(1)]
    assert await left(two_dead) == [ulid(2)]


async def test_replay_names_what_the_tables_reject_and_exits_1(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO, tmp_path: Any
) -> None:
    async with calling(make_settings(), fake) as caller:
        await caller.die(track(message_id=ulid(1)))
        await caller.die(identify(message_id=ulid(2)))
    (tmp_path / "default.yaml").write_text(
        "table: default\nrows:\n  - {key: name, level: required, from: [properties.x], doc: d}\n"
    )
    async with calling(make_settings(overlay=tmp_path), fake) as caller:
        finished = await operate(caller, "dead-letters", "replay", "--all", "--json")
        rejection, counts = finished.lines
        assert finished.code == 1
        assert (rejection["message_id"], rejection["status"]) == (ulid(1), "rejected")
        assert rejection["violations"][0]["field"] == "properties.x"
        assert counts == {"replayed": 1, "dropped": 0, "rejected": 1}
        finished = await operate(caller, "dead-letters", "replay", ulid(1))
        assert finished.code == 1
        assert finished.out.startswith(f"rejected  {ulid(1)}  properties.x: ")


async def test_replay_names_the_ids_of_which_there_is_no_dead_letter_and_exits_1(
    two_dead: Caller,
) -> None:
    ids = (ulid(9), ulid(1), ulid(8))
    finished = await operate(two_dead, "dead-letters", "replay", *ids)
    assert finished == (
        1,
        f"not found  {ulid(9)}\nnot found  {ulid(8)}\n1 replayed, 0 dropped, 0 rejected\n",
        "",
    )
    # It is there, and the other options exclude it.
    finished = await operate(
        two_dead, "dead-letters", "replay", "--json", "--status", "400", ulid(2)
    )
    assert finished.code == 1
    assert finished.lines[0] == {"message_id": ulid(2), "status": "not_found"}
    assert await left(two_dead) == [ulid(2)]
    assert (await operate(two_dead, "dead-letters", "replay", ulid(2))).code == 0


async def test_replay_into_a_full_queue_tells_how_far_it_came_and_exits_3(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    async with calling(make_settings(queue_max_bytes=1024 * 1024), fake) as caller:
        await caller.die(track({"text": "x" * 31_000}, message_id=ulid(1)))
        await operate(caller, "delivery", "pause")
        await caller.fill()
        finished = await operate(caller, "dead-letters", "replay", "--all")
        assert finished.code == 3
        assert finished.out == "0 replayed, 0 dropped, 0 rejected\n"
        assert "RESOURCE_EXHAUSTED: the queue is full" in finished.err


# purge


async def test_purge_removes_what_it_is_told_to(two_dead: Caller) -> None:
    finished = await operate(two_dead, "dead-letters", "purge", ulid(1), "--yes")
    assert finished == (0, "1 purged\n", "")
    assert await left(two_dead) == [ulid(2)]
    finished = await operate(two_dead, "dead-letters", "purge", "--all", "--yes", "--json")
    assert finished.lines == [{"purged": 1}]


async def test_purge_without_a_terminal_wants_to_be_told_yes(two_dead: Caller) -> None:
    finished = await operate(two_dead, "dead-letters", "purge", "--all")
    assert finished.code == 2
    assert "--yes" in finished.err
    assert await left(two_dead) == [ulid(1), ulid(2)]


@pytest.mark.parametrize(("answer", "code", "kept"), [(b"n\n", 1, 2), (b"y\n", 0, 0)])
async def test_purge_asks_on_a_terminal(
    two_dead: Caller, answer: bytes, code: int, kept: int
) -> None:
    terminal, its_end = os.openpty()
    try:
        os.write(terminal, answer)
        finished = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "cio_sidecar", "dead-letters", "purge", "--all"],
            env={**os.environ, "CIO_LISTEN": two_dead.sidecar.address},
            stdin=its_end,
            capture_output=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(terminal)
        os.close(its_end)
    assert b"Permanently remove every dead letter?" in finished.stderr
    assert finished.returncode == code
    assert len(await left(two_dead)) == kept


@pytest.mark.parametrize("command", ["replay", "purge"])
async def test_what_changes_dead_letters_wants_to_be_told_which(
    caller: Caller, command: str
) -> None:
    finished = await operate(caller, "dead-letters", command)
    assert finished.code == 2
    assert "say which dead letters" in finished.err
    finished = await operate(caller, "dead-letters", command, "--all", "--status", "400")
    assert finished.code == 2
    assert "exclude each other" in finished.err


# export


async def test_exported_events_can_be_sent_again(two_dead: Caller, fake: FakeCustomerIO) -> None:
    exported = await operate(two_dead, "dead-letters", "export", "--events")
    assert [line["messageId"] for line in exported.lines] == [ulid(1), ulid(2)]
    await operate(two_dead, "dead-letters", "purge", "--all", "--yes")
    # Ids of its own: those of the events are remembered for a while.
    fresh = b"".join(
        orjson.dumps({**line, "messageId": ulid(10 + number)}) + b"\n"
        for number, line in enumerate(exported.lines)
    )
    sent = await operate(two_dead, "send", stdin=fresh)
    assert [line["status"] for line in sent.lines] == ["accepted"] * 2
    await two_dead.settled()
    assert fake.events[-1]["data"]["email"] == "ann@example.com"


async def test_an_export_is_masked_unless_asked_otherwise(two_dead: Caller) -> None:
    exported = await operate(two_dead, "dead-letters", "export")
    assert [line["message_id"] for line in exported.lines] == [ulid(1), ulid(2)]
    assert "77" not in exported.out
    (line,) = (await operate(two_dead, "dead-letters", "export", "--reveal", ulid(2))).lines
    assert line["event"]["traits"] == {"plan": "gold-77"}


@pytest.mark.parametrize("flags", [[], ["--reveal"]], ids=["masked", "revealed"])
async def test_a_dead_letter_that_nests_as_deep_as_an_event_may_is_shown(
    caller: Caller, flags: list[str]
) -> None:
    levels = 252
    properties = b'{"k":' * levels + b"1" + b"}" * levels
    await caller.die(track(properties, message_id=ulid(1)))
    await caller.die(track(message_id=ulid(2)))
    exported = await operate(caller, "dead-letters", "export", *flags)
    assert exported.code == 0
    assert [line["message_id"] for line in exported.lines] == [ulid(1), ulid(2)]
    for more in ([], ["--json"]):
        shown = await operate(caller, "dead-letters", "show", ulid(1), *flags, *more)
        assert (shown.code, shown.out.count('"k"') >= levels) == (0, True)


# delivery


async def test_stats_tell_the_counts_in_lines_and_as_json(two_dead: Caller) -> None:
    finished = await operate(two_dead, "delivery", "stats")
    assert "waiting          0 events, 0 bytes\n" in finished.out
    assert "dead letters     2, " in finished.out
    assert finished.out.endswith("delivery         active\n")
    (line,) = (await operate(two_dead, "delivery", "stats", "--json")).lines
    assert (line["dead_letters"], line["dead_lettered"], line["hold"]) == (2, 2, None)


async def test_stats_tell_what_holds_delivery_up(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO, until: Callable[..., Any]
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    async with calling(make_settings(base_url=nowhere), fake) as caller:
        await caller.send(track())
        await until(lambda: caller.sidecar.dispatcher.hold, "a failure")
        finished = await operate(caller, "delivery", "stats")
        assert f"delivery         ON HOLD (outage): {nowhere} can't be reached: " in finished.out
        assert "active" not in finished.out
        (line,) = (await operate(caller, "delivery", "stats", "--json")).lines
        assert line["hold"]["description"].startswith(f"{nowhere} can't be reached: ")
        assert line["hold"]["failures"] >= 1
        assert line["hold"]["since"].endswith("Z")


async def test_stats_tell_how_full_the_queue_is(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    async with calling(make_settings(queue_max_bytes=1024 * 1024), fake) as caller:
        finished = await operate(caller, "delivery", "stats")
        assert "queue            0% full; at most 10,000,000 events, 1,048,576" in finished.out
        assert "FULL" not in finished.out
        await operate(caller, "delivery", "pause")
        await caller.fill()
        finished = await operate(caller, "delivery", "stats")
        assert re.search("^queue            9[0-9]% full; ", finished.out, re.MULTILINE)
        assert "calls are rejected: the queue is full: " in finished.out
        (line,) = (await operate(caller, "delivery", "stats", "--json")).lines
        assert line["waiting_bytes"] > 900_000
        assert (line["max_waiting_events"], line["max_waiting_bytes"]) == (10_000_000, 1_048_576)
        assert "CIO_QUEUE_MAX_BYTES" in line["full_because"]


async def test_delivery_is_paused_and_resumed(caller: Caller, fake: FakeCustomerIO) -> None:
    finished = await operate(caller, "delivery", "pause")
    assert finished.code == 0
    await caller.send(track(message_id=ulid(1)))
    finished = await operate(caller, "delivery", "stats")
    assert "waiting          1 events, " in finished.out
    assert "the oldest was accepted at 20" in finished.out
    assert "delivery         PAUSED by an operator since 20" in finished.out
    finished = await operate(caller, "delivery", "resume")
    assert re.fullmatch(r"ended the pause since 20\S+\ndelivery resumed\n", finished.out)
    await caller.settled(1)
    assert [event["id"] for event in fake.events] == [ulid(1)]


async def test_watch_shows_outcomes_until_it_is_interrupted(caller: Caller) -> None:
    process = await start("delivery", "watch", "--json", "--target", caller.sidecar.address)
    assert process.stdout is not None
    assert process.stderr is not None
    assert await asyncio.wait_for(process.stderr.readline(), 60) == b"watching\n"
    await caller.send(track(message_id="m1"))
    line = orjson.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    assert line == {"message_id": "m1", "outcome": "delivered", "attempts": 1}
    await caller.die(track(message_id="m2"))
    line = orjson.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    assert (line["outcome"], line["status"]) == ("dead-lettered", 400)
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 60) == 0
    assert await end_of_input(process) == (b"", b"")


# Mistakes


@pytest.mark.parametrize(
    "arguments",
    [
        ("dead-letters", "list"),
        ("dead-letters", "show", "m1"),
        ("dead-letters", "replay", "--all"),
        ("dead-letters", "purge", "--all", "--yes"),
        ("dead-letters", "export"),
        ("delivery", "stats"),
        ("delivery", "pause"),
        ("delivery", "resume"),
        ("delivery", "watch"),
    ],
    ids=" ".join,
)
async def test_a_target_that_can_not_be_reached_is_named_and_exits_3(
    arguments: tuple[str, ...],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        target = f"127.0.0.1:{reserved.getsockname()[1]}"
    finished = await run(*arguments, "--target", target)
    assert finished.code == 3
    assert target in finished.err
    assert "is the sidecar running there" in finished.err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--died-after", "soon"), ("--status", "bad"), ("--type", "purchase"), ("--limit", "-1")],
)
async def test_an_option_that_can_not_be_used_is_named(option: str, value: str) -> None:
    finished = await run("dead-letters", "list", option, value)
    assert finished.code == 2
    assert option in finished.err
