"""Operations that operations.yaml tells: whatever fits them, Customer.io takes both ways."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from cio_sidecar.customerio import requests
from cio_sidecar.customerio.encoders import JOINED, V1_ONLY, Operation, identifiers
from cio_sidecar.customerio.limits import (
    ATTRIBUTES,
    ATTRIBUTES_BYTES,
    BESIDE_BYTES,
    OPERATION_BYTES,
    SECONDS,
)
from cio_sidecar.customerio.operation_templates import encode
from cio_sidecar.operations import OPERATIONS, V1, Key, Spec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.customerio.support import said, send, shown, workspace

SPECS: dict[str, Spec] = {name: spec for name, spec in OPERATIONS.items() if spec.v2}
EACH = pytest.mark.parametrize("name", SPECS)
PLAIN: dict[str, Any] = {
    "person": "u",
    "id": "o",
    "text": "t",
    "seconds": 5,
    "scalar": "s",
    "texts": {"a": "b"},
    "attributes": {"a": 1},
}


def plain(key: Key, name: str) -> Any:
    """A value that fits a key."""
    if key.one_of:
        return key.one_of[0]
    return "1" if key.digits else "v" if name == "secondary" else PLAIN[key.type]


def fields(operation: str, **changes: Any) -> dict[str, Any]:
    """A value for each key of an operation."""
    keys = SPECS[operation].keys
    return {name: plain(key, name) for name, key in keys.items()} | changes


def made(operation: str, **changes: Any) -> Operation:
    encoded = encode(SPECS[operation], fields(operation, **changes))
    assert encoded.problems == []
    (only,) = encoded.operations
    return only


def problems(operation: str, **changes: Any) -> list[tuple[str, str]]:
    encoded = encode(SPECS[operation], fields(operation, **changes))
    assert bool(encoded.problems) != bool(encoded.operations)
    return said(encoded)


# The data itself


def places(template: Any) -> Iterator[str]:
    """The paths that a template speaks of."""
    if isinstance(template, str):
        if template.startswith("$"):
            yield template[1:]
    else:
        for inner in template.values() if isinstance(template, dict) else template:
            yield from places(inner)


@EACH
def test_every_key_has_its_place_and_every_place_its_key(name: str) -> None:
    spec = SPECS[name]
    assert {*places(spec.v2), *spec.beside} == spec.keys.keys()
    assert {*spec.v2_only_if, *(spec.differ or ()), spec.lane} <= spec.keys.keys()
    assert spec.keys[spec.lane].required
    if isinstance(spec.v1, V1):
        item = orjson.loads(made(name).item) | dict.fromkeys(spec.beside)
        for place in [*places(spec.v1.body or {}), *re.findall(r"{(.+?)}", spec.v1.path)]:
            inner: Any = item
            for key in place.split("."):
                assert key in inner, place
                inner = inner[key]


# Whatever fits

PEOPLE = st.sampled_from(["u", "v", "a@b.co", "cio_00000001", "cio_9", "ü/ö?#%", " x ", "u" * 150])
TEXTS = st.text(min_size=1, max_size=8).filter(
    lambda text: bool(text.strip()) and "\0" not in text and text not in (".", "..")
)
NAMES = st.sampled_from(["a", "b", "push_enabled", "ü", "", "$a", "{a}", "n" * 150])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXTS | st.just("x" * 1_000),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
).filter(lambda value: isinstance(value, str) or len(orjson.dumps(value)) <= 1_000)


def fitting(key: Key) -> st.SearchStrategy[Any]:
    if key.one_of:
        return st.sampled_from(key.one_of)
    if key.digits:
        return st.sampled_from(["1", "2", "10", "9" * 20])
    return {
        "person": PEOPLE,
        "id": st.sampled_from(["o1", "o2", ".", "..", "ü" * 75]) | TEXTS,
        "text": st.sampled_from(["t1", "t2", "a/b", "$name", "%2F"]) | TEXTS,
        "seconds": st.integers(SECONDS.start, SECONDS.stop - 1),
        "scalar": TEXTS | st.integers(-(2**63), 2**64 - 1),
        "texts": st.dictionaries(NAMES, TEXTS, max_size=3),
        "attributes": st.dictionaries(NAMES, VALUES, max_size=3),
    }[key.type]


def values_of(spec: Spec) -> st.SearchStrategy[dict[str, Any]]:
    required = {name: fitting(key) for name, key in spec.keys.items() if key.required}
    optional = {name: fitting(key) for name, key in spec.keys.items() if not key.required}
    found = st.fixed_dictionaries(required, optional=optional)
    if spec.differ is None:
        return found
    first, second = spec.differ
    return found.filter(lambda values: bool(values[first] != values[second]))


STEPS = st.sampled_from(list(SPECS)).flatmap(
    lambda name: st.tuples(st.just(name), values_of(SPECS[name]))
)


@EACH
@settings(max_examples=60)
@given(data=st.data())
def test_whatever_fits_an_operation_is_taken_both_ways(name: str, data: st.DataObject) -> None:
    values = data.draw(values_of(SPECS[name]))
    encoded = encode(SPECS[name], dict(values))
    assert encoded.problems == []
    (operation,) = encoded.operations
    for v1 in (True, False):
        assert send(workspace(), operation, v1=v1).status == 200, operation
    assert operation.lane


@settings(max_examples=300)
@given(steps=st.lists(STEPS, min_size=1, max_size=8))
def test_both_ways_leave_the_same_behind(steps: list[tuple[str, dict[str, Any]]]) -> None:
    one, two = workspace(), workspace()
    for name, values in steps:
        (operation,) = encode(SPECS[name], values).operations
        assert send(one, operation, v1=True).status == 200
        assert send(two, operation, v1=False).status == 200
    assert shown(one) == shown(two)


@EACH
def test_each_operation_does_what_it_says(name: str) -> None:
    fake = workspace()
    for before in BEFORE.get(name, ()):
        send(fake, made(before), v1=False)
    send(fake, made(name), v1=False)
    assert DOES[name](fake)


BEFORE = {
    "unsuppress_person": ["suppress_person"],
    "delete_person": ["add_device"],
    "delete_device": ["add_device"],
    "delete_object": ["identify_object_alone"],
    "delete_relationship": ["add_relationship"],
}
DOES: dict[str, Any] = {
    "delete_person": lambda fake: not fake.people,
    "suppress_person": lambda fake: fake.suppressed == [{"id": "u"}],
    "unsuppress_person": lambda fake: not fake.suppressed,
    "merge_people": lambda fake: fake.stats["ignored"] == {"unknown": 1},
    "add_device": lambda fake: [each["token"] for each in fake.devices] == ["t"],
    "delete_device": lambda fake: bool(fake.people) and not fake.devices,
    "identify_object": lambda fake: related(fake) == [{"cio_id": "00000001"}],
    "identify_object_anonymous": lambda fake: related(fake) == [{"anonymous_id": "o"}],
    "identify_object_alone": lambda fake: fake.objects[0]["attributes"] == {"a": 1},
    "delete_object": lambda fake: not fake.objects,
    "add_relationship": lambda fake: related(fake) == [{"cio_id": "00000001"}],
    "delete_relationship": lambda fake: related(fake) == [],
    "delivery_metric": lambda fake: fake.deliveries[0]["delivery_id"] == "t",
}


def related(fake: Any) -> list[Any]:
    return [each["identifiers"] for each in fake.objects[0]["relationships"]]


# What does not fit


@pytest.mark.parametrize(
    ("operation", "key"),
    [(name, key) for name, spec in SPECS.items() for key in spec.keys],
)
def test_a_key_that_is_null_or_missing_is_left_out_or_needed(operation: str, key: str) -> None:
    for values in (fields(operation, **{key: None}), fields(operation)):
        if values[key] is not None:
            del values[key]
        encoded = encode(SPECS[operation], values)
        if SPECS[operation].keys[key].required:
            assert said(encoded) == [(key, "REQUIRED")]
        else:
            assert encoded.problems == []
            (made_,) = encoded.operations
            assert send(workspace(), made_, v1=True).status == 200
            for written in (made_.item, made_.beside, requests.v1_request(made_).body):
                assert b"null" not in written
                assert b"$" not in written


def test_everything_that_is_missing_is_named_at_once() -> None:
    encoded = encode(SPECS["add_device"], {})
    assert said(encoded) == [(key, "REQUIRED") for key in ("person", "token", "platform")]
    assert all(problem.description for problem in encoded.problems)


WRONG: dict[str, list[Any]] = {
    "person": [5, "", " ", [], {}, True, "x" * 151, ".", ".."],
    "id": [5, "", " ", [], True, "x" * 151, "ü" * 76],
    "text": [5, "", " ", [], {}, True, ".", ".."],
    "seconds": ["5", 1.0, True, [], SECONDS.stop, SECONDS.start - 1, 2**63],
    "scalar": [1.5, True, [], {}, "", " "],
    "texts": [[], "x", {"a": 1}, {"a": None}, {"a": {}}],
    "attributes": [
        *([], "x", 5, {"a": "x" * 1_001}, {"n" * 151: 1}, {"a": ["x" * 1_000]}),
        {f"k{n}": n for n in range(ATTRIBUTES + 1)},
    ],
}


@pytest.mark.parametrize(
    ("operation", "key", "wrong"),
    [
        (name, key, wrong)
        for name, spec in SPECS.items()
        for key, kind in spec.keys.items()
        for wrong in WRONG[kind.type]
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_value_that_does_not_fit_is_a_problem_of_its_key(
    operation: str, key: str, wrong: Any
) -> None:
    found = problems(operation, **{key: wrong})
    assert len(found) == 1
    assert found[0][0].partition(".")[0] == key
    assert found[0][1] in ("WRONG_TYPE", "INVALID_VALUE", "TOO_LARGE", "TOO_MANY")


@pytest.mark.parametrize("value", ["0", "01", "-1", "1.0", " 1", "1 ", "x", "१"])
def test_the_type_of_an_object_is_a_whole_number_from_1_in_digits(value: str) -> None:
    assert problems("delete_object", object_type_id=value) == [("object_type_id", "INVALID_VALUE")]


@pytest.mark.parametrize(
    ("operation", "key", "value"),
    [
        ("add_device", "platform", "windows"),
        ("add_device", "platform", "iOS"),
        ("delivery_metric", "metric", "read"),
    ],
)
def test_a_value_that_customer_io_does_not_know_is_told_with_those_it_does(
    operation: str, key: str, value: str
) -> None:
    encoded = encode(SPECS[operation], fields(operation, **{key: value}))
    (problem,) = encoded.problems
    assert problem.reason == "INVALID_VALUE"
    assert problem.description == f"expected one of {', '.join(SPECS[operation].keys[key].one_of)}"


@pytest.mark.parametrize("value", ["yes", "TRUE", "1", ""])
def test_a_device_attribute_that_customer_io_would_reject_is_left_out(value: str) -> None:
    attributes = {"push_enabled": value, "a": "b"}
    encoded = encode(SPECS["add_device"], fields("add_device", attributes=attributes))
    (operation,) = encoded.operations
    assert orjson.loads(operation.item)["device"]["attributes"] == {"a": "b"}
    assert [change.key for change in encoded.changes] == ["attributes.push_enabled"]
    assert attributes == {"push_enabled": value, "a": "b"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("u", "u"),
        ("cio_1", "cio_1"),
        ("a@b.co", "a@b.co"),
        # Case makes no difference in an email address.
        ("a@b.co", "A@b.co"),
    ],
)
def test_nobody_is_folded_into_themselves(first: str, second: str) -> None:
    found = problems("merge_people", primary=first, secondary=second)
    assert found == [("secondary", "INVALID_VALUE")]
    assert problems("merge_people", primary=first, secondary=None) == [("secondary", "REQUIRED")]


# Paths


@pytest.mark.parametrize(
    ("operation", "keys"),
    [
        ("delete_person", ["person"]),
        ("suppress_person", ["person"]),
        ("unsuppress_person", ["person"]),
        ("add_device", ["person"]),
        ("delete_device", ["person", "token"]),
    ],
)
@given(data=st.data())
def test_what_stands_in_a_path_is_percent_encoded_whole(
    operation: str, keys: list[str], data: st.DataObject
) -> None:
    odd = st.text("aZ0/?#%+&=@:;.~ éü😀", min_size=1, max_size=12) | PEOPLE
    texts = odd.filter(lambda text: bool(text.strip()) and text not in (".", ".."))
    values = {key: data.draw(texts) for key in keys}
    request = requests.v1_request(made(operation, **values))
    assert {*request.path} <= {*string.ascii_letters, *string.digits, *"-._~%/"}
    spec = SPECS[operation].v1
    assert isinstance(spec, V1)
    pattern = re.sub(r"{.+?}", "([^/]+)", spec.path)
    found = re.fullmatch(pattern, request.path)
    assert found
    assert [unquote(segment) for segment in found.groups()] == list(values.values())


def test_a_cio_id_has_its_prefix_in_a_path_and_none_in_v2() -> None:
    operation = made("delete_person", person="cio_0a1B")
    assert orjson.loads(operation.item)["identifiers"] == {"cio_id": "0a1B"}
    assert requests.v1_request(operation).path == "/api/v1/customers/cio_0a1B"


# What v1 has no call for


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if spec.v1 == "entity"])
def test_without_a_call_in_v1_the_item_itself_is_sent(name: str) -> None:
    operation = made(name)
    request = requests.v1_request(operation)
    assert (request.method, request.path) == ("POST", "/api/v2/entity")
    assert request.body == operation.item


# Deliveries


@pytest.mark.parametrize("metric", SPECS["delivery_metric"].keys["metric"].one_of)
@pytest.mark.parametrize("token", ["tok", None])
def test_only_a_push_metric_with_its_device_goes_by_v2(metric: str, token: str | None) -> None:
    operation = made("delivery_metric", metric=metric, device_token=token)
    by_v2 = metric in ("opened", "converted", "delivered") and token is not None
    assert bool(operation.marks & V1_ONLY) != by_v2
    assert send(workspace(), operation, v1=False).status == 200


def test_a_metric_has_all_that_is_known_in_v1() -> None:
    known = {"timestamp": 5, "recipient": 49151, "reason": "r", "href": "h"}
    operation = made("delivery_metric", metric="opened", device_token="tok", **known)
    request = requests.v1_request(operation)
    assert (request.method, request.path) == ("POST", "/api/v1/metrics")
    assert orjson.loads(request.body) == {"delivery_id": "t", "metric": "opened", **known}
    assert orjson.loads(operation.item)["attributes"] == {"device_token": "tok"}


def test_what_stands_beside_an_item_has_a_limit_of_its_own() -> None:
    frame = len(orjson.dumps({"timestamp": 5, "recipient": "s", "reason": "", "href": "t"}))
    fits = made("delivery_metric", reason="x" * (BESIDE_BYTES - frame))
    assert len(fits.beside) == BESIDE_BYTES
    found = problems("delivery_metric", reason="x" * (BESIDE_BYTES - frame + 1))
    assert found == [("reason", "TOO_LARGE")]
    found = problems("delivery_metric", reason="x" * 40_000, href="y" * 40_001)
    assert found == [("href", "TOO_LARGE")]


# Sizes


@pytest.mark.parametrize("name", ["identify_object", "identify_object_alone", "add_relationship"])
def test_what_v1_can_not_carry_either_is_rejected_over_32_kb(name: str) -> None:
    key = "relationship_attributes" if name == "add_relationship" else "attributes"

    def sized(size: int) -> dict[str, str]:
        return {f"k{n:02}": "x" * (952 if n else size) for n in range(34)}

    empty = len(made(name, **{key: sized(0)}).item)
    room = OPERATION_BYTES - empty
    assert 0 < room < 1_000
    assert len(made(name, **{key: sized(room)}).item) == OPERATION_BYTES
    assert send(workspace(), made(name, **{key: sized(room)}), v1=False).status == 200
    assert problems(name, **{key: sized(room + 1)}) == [(key, "TOO_LARGE")]


def test_all_attributes_of_an_object_together_have_a_limit() -> None:
    many = {f"k{n:03}": "x" * 1_000 for n in range(110)}
    assert len(orjson.dumps(many)) > ATTRIBUTES_BYTES
    assert problems("identify_object_alone", attributes=many) == [("attributes", "TOO_LARGE")]


def test_a_device_over_32_kb_goes_by_v1_alone() -> None:
    operation = made("add_device", attributes={"a": "x" * OPERATION_BYTES})
    assert operation.marks & V1_ONLY
    assert send(workspace(), operation, v1=False).status == 200


def test_attributes_that_are_cut_are_told_by_their_place() -> None:
    given_attributes = {"a": "x" * 1_001, "b": 1}
    values = fields(
        "identify_object", attributes=given_attributes, relationship_attributes={"c": ["x" * 999]}
    )
    encoded = encode(SPECS["identify_object"], values, keep=())
    assert encoded.problems == []
    assert [change.key for change in encoded.changes] == [
        "attributes.a",
        "relationship_attributes.c",
    ]
    item = orjson.loads(encoded.operations[0].item)
    assert item["attributes"] == {"a": "x" * 1_000, "b": 1}
    assert given_attributes == {"a": "x" * 1_001, "b": 1}


# Lanes


def test_what_concerns_a_person_is_in_the_persons_lane() -> None:
    for name, spec in SPECS.items():
        lane = made(name).lane
        if "person" in spec.keys:
            assert lane == "p:u", name
        elif name == "merge_people":
            assert lane == f"p:u{JOINED}p:v"
        else:
            assert lane != "p:u"


def test_objects_of_two_types_do_not_share_a_lane() -> None:
    lanes = {
        made(name, object_type_id=kind, object_id="o").lane
        for name in ("identify_object_alone", "delete_object")
        for kind in ("1", "2")
    }
    assert lanes == {"o:1:o", "o:2:o"}


@given(person=PEOPLE)
def test_a_person_is_told_by_shape_in_every_operation(person: str) -> None:
    for name, spec in SPECS.items():
        if "person" in spec.keys:
            written = made(name, person=person).item.decode()
            assert orjson.dumps(identifiers(person)).decode() in written
