"""`new`: a golden case of an event and of what it becomes at present, for a person to review."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from cio_conformance.cases.golden_cases import Golden, load_fixtures
from cio_conformance.cli import main
from cio_conformance.workbench.golden.new import MARK
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.support import invoke
from tests.conformance.test_direct import CASES, NO_NAMES
from tests.conformance.test_update import OBJECT, passes

ORDER: dict[str, Any] = {
    "type": "track",
    "messageId": "order-9",
    "userId": "ann",
    "event": "Order Completed",
    "timestamp": "2026-03-02T09:00:00Z",
    "properties": {"total": 5, "note": "no", "items": [{"sku": "1", "price": 79.99}]},
}
WRITTEN = """\
  # TO REVIEW: made of what the tables gave. Is this what Customer.io must receive?
  - name: Order Completed
    covers: [person.person, default.data, default.id, default.data.userId, default.name,
       default.timestamp, default.type]
    profile: standard
    event: {type: track, messageId: order-9, userId: ann, event: Order Completed,
       timestamp: "2026-03-02T09:00:00Z",
       properties: {total: 5, note: "no", items: [{sku: "1", price: 79.99}]}}
    expect:
      v1:
        - {method: POST, path: /api/v1/customers/ann/events,
           body: {data: {total: 5, note: "no", items: [{sku: "1", price: 79.99}], userId: ann},
              name: Order Completed, id: order-9, timestamp: 1772442000, type: event}}
      v2:
        - {method: POST, path: /api/v2/batch,
           body: {type: person, identifiers: {id: ann}, action: event, name: Order Completed,
              id: order-9, timestamp: 1772442000,
              attributes: {total: 5, note: "no", items: [{sku: "1", price: 79.99}], userId: ann}}}
"""


def new(event: object, *arguments: str | Path) -> Result:
    stdin = event if isinstance(event, bytes) else orjson.dumps(event)
    result = CliRunner().invoke(main, ["new", *map(str, arguments)], input=stdin)
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def words(text: str) -> str:
    """A text without its line breaks and its indentation."""
    return " ".join(text.split())


def case(folder: Path, name: str) -> Golden:
    (golden,) = [golden for golden in load_fixtures(folder) if golden.name == name]
    return golden


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "our-shop.yaml").write_text(CASES + "\n# The end.\n")
    return folder


@pytest.mark.parametrize(
    ("kind", "got"), [("trak", '"trak"'), ("Track", '"Track"'), (None, "nothing")]
)
@pytest.mark.parametrize("into_a_folder", [True, False])
def test_a_type_that_there_is_not_is_warned_of_with_those_there_are(
    kind: str | None, got: str, into_a_folder: bool, tmp_path: Path
) -> None:
    where = ["--fixtures", str(tmp_path)] if into_a_folder else []
    result = new({**ORDER, "type": kind}, *where)
    assert result.exit_code == 0, result.output
    assert result.stderr == (
        "cio-conformance: warning: the case says that its event is rejected: type: expected one of "
        f"identify, page, screen, track, group, alias, got {got}\n"
    )


def test_without_a_folder_a_whole_file_is_printed_which_passes(tmp_path: Path) -> None:
    result = new(ORDER, "--family", "shop")
    assert result.exit_code == 0, result.output
    assert not result.stderr
    assert words(result.output) == words(f"family: shop\ncases:\n{WRITTEN}")
    assert MARK in result.output
    (tmp_path / "printed.yaml").write_text(result.output)
    assert passes(tmp_path)


def test_a_case_is_added_to_its_familys_file_and_nothing_else_changes(cases: Path) -> None:
    result = new(ORDER, "--fixtures", cases, "--family", "shop")
    assert result.exit_code == 0, result.output
    file = cases / "our-shop.yaml"
    assert result.output == (
        f"{file}: added shop: Order Completed; review it, and take its comment out\n"
    )
    before, added, after = file.read_text().partition("\n\n  # TO REVIEW")
    assert f"{before}\n" == CASES
    assert words(f"# TO REVIEW{after}") == words(f"{WRITTEN}\n# The end.")
    assert added
    assert passes(cases)


def test_a_family_that_is_not_there_gets_a_file(cases: Path) -> None:
    assert new(ORDER, "--fixtures", cases, "--family", "big orders").exit_code == 0
    assert (cases / "big_orders.yaml").read_text().startswith("family: big orders\ncases:\n  # TO")
    assert passes(cases)


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    assert new(ORDER, "--fixtures", tmp_path).exit_code == 0
    assert case(tmp_path, "track: Order Completed").case.event == ORDER
    assert passes(tmp_path)


def test_a_rejected_event_becomes_a_rejection(tmp_path: Path) -> None:
    nobody = {key: value for key, value in ORDER.items() if key != "userId"}
    assert new(nobody, "--fixtures", tmp_path).exit_code == 0
    made = case(tmp_path, "track: Order Completed").case
    assert [(each.field, each.reason) for each in made.reject] == [("userId", "NO_PERSON")]
    assert made.covers == ["person.person"]
    assert passes(tmp_path)


def test_warnings_and_placeholders_are_part_of_the_case(tmp_path: Path) -> None:
    event = {"type": "track", "userId": "ann", "event": "x" * 120, "timestamp": "soon"}
    assert new(event, "--fixtures", tmp_path, "--name", "a long one").exit_code == 0
    text = (tmp_path / "track.yaml").read_text()
    assert "event: {type: track, userId: ann, event: {$repeat: x, times: 120}" in text
    made = case(tmp_path, "track: a long one").case
    assert sorted(made.warnings) == ["event", "timestamp"]
    assert made.expect
    assert made.expect.v1[0].body["timestamp"] == "$received_at"
    assert made.expect.v1[0].body["id"] == "$ulid"
    assert passes(tmp_path)


def test_the_settings_of_the_family_hold(cases: Path) -> None:
    file = cases / "our-shop.yaml"
    file.write_text(CASES.replace("cases:", "settings: {deny_properties: [note]}\ncases:"))
    assert new(ORDER, "--fixtures", cases, "--family", "shop").exit_code == 0
    assert case(cases, "shop: Order Completed").case.event == ORDER
    assert 'data: {total: 5, items: [{sku: "1", price: 79.99}], userId: ann}' in file.read_text()
    assert passes(cases)


def test_own_tables_and_a_profile_are_heeded(tmp_path: Path) -> None:
    tables, folder = tmp_path / "tables", tmp_path / "cases"
    tables.mkdir()
    folder.mkdir()
    (tables / "own.yaml").write_text(NO_NAMES)
    options = ("--profile", "documented", "--overlay", tables)
    assert new(ORDER, "--fixtures", folder, *options).exit_code == 0
    made = case(folder, "track: Order Completed").case
    assert made.profile == "documented"
    assert made.expect
    assert made.expect.v1[0].body["data"]["userId"] == "somebody"
    assert passes(folder, "--overlay", tables)


def test_what_a_new_case_says_to_cover_is_true(cases: Path) -> None:
    assert new(ORDER, "--fixtures", cases, "--family", "shop").exit_code == 0
    covered = CliRunner().invoke(main, ["coverage", "--fixtures", str(cases)])
    assert ", 0 mistakes\n" in covered.output


def test_the_new_case_passes_over_grpc_as_well(cases: Path) -> None:
    assert new(ORDER, "--fixtures", cases, "--family", "shop").exit_code == 0
    result = invoke("--fixtures", str(cases), "--filter", "Order Completed$", "--api", "v1")
    assert result.exit_code == 0, result.output


LOOSE = {**ORDER, "userId": True}


def test_an_event_that_grpc_can_not_hold_gets_a_family_that_needs_json(cases: Path) -> None:
    result = new(LOOSE, "--fixtures", cases, "--family", "shop")
    assert result.exit_code == 2
    assert (
        "the family shop is sent over gRPC, whose messages can't hold this event: " in result.output
    )
    assert "give it a --family of its own" in result.output
    assert new(LOOSE, "--fixtures", cases, "--family", "loose").exit_code == 0
    assert "needs: json\n" in (cases / "loose.yaml").read_text()
    assert passes(cases)


@pytest.mark.parametrize(
    ("event", "options", "told"),
    [
        (b"{", (), "expected an event, one JSON object; it is not JSON: "),
        (b"[1]", (), "expected an event, one JSON object, got '[1]'"),
        (b"\xff", (), "it is not JSON"),
        (ORDER, ("--name", " x"), "expected text of one line without blanks around it"),
        (ORDER, ("--name", "an order"), "there is a case 'shop: an order' already: give another"),
        (
            {**ORDER, "messageId": "order-1"},
            ("--name", "another"),
            "the case 'shop: an order' has the messageId 'order-1' already",
        ),
    ],
)
def test_what_can_not_be_made_exits_2_and_changes_nothing(
    cases: Path, event: object, options: tuple[str, ...], told: str
) -> None:
    before = (cases / "our-shop.yaml").read_bytes()
    result = new(event, "--fixtures", cases, "--family", "shop", *options)
    assert result.exit_code == 2
    assert told in result.output
    assert (cases / "our-shop.yaml").read_bytes() == before
    assert len(list(cases.iterdir())) == 1


def test_the_file_of_another_family_is_not_overwritten(cases: Path) -> None:
    assert new(ORDER, "--fixtures", cases, "--family", "our-shop").exit_code == 0
    before = (cases / "our_shop.yaml").read_bytes()
    other = {**ORDER, "messageId": "m"}
    result = new(other, "--fixtures", cases, "--family", "our_shop")
    assert result.exit_code == 2
    assert "our_shop.yaml: is there already, with another family: give another" in result.output
    assert (cases / "our_shop.yaml").read_bytes() == before


def test_cases_in_brackets_are_not_added_to(cases: Path) -> None:
    text = (
        "family: shop\ncases: [{name: a, event: {type: track}, reject: [{field: x, reason: y}]}]\n"
    )
    (cases / "our-shop.yaml").write_text(text)
    result = new(ORDER, "--fixtures", cases, "--family", "shop")
    assert result.exit_code == 2
    assert "expected a list of lines that begin with a dash" in result.output


def test_an_event_whose_name_would_not_do_gets_another(tmp_path: Path) -> None:
    event = {**ORDER, "event": f" Order\nCompleted {'x' * 90}"}
    assert new(event, "--fixtures", tmp_path).exit_code == 0
    assert case(tmp_path, f"track: Order Completed {'x' * 90}").case.event == event
    assert new({**ORDER, "event": "x" * 90}, "--fixtures", tmp_path, "--family", "b").exit_code == 2
    assert (
        new({**ORDER, "event": "x" * 90, "messageId": "m"}, "--fixtures", tmp_path).exit_code == 0
    )
    assert passes(tmp_path)


def test_an_event_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_bytes(orjson.dumps(ORDER))
    result = CliRunner().invoke(main, ["new", str(file), "--name", "from a file"])
    assert "  - name: from a file\n" in result.output


def is_name(text: str) -> bool:
    return text == text.strip() and "\n" not in text


@settings(max_examples=25, deadline=None)
@given(properties=OBJECT, name=st.text(min_size=1, max_size=10).filter(is_name))
def test_whatever_an_event_holds_its_case_holds_the_same(
    tmp_path_factory: pytest.TempPathFactory, properties: dict[str, Any], name: str
) -> None:
    folder = tmp_path_factory.mktemp("made")
    event = {**ORDER, "properties": properties}
    result = new(event, "--fixtures", folder, "--name", name)
    assert result.exit_code == 0, result.output
    made = case(folder, f"track: {name}").case
    assert orjson.dumps(made.event) == orjson.dumps(event)
    assert passes(folder)
