from __future__ import annotations

from typing import Any

import pytest
from cio_conformance.run.compare import Window, difference, matches, settled

WINDOW = Window(1000.7, 1003.2)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (1, 1.0),
        (1.0, 1),
        (1, "1"),
        (1, True),
        (0, False),
        (None, False),
        ({}, []),
        ({"a": 1}, {"a": 1, "b": None}),
        ({"a": 1, "b": None}, {"a": 1}),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1.0}]}),
    ],
)
def test_values_of_another_type_or_content_do_not_match(expected: Any, actual: Any) -> None:
    assert not matches(expected, actual, WINDOW)


def test_keys_match_in_any_order() -> None:
    assert matches({"a": 1, "b": [2.5]}, {"b": [2.5], "a": 1}, WINDOW)


@pytest.mark.parametrize("second", [1000, 1003])
def test_received_at_takes_a_second_in_which_the_case_ran(second: int) -> None:
    assert matches({"at": "$received_at"}, {"at": second}, WINDOW)


@pytest.mark.parametrize("value", [999, 1004, 1001.0, "1001", None, True, [], {}])
def test_received_at_takes_nothing_else(value: Any) -> None:
    assert not matches("$received_at", value, WINDOW)


def test_a_ulid_slot_takes_any_ulid_and_nothing_else() -> None:
    assert matches("$ulid", "01HB4HBDKTPDE3GGFBKQ41C9RZ", WINDOW)
    others: list[Any] = ["", "01HB4HBDKTPDE3GGFBKQ41C9R", "$ulid", 5, None, {}]
    for value in others:
        assert not matches("$ulid", value, WINDOW)


def test_a_diff_shows_what_differs_and_not_the_placeholders_that_fit() -> None:
    expected = {"at": "$received_at", "n": 1, "list": ["$ulid"]}
    actual = {"at": 1002, "n": 1.0, "list": []}
    shown = difference(settled(expected, actual, WINDOW), actual)
    assert '-  "n": 1\n' in f"{shown}\n"
    assert '+  "n": 1.0\n' in f"{shown}\n"
    assert "$received_at" not in shown
    assert '-    "$ulid"' in shown


def test_a_placeholder_that_does_not_fit_shows_in_the_diff() -> None:
    assert "$received_at" in difference(settled(["$received_at"], [5], WINDOW), [5])


def test_long_values_that_differ_only_at_their_ends_show_how() -> None:
    shown = difference("x" * 500 + "a", "x" * 500 + "b")
    assert 'xa" (504 characters)' in shown
    assert 'xb" (504 characters)' in shown


def test_values_that_are_alike_have_no_diff() -> None:
    assert difference({"a": 1, "b": 2}, {"b": 2, "a": 1}) == ""
