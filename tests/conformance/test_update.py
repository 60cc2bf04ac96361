"""`update`: the goldens of failing cases become what the tables give; nothing else changes."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cio_conformance.cases.golden_cases import FIXTURES, load_fixtures
from cio_conformance.cli import main
from cio_conformance.workbench.golden.flow import flow
from click.testing import CliRunner, Result
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.conformance.support import invoke
from tests.conformance.test_direct import CASES, NO_NAMES


def update(folder: Path, *arguments: str | Path) -> Result:
    options = ["update", "--fixtures", folder, *arguments]
    result = CliRunner().invoke(main, [str(each) for each in options])
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def passes(folder: Path, *arguments: str | Path) -> bool:
    return invoke("--render", "--fixtures", str(folder), *map(str, arguments)).exit_code == 0


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "shop.yaml").write_text(CASES)
    return folder


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "own.yaml").write_text(NO_NAMES)
    return folder


def changed(before: str, after: str) -> list[tuple[str, str]]:
    """The lines that differ, of texts with as many lines."""
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    return [(old.strip(), new.strip()) for old, new in pairs if old != new]


def test_a_claim_of_a_row_that_is_gone_is_named_and_left_for_a_person(
    cases: Path, overlay: Path
) -> None:
    claim = "  - name: an order\n    covers: [default.name, default.data.userId]\n"
    (cases / "shop.yaml").write_text(CASES.replace("  - name: an order\n", claim))
    assert "stale" not in update(cases, "--check").output
    (overlay / "own.yaml").write_text("table: default\nrows: [{key: data.userId, remove: true}]\n")
    for check in ["--check"], []:
        result = update(cases, "--overlay", overlay, *check)
        assert result.output.splitlines()[-2:] == [
            "stale claim, fix it by hand: shop: an order: covers default.data.userId, but there "
            "is no such row",
            f"{'would rewrite' if check else 'rewrote'} 2 of 3 cases, in 1 file",
        ]
    assert claim in (cases / "shop.yaml").read_text()
    # It stays until it is fixed, whether the case passes or not.
    result = update(cases, "--overlay", overlay)
    assert (result.exit_code, result.output.count("stale claim")) == (0, 1)


def test_nothing_to_change_exits_0_and_touches_no_file(cases: Path) -> None:
    written = (cases / "shop.yaml").stat().st_mtime_ns
    result = update(cases)
    assert (result.exit_code, result.output) == (0, "rewrote 0 of 3 cases, in 0 files\n")
    assert update(cases, "--check").exit_code == 0
    assert (cases / "shop.yaml").stat().st_mtime_ns == written


def test_a_changed_row_changes_its_values_alone_and_shows_the_difference(
    cases: Path, overlay: Path
) -> None:
    result = update(cases, "--overlay", overlay)
    assert result.exit_code == 0, result.output
    after = (cases / "shop.yaml").read_text()
    assert after == CASES.replace("userId: ann}", "userId: somebody}")
    assert len(changed(CASES, after)) == 4
    assert (
        "-           body: {data: {total: 5, userId: ann}, name: Order Completed, id"
        in result.output
    )
    assert "+           body: {data: {total: 5, userId: somebody}, name" in result.output
    assert result.output.splitlines()[-1] == "rewrote 2 of 3 cases, in 1 file"
    assert passes(cases, "--overlay", overlay)
    assert update(cases, "--overlay", overlay).output == "rewrote 0 of 3 cases, in 0 files\n"


def test_check_shows_the_same_difference_and_writes_nothing(cases: Path, overlay: Path) -> None:
    result = update(cases, "--overlay", overlay, "--check")
    assert result.exit_code == 1
    assert "+           body: {data: {total: 5, userId: somebody}, name" in result.output
    assert result.output.splitlines()[-1] == "would rewrite 2 of 3 cases, in 1 file"
    assert (cases / "shop.yaml").read_text() == CASES


def test_a_filter_narrows_what_is_rewritten(cases: Path, overlay: Path) -> None:
    assert update(cases, "--overlay", overlay, "--filter", "an order").exit_code == 0
    after = (cases / "shop.yaml").read_text()
    assert [old[:30] for old, _ in changed(CASES, after)] == [
        "body: {data: {total: 5, userId",
        "id: order-1, timestamp: 177244",
    ]


def test_a_case_that_is_known_to_fail_is_left_alone(
    cases: Path, overlay: Path, tmp_path: Path
) -> None:
    known = tmp_path / "known.txt"
    known.write_text("shop: an order [standard, v1]\n")
    result = update(cases, "--overlay", overlay, "--known-failing", known)
    assert result.exit_code == 0
    assert f"left alone shop: an order: {known}:1 lists it as failing\n" in result.output
    after = (cases / "shop.yaml").read_text()
    assert "{total: 5, userId: ann}" in after
    assert "{data: {userId: somebody}" in after


REJECTED = CASES.replace("messageId: order-1, userId: ann", "messageId: order-1")


def test_a_golden_that_becomes_a_rejection_is_told_loudly(cases: Path) -> None:
    (cases / "shop.yaml").write_text(
        REJECTED.replace("properties: {total", "properties: {userId: 1, total")
    )
    result = update(cases)
    assert result.exit_code == 0, result.output
    assert "NOW REJECTED shop: an order\n    userId: NO_PERSON: " in result.output
    after = (cases / "shop.yaml").read_text()
    assert "    reject: [{field: userId, reason: NO_PERSON}]\n  - name: without id" in after
    assert after.partition("  - name: without id")[2] == CASES.partition("  - name: without id")[2]
    assert passes(cases)


def test_a_rejection_that_becomes_a_golden_gets_the_layout_of_the_others(cases: Path) -> None:
    text = CASES.replace("messageId: order-3,", "messageId: order-3, userId: bob,")
    (cases / "shop.yaml").write_text(f"{text}\n  # The end.\n")
    result = update(cases)
    assert result.exit_code == 0, result.output
    assert "now accepted shop: nobody\n" in result.output
    assert (cases / "shop.yaml").read_text().partition("userId: bob")[2] == (
        ", event: Order Completed}\n"
        "    expect:\n"
        "      v1:\n"
        "        - {method: POST, path: /api/v1/customers/bob/events,\n"
        "           body: {data: {userId: bob}, name: Order Completed, id: order-3, "
        "timestamp: $received_at,\n"
        "              type: event}}\n"
        "      v2:\n"
        "        - {method: POST, path: /api/v2/batch,\n"
        "           body: {type: person, identifiers: {id: bob}, action: event, "
        "name: Order Completed, id: order-3,\n"
        "              timestamp: $received_at, attributes: {userId: bob}}}\n"
        "\n  # The end.\n"
    )
    assert passes(cases)


BLOCK = """\
# Ours.
family: blocks
cases:
  -
    name: an order      # with a word on it
    event:
      type: track
      messageId: 'order-1'
      userId: ann
      event: Order Completed
      timestamp: "2026-03-02T09:00:00Z"
      properties:
        total: 5
    expect:

      # by v1
      v1:
        - method: POST
          path: /api/v1/customers/ann/events
          body:
            gone: {so: is this}     # and this
            data:
              total: 6      # money
              other: 1
              # who
              userId: "ann"
            name: >-
              Order
              Received
            id: order-1
            timestamp: 1772442000
        - method: POST
          path: /api/v1/events
          body: {}
      v2:
        - method: POST
          path: /api/v2/batch
          body: {type: person, identifiers: {id: ann}, action: event, name: Order Completed,
                 id: order-1, timestamp: 1772442000, attributes: {total: 5, userId: ann}}

  - {name: nobody, event: {type: track, event: Order Completed},
     reject: [{field: x, reason: Y}]}
"""
BLOCK_BLESSED = """\
# Ours.
family: blocks
cases:
  -
    name: an order      # with a word on it
    event:
      type: track
      messageId: 'order-1'
      userId: ann
      event: Order Completed
      timestamp: "2026-03-02T09:00:00Z"
      properties:
        total: 5
    expect:

      # by v1
      v1:
        - method: POST
          path: /api/v1/customers/ann/events
          body:
            data:
              total: 5      # money
              # who
              userId: "ann"
            name: Order Completed
            id: order-1
            timestamp: 1772442000
            type: event
      v2:
        - method: POST
          path: /api/v2/batch
          body: {type: person, identifiers: {id: ann}, action: event, name: Order Completed,
                 id: order-1, timestamp: 1772442000, attributes: {total: 5, userId: ann}}

  - {name: nobody, event: {type: track, event: Order Completed},
     reject: [{field: userId, reason: NO_PERSON}]}
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_comments_blank_lines_and_blocks_stay(cases: Path, newline: str) -> None:
    (cases / "shop.yaml").write_bytes(BLOCK.replace("\n", newline).encode())
    result = update(cases)
    assert result.exit_code == 0, result.output
    assert (cases / "shop.yaml").read_bytes().decode() == BLOCK_BLESSED.replace("\n", newline)
    assert passes(cases)


LONG = """\
family: long
cases:
  - name: short forms
    event: {type: track, messageId: m, userId: ann, event: Sent, timestamp: "2026-03-02T09:00:00Z",
       properties: {blob: {$repeat: x, times: 500}, all: {$numbered: k, count: 40}}}
    expect:
      v1:
        - {method: POST, path: /api/v1/customers/ann/events,
           body: {data: {blob: {$repeat: x, times: 400}, all: {$numbered: k, count: 40},
                 userId: ann}, name: Sent, id: m, timestamp: 1772442000, type: event}}
      v2:
        - {method: POST, path: /api/v2/batch,
           body: {type: person, identifiers: {id: ann}, action: event, name: Sent, id: m,
              timestamp: 1772442000,
              attributes: {blob: {$repeat: x, times: 500}, all: {$numbered: k, count: 39},
                 userId: ann}}}
"""


def test_long_values_are_written_short_and_short_forms_stay(cases: Path) -> None:
    (cases / "shop.yaml").write_text(LONG)
    assert update(cases).exit_code == 0
    after = LONG.replace("times: 400", "times: 500")
    after = after.replace(
        "{$numbered: k, count: 39}", "{$merge: [{$numbered: k, count: 39}, {k39: 39}]}"
    )
    assert (cases / "shop.yaml").read_text() == after
    assert passes(cases)


def test_a_case_that_shares_text_with_another_is_left_alone_and_the_others_are_not(
    cases: Path,
) -> None:
    right = CASES.replace("body: {data: {userId: ann}", "body: {data: &person {userId: ann}")
    right += (
        "  - name: the same\n    event: {type: track, userId: ann, event: Order Completed}\n"
        "    expect:\n      v1: [{method: POST, path: /api/v1/customers/ann/events, body: {\n"
        "        data: *person, name: Order Completed, id: $ulid, timestamp: $received_at,\n"
        "        type: event}}]\n"
        "      v2: [{method: POST, path: /api/v2/batch, body: {type: person, action: event,\n"
        "        identifiers: {id: ann}, name: Order Completed, id: $ulid,\n"
        "        timestamp: $received_at, attributes: *person}}]\n"
    )
    (cases / "shop.yaml").write_text(right)
    assert passes(cases)
    wrong = right.replace("{type: track, userId: ann,", "{type: track, userId: eve,", 1)
    wrong = wrong.replace("reason: NO_PERSON", "reason: NOBODY")
    (cases / "shop.yaml").write_text(wrong)
    result = update(cases)
    assert result.exit_code == 2
    assert "shop.yaml: without id and time: can't be rewritten in place: it shares" in result.output
    after = (cases / "shop.yaml").read_text()
    assert after == wrong.replace("reason: NOBODY", "reason: NO_PERSON")


def test_what_hangs_on_the_clock_without_a_placeholder_is_told(cases: Path, overlay: Path) -> None:
    (overlay / "own.yaml").write_text(
        "table: default\nrows:\n  - {key: data.when, from: receivedAt, doc: When it came.}\n"
    )
    result = update(cases, "--overlay", overlay)
    assert result.exit_code == 2
    assert "without id and time: v1.0.body.data.when hangs on the time of receipt" in result.output
    assert (cases / "shop.yaml").read_text() == CASES


def test_a_link_out_of_the_folder_is_not_written(
    cases: Path, overlay: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.yaml"
    (cases / "shop.yaml").rename(elsewhere)
    (cases / "shop.yaml").symlink_to(elsewhere)
    result = update(cases, "--overlay", overlay)
    assert result.exit_code == 2
    assert f"shop.yaml: is a link to {elsewhere}, out of {cases}; left alone" in result.output
    assert elsewhere.read_text() == CASES


def test_an_overlay_needs_fixtures_of_its_own(overlay: Path) -> None:
    result = CliRunner().invoke(main, ["update", "--overlay", str(overlay)])
    assert result.exit_code == 2
    assert "--overlay needs --fixtures" in result.output


def test_a_filter_that_matches_nothing_and_a_bad_file_exit_2(cases: Path) -> None:
    assert "no case matches --filter" in update(cases, "--filter", "nothing").output
    (cases / "bad.yaml").write_text("family: x\ncases: 1\n")
    result = update(cases)
    assert result.exit_code == 2
    assert "bad.yaml:2: cases:" in result.output


def test_the_suite_s_own_goldens_need_no_blessing() -> None:
    result = CliRunner().invoke(main, ["update", "--check"])
    assert result.exit_code == 0, result.output
    assert re.fullmatch(r"would rewrite 0 of \d+ cases, in 0 files\n", result.output)


def test_a_big_change_can_be_blessed_away_and_back(tmp_path: Path, overlay: Path) -> None:
    (overlay / "own.yaml").write_text(
        f'{NO_NAMES}  - {{key: data.more, value: {{a: [1, "x: y"], b: "no"}}, doc: More.}}\n'
    )
    folder = tmp_path / "cases"
    folder.mkdir()
    for name in ("limits.yaml", "samples.yaml", "settings_event_id.yaml", "values.yaml"):
        (folder / name).write_bytes((FIXTURES / name).read_bytes())
    before = load_fixtures(folder)
    assert update(folder, "--overlay", overlay).exit_code == 0
    assert passes(folder, "--overlay", overlay)
    assert not passes(folder)
    assert update(folder).exit_code == 0
    assert load_fixtures(folder) == before


TEXT = st.text(max_size=8).filter(lambda text: not text.startswith("$"))
TRICKY = [
    "no",
    "2026-03-02",
    "0x1f",
    "1e5",
    "~",
    "null",
    "a: b",
    "- a",
    "a #b",
    "x" * 200,
    "é\u0301",
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.sampled_from(TRICKY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT | st.sampled_from(["a", "b", "c"]), JSON, max_size=4)


@settings(max_examples=30, deadline=None)
@example(old={"a": [None]}, new={"a": {"": None}})
@example(old={"a": [{"b": 1}, 2, 3]}, new={"a": [2, 3, {"b": [1]}, 4]})
@example(old={"a": [1, 2]}, new={"a": "0"})
@given(old=OBJECT, new=OBJECT)
def test_whatever_changes_a_blessed_case_passes_and_blessing_it_again_changes_nothing(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "shop.yaml"

        def settle(text: str) -> str:
            file.write_text(text, "utf-8")
            first = update(folder)
            assert first.exit_code == 0, first.output
            assert passes(folder)
            again = update(folder)
            assert (again.exit_code, again.output) == (0, "rewrote 0 of 3 cases, in 0 files\n")
            return file.read_text("utf-8")

        was, becomes = (f"properties: {flow(value, 0, 7)}}}" for value in (old, new))
        text = settle(CASES.replace("properties: {total: 5}}", was))
        assert text.count(was) == 1
        settle(text.replace(was, becomes))
