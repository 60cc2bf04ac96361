"""Dotted paths with quoted keys."""

from __future__ import annotations

import pytest
from cio_sidecar.mapping.model import is_spread
from cio_sidecar.paths import join_path, split_path
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("userId", ("userId",)),
        ("context.page.url", ("context", "page", "url")),
        ('properties."order.id"', ("properties", "order.id")),
        ('"a b".c', ("a b", "c")),
        (r'"say \"hi\""', ('say "hi"',)),
        (r'"back\\slash".x', ("back\\slash", "x")),
        (r'"a\.b"', ("a.b",)),
        ("data.*", ("data", "*")),
        ("größe.ß", ("größe", "ß")),
        ("a\\b.c", ("a\\b", "c")),
    ],
)
def test_a_path_is_split_at_its_dots(path: str, keys: tuple[str, ...]) -> None:
    assert split_path(path) == keys


@pytest.mark.parametrize(
    "path", ["", ".", "a.", ".a", "a..b", " a", "a b", '"', '""', '"a', 'a"b"', '"a"b', "a\n"]
)
def test_what_is_no_path_is_rejected_with_the_path(path: str) -> None:
    with pytest.raises(ValueError, match="is no path") as caught:
        split_path(path)
    assert repr(path) in str(caught.value)


def test_a_stray_character_is_named_by_its_place() -> None:
    with pytest.raises(ValueError, match="expected a dot at character 6"):
        split_path('a."b"c')


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=4))
def test_any_keys_can_be_written_as_a_path(keys: list[str]) -> None:
    quoted = ".".join('"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"' for key in keys)
    assert split_path(quoted) == tuple(keys)


@given(st.lists(st.text('a."\\ *\n', min_size=1, max_size=4), min_size=1, max_size=3))
def test_a_path_has_one_spelling_which_says_the_same(keys: list[str]) -> None:
    path = join_path(keys)
    assert split_path(path) == tuple(keys)
    assert join_path(split_path(path)) == path


def test_the_one_spelling_quotes_only_where_it_must() -> None:
    assert join_path(split_path('"data"."order.id"."x"')) == 'data."order.id".x'


@pytest.mark.parametrize(
    ("key", "spread"), [("*", True), ("data.*", True), ('"*"', True), ("x*", False), ("*.x", False)]
)
def test_only_a_star_alone_at_the_end_spreads(key: str, *, spread: bool) -> None:
    assert is_spread(key) is spread
