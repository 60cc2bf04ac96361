"""Track API v2 batches, joined from bytes."""

from __future__ import annotations

from typing import Any

import orjson
from cio_sidecar.customerio import requests
from cio_sidecar.customerio.encoders import Operation, event, identify
from hypothesis import given
from hypothesis import strategies as st

VALUES: st.SearchStrategy[Any] = st.text(max_size=20) | st.integers(-(2**63), 2**63) | st.none()
DATA = st.dictionaries(st.text(max_size=5).map(lambda key: f"k{key}"), VALUES, max_size=3)


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    data, person = draw(DATA), draw(st.sampled_from(["u", "é", 'q"', "a@b.co"]))
    if draw(st.booleans()):
        made = identify(person, data).operations[0]
    else:
        fields = {"person": person, "data": data, "name": "n", "id": "1", "timestamp": 5}
        made = event(fields).operations[0]
    assert made is not None
    return made


@given(st.lists(operations(), min_size=1, max_size=6))
def test_a_batch_is_json_of_the_size_that_the_policy_reckons_with(items: list[Operation]) -> None:
    request = requests.v2_batch(items)
    assert (request.method, request.path) == ("POST", "/api/v2/batch")
    assert orjson.loads(request.body) == {"batch": [orjson.loads(each.item) for each in items]}
    commas = len(items) - 1
    assert len(request.body) == (
        requests.ENVELOPE_BYTES + sum(len(each.item) for each in items) + commas
    )


@given(operations())
def test_an_item_is_compact_json_as_it_would_be_written_again(operation: Operation) -> None:
    assert orjson.dumps(orjson.loads(operation.item)) == operation.item
    assert requests.v2_item(operation).body == operation.item
