"""DeliveryService: the counts, the dead letters, an operator's pause, and watching outcomes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from cio.sidecar.v1 import delivery_pb2
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings
from cio_sidecar.app.sidecar import Sidecar
from cio_sidecar.rpc import delivery_service, outcome_watch
from google.protobuf.timestamp_pb2 import Timestamp

from tests.rpc.harness import (
    ACCEPTED,
    DELIVERY,
    Caller,
    calling,
    identify,
    rejection,
    track,
    ulid,
)

pb = delivery_pb2


def which(**fields: Any) -> delivery_pb2.DeadLetterFilter:
    return pb.DeadLetterFilter(**fields)


async def listed(caller: Caller, **fields: Any) -> list[str]:
    """The message_ids of the dead letters that a filter finds."""
    request = pb.ListDeadLettersRequest(filter=which(**fields))
    return [
        each.message_id for each in (await caller.delivery.ListDeadLetters(request)).dead_letters
    ]


async def replay(caller: Caller, **fields: Any) -> list[delivery_pb2.ReplayDeadLettersResponse]:
    return [
        step
        async for step in caller.delivery.ReplayDeadLetters(pb.ReplayDeadLettersRequest(**fields))
    ]


def name_from(path: str) -> str:
    """An overlay that takes the names of track events from a path."""
    return f"table: default\nrows:\n  - {{key: name, level: required, from: [{path}], doc: d}}\n"


# Stats


async def test_the_counts_tell_what_waits_what_died_and_what_was_delivered(caller: Caller) -> None:
    await caller.send(track(message_id="m1"))
    await caller.settled(1)
    await caller.die(track(message_id="m2"))
    await caller.delivery.Pause(pb.PauseRequest())
    await caller.send(track(message_id="m3"))
    stats = await caller.delivery.GetStats(pb.GetStatsRequest())
    assert (stats.waiting_events, stats.dead_letters) == (1, 1)
    assert (stats.delivered, stats.retried, stats.dead_lettered) == (1, 0, 1)
    assert stats.requests_in_flight == 0
    assert stats.waiting_bytes > 100
    assert stats.dead_letter_bytes > stats.waiting_bytes
    assert stats.oldest_accepted_at.seconds > 1_700_000_000
    assert stats.pause.since.seconds > 1_700_000_000


async def test_an_idle_sidecar_has_no_oldest_event_and_no_pause(caller: Caller) -> None:
    stats = await caller.delivery.GetStats(pb.GetStatsRequest())
    assert not stats.HasField("oldest_accepted_at")
    assert not stats.HasField("pause")
    assert not stats.HasField("hold")


async def test_trouble_is_told_until_a_request_succeeds(
    caller: Caller, fake: FakeCustomerIO, until: Callable[..., Any]
) -> None:
    fake.fail_next(503)
    await caller.send(track(message_id="m1", user_id="ann-77"))
    await until(lambda: caller.sidecar.dispatcher.hold, "a failure")
    await caller.delivery.Pause(pb.PauseRequest())
    await until(lambda: not caller.sidecar.dispatcher.in_flight, "the requests to end")
    stats = await caller.delivery.GetStats(pb.GetStatsRequest())
    assert stats.hold.description == "Customer.io answered HTTP 503"
    assert stats.hold.failures >= 1
    assert stats.hold.since.seconds > 1_700_000_000
    assert not stats.hold.HasField("next_attempt_in")
    resumed = await caller.delivery.Resume(pb.ResumeRequest())
    assert resumed.hold.description == "Customer.io answered HTTP 503"
    fake.heal()
    await caller.settled(1)
    stats = await caller.delivery.GetStats(pb.GetStatsRequest())
    assert not stats.HasField("hold")


async def test_trouble_says_when_the_next_request_leaves(
    caller: Caller, fake: FakeCustomerIO, until: Callable[..., Any]
) -> None:
    fake.fail_next(429, retry_after=600)
    await caller.send(track())
    await until(lambda: caller.sidecar.dispatcher.counters.retried, "a failure")
    stats = await caller.delivery.GetStats(pb.GetStatsRequest())
    assert stats.hold.reason == pb.HOLD_REASON_RETRY_AFTER
    assert 200 < stats.hold.next_attempt_in.seconds < 300


# List


async def test_dead_letters_are_listed_in_order_with_what_happened(caller: Caller) -> None:
    await caller.die(track(message_id="m1"))
    await caller.die(identify({"plan": "gold"}, message_id="m2"), status=422)
    response = await caller.delivery.ListDeadLetters(pb.ListDeadLettersRequest())
    first, second = response.dead_letters
    assert first.number < second.number
    assert (first.message_id, first.event_type, first.event_name) == (
        *("m1", "track", "Order Completed"),
    )
    assert (second.message_id, second.event_type, second.event_name) == ("m2", "identify", "")
    assert (first.status, second.status) == (400, 422)
    assert first.reason.startswith("HTTP 400")
    assert first.attempts == 1
    assert first.died_at.seconds >= first.accepted_at.seconds > 1_700_000_000
    assert response.next_page_token == ""


async def test_a_filter_finds_by_status_name_type_id_reason_and_time(caller: Caller) -> None:
    await caller.die(track(message_id="m1"))
    await caller.die(identify(message_id="m2"), status=422)
    await caller.die(track(message_id="m3", event="Signed Up"))
    everything = await caller.delivery.ListDeadLetters(pb.ListDeadLettersRequest())
    died = everything.dead_letters[-1].died_at
    assert await listed(caller, statuses=[422]) == ["m2"]
    assert await listed(caller, event_names=["Signed Up"]) == ["m3"]
    assert await listed(caller, event_types=["track"]) == ["m1", "m3"]
    assert await listed(caller, message_ids=["m3", "m1"]) == ["m1", "m3"]
    assert await listed(caller, reason="http 422") == ["m2"]
    later = Timestamp(seconds=died.seconds + 1)
    assert await listed(caller, died_after=later) == []
    assert await listed(caller, died_before=later, statuses=[400]) == ["m1", "m3"]


async def test_pages_follow_each_other_until_the_token_is_empty(caller: Caller) -> None:
    for number in range(5):
        await caller.die(track(message_id=f"m{number}"))
    pages = []
    token = ""
    while True:
        request = pb.ListDeadLettersRequest(page_size=2, page_token=token)
        page = await caller.delivery.ListDeadLetters(request)
        pages.append([each.message_id for each in page.dead_letters])
        token = page.next_page_token
        if not token:
            break
    assert pages == [["m0", "m1"], ["m2", "m3"], ["m4"]]


@pytest.mark.parametrize(
    ("method", "request_", "field", "reason"),
    [
        (
            "ListDeadLetters",
            pb.ListDeadLettersRequest(page_size=1001),
            "page_size",
            "INVALID_VALUE",
        ),
        (
            "ListDeadLetters",
            pb.ListDeadLettersRequest(page_token="x"),
            "page_token",
            "INVALID_VALUE",
        ),
        (
            "ListDeadLetters",
            pb.ListDeadLettersRequest(filter=which(message_ids=["m"] * 1001)),
            "filter.message_ids",
            "TOO_MANY",
        ),
        ("GetDeadLetter", pb.GetDeadLetterRequest(), "message_id", "REQUIRED"),
        ("PurgeDeadLetters", pb.PurgeDeadLettersRequest(), "filter", "REQUIRED"),
        ("PurgeDeadLetters", pb.PurgeDeadLettersRequest(filter=which()), "filter", "REQUIRED"),
        (
            "PurgeDeadLetters",
            pb.PurgeDeadLettersRequest(all=True, filter=which(reason="x")),
            "all",
            "INVALID_VALUE",
        ),
    ],
)
async def test_a_field_that_can_not_be_used_is_named(
    caller: Caller, method: str, request_: Any, field: str, reason: str
) -> None:
    error = await rejection(getattr(caller.delivery, method)(request_))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (error.fields, error.reason) == ([(field, reason)], "INVALID_REQUEST")


async def test_a_replay_of_nothing_in_particular_is_rejected(caller: Caller) -> None:
    call = caller.delivery.ReplayDeadLetters(pb.ReplayDeadLettersRequest())
    error = await rejection(anext(aiter(call)))
    assert (error.code, error.fields) == (
        *(grpc.StatusCode.INVALID_ARGUMENT, [("filter", "REQUIRED")]),
    )


async def test_bytes_that_are_no_message_are_told_apart(caller: Caller) -> None:
    error = await rejection(caller.raw(f"{DELIVERY}/GetStats", b"\x08"))
    assert (error.code, error.fields) == (
        *(grpc.StatusCode.INVALID_ARGUMENT, [("", "INVALID_MESSAGE")]),
    )


# Get


async def test_a_dead_letter_is_shown_whole_and_masked(caller: Caller) -> None:
    event = track({"total": 99.5, "email": "ann@example.com"}, message_id="m1", user_id="ann-77")
    await caller.die(event)
    shown = (await caller.delivery.GetDeadLetter(pb.GetDeadLetterRequest(message_id="m1"))).record
    assert b"ann" not in shown.SerializeToString()
    assert orjson.loads(shown.event)["properties"] == {"total": "<number>", "email": "<text>"}
    (item,) = orjson.loads(shown.request.body)["batch"]
    assert (item["name"], item["identifiers"]) == ("Order Completed", {"id": "<text>"})
    assert (shown.request.method, shown.request.path) == ("POST", "/api/v2/batch")
    assert orjson.loads(shown.response)


async def test_what_is_asked_to_be_revealed_is_shown_as_it_is(caller: Caller) -> None:
    await caller.die(track({"total": 99.5}, message_id="m1", user_id="ann-77"))
    request = pb.GetDeadLetterRequest(message_id="m1", reveal=True)
    shown = (await caller.delivery.GetDeadLetter(request)).record
    assert orjson.loads(shown.event)["userId"] == "ann-77"
    assert '"ann-77"' in shown.request.body


async def test_the_path_of_a_v1_request_is_masked(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    async with calling(make_settings(api="v1"), fake) as caller:
        await caller.die(track(message_id="m1", user_id="ann-77"))
        request = pb.GetDeadLetterRequest(message_id="m1")
        shown = (await caller.delivery.GetDeadLetter(request)).record
        assert shown.request.path == "/api/v1/customers/…/events"
        request.reveal = True
        shown = (await caller.delivery.GetDeadLetter(request)).record
        assert shown.request.path == "/api/v1/customers/ann-77/events"


async def test_an_unknown_message_id_is_not_found(caller: Caller) -> None:
    error = await rejection(caller.delivery.GetDeadLetter(pb.GetDeadLetterRequest(message_id="m9")))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "NO_SUCH_DEAD_LETTER")
    assert "'m9'" in error.words


# Replay


async def test_a_replayed_dead_letter_is_delivered_under_its_message_id(
    caller: Caller, fake: FakeCustomerIO
) -> None:
    await caller.die(track({"n": 1}, message_id=ulid(1)))
    await caller.die(track({"n": 2}, message_id=ulid(2)))
    (*_, last) = await replay(caller, filter=which(message_ids=[ulid(2)]))
    assert (last.replayed, last.dropped, last.rejected) == (1, 0, 0)
    await caller.settled()
    assert [event["id"] for event in fake.events] == [ulid(2)]
    assert await listed(caller) == [ulid(1)]


async def test_a_replay_maps_by_the_tables_of_today(
    make_settings: Callable[..., Settings],
    fake: FakeCustomerIO,
    tmp_path: Path,
    until: Callable[..., Any],
) -> None:
    (tmp_path / "default.yaml").write_text(name_from("event"))
    async with calling(make_settings(overlay=tmp_path), fake) as caller:
        await caller.die(track({"n": "one"}, message_id="m1"))
        await caller.die(track({"n": "two"}, message_id="m2"))
        (tmp_path / "default.yaml").write_text(name_from("properties.n"))
        caller.sidecar.reload()
        await until(lambda: sum(caller.sidecar.reloader.reloads.values()), "the new tables")
        (*_, last) = await replay(caller, all=True)
        assert (last.replayed, last.rejected) == (2, 0)
        await caller.settled()
        assert [event["name"] for event in fake.events] == ["one", "two"]


async def test_what_the_tables_reject_stays_and_is_named_without_its_data(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO, tmp_path: Path
) -> None:
    async with calling(make_settings(), fake) as caller:
        await caller.die(track({"vip": "ann-77@x.org"}, message_id="m1"))
        await caller.die(track({"vip": "bob"}, message_id="m2"))
    (tmp_path / "default.yaml").write_text(name_from("properties.label"))
    async with calling(make_settings(overlay=tmp_path), fake) as caller:
        steps = await replay(caller, all=True)
        assert (steps[-1].replayed, steps[-1].rejected) == (0, 2)
        first, second = [rejected for step in steps for rejected in step.rejections]
        assert (first.message_id, second.message_id) == ("m1", "m2")
        fields = [(each.field, each.reason) for each in first.violations]
        assert ("properties.label", "REQUIRED") in fields
        assert b"ann-77" not in first.SerializeToString()
        assert await listed(caller) == ["m1", "m2"]


async def test_a_full_queue_ends_a_replay_and_leaves_the_rest(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    async with calling(make_settings(queue_max_bytes=1024 * 1024), fake) as caller:
        for number in range(3):
            await caller.die(track({"text": "x" * 20_000}, message_id=f"m{number}"))
        await caller.delivery.Pause(pb.PauseRequest())
        await caller.fill()
        error = await rejection(replay(caller, all=True))
        assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        assert error.retry_seconds == 1.0
        assert len(await listed(caller)) == 3
        await caller.delivery.Resume(pb.ResumeRequest())
        await caller.settled()
        assert (await replay(caller, all=True))[-1].replayed == 3
        await caller.settled()
        assert await listed(caller) == []


# Purge


async def test_a_purge_removes_what_the_filter_finds_and_nothing_else(caller: Caller) -> None:
    await caller.die(track(message_id="m1"))
    await caller.die(track(message_id="m2"), status=422)
    purge = pb.PurgeDeadLettersRequest(filter=which(statuses=[422]))
    assert (await caller.delivery.PurgeDeadLetters(purge)).purged == 1
    assert await listed(caller) == ["m1"]
    everything = pb.PurgeDeadLettersRequest(all=True)
    assert (await caller.delivery.PurgeDeadLetters(everything)).purged == 1
    assert (await caller.delivery.PurgeDeadLetters(everything)).purged == 0


# Export


async def test_an_export_gives_every_dead_letter_whole_in_order(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_service, "MOST_PAGE_LETTERS", 2)
    for number in range(5):
        await caller.die(track({"email": "ann@example.com"}, message_id=f"m{number}"))
    call = caller.delivery.ExportDeadLetters(pb.ExportDeadLettersRequest())
    records = [response.record async for response in call]
    assert [each.dead_letter.message_id for each in records] == [f"m{n}" for n in range(5)]
    assert not any(b"ann@" in each.SerializeToString() for each in records)
    request = pb.ExportDeadLettersRequest(reveal=True, filter=which(message_ids=["m3"]))
    (shown,) = [each.record async for each in caller.delivery.ExportDeadLetters(request)]
    assert orjson.loads(shown.event)["properties"] == {"email": "ann@example.com"}


# Pause


async def test_a_paused_sidecar_accepts_and_delivers_after_it_is_resumed(
    caller: Caller, fake: FakeCustomerIO
) -> None:
    await caller.delivery.Pause(pb.PauseRequest())
    assert (await caller.send(track(message_id=ulid(1)))).status == ACCEPTED
    assert (await caller.delivery.GetStats(pb.GetStatsRequest())).waiting_events == 1
    resumed = await caller.delivery.Resume(pb.ResumeRequest())
    assert (resumed.HasField("pause"), resumed.HasField("hold")) == (True, False)
    await caller.settled(1)
    assert [event["id"] for event in fake.events] == [ulid(1)]


async def test_resume_ends_a_hold_and_says_which(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO, until: Callable[..., Any]
) -> None:
    fake.fail_next(401)
    async with calling(make_settings(), fake) as caller:
        await until(lambda: caller.sidecar.dispatcher.hold, "the rejection")
        hold = (await caller.delivery.Resume(pb.ResumeRequest())).hold
        assert hold.reason == pb.HOLD_REASON_CREDENTIALS
        assert "CIO_API_KEY" in hold.description
        assert caller.sidecar.dispatcher.hold is None


async def test_a_pause_does_not_outlive_the_process(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    async with calling(make_settings(), fake) as caller:
        await caller.delivery.Pause(pb.PauseRequest())
        await caller.send(track(message_id="m1"))
    async with calling(make_settings(), fake) as caller:
        await caller.settled(1)


# Watch


async def test_a_watcher_is_told_of_each_event_what_came_of_it(caller: Caller) -> None:
    watch = caller.delivery.WatchOutcomes(pb.WatchOutcomesRequest())
    await watch.wait_for_connection()
    await caller.send(track(message_id="m1"))
    await caller.settled(1)
    told = await watch.read()
    assert isinstance(told, pb.WatchOutcomesResponse)
    assert list(told.outcomes) == [
        pb.EventOutcome(message_id="m1", outcome=pb.OUTCOME_DELIVERED, attempts=1)
    ]
    await caller.die(track(message_id="m2", user_id="ann-77"))
    told = await watch.read()
    assert isinstance(told, pb.WatchOutcomesResponse)
    (outcome,) = told.outcomes
    assert (outcome.message_id, outcome.outcome) == ("m2", pb.OUTCOME_DEAD_LETTERED)
    assert outcome.status == 400
    assert outcome.reason.startswith("HTTP 400")


async def test_a_watcher_is_told_of_what_is_tried_again(
    caller: Caller, fake: FakeCustomerIO
) -> None:
    watch = caller.delivery.WatchOutcomes(pb.WatchOutcomesRequest())
    await watch.wait_for_connection()
    fake.fail_next(503, 1)
    await caller.send(track(message_id="m1"))
    told = await watch.read()
    assert isinstance(told, pb.WatchOutcomesResponse)
    (outcome,) = told.outcomes
    assert (outcome.outcome, outcome.status) == (pb.OUTCOME_RETRIED, 503)
    assert outcome.reason == "Customer.io answered HTTP 503"


async def test_a_slow_watcher_loses_the_oldest_and_is_told_how_many(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome_watch, "KEPT_OUTCOMES", 3)
    watch = caller.delivery.WatchOutcomes(pb.WatchOutcomesRequest())
    await watch.wait_for_connection()
    # They go as one batch, and their outcomes are told without a pause.
    await caller.delivery.Pause(pb.PauseRequest())
    await caller.send_batch(*(track(message_id=f"m{n}", user_id=f"u{n}") for n in range(10)))
    await caller.delivery.Resume(pb.ResumeRequest())
    await caller.settled(10)
    told = await watch.read()
    assert isinstance(told, pb.WatchOutcomesResponse)
    assert told.dropped == 7
    assert [each.message_id for each in told.outcomes] == ["m7", "m8", "m9"]


async def test_delivery_tells_nobody_once_the_last_watcher_is_gone(
    caller: Caller, until: Callable[..., Any]
) -> None:
    dispatcher = caller.sidecar.dispatcher
    watches = [caller.delivery.WatchOutcomes(pb.WatchOutcomesRequest()) for _ in range(2)]
    for watch in watches:
        await watch.wait_for_connection()
    assert dispatcher.on_outcome is not None
    for watch in watches:
        watch.cancel()
    await until(lambda: dispatcher.on_outcome is None, "the last one to go")


async def test_an_open_watch_ends_at_shutdown_and_does_not_hold_it_up(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    # Far longer than the test may take: only an end of its own lets it pass.
    sidecar = Sidecar(make_settings(shutdown_grace_seconds=3600))
    async with sidecar, grpc.aio.insecure_channel(sidecar.address) as channel:
        watch = Caller(sidecar, channel, fake).delivery.WatchOutcomes(pb.WatchOutcomesRequest())
        await watch.wait_for_connection()
        await sidecar.__aexit__(None, None, None)
        error = await rejection(watch.read())
        assert error.code is grpc.StatusCode.UNAVAILABLE
        assert "shutting down" in error.words
