"""What mapping has to say of an event or a table: violations, warnings, and a rejected table."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

MOST_VIOLATIONS: Final = 12
"""How many violations or warnings of one event a caller is shown."""
FIELD_CHARACTERS: Final = 200
"""How many characters of a field's name."""
DESCRIPTION_CHARACTERS: Final = 300
"""How many characters of a description."""
MOST_MISTAKES: Final = 100
"""How many mistakes in tables are listed; the others are counted."""
_SHOWN_NAMES: Final = 20
_SHOWN_NAME_CHARACTERS: Final = 60


class Violation(NamedTuple):
    """One reason why an event is rejected."""

    field: str
    """The field by its Segment name, keys joined by dots: ``properties.total``."""
    reason: str
    """A stable word, such as ``REQUIRED``; docs/errors.md lists them."""
    description: str
    """For a person: what was expected, what came, what to do."""


MORE: Final = Violation("", "MORE", "more violations are not listed")
"""Stands behind the last violation that is listed."""


class FieldWarning(NamedTuple):
    """One thing that was changed or left out of an event that is accepted all the same."""

    field: str
    """The field by its Segment name, keys joined by dots."""
    description: str
    """For a person: what was done, and why."""


def clip(violations: Sequence[Violation], most_bytes: int | None = None) -> list[Violation]:
    """At most a dozen violations, with fields and descriptions of bounded length, and MORE if there
    are others.

    ``most_bytes`` bounds what they have together in UTF-8; the first is always among them.
    """
    clipped: list[Violation] = []
    size = 0
    for violation in violations[:MOST_VIOLATIONS]:
        short = Violation(
            shorten(violation.field, FIELD_CHARACTERS),
            violation.reason,
            shorten(violation.description, DESCRIPTION_CHARACTERS),
        )
        size += len("".join(short).encode())
        if clipped and most_bytes is not None and size > most_bytes:
            break
        clipped.append(short)
    if len(violations) > len(clipped) and violations[len(clipped)] != MORE:
        clipped.append(MORE)
    return clipped


def shorten(text: str, most: int) -> str:
    """At most so many characters of a text."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def listing(names: Collection[str]) -> str:
    """Names as an enumeration of bounded length; "none" if there are none."""
    shown = [shorten(name, _SHOWN_NAME_CHARACTERS) for name in islice(names, _SHOWN_NAMES)]
    more = len(names) - len(shown)
    return f"{', '.join(shown) or 'none'}{f' and {more:,} more' if more else ''}"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a table file."""

    file: str
    line: int
    row: str | None
    """The row's ``table.key``, where the mistake is inside a row."""
    problem: str
    """What is wrong and what would be right."""

    def __str__(self) -> str:
        row = f" (row {self.row})" if self.row else ""
        return f"{self.file}:{self.line}{row}: {self.problem}"


class TableError(Exception):
    """One or more table files can't be used; ``mistakes`` names every reason.

    The text lists at most MOST_MISTAKES of them, and says how many more there are.
    """

    def __init__(self, mistakes: list[Mistake]) -> None:
        lines = [str(mistake) for mistake in mistakes[:MOST_MISTAKES]]
        if more := len(mistakes) - len(lines):
            lines.append(f"{more:,} more mistakes are not listed")
        super().__init__("\n".join(lines))
        self.mistakes = mistakes
