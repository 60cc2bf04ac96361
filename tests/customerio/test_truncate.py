"""What is over a limit is cut, no more than it must be, and each cut is told."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from cio_sidecar.customerio.encoders import event, identify
from cio_sidecar.customerio.limits import (
    ATTRIBUTE_NAME_BYTES,
    ATTRIBUTE_VALUE_BYTES,
    ATTRIBUTES,
    EVENT_DATA_BYTES,
    check_attributes,
)
from cio_sidecar.customerio.truncate import cut_attributes, cut_data
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.customerio.support import said, send, workspace

FIELDS: dict[str, Any] = {"name": "n", "id": "1", "timestamp": 5, "person": "u"}
NAMES = st.text("aü😀_", min_size=1, max_size=4) | st.sampled_from(
    ["email", "n" * 150, "n" * 151, "ü" * 75, "ü" * 76]
)
SIZES = st.integers(0, 60) | st.integers(240, 260) | st.integers(480, 520) | st.integers(990, 1_010)
TEXTS = st.builds(lambda character, size: character * size, st.sampled_from("aü€😀"), SIZES)
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    TEXTS,
    TEXTS.map(lambda text: [text]),
    TEXTS.map(lambda text: {"k": text}),
)


def told(changes: list[Any]) -> list[tuple[str, str]]:
    return [(change.key, change.description) for change in changes]


# Attributes


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a" * 1_000, "a" * 1_000),
        ("a" * 1_001, "a" * 1_000),
        ("ü" * 500, "ü" * 500),
        ("ü" * 501, "ü" * 500),
        ("a" + "ü" * 500, "a" + "ü" * 499),
        ("a" * 999 + "€", "a" * 999),
        ("a" * 996 + "😀", "a" * 996 + "😀"),
        ("a" * 997 + "😀", "a" * 997),
        ("a" * 1_000_000, "a" * 1_000),
    ],
)
def test_text_is_cut_on_a_character_boundary(text: str, kept: str) -> None:
    cut, changes = cut_attributes({"a": text})
    assert cut == {"a": kept}
    size = len(text.encode())
    expected = [("a", f"cut to {len(kept.encode()):,} bytes of {size:,}")] if size > 1_000 else []
    assert told(changes) == expected


@pytest.mark.parametrize("wrap", [lambda text: [text], lambda text: {"k": text}])
def test_an_object_or_list_is_kept_whole_or_not_at_all(wrap: Any) -> None:
    frame = len(orjson.dumps(wrap("")))
    fits, over = wrap("x" * (1_000 - frame)), wrap("x" * (1_001 - frame))
    assert cut_attributes({"a": fits}) == ({"a": fits}, [])
    kept, changes = cut_attributes({"a": over, "b": 1})
    assert kept == {"b": 1}
    assert told(changes) == [("a", "left out: 1,001 bytes, the limit is 1,000")]


@pytest.mark.parametrize("character", "aü€😀")
def test_an_attribute_with_too_long_a_name_is_left_out(character: str) -> None:
    width = len(character.encode())
    longest = character * (150 // width)
    assert cut_attributes({longest: 1}) == ({longest: 1}, [])
    kept, changes = cut_attributes({longest + character: 1, "b": 1})
    assert kept == {"b": 1}
    assert told(changes) == [(longest + character, "left out: its name is over 150 bytes")]


def test_an_address_that_is_cut_would_be_somebody_elses() -> None:
    kept, changes = cut_attributes({"email": f"{'x' * 1_000}@b.co", "b": 1})
    assert kept == {"b": 1}
    assert told(changes) == [("email", "left out: 1,005 bytes, the limit is 1,000")]


def many(count: int) -> dict[str, Any]:
    return {f"k{n}": n for n in range(count)}


def test_of_too_many_attributes_the_last_are_left_out() -> None:
    assert cut_attributes(many(ATTRIBUTES)) == (many(ATTRIBUTES), [])
    kept, changes = cut_attributes(many(ATTRIBUTES + 2))
    assert kept == many(ATTRIBUTES)
    what = "left out: there are more than 300 attributes"
    assert told(changes) == [("k300", what), ("k301", what)]


def test_what_is_left_out_for_another_reason_makes_room() -> None:
    attributes = {"big": ["x" * 1_000], **many(ATTRIBUTES)}
    kept, changes = cut_attributes(attributes)
    assert kept == many(ATTRIBUTES)
    assert [change.key for change in changes] == ["big"]


@pytest.mark.parametrize(
    "attributes", [{"_update": True} | many(300), many(300) | {"_update": True}]
)
def test_what_steers_the_call_does_not_count(attributes: dict[str, Any]) -> None:
    assert cut_attributes(attributes) == (attributes, [])
    kept, _ = cut_attributes(attributes | {"late": 1})
    assert kept == attributes


def test_what_is_to_be_kept_is_left_out_last() -> None:
    attributes = many(ATTRIBUTES) | {"row": 1, "other": 2}
    kept, changes = cut_attributes(attributes, {"row"})
    assert kept == many(ATTRIBUTES - 1) | {"row": 1}
    assert [change.key for change in changes] == ["k299", "other"]
    # The order stays.
    assert list(kept) == [key for key in attributes if key in kept]


@settings(max_examples=200)
@given(
    attributes=st.dictionaries(NAMES, VALUES, max_size=6),
    update=st.booleans() | st.none(),
    more=st.integers(0, 320),
    keep=st.sets(NAMES, max_size=2),
)
def test_what_is_kept_is_within_every_limit_and_nothing_is_lost_in_silence(
    attributes: dict[str, Any], update: bool | None, more: int, keep: set[str]
) -> None:
    attributes = {**attributes, **many(more)}
    if update is not None:
        attributes["_update"] = update
    before = copy.deepcopy(attributes)
    kept, changes = cut_attributes(attributes, keep)
    assert attributes == before
    assert check_attributes(kept) == []
    changed = {change.key for change in changes}
    assert len(changed) == len(changes)
    assert changed == {key for key, value in attributes.items() if kept.get(key, ...) != value}
    assert list(kept) == [key for key in attributes if key in kept]
    for key, value in kept.items():
        whole = attributes[key]
        assert value == whole or (isinstance(whole, str) and whole.startswith(value))
        if value != whole:
            longer = whole[: len(value) + 1].encode()
            assert len(longer) > ATTRIBUTE_VALUE_BYTES
    assert kept.get("_update") is update
    # Nothing is cut that need not be.
    assert cut_attributes(kept, keep) == (kept, [])


# Data


def test_data_within_its_limit_is_the_same_object() -> None:
    data = {"a": "x" * (EVENT_DATA_BYTES - len(orjson.dumps({"a": ""})))}
    kept, changes = cut_data(data)
    assert kept is data
    assert changes == []


def test_the_largest_values_are_left_out_until_the_rest_fits() -> None:
    data = {"s": 1, "l": "x" * 50_000, "xl": "x" * 60_000, "m": "x" * 30_000}
    kept, changes = cut_data(data)
    assert kept == {key: data[key] for key in ("s", "l", "m")}
    assert [change.key for change in changes] == ["data.xl"]
    assert changes[0].description == "left out: 60,008 bytes of data over the limit of 100,000"


def test_of_equal_values_the_later_is_left_out() -> None:
    data = {"a": "x" * 60_000, "b": "x" * 60_000}
    assert cut_data(data)[0] == {"a": data["a"]}


def test_a_single_value_over_the_limit_leaves_nothing() -> None:
    assert cut_data({"a": "x" * 200_000})[0] == {}


@settings(max_examples=100)
@given(sizes=st.lists(st.integers(0, 60_000), max_size=12))
def test_data_is_cut_no_more_than_it_must_be(sizes: list[int]) -> None:
    data = {f"k{n}": "x" * size for n, size in enumerate(sizes)}
    kept, changes = cut_data(data)
    assert len(orjson.dumps(kept)) <= EVENT_DATA_BYTES
    left_out = [key for key in data if key not in kept]
    assert [change.key for change in changes] == [f"data.{key}" for key in left_out]
    for key in left_out:
        # Each that is left out is at least as large as each that is kept.
        assert all(len(data[key]) >= len(value) - 4 for value in kept.values())
    if left_out:
        smallest = min(left_out, key=lambda key: len(data[key]))
        back = {key: data[key] for key in data if key in kept or key == smallest}
        assert len(orjson.dumps(back)) > EVENT_DATA_BYTES - 20


# In operations


@pytest.mark.parametrize("key", ["id", "anonymous_id"])
def test_an_id_over_its_limit_is_a_problem_all_the_same(key: str) -> None:
    long = "x" * 151
    encoded = identify(long if key == "id" else "u", {} if key == "id" else {key: long}, keep=())
    assert said(encoded) == [(key, "TOO_LARGE")]
    field = {"id": "person"}.get(key, key)
    assert said(event({**FIELDS, field: long}, truncate=True)) == [(field, "TOO_LARGE")]


def test_what_makes_an_event_an_invite_is_not_cut_away() -> None:
    fields = {"name": "n", "id": "1", "timestamp": 5, "data": {"recipient": "x" * 100_000, "a": 1}}
    encoded = event(fields, truncate=True)
    for operation in encoded.operations:
        assert send(workspace(), operation, v1=True).status == 200
    assert encoded.operations or encoded.problems


def test_without_being_told_to_nothing_is_cut() -> None:
    assert said(identify("u", {"a": "x" * 1_001})) == [("a", "TOO_LARGE")]
    assert said(event({**FIELDS, "data": {"a": "x" * 100_000}})) == [("data", "TOO_LARGE")]


@settings(max_examples=100)
@given(attributes=st.dictionaries(NAMES.filter(lambda name: name[0] != "_"), VALUES, max_size=5))
def test_a_person_whose_attributes_are_cut_is_taken(attributes: dict[str, Any]) -> None:
    attributes.pop("email", None)
    encoded = identify("u", attributes, keep=())
    assert encoded.problems == []
    for v1 in (True, False):
        assert send(workspace(), encoded.operations[0], v1=v1).status == 200


def test_names_of_attributes_are_measured_in_bytes() -> None:
    assert ATTRIBUTE_NAME_BYTES == 150
    assert cut_attributes({"é" * 76: 1})[0] == {}
