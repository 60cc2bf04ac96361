"""What is drawn from a bag is random, and even."""

from __future__ import annotations

import random

from reliability.bag import Bag


def test_each_is_drawn_once_before_any_is_drawn_again() -> None:
    bag = Bag("abcde", random.Random(1))
    rounds = ["".join(bag.draw() for _ in range(5)) for _ in range(20)]
    assert {"".join(sorted(each)) for each in rounds} == {"abcde"}
    assert len(set(rounds)) > 1


def test_a_seed_repeats_what_is_drawn() -> None:
    first, second = (Bag("abcde", random.Random(7)) for _ in range(2))
    assert [first.draw() for _ in range(30)] == [second.draw() for _ in range(30)]
