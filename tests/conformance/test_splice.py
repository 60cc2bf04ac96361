"""A value is changed in a document's text, whatever the style of either."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from cio_conformance.workbench.golden.splice import SpliceError, Splicer, child, compose
from cio_sidecar.yaml_lines import load
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

KEYS = st.sampled_from(["a", "b", "c", "n", "two words", "é"])
LEAVES = st.sampled_from(
    [None, True, 1, 1.5, "a", "no", "é: #", " lead", "two\nlines", "#", "- a", "", "x" * 50]
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=14,
)
OBJECTS = st.dictionaries(KEYS, JSON, min_size=1, max_size=4)


def same(old: Any, new: Any) -> bool:
    return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)


def spliced(text: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    splicer = Splicer(text, same)
    node = child(compose(text), "value")
    assert isinstance(node, yaml.MappingNode)
    return splicer.apply(splicer.mapping(node, old, new))


@settings(max_examples=300, deadline=None)
@example(
    old={"a": 1, "b": ["x", "y", {"c": 1}]},
    new={"a": 1, "b": ["z"], "c": []},
    flows=None,
    indent=2,
    comment=True,
)
@given(
    old=OBJECTS,
    new=OBJECTS,
    flows=st.sampled_from([False, None]),
    indent=st.sampled_from([2, 4]),
    comment=st.booleans(),
)
def test_a_changed_value_is_read_back_and_the_rest_of_the_text_stays(
    old: dict[str, Any], new: dict[str, Any], flows: bool | None, indent: int, comment: bool
) -> None:
    old, new = {**old, "kept": 1}, {**new, "kept": 1}
    body = yaml.safe_dump(
        {"value": old}, default_flow_style=flows, indent=indent, sort_keys=False, width=60
    )
    # PyYAML's way to write some keys, which no person writes.
    assume("? " not in body)
    assume(same(load(body).value["value"], old))
    text = f"# First.\n{body}{'# Of the next.' if comment else ''}\nnext: 1 # one\n"
    after = spliced(text, old, new)
    assert same(load(after).value["value"], new)
    assert after.startswith("# First.\nvalue:")
    assert after.endswith(f"{'# Of the next.' if comment else ''}\nnext: 1 # one\n")
    if same(old, new):
        assert after == text


def test_a_text_without_an_end_of_line_may_grow() -> None:
    assert spliced("value:\n  a: 1", {"a": 1}, {"a": 1, "b": 2}) == "value:\n  a: 1\n  b: 2"


def test_an_item_is_not_added_to_a_list_in_brackets() -> None:
    with pytest.raises(SpliceError, match="lines that begin with a dash"):
        Splicer("[1]", same).append(compose("[1]"), lambda _: "- 2")
