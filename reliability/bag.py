"""Draws by chance, and yet evenly."""

import random
from collections.abc import Sequence


class Bag:
    """Draws each of some names once, in random order, before any of them a second time.

    By chance alone a short run would leave some of many faults out.
    """

    def __init__(self, names: Sequence[str], source: random.Random) -> None:
        self._names = names
        self._random = source
        self._left: list[str] = []

    def draw(self) -> str:
        """The next name. Raises IndexError where there are none."""
        if not self._left:
            self._left = self._random.sample(self._names, len(self._names))
        return self._left.pop()
