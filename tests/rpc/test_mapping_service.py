"""MappingService: the current tables, and what they make of an event without sending it."""

from collections.abc import Callable
from pathlib import Path

import grpc
import orjson
import pytest
from cio.sidecar.v1 import event_pb2, mapping_pb2
from cio_fake import FakeCustomerIO
from cio_sidecar.app.config import Settings

from tests.rpc.harness import (
    MAPPING,
    Caller,
    Rejection,
    calling,
    field,
    identify,
    json_object,
    rejection,
    struct_object,
    track,
    ulid,
)

OVERLAY = """\
table: page
rows:
  - key: data.source
    level: optional
    value: {list: [1, 2.5, null, true, text], of: sidecar}
    doc: Where it came from.
"""


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "page.yaml").write_text(OVERLAY)
    return folder


async def rendered(
    caller: Caller, event: event_pb2.Event, api: mapping_pb2.Api = mapping_pb2.API_V2
) -> mapping_pb2.RenderResponse:
    return await caller.mapping.Render(mapping_pb2.RenderRequest(event=event, api=api))


async def render_rejected(caller: Caller, event: event_pb2.Event) -> Rejection:
    found = await rejection(caller.mapping.Render(mapping_pb2.RenderRequest(event=event)))
    assert found.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (found.reason, found.domain) == ("EVENT_REJECTED", "cio-sidecar")
    return found


async def test_the_tables_in_force_are_listed_by_name(caller: Caller) -> None:
    response = await caller.mapping.ListTables(mapping_pb2.ListTablesRequest())
    assert response.profile == "standard"
    names = [table.name for table in response.tables]
    assert names == sorted(names)
    assert {"default", "global", "identify", "page", "person", "screen"} <= set(names)
    assert all(table.doc and table.row_count for table in response.tables)
    operations = {table.name: table.operation for table in response.tables}
    assert operations["device"] == "add_device"
    assert operations["global"] == ""


async def test_each_listed_table_can_be_shown(caller: Caller) -> None:
    listed = await caller.mapping.ListTables(mapping_pb2.ListTablesRequest())
    for summary in listed.tables:
        request = mapping_pb2.GetTableRequest(name=summary.name)
        table = (await caller.mapping.GetTable(request)).table
        assert (table.name, table.doc) == (summary.name, summary.doc)
        assert table.applies_to == summary.applies_to
        assert len(table.rows) == summary.row_count
        for row in table.rows:
            assert row.key
            assert row.doc
            assert row.level != mapping_pb2.ROW_LEVEL_UNSPECIFIED
            # A row has inputs or a constant value, and never both.
            assert bool(row.inputs) != row.HasField("value")


async def test_a_table_shows_inputs_transforms_levels_and_constants(caller: Caller) -> None:
    response = await caller.mapping.GetTable(mapping_pb2.GetTableRequest(name="page"))
    rows = {row.key: row for row in response.table.rows}
    timestamp = rows["timestamp"]
    assert timestamp.level == mapping_pb2.ROW_LEVEL_REQUIRED
    assert [source.path for source in timestamp.inputs] == [
        "timestamp",
        "originalTimestamp",
        "receivedAt",
    ]
    assert [list(source.transforms) for source in timestamp.inputs] == [["unix_seconds"]] * 3
    assert rows["type"].value.string_value == "page"
    assert rows["data"].level == mapping_pb2.ROW_LEVEL_OPTIONAL
    identify_table = await caller.mapping.GetTable(mapping_pb2.GetTableRequest(name="identify"))
    spread = next(row for row in identify_table.table.rows if row.key == "*")
    assert "createdAt" in getattr(spread, "except")


async def test_an_overlays_rows_are_shown_and_applied(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO, overlay: Path
) -> None:
    async with calling(make_settings(overlay=overlay), fake) as caller:
        response = await caller.mapping.GetTable(mapping_pb2.GetTableRequest(name="page"))
        row = next(row for row in response.table.rows if row.key == "data.source")
        values = row.value.struct_value.fields["list"].list_value
        assert [value.WhichOneof("kind") for value in values.values] == [
            "number_value",
            "number_value",
            "null_value",
            "bool_value",
            "string_value",
        ]
        page = event_pb2.Event(user_id="u1", page=event_pb2.Page(name="p"))
        (request,) = (await rendered(caller, page)).requests
    source = orjson.loads(request.body)["attributes"]["source"]
    assert source == {"list": [1, 2.5, None, True, "text"], "of": "sidecar"}


async def test_the_documented_profile_has_tables_of_its_own(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO
) -> None:
    async with calling(make_settings(profile="documented"), fake) as caller:
        listed = await caller.mapping.ListTables(mapping_pb2.ListTablesRequest())
        assert listed.profile == "documented"
        (request,) = (await rendered(caller, identify({"plan": "club"}))).requests
        assert "plan" not in orjson.loads(request.body)["attributes"]


@pytest.mark.parametrize("name", ["", "nonsense", "x" * 100_000, "page\0", "\N{FOX FACE}" * 500])
async def test_an_unknown_table_is_answered_with_the_names_there_are(
    caller: Caller, name: str
) -> None:
    found = await rejection(caller.mapping.GetTable(mapping_pb2.GetTableRequest(name=name)))
    assert found.code is grpc.StatusCode.NOT_FOUND
    assert (found.reason, found.domain) == ("NO_SUCH_TABLE", "cio-sidecar")
    assert "page" in found.words
    assert "identify" in found.words
    assert len(found.words) < 2000


async def test_bad_utf8_in_a_tables_name_is_named(caller: Caller) -> None:
    found = await rejection(caller.raw(f"{MAPPING}/GetTable", field(1, b"\xff")))
    assert found.code is grpc.StatusCode.INVALID_ARGUMENT
    assert found.fields == [("name", "INVALID_VALUE")]


@pytest.mark.parametrize(
    ("api", "path", "data_key"),
    [
        (mapping_pb2.API_V1, "/api/v1/customers/u%201/events", "data"),
        (mapping_pb2.API_V2, "/api/v2/batch", "attributes"),
        (mapping_pb2.API_UNSPECIFIED, "/api/v2/batch", "attributes"),
    ],
)
async def test_render_shows_the_request_of_each_api(
    caller: Caller, api: mapping_pb2.Api, path: str, data_key: str
) -> None:
    event = track({"total": 3}, user_id="u 1", message_id=ulid(1))
    response = await rendered(caller, event, api)
    (request,) = response.requests
    assert (request.method, request.path) == ("POST", path)
    body = orjson.loads(request.body)
    assert body[data_key] == {"total": 3, "userId": "u 1"}
    assert body["id"] == ulid(1)
    assert not response.warnings


@pytest.mark.parametrize("api", ["auto", "v1"])
async def test_what_render_shows_is_what_is_sent(
    make_settings: Callable[..., Settings], fake: FakeCustomerIO, api: str
) -> None:
    events = [
        track({"total": 3, "none": None}, message_id=ulid(1), anonymous_id="a1"),
        track({"text": "x" * 40_000}, message_id=ulid(2)),
        track({"recipient": "friend@example.com"}, user_id="", message_id=ulid(3)),
        identify(struct_object({"email": "a@example.com"}), message_id=ulid(4)),
        event_pb2.Event(
            anonymous_id="a1",
            message_id=ulid(5),
            timestamp="1772443800",
            page=event_pb2.Page(name="p", properties=json_object({"title": "T"})),
        ),
    ]
    shown_by = mapping_pb2.API_V1 if api == "v1" else mapping_pb2.API_V2
    async with calling(make_settings(api=api), fake) as caller:
        for number, event in enumerate(events, 1):
            shown = (await rendered(caller, event, shown_by)).requests
            assert len(caller.operations) == number - 1
            await caller.send(event)
            sent = (await caller.delivered(number))[-1:]
            assert [
                {"method": one.method, "path": one.path, "body": orjson.loads(one.body)}
                for one in shown
            ] == sent


async def test_what_only_v1_can_carry_is_shown_as_v1(caller: Caller) -> None:
    large = await rendered(caller, track({"text": "x" * 40_000}))
    assert large.requests[0].path == "/api/v1/customers/u1/events"
    invite = await rendered(caller, track({"recipient": "friend@example.com"}, user_id=""))
    assert invite.requests[0].path == "/api/v1/events"


async def test_render_tells_warnings_and_fills_in_what_is_missing(caller: Caller) -> None:
    response = await rendered(caller, track(event="e" * 101, timestamp=""))
    assert [warning.field for warning in response.warnings] == ["event"]
    body = orjson.loads(response.requests[0].body)
    assert len(body["id"]) == 26
    assert body["timestamp"] > 1_700_000_000


async def test_render_rejects_an_event_as_send_does(caller: Caller) -> None:
    for event in (
        event_pb2.Event(),
        track(user_id=""),
        track(b"[]"),
        track(b"{"),
        identify({"bio": "b" * 1001}),
        track({"text": "x" * 200_000}),
        track(message_id="m" * 256),
    ):
        shown = await render_rejected(caller, event)
        assert shown.violations
        assert shown == await caller.send_rejected(event)


async def test_rendering_stores_and_sends_nothing(caller: Caller) -> None:
    await rendered(caller, track(message_id="m1"))
    assert caller.sidecar.queue.waiting == 0
    # Nor does the sidecar remember the id.
    await caller.send(track(message_id="m1"))
    await caller.delivered(1)
