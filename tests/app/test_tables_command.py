"""``cio-sidecar tables``: what is current, where it comes from, and what is wrong with it."""

import os
from pathlib import Path

import orjson
import pytest
from cio_sidecar.cli.main import main
from cio_sidecar.mapping.authoring.profiles import load_profile
from click.testing import CliRunner, Result

OVERLAY = """\
table: default
rows:
  - key: data.order_number
    from: properties.order_id
    apply: [identifier]
    doc: Our shop's order number.
  - key: data.userId
    remove: true
  - key: name
    level: required
    from: [event, name]
    apply: [text]
    doc: The name of the event, under either key.
"""


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    (tmp_path / "default.yaml").write_text(OVERLAY)
    return tmp_path


def tables(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["tables", *arguments])


def test_list_has_a_line_for_each_table_of_the_profile() -> None:
    result = tables("list", "--profile", "documented")
    assert result.exit_code == 0
    names = [line.split()[0] for line in result.output.splitlines()]
    assert names == sorted(load_profile("documented").tables)
    assert "identify identify: 4 rows." in result.output
    assert "identify             identify: 5 rows." in tables("list").output
    assert "group_alone          from other tables: 4 rows." in tables("list").output


def test_show_tells_where_each_row_comes_from(overlay: Path) -> None:
    result = tables("show", "default", "--overlay", str(overlay))
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "default: What a person did; every track event.",
        "  events: track",
        "  operation: event",
        "  data (optional) from properties | object  [documented/default.yaml]",
        "  id (required) from messageId | identifier  [documented/default.yaml]",
        f"  name (required) from event | text, name | text  [{overlay}/default.yaml]",
        "  timestamp (required) from timestamp | unix_seconds, originalTimestamp | unix_seconds, "
        "receivedAt | unix_seconds  [documented/default.yaml]",
        '  type (optional) value "event"  [documented/default.yaml]',
        "  data.order_number (optional) from properties.order_id | identifier  "
        f"[{overlay}/default.yaml]",
        "  anonymous_id (highly_recommended) from anonymousId | identifier  "
        "[documented/global.yaml, table global]",
        "  person (highly_recommended) from userId | identifier, traits.email | email_address, "
        "context.traits.email | email_address  [documented/person.yaml, table person]",
    ]


def test_show_without_a_name_shows_every_table() -> None:
    output = tables("show").output
    for name, table in load_profile("standard").tables.items():
        assert f"{name}: {table.doc}" in output
    assert "except createdAt, created_at, userId, anonymousId  [standard/identify.yaml]" in output


def test_show_names_the_tables_there_are_when_asked_for_another() -> None:
    result = tables("show", "pages")
    assert result.exit_code == 2
    assert (
        "unknown table 'pages': expected one of alias, default, delivery_metric, device,"
        in result.output
    )


def test_diff_shows_what_is_added_replaced_and_removed(overlay: Path) -> None:
    origin = f"[{overlay}/default.yaml]"
    assert tables("diff", str(overlay)).output.splitlines() == [
        "- default.data.userId (optional) from userId | identifier",
        "- default.name (required) from event | text",
        f"+ default.name (required) from event | text, name | text  {origin}",
        f"+ default.data.order_number (optional) from properties.order_id | identifier  {origin}",
    ]


def test_check_counts_the_rows_of_good_tables(overlay: Path) -> None:
    result = tables("check", str(overlay))
    assert result.exit_code == 0
    assert result.output == f"no mistakes; effective rows of {overlay}: 2\n"


def test_check_notes_an_input_that_no_event_over_grpc_has(overlay: Path) -> None:
    (overlay / "page.yaml").write_text(
        "table: page\nrows:\n  - {key: data.x, from: [properties.x, props.x], doc: d}\n"
    )
    result = tables("check", str(overlay))
    assert result.exit_code == 0
    note, last = result.output.splitlines()
    assert note.startswith(
        "note: page.data.x reads props.x, which no event has that comes over gRPC; it has type, "
    )
    assert last.startswith("no mistakes")


def test_check_names_every_mistake_with_file_line_and_row(overlay: Path) -> None:
    (overlay / "default.yaml").write_text(OVERLAY.replace("identifier", "identifer"))
    (overlay / "page.yaml").write_text("table: page\nrows:\n  - {key: name, remove: 1}\n")
    result = tables("check", str(overlay))
    assert result.exit_code == 2
    first, second = result.output.splitlines()
    assert f"{overlay}/default.yaml:5 (row default.data.order_number): there is no" in first
    assert f"{overlay}/page.yaml:3 (row page.name): remove: " in second


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = tables("check", str(tmp_path / "nowhere"))
    assert result.exit_code == 2
    assert f"there is no folder {tmp_path}/nowhere" in result.output


CUSTOM = """\
table: order_completed
doc: An order.
extends: default
when: event.event == "Order Completed"
rows:
  - {key: data.total_cents, expr: "int(event.properties.total * 100.0)", doc: The total in cents.}
"""


def test_diff_and_show_tell_what_a_new_table_is_for(tmp_path: Path) -> None:
    (tmp_path / "order.yaml").write_text(CUSTOM)
    (tmp_path / "gone.yaml").write_text("{table: user_deleted, remove: true}")
    (tmp_path / "device.yaml").write_text("{table: device, also: default}")
    origin = f"[{tmp_path}/order.yaml]"
    assert tables("diff", str(tmp_path)).output.splitlines() == [
        f"+ device: also: default  [{tmp_path}/device.yaml]",
        f"+ order_completed: events: track  {origin}",
        f"+ order_completed: extends: default  {origin}",
        f"+ order_completed: operation: event  {origin}",
        f'+ order_completed: when: event.event == "Order Completed"  {origin}',
        "+ order_completed.data.total_cents (optional) expr int(event.properties.total * 100.0)"
        f"  {origin}",
        "- user_deleted",
    ]
    shown = tables("show", "order_completed", "--overlay", str(tmp_path)).output
    assert (
        "  data (optional) from properties | object  [documented/default.yaml, table default]"
        in (shown.splitlines())
    )


def test_a_setting_that_changes_tables_is_shown_with_them() -> None:
    assert "_timestamp" not in tables("show", "identify").output
    shown = tables("show", "identify", "--identify-timestamp", "true").output
    assert "_timestamp (optional) from timestamp" in shown
    rejected = tables("list", "--profile", "documented", "--keep-device-events", "true")
    assert rejected.exit_code == 2
    assert "CIO_KEEP_DEVICE_EVENTS: only the profile standard" in rejected.output


def test_variables_set_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIO_PROFILE", "documented")
    assert "user_deleted" not in tables("list").output


def test_the_schema_is_printed_as_json() -> None:
    result = tables("schema")
    assert result.exit_code == 0
    assert orjson.loads(result.output)["$schema"].startswith("https://json-schema.org/")


def test_check_names_each_file_that_is_not_a_regular_one(overlay: Path) -> None:
    os.mkfifo(overlay / "fifo.yaml")
    (overlay / "zero.yaml").symlink_to("/dev/zero")
    (overlay / "folder.yaml").mkdir()
    (overlay / "large.yaml").write_text("#" * 1_000_001)
    result = tables("check", str(overlay))
    assert result.exit_code == 2
    for name in ("fifo", "zero", "folder", "large"):
        assert f"can't read {overlay}/{name}.yaml: " in result.output


def test_check_follows_a_link_to_a_regular_file(overlay: Path, tmp_path: Path) -> None:
    (overlay / "default.yaml").rename(tmp_path / "real")
    (overlay / "default.yaml").symlink_to(tmp_path / "real")
    assert tables("check", str(overlay)).exit_code == 0
