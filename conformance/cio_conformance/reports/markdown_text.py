"""Writes text into Markdown so that it stays text."""

import html
import re
from typing import Final

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]()#+!|~@-])")


def cell(text: str) -> str:
    """Text on one line, such as a cell of a table: nothing in it is markup."""
    return _SPECIAL.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def fence(text: str, language: str = "") -> str:
    """Text as a block of code, whatever backticks it holds."""
    ticks = max((len(run) for run in re.findall("`+", text)), default=0)
    edge = "`" * max(3, ticks + 1)
    return f"{edge}{language}\n{text}\n{edge}"
