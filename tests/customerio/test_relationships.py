"""A person's cio_relationships: added with the identify, deleted by an operation of their own."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from cio_sidecar.customerio import requests
from cio_sidecar.customerio.encoders import Encoded, identify
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.customerio.support import said, send, shown, workspace

OBJECT = {"object_type_id": "1", "object_id": "o"}
ADD, DELETE = "add_relationships", "delete_relationships"


def related(*entries: Any, action: str | None = None, **attributes: Any) -> Encoded:
    value: Any = (
        list(entries) if action is None else {"action": action, "relationships": [*entries]}
    )
    return identify("u", {"cio_relationships": value, **attributes})


def items(encoded: Encoded) -> list[Any]:
    assert encoded.problems == []
    return [orjson.loads(operation.item) for operation in encoded.operations]


@pytest.mark.parametrize("action", [None, ADD])
def test_what_is_added_goes_with_the_identify(action: str | None) -> None:
    entry = {"identifiers": OBJECT, "relationship_attributes": {"role": "admin"}}
    encoded = related(entry, action=action, plan="pro")
    (item,) = items(encoded)
    assert item["attributes"] == {"plan": "pro"}
    assert item["cio_relationships"] == [entry]
    body = orjson.loads(requests.v1_request(encoded.operations[0]).body)
    assert body == {"plan": "pro", "cio_relationships": {"action": ADD, "relationships": [entry]}}


def test_what_is_deleted_follows_as_an_operation_of_its_own() -> None:
    encoded = related({"identifiers": OBJECT}, action=DELETE, plan="pro")
    first, second = items(encoded)
    assert (first["action"], first["attributes"]) == ("identify", {"plan": "pro"})
    assert "cio_relationships" not in first
    assert second == {
        "type": "person",
        "identifiers": {"id": "u"},
        "action": DELETE,
        "cio_relationships": [{"identifiers": OBJECT}],
    }
    assert {operation.lane for operation in encoded.operations} == {"p:u"}


ENTRIES: st.SearchStrategy[list[Any]] = st.lists(
    st.fixed_dictionaries(
        {
            "identifiers": st.one_of(
                st.fixed_dictionaries(
                    {
                        "object_type_id": st.sampled_from(["1", "2", "0", "x", "", 1]),
                        "object_id": st.sampled_from(["o", "p", "x" * 150, "ü" * 76, "", 5]),
                    }
                ),
                st.fixed_dictionaries({"cio_object_id": st.sampled_from(["ob00000001", "", "z"])}),
                st.sampled_from([{}, {"object_id": "o"}, [], None, "o"]),
            )
        },
        optional={
            "relationship_attributes": st.one_of(
                st.dictionaries(
                    st.sampled_from(["a", "b", "n" * 151]),
                    st.sampled_from([1, None, "x", "x" * 1_001, ["x" * 1_000], {}]),
                    max_size=2,
                ),
                st.just({f"k{n}": n for n in range(301)}),
                st.none(),
            ),
            "other": st.just(1),
        },
    ),
    max_size=3,
)


@settings(max_examples=400)
@given(
    entries=ENTRIES,
    action=st.sampled_from([None, ADD, DELETE, "other"]),
    sane=st.lists(st.sampled_from(["o", "p"]), max_size=2),
)
def test_whatever_is_sent_is_taken_and_both_ways_do_the_same(
    entries: list[Any], action: str | None, sane: list[str]
) -> None:
    good = [{"identifiers": {**OBJECT, "object_id": name}} for name in sane]
    one, two = workspace(), workspace()
    for encoded in (related(*good), related(*(entries or good), action=action, plan="pro")):
        assert bool(encoded.problems) != bool(encoded.operations)
        for operation in encoded.operations:
            assert send(one, operation, v1=True).status == 200, operation
            assert send(two, operation, v1=False).status == 200, operation
    assert shown(one) == shown(two)


@pytest.mark.parametrize("action", [ADD, DELETE])
def test_more_relationships_than_an_operation_holds_reach_customer_io_or_are_rejected(
    action: str,
) -> None:
    entries = [{"identifiers": {**OBJECT, "object_id": f"object-{n}"}} for n in range(1_000)]
    encoded = related(*entries, action=action)
    assert len(orjson.dumps(entries)) > 32_768
    for operation in encoded.operations:
        assert send(workspace(), operation, v1=False).status == 200
        assert send(workspace(), operation, v1=True).status == 200
    assert encoded.operations or said(encoded)


def test_the_callers_relationships_stay_as_they_are() -> None:
    attributes = {"cio_relationships": [{"identifiers": OBJECT}], "_timestamp": 5, "a": 1}
    identify("u", attributes)
    assert attributes == {"cio_relationships": [{"identifiers": OBJECT}], "_timestamp": 5, "a": 1}
