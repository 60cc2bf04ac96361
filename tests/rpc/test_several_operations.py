"""An event may become several operations, or none: in order, and settled together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from cio.sidecar.v1 import event_pb2, ingest_pb2, mapping_pb2
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings

from tests.app.test_sidecar import metrics
from tests.rpc.harness import ACCEPTED, Caller, calling, identify, json_object, track, ulid

Make = Callable[..., Settings]
DEVICE = json_object({"device": {"token": "t1", "type": "ios"}})


def in_a_group(number: int = 0, group: str = "acme") -> event_pb2.Event:
    return identify(
        {"plan": "free"}, message_id=ulid(number), context=json_object({"groupId": group})
    )


def actions(operations: list[dict[str, Any]]) -> list[str]:
    return [f"{operation['method']} {operation['path']}" for operation in operations]


async def test_the_operations_of_an_event_arrive_in_their_order(caller: Caller) -> None:
    assert (await caller.send(in_a_group())).status == ACCEPTED
    operations = await caller.delivered(2)
    assert [operation["body"]["action"] for operation in operations] == [
        "identify",
        "add_relationships",
    ]
    assert caller.sidecar.dispatcher.counters.delivered == 1
    (held,) = caller.fake.objects
    assert held["identifiers"]["object_id"] == "acme"


async def test_by_v1_they_are_requests_of_their_own(
    make_settings: Make, fake: FakeCustomerIO
) -> None:
    settings = make_settings(api="v1", keep_device_events=True)
    async with calling(settings, fake) as caller:
        await caller.send(track(event="Application Opened", context=DEVICE))
        assert actions(await caller.delivered(2)) == [
            "PUT /api/v1/customers/u1/devices",
            "POST /api/v1/customers/u1/events",
        ]


@pytest.mark.parametrize("api", ["auto", "v1"])
async def test_an_event_is_tried_again_as_a_whole(
    make_settings: Make, fake: FakeCustomerIO, api: str
) -> None:
    settings = make_settings(api=api, keep_device_events=True)
    async with calling(settings, fake) as caller:
        await caller.send(track(event="First"))
        await caller.settled(1)
        fake.fail_next(503, 1)
        await caller.send(track(event="Application Opened", context=DEVICE, message_id=ulid()))
        await caller.settled()
        assert [event["name"] for event in fake.events] == ["First", "Application Opened"]
        assert [device["token"] for device in fake.devices] == ["t1"]
        assert caller.sidecar.dispatcher.counters.delivered == 2


async def test_one_rejected_operation_makes_a_dead_letter_of_the_event(
    make_settings: Make, fake: FakeCustomerIO
) -> None:
    settings = make_settings(api="v1", keep_device_events=True)
    async with calling(settings, fake) as caller:
        # Past the question for the region, which would take the rejection for itself.
        await caller.send(track(event="First"))
        await caller.settled(1)
        fake.fail_next(400, 1)
        await caller.send(track(event="Application Opened", context=DEVICE))
        await caller.send(track(event="Next"))
        await caller.settled()
        assert (await caller.sidecar.queue.stats()).dead_letters == 1
        # A person's next event is not held up by it.
        assert [event["name"] for event in fake.events] == ["First", "Next"]


async def test_many_events_with_several_operations_share_batches(caller: Caller) -> None:
    results = await caller.send_batch(*[in_a_group(n, f"g{n % 7}") for n in range(500)])
    assert {result.status for result in results} == {ACCEPTED}
    operations = await caller.delivered(1000)
    pairs = [operation["body"]["action"] for operation in operations]
    assert pairs == ["identify", "add_relationships"] * 500
    batches = [one for one in caller.fake.received if one.request.path == "/api/v2/batch"]
    assert len(batches) < 20


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    folder = tmp_path / "overlay"
    folder.mkdir()
    (folder / "noise.yaml").write_text(
        "table: noise\ndoc: Probes.\nevents: [track]\nwhen: {event: Probe}\ndrop: true\n"
    )
    return folder


async def test_a_dropped_event_is_accepted_and_counted_and_not_sent(
    make_settings: Make, fake: FakeCustomerIO, noise: Path
) -> None:
    settings = make_settings(overlay=noise, http_listen="127.0.0.1:0")
    async with calling(settings, fake) as caller:
        results = await caller.send_batch(track(event="Probe"), track(event="Kept"))
        assert [result.status for result in results] == [ACCEPTED, ACCEPTED]
        assert (await caller.send(track(event="Probe"))).status == ACCEPTED
        (operation,) = await caller.delivered(1)
        assert operation["body"]["name"] == "Kept"
        shown = await metrics(caller.sidecar)
        assert shown["cio_events_dropped_total"] == 2
        assert shown["cio_events_received_total{status=accepted}"] == 3
        request = mapping_pb2.RenderRequest(event=track(event="Probe"))
        response = await caller.mapping.Render(request)
        assert (list(response.requests), list(response.explanations)) == ([], [])


@pytest.mark.parametrize("api", ["auto", "v1"])
async def test_with_hash_only_no_address_leaves_the_process(
    make_settings: Make, fake: FakeCustomerIO, tmp_path: Path, api: str
) -> None:
    address = "ann.privat@example.com"
    settings = make_settings(email="hash_only", api=api)
    async with calling(settings, fake) as caller:
        assert (
            await caller.send(identify({"email": address, "note": f"of {address}"}))
        ).status == (ACCEPTED)
        await caller.send(track({"to": address.upper(), address: 1}, message_id=address))
        rejected = await caller.send_rejected(
            event_pb2.Event(identify=event_pb2.Identify(traits=json_object({"email": address})))
        )
        assert rejected.fields == [("userId", "REQUIRED")]
        await caller.settled(2)
        sent = b"".join(one.request.body + one.request.path.encode() for one in fake.received)
    kept = b"".join(file.read_bytes() for file in (tmp_path / "data").iterdir())
    for place in (sent, kept):
        assert b"privat" not in place.lower()
    assert fake.people[0]["attributes"]["email_sha256"] in sent.decode()


async def test_what_is_stored_is_delivered_after_a_restart(
    make_settings: Make, fake: FakeCustomerIO
) -> None:
    fake.fail_next(500, 1000)
    async with calling(make_settings(), fake) as caller:
        await caller.send_batch(*[in_a_group(n, f"g{n}") for n in range(50)])
    fake.fail_next(500, 0)
    async with calling(make_settings(), fake) as caller:
        await caller.settled()
    assert len(fake.objects) == 50


async def test_an_object_over_what_v2_takes_is_rejected(caller: Caller) -> None:
    traits = {f"k{n}": "x" * 900 for n in range(40)}
    event = event_pb2.Event(
        user_id="u1", group=event_pb2.Group(group_id="acme", traits=json_object(traits))
    )
    rejected = await caller.send_rejected(event)
    assert rejected.fields == [("traits", "TOO_LARGE")]


async def test_the_group_of_an_identify_goes_over_the_message(caller: Caller) -> None:
    event = identify({"plan": "free"})
    event.identify.group_id = "acme"
    await caller.send(event)
    _, related = await caller.delivered(2)
    (relationship,) = related["body"]["cio_relationships"]
    assert relationship["identifiers"] == {"object_type_id": "1", "object_id": "acme"}


async def test_an_unavailable_queue_still_takes_what_is_dropped(
    make_settings: Make, fake: FakeCustomerIO, noise: Path
) -> None:
    settings = make_settings(overlay=noise, queue_max_bytes=1024 * 1024)
    fake.fail_next(503, 10_000)
    async with calling(settings, fake) as caller:
        large = json_object({"x": "y" * 20_000})
        results = await caller.send_batch(*[track(large) for _ in range(20)])
        assert {result.status for result in results} == {ACCEPTED}
        with pytest.raises(grpc.aio.AioRpcError):
            await caller.send_batch(*[track(large) for _ in range(40)])
        assert (await caller.send(track(event="Probe"))).status == ACCEPTED


async def test_render_tells_which_row_gave_each_key(caller: Caller) -> None:
    event = identify({"plan": "free", "email": "a@b.co"}, context=json_object({"groupId": "acme"}))
    response = await caller.mapping.Render(mapping_pb2.RenderRequest(event=event))
    told = {(each.operation, each.key): each for each in response.explanations}
    assert told["identify", "plan"].row == "identify.*"
    assert told["identify", "plan"].field == "traits.plan"
    assert told["identify", "plan"].origin == "standard/identify.yaml"
    assert told["identify", "email_sha256"].origin == "documented/identify.yaml"
    assert told["add_relationship", "object_id"].field == "context.groupId"
    assert told["add_relationship", "object_type_id"].field == ""
    bodies = [orjson.loads(request.body) for request in response.requests]
    explained = {key for operation, key in told if operation == "identify"}
    assert explained == {*bodies[0]["attributes"], "id"}


async def test_a_table_shows_what_it_is_for_and_where_it_leads(caller: Caller) -> None:
    shown = (await caller.mapping.GetTable(mapping_pb2.GetTableRequest(name="device"))).table
    assert (shown.operation, shown.otherwise) == ("add_device", "default")
    (values,) = shown.when.values
    assert values.path == "event"
    assert values.values[0].string_value == "Application Installed"
    shown = (await caller.mapping.GetTable(mapping_pb2.GetTableRequest(name="group_alone"))).table
    (row,) = [row for row in shown.rows if row.key == "object_type_id"]
    assert row.table == "group"
    assert row.inputs[-1].value.string_value == "1"
    assert shown.extends == "group"


async def test_send_batch_counts_nothing_twice(caller: Caller) -> None:
    event = in_a_group()
    results = await caller.send_batch(event, event)
    assert [result.status for result in results] == [ACCEPTED, ingest_pb2.EVENT_STATUS_DUPLICATE]
    await caller.delivered(2)
