"""Limits: what passes, what is cut, what is a problem."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from cio_fake import shapes
from cio_sidecar import customerio
from cio_sidecar.customerio import limits
from cio_sidecar.customerio.encoders import V1_ONLY, Encoded, Operation, event, identify
from hypothesis import given
from hypothesis import strategies as st

DATA: dict[str, dict[str, Any]] = yaml.safe_load(
    files(customerio).joinpath("limits.yaml").read_text("utf-8")
)
FIELDS: dict[str, Any] = {"name": "n", "id": "1", "timestamp": 5, "type": "event", "person": "u"}

# Characters of one, two, three and four bytes of UTF-8.
WIDTHS = {"a": 1, "ü": 2, "€": 3, "😀": 4}


def of_bytes(size: int, character: str) -> str:
    """Text of exactly so many bytes, of one character as far as it goes."""
    width = WIDTHS[character]
    return "a" * (size % width) + character * (size // width)


def said(encoded: Encoded) -> list[tuple[str, str, str]]:
    return [(problem.key, problem.reason, problem.description) for problem in encoded.problems]


def item(encoded: Encoded) -> Any:
    assert encoded.operations
    return orjson.loads(encoded.operations[0].item)


# The numbers


def test_every_limit_is_used_and_none_is_missing() -> None:
    source = Path(str(limits.__file__)).read_text("utf-8")
    assert sorted(re.findall(r'= _limit\("(\w+)"\)', source)) == sorted(DATA)


def test_the_constants_are_the_numbers_of_the_file() -> None:
    assert {name: each["limit"] for name, each in DATA.items()} == {
        "person_id": limits.PERSON_ID_BYTES,
        "attribute_name": limits.ATTRIBUTE_NAME_BYTES,
        "attribute_value": limits.ATTRIBUTE_VALUE_BYTES,
        "attributes": limits.ATTRIBUTES,
        "attributes_size": limits.ATTRIBUTES_BYTES,
        "event_name": limits.EVENT_NAME_BYTES,
        "event_data": limits.EVENT_DATA_BYTES,
        "operation": limits.OPERATION_BYTES,
        "batch": limits.BATCH_BYTES,
        "beside": limits.BESIDE_BYTES,
        "requests_per_second": limits.REQUESTS_PER_SECOND,
    }


def test_every_limit_says_what_it_is_of_and_in_which_unit() -> None:
    for name, each in DATA.items():
        assert each.keys() == {"limit", "unit", "of"}, name
        assert each["unit"] in ("bytes", "attributes", "requests"), name
        assert each["of"], name


def test_the_numbers_agree_with_those_of_the_fake() -> None:
    fake = shapes.load().limits
    own = ("beside", "requests_per_second")
    ours = {name: each["limit"] for name, each in DATA.items() if name not in own}
    assert ours == {name: fake[name].value for name in ours}
    for name in ours:
        unit = {"attributes": "items"}.get(DATA[name]["unit"], DATA[name]["unit"])
        assert unit == fake[name].unit, name


def test_the_fake_knows_beside_ours_only_limits_of_what_we_do_not_send() -> None:
    known = shapes.load().limits
    assert known.keys() - DATA.keys() == {"object_id", "segment_ids"}
    # An object's id is held to the limit of a person's.
    assert known["object_id"].value == DATA["person_id"]["limit"]


# At the limit, and one byte over


@pytest.mark.parametrize("character", WIDTHS)
@pytest.mark.parametrize(("key", "made"), [("id", "identify"), ("person", "event")])
def test_a_persons_identifier_may_have_150_bytes(character: str, key: str, made: str) -> None:
    def encode(person: str) -> Encoded:
        return identify(person, {}) if made == "identify" else event({**FIELDS, "person": person})

    assert said(encode(of_bytes(150, character))) == []
    problem = (key, "TOO_LARGE", "151 bytes, the limit is 150: shorten it")
    assert said(encode(of_bytes(151, character))) == [problem]


@pytest.mark.parametrize("character", WIDTHS)
def test_an_anonymous_id_may_have_150_bytes(character: str) -> None:
    problem = ("anonymous_id", "TOO_LARGE", "151 bytes, the limit is 150: shorten it")
    for size, problems in ((150, []), (151, [problem])):
        anonymous_id = of_bytes(size, character)
        assert said(event({**FIELDS, "anonymous_id": anonymous_id})) == problems
        assert said(event({**FIELDS, "person": None, "anonymous_id": anonymous_id})) == problems
        assert said(identify("u", {"anonymous_id": anonymous_id})) == problems


@pytest.mark.parametrize("character", WIDTHS)
def test_the_name_of_an_attribute_may_have_150_bytes(character: str) -> None:
    assert said(identify("u", {of_bytes(150, character): 1})) == []
    name = of_bytes(151, character)
    assert said(identify("u", {name: 1})) == [
        (name, "TOO_LARGE", "the name has 151 bytes, the limit is 150: shorten it")
    ]


@pytest.mark.parametrize("character", WIDTHS)
def test_a_text_attribute_may_have_1000_bytes(character: str) -> None:
    assert said(identify("u", {"a": of_bytes(1000, character)})) == []
    assert said(identify("u", {"a": of_bytes(1001, character)})) == [
        ("a", "TOO_LARGE", "1,001 bytes, the limit is 1,000: shorten it")
    ]


@pytest.mark.parametrize("wrap", [lambda text: [text], lambda text: {"k": text}])
@pytest.mark.parametrize("character", WIDTHS)
def test_an_object_or_list_is_measured_as_compact_json(wrap: Any, character: str) -> None:
    frame = len(orjson.dumps(wrap("")))
    assert said(identify("u", {"a": wrap(of_bytes(1000 - frame, character))})) == []
    assert said(identify("u", {"a": wrap(of_bytes(1001 - frame, character))})) == [
        ("a", "TOO_LARGE", "1,001 bytes, the limit is 1,000: shorten it")
    ]


def test_a_person_may_get_300_attributes_at_once() -> None:
    assert said(identify("u", {f"k{n}": n for n in range(300)})) == []
    assert said(identify("u", {f"k{n}": n for n in range(301)})) == [
        ("*", "TOO_MANY", "301 attributes, the limit is 300: send fewer traits")
    ]


def test_every_problem_of_a_person_is_named_at_once() -> None:
    attributes = {"a": "x" * 1001, "anonymous_id": "y" * 151, "b" * 151: [0]}
    assert sorted(key for key, _, _ in said(identify("z" * 151, attributes))) == [
        "a",
        "anonymous_id",
        "b" * 151,
        "id",
    ]


@pytest.mark.parametrize("character", WIDTHS)
def test_a_name_is_cut_to_100_bytes_on_a_character_boundary(character: str) -> None:
    exact, width = of_bytes(100, character), WIDTHS[character]
    encoded = event({**FIELDS, "name": exact})
    assert item(encoded)["name"] == exact
    assert encoded.changes == []

    over = event({**FIELDS, "name": exact + character})
    assert item(over)["name"] == exact
    assert [tuple(change) for change in over.changes] == [
        ("name", "TOO_LARGE", f"cut to 100 bytes: {width:,} bytes too long")
    ]

    # The hundredth byte falls within a character.
    shifted = "a" + of_bytes(100, character)
    assert item(event({**FIELDS, "name": shifted}))["name"] == shifted[: -1 if width > 1 else 100]


@given(st.text(min_size=1, max_size=60) | st.text("aü€😀 ", min_size=20, max_size=150))
def test_a_cut_name_is_the_longest_beginning_that_fits(name: str) -> None:
    cut, changes = limits.cut_name(name)
    size = len(cut.encode())
    assert size <= 100
    assert name.startswith(cut)
    if changes:
        off = len(name.encode()) - size
        assert [change.description for change in changes] == [
            f"cut to 100 bytes: {off:,} bytes too long"
        ]
        whole = next(n for n in range(len(name), -1, -1) if len(name[:n].encode()) <= 100)
        assert cut == name[:whole].rstrip()
    else:
        assert cut == name


@pytest.mark.parametrize("character", WIDTHS)
def test_the_data_of_an_event_may_have_100000_bytes(character: str) -> None:
    frame = len(orjson.dumps({"k": ""}))
    assert said(event({**FIELDS, "data": {"k": of_bytes(100_000 - frame, character)}})) == []
    assert said(event({**FIELDS, "data": {"k": of_bytes(100_001 - frame, character)}})) == [
        ("data", "TOO_LARGE", "100,001 bytes, the limit is 100,000: shorten it")
    ]


def test_the_anonymous_id_that_v2_adds_does_not_count_as_data() -> None:
    data = {"k": "x" * (100_000 - len(orjson.dumps({"k": ""})))}
    assert said(event({**FIELDS, "data": data, "anonymous_id": "a" * 150})) == []


@pytest.mark.parametrize("character", WIDTHS)
def test_an_operation_over_32_kb_goes_by_v1_alone(character: str) -> None:
    def sized(size: int) -> Operation:
        bare = event({**FIELDS, "data": {"k": ""}}).operations[0]
        assert bare is not None
        text = of_bytes(size - len(bare.item), character)
        made = event({**FIELDS, "data": {"k": text}}).operations[0]
        assert made is not None
        assert len(made.item) == size
        return made

    assert sized(32_768).marks == 0
    assert sized(32_769).marks == V1_ONLY


def test_a_person_of_over_32_kb_goes_by_v1_alone() -> None:
    small = identify("u", {f"k{n}": "x" * 1000 for n in range(32)}).operations[0]
    large = identify("u", {f"k{n}": "x" * 1000 for n in range(33)}).operations[0]
    assert small is not None
    assert large is not None
    assert (small.marks, large.marks) == (0, V1_ONLY)
