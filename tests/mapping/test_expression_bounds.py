"""What an expression may cost: beyond its bounds there is no value, and little is allocated."""

from __future__ import annotations

from typing import Any

import pytest
from cio_sidecar.mapping.running.expressions import Expression, ExpressionError
from cio_sidecar.mapping.running.transforms import NoValue

TOO_LARGE = "the event is too large for this expression"


def value(source: str, **event: Any) -> Any:
    return Expression(source)(event)


def why(source: str, **event: Any) -> str:
    """Why there is no value."""
    found = Expression(source)(event)
    assert isinstance(found, NoValue), found
    return found.why or ""


NUMBERS = list(range(5_000))


def list_and_text(members: int, characters: int) -> dict[str, Any]:
    return {"l": NUMBERS[:members], "s": "x" * characters}


@pytest.mark.parametrize(
    ("source", "event"),
    [
        ("event.s.split('')", {"s": "x" * 200_000}),
        ("event.l.map(x, x).size() > 0", {"l": NUMBERS * 10}),
        ("event.l.all(x, x >= 0)", {"l": NUMBERS * 10}),
        ("event.l.map(x, event.l.map(y, 1)).size()", {"l": NUMBERS}),
        ("event.l.map(x, event.s + event.s).size()", list_and_text(5_000, 50_000)),
        ("event.l.map(x, event.l + event.l).size()", {"l": NUMBERS}),
        ("event.l.map(x, {'k': event.s + 'x'}).size()", list_and_text(5_000, 99_999)),
        (" + ".join(["event.s"] * 25), {"s": "x" * 1_000_000}),
        ("event.l.map(x, text_values(event))", list_and_text(5_000, 99_999)),
        ("event.l.join(event.s)", {"l": ["x"] * 2_000, "s": "x" * 100_000}),
        ("event.s.replace('x', event.s)", {"s": "x" * 20_000}),
        ("event.s.replace('', event.s)", {"s": "x" * 20_000}),
        # Neither a comment nor the quotes of a literal hide what an expression does.
        ("event.l.// all\nmap(x, event.s + event.s).size()", list_and_text(2_000, 40_000)),
        (
            "event.l.map(x, '''x'y''' + event.s + '''x'y''').size()",
            list_and_text(2_000, 40_000),
        ),
        # A text has as many characters as split makes members of it.
        (
            "event.short.split('').map(x, event.s + x).size()",
            {"short": "x" * 2_000, "s": "x" * 80_000},
        ),
    ],
)
def test_an_event_that_is_too_large_for_an_expression_is_told_before_it_runs(
    source: str, event: dict[str, Any]
) -> None:
    assert why(source, **event).startswith(TOO_LARGE)


@pytest.mark.parametrize(
    ("source", "event", "told"),
    [
        ("event.l.map(x, event.l.map(y, 1)).size()", {"l": NUMBERS[:200]}, "10,000 steps"),
        ("event.l.all(x, event.l.all(y, event.l.all(z, true)))", {"l": NUMBERS[:50]}, "0,000 ste"),
        ("event.l", {"l": [0] * 10_001}, "more than 10,000 values"),
        ("event", {f"k{n}": 1 for n in range(10_001)}, "more than 10,000 values"),
        ("event.l", {"l": [["x"] * 200] * 200}, "more than 10,000 values"),
        ("event.l.map(x, event.l)", {"l": NUMBERS[:150]}, "more than 10,000 values"),
        ("[event.s]", {"s": "x" * 262_145}, "more than 262,144 characters"),
        ("{event.s: 1}", {"s": "x" * 262_145}, "more than 262,144 characters"),
        ("event.l.map(x, event.s)", list_and_text(100, 3_000), "more than 262,144 characters"),
    ],
)
def test_work_beyond_its_bounds_is_cut_short(source: str, event: Any, told: str) -> None:
    assert told in why(source, **event)


def test_work_within_its_bounds_is_done() -> None:
    assert value("event.l", l=[0] * 9_999) == [0] * 9_999
    assert value("[event.s]", s="x" * 262_144) == ["x" * 262_144]
    items = [{"sku": f"sku-{number}", "price": number, "n": 2} for number in range(500)]
    assert value("event.l.map(i, i.price * i.n)", l=items) == [n * 2 for n in range(500)]
    assert value("event.l.filter(i, i.price > 400).size()", l=items) == 99
    assert value("event.l.map(i, i.sku + '!').size()", l=items) == 500


@pytest.mark.parametrize("source", ["event.l", "event", "[event.l]", "event.l + event.l"])
def test_of_a_large_event_no_copy_is_made(source: str) -> None:
    assert why(source, l=[0] * 300_000) == TOO_LARGE


@pytest.mark.parametrize("source", ["size(event.l)", "event.n + 1", "event.n > 0", "event.n"])
def test_a_large_event_has_small_values_all_the_same(source: str) -> None:
    # What is asked of it is worth as much as the event is.
    made = value(source, l=[0] * 50_000, n=1)
    assert made in (50_000, 2, True, 1)


def test_transforms_within_transforms_do_not_blow_a_text_up() -> None:
    # Each level writes the quotes of the one below with twice as many backslashes.
    source = "event"
    for _ in range(12):
        source = f"text_values({{'a': {source}}})"
    assert why(source, b='"' * 100_000) == TOO_LARGE


def test_what_no_event_is_small_enough_for_is_rejected_at_once() -> None:
    source = "event.l" + "".join(f".map(x{n}, [x{n}] + [x{n}])" for n in range(8))
    with pytest.raises(ExpressionError, match="too much memory, whatever the event"):
        Expression(source)
