"""Writes JSON values as YAML in flow style, wrapped, as the fixtures have them. PURE."""

import json
import re
import unicodedata
from typing import Any, Final

WIDTH: Final = 108
"""Columns of a line, as far as it can be wrapped."""
INDENT: Final = 3
"""By how many columns a line goes in for each collection that it stands in."""

_PLAIN: Final = re.compile(r"[A-Za-z_/$][A-Za-z0-9_./$-]*(?: [A-Za-z0-9_./$()-]+)*")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
"""What some version of YAML reads as something else than text."""
_LONG: Final = 80
"""Text of more characters is written short where it repeats itself."""


def flow(value: Any, column: int, indent: int) -> str:
    """A value that begins at a column; what is wrapped goes to ``indent``, or further in.

    Text that repeats itself is written as ``{$repeat: text, times: number}``.
    """
    layout = _Layout(column)
    layout.write(_shortened(value), indent)
    return "".join(layout.written)


def scalar(value: Any) -> str:
    """A text, number, boolean or null; a key of a mapping is one too."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def quoted(text: str) -> str:
    """A text in double quotes; what can't be seen, or alters what stands before it, is escaped."""
    return "".join(map(_escaped, json.dumps(text, ensure_ascii=False)))


class _Layout:
    """Breaks lines before an item that would not fit."""

    def __init__(self, column: int) -> None:
        self.written: list[str] = []
        self._column = column

    def write(self, value: Any, indent: int) -> None:
        if isinstance(value, dict):
            self._items([(f"{scalar(key)}: ", item) for key, item in value.items()], "{}", indent)
        elif isinstance(value, list):
            self._items([("", item) for item in value], "[]", indent)
        else:
            self._put(scalar(value))

    def _items(self, items: list[tuple[str, Any]], brackets: str, indent: int) -> None:
        self._put(brackets[0])
        for index, (head, item) in enumerate(items):
            if index:
                self._put(",")
                if self._column + 1 + len(head) + _flat(item) > WIDTH:
                    self.written.append("\n" + " " * indent)
                    self._column = indent
                else:
                    self._put(" ")
            self._put(head)
            self.write(item, indent + INDENT)
        self._put(brackets[1])

    def _put(self, text: str) -> None:
        self.written.append(text)
        self._column += len(text)


def _escaped(character: str) -> str:
    if character == " " or unicodedata.category(character)[0] in "LNPS":
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _flat(value: Any) -> int:
    """How many columns a value takes on one line."""
    if isinstance(value, dict):
        return sum(len(scalar(key)) + 4 + _flat(item) for key, item in value.items())
    if isinstance(value, list):
        return sum(2 + _flat(item) for item in value)
    return len(scalar(value))


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if isinstance(value, str) and len(value) > _LONG:
        period = (value + value).find(value, 1)
        if period <= len(value) // 4:
            return {"$repeat": value[:period], "times": len(value) // period}
    return value
