"""``cio-sidecar render``: events in, requests out, nothing stored or sent."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import grpc
import orjson
import pytest
from cio.sidecar.v1 import mapping_pb2, mapping_pb2_grpc
from cio_conformance.cases.golden_cases import load_fixtures
from cio_sidecar.app.config import Settings
from cio_sidecar.app.sidecar import Sidecar
from cio_sidecar.cli.main import main
from cio_sidecar.rpc.event_json import from_event
from click.testing import CliRunner, Result

from tests.app.command import run

SAMPLES = files("cio_sidecar.cli").joinpath("samples.ndjson").read_bytes()
TRACK = {
    "type": "track",
    "event": "Order Completed",
    "userId": "u1",
    "messageId": "m1",
    "timestamp": "2026-03-02T09:30:00Z",
    "properties": {"total": 3},
}


def render(*options: str, stdin: bytes | str | dict[str, Any] = SAMPLES) -> Result:
    given = orjson.dumps(stdin) if isinstance(stdin, dict) else stdin
    result = CliRunner().invoke(main, ["render", *options], input=given)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result


def lines(result: Result) -> list[Any]:
    return [orjson.loads(line) for line in result.stdout.splitlines()]


def violations(line: dict[str, Any]) -> list[tuple[str, str]]:
    assert line.keys() == {"error"}
    assert line["error"].keys() == {"violations"}
    for violation in line["error"]["violations"]:
        assert violation.keys() == {"field", "reason", "description"}
    return [(each["field"], each["reason"]) for each in line["error"]["violations"]]


@pytest.mark.parametrize("api", ["v1", "v2"])
@pytest.mark.parametrize("profile", ["standard", "documented"])
def test_every_sample_is_rendered_for_both_apis_and_profiles(api: str, profile: str) -> None:
    result = render("--api", api, "--profile", profile)
    # The profile of the document knows neither groups and aliases nor delivery metrics.
    assert result.exit_code == (1 if profile == "documented" else 0)
    assert result.stderr == ""
    shown = lines(result)
    assert len(shown) == len(SAMPLES.splitlines())
    for event, line in zip(map(orjson.loads, SAMPLES.splitlines()), shown, strict=True):
        if profile == "documented" and event["type"] in ("group", "alias"):
            assert violations(line) == [("type", "NOT_MAPPED")]
            continue
        if profile == "documented" and event.get("event") == "Report Delivery Event":
            assert violations(line) == [("userId", "NO_PERSON")]
            continue
        assert line.keys() == {"requests", "warnings"}
        assert line["requests"]
        for request in line["requests"]:
            assert request.keys() == {"method", "path", "body"}
            nobody = "userId" not in event and "anonymousId" not in event
            expected = "/api/v1/" if nobody else f"/api/{api}/"
            if event["type"] == "group":
                expected = "/api/v2/"
            assert request["path"].startswith(expected)


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_the_samples_become_what_their_goldens_say(api: Literal["v1", "v2"]) -> None:
    goldens = [each.case for each in load_fixtures() if each.family.family == "samples"]
    assert [case.event for case in goldens] == [*map(orjson.loads, SAMPLES.splitlines())]
    shown = lines(render("--api", api))
    for case, line in zip(goldens, shown, strict=True):
        assert case.expect is not None
        expected = [request.model_dump() for request in case.expect.by(api)]
        assert line == {"requests": expected, "warnings": []}, case.name


def test_a_rendered_event_is_exactly_the_request() -> None:
    assert lines(render("--api", "v1", stdin=TRACK)) == [
        {
            "requests": [
                {
                    "method": "POST",
                    "path": "/api/v1/customers/u1/events",
                    "body": {
                        "data": {"total": 3, "userId": "u1"},
                        "name": "Order Completed",
                        "id": "m1",
                        "timestamp": 1772443800,
                        "type": "event",
                    },
                }
            ],
            "warnings": [],
        }
    ]


@pytest.mark.parametrize("api", ["v1", "v2"])
async def test_render_shows_what_the_mapping_service_shows(
    make_settings: Callable[..., Settings], api: str
) -> None:
    shown = lines(render("--api", api))
    version = mapping_pb2.API_V1 if api == "v1" else mapping_pb2.API_V2
    async with (
        Sidecar(make_settings()) as sidecar,
        grpc.aio.insecure_channel(sidecar.address) as channel,
    ):
        stub = mapping_pb2_grpc.MappingServiceStub(channel)
        for line, expected in zip(SAMPLES.splitlines(), shown, strict=True):
            event = from_event(orjson.loads(line))
            response = await stub.Render(mapping_pb2.RenderRequest(event=event, api=version))
            assert {
                "requests": [
                    {
                        "method": one.method,
                        "path": one.path,
                        "body": orjson.loads(one.body or b"null"),
                    }
                    for one in response.requests
                ],
                "warnings": [
                    {"field": warning.field, "description": warning.description}
                    for warning in response.warnings
                ],
            } == expected


def test_warnings_are_shown_beside_the_requests() -> None:
    (line,) = lines(render(stdin={**TRACK, "event": "e" * 101}))
    assert [warning["field"] for warning in line["warnings"]] == ["event"]
    assert line["warnings"][0].keys() == {"field", "description"}


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        ("2026-03-02T09:30:00Z", 1772443800),
        ("2026-03-02T11:30:00.500+02:00", 1772443800),
        ("1772443800", 1772443800),
        ("1772443800123", 1772443800),
        ("0", 0),
    ],
)
def test_the_clock_can_be_set(now: str, seconds: int) -> None:
    event = {name: value for name, value in TRACK.items() if name != "timestamp"}
    (line,) = lines(render("--now", now, stdin=event))
    assert line["requests"][0]["body"]["timestamp"] == seconds


@pytest.mark.parametrize("now", ["", "tomorrow", "nan", "1e999", "9" * 40, "2026-13-01"])
def test_a_clock_that_is_none_is_named(now: str) -> None:
    result = render("--now", now, stdin=TRACK)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "--now: expected an ISO 8601 date-time or Unix seconds" in result.stderr


def test_a_missing_message_id_is_filled_in() -> None:
    event = {name: value for name, value in TRACK.items() if name != "messageId"}
    (first,) = lines(render(stdin=event))
    (second,) = lines(render(stdin=event))
    ids = [line["requests"][0]["body"]["id"] for line in (first, second)]
    assert all(len(message_id) == 26 for message_id in ids)
    assert ids[0] != ids[1]


def test_bad_lines_are_named_by_number_and_the_good_ones_rendered() -> None:
    given = b"\n".join(
        [
            orjson.dumps(TRACK),
            b"not json",
            b"",
            b"   ",
            b"[1]",
            b'{"type": "purchase"}',
            b'{"type": "track", "event": "e"}',
            b"\xff\xfe",
            b'{"a": NaN}',
            b'{"type": "track", "event": "e", "userId": "u", "properties": "p"}',
            b"[" * 5000,
            orjson.dumps(TRACK),
        ]
    )
    result = render(stdin=given)
    assert result.exit_code == 1
    shown = lines(result)
    assert len(shown) == 10
    assert [violations(line) for line in shown[1:-1]] == [
        [("", "INVALID_JSON")],
        [("", "WRONG_TYPE")],
        [("type", "UNKNOWN_TYPE")],
        [("userId", "NO_PERSON")],
        [("", "INVALID_JSON")],
        [("", "INVALID_JSON")],
        [("properties", "WRONG_TYPE")],
        [("", "INVALID_JSON")],
    ]
    assert shown[1]["error"]["violations"][0]["description"].startswith("line 2 is not JSON")
    assert shown[0] == shown[-1]


def test_line_ends_of_windows_and_a_missing_last_one_are_no_matter() -> None:
    given = orjson.dumps(TRACK)
    assert (
        render(stdin=given + b"\r\n" + given).stdout
        == render(stdin=given + b"\n" + given + b"\n").stdout
    )


def test_nothing_in_is_nothing_out() -> None:
    result = render(stdin=b"")
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "table: default\nrows:\n"
        "  - {key: data.source, level: optional, value: sidecar, doc: Where it came from.}\n"
        "  - {key: data.order, level: required, from: properties.order_id, doc: The order.}\n"
    )
    return folder


def test_an_overlay_is_applied_and_its_required_rows_reject(overlay: Path) -> None:
    given = {**TRACK, "properties": {"order_id": "SO-1"}}
    (line,) = lines(render("--overlay", str(overlay), stdin=given))
    assert line["requests"][0]["body"]["attributes"] == {
        "order_id": "SO-1",
        "order": "SO-1",
        "source": "sidecar",
        "userId": "u1",
    }
    rejected = render("--overlay", str(overlay), stdin=TRACK)
    assert rejected.exit_code == 1
    assert violations(lines(rejected)[0]) == [("properties.order_id", "REQUIRED")]


def test_an_overlay_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    missing = render("--overlay", str(tmp_path / "none"), stdin=TRACK)
    assert missing.exit_code == 2
    assert "there is no folder" in missing.stderr
    (tmp_path / "bad.yaml").write_text("table: page\nrows: [{key: x}]\n")
    bad = render("--overlay", str(tmp_path), stdin=TRACK)
    assert bad.exit_code == 2
    assert f"{tmp_path / 'bad.yaml'}:2" in bad.stderr
    assert bad.stdout == ""


@pytest.mark.parametrize("option", ["--api=v3", "--profile=mine", "--limits=cut", "--nonsense"])
def test_a_wrong_option_is_named(option: str) -> None:
    result = render(option, stdin=TRACK)
    assert result.exit_code == 2
    name = option.partition("=")[0]
    assert name in result.stderr or f"CIO_{name[2:].upper()}" in result.stderr


async def test_render_is_a_command_of_its_own_and_needs_no_settings() -> None:
    finished = await run("render", "--now", "0", stdin=orjson.dumps(TRACK) + b"\nno\n")
    assert finished.code == 1
    assert [line.keys() for line in finished.lines] == [{"requests", "warnings"}, {"error"}]
    assert finished.err == ""
