"""What mapping has to say of an event or a table: violations, warnings, and a refused table."""

from dataclasses import dataclass
from typing import NamedTuple


class Violation(NamedTuple):
    """One reason why an event is refused."""

    field: str
    """The field by its Segment name, keys joined by dots: ``properties.total``."""
    reason: str
    """A stable word, such as ``REQUIRED``; docs/errors.md lists them."""
    description: str
    """For a person: what was expected, what came, what to do."""


class FieldWarning(NamedTuple):
    """One thing that was changed or left out of an event that is accepted all the same."""

    field: str
    """The field by its Segment name, keys joined by dots."""
    description: str
    """For a person: what was done, and why."""


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
    """One or more table files can't be used; ``mistakes`` names every reason."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes
