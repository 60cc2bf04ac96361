"""What conditions say about each other, as far as it can be decided. PURE."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cio_sidecar.mapping.model import When
from cio_sidecar.mapping.running.expressions import Expression, ExpressionError
from cio_sidecar.paths import join_path, parents

_PART: Final = re.compile(
    r"""//[^\n]*|"{3}.*?"{3}|'{3}.*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|&&|\|\||\s+|\w+|.""",
    re.DOTALL,
)
_IS_TEXT: Final = re.compile(r"""event((?:\.[A-Za-z_]\w*)+)==(?:"([^"\\]*)"|'([^'\\]*)')""")

_RAW: Final = re.compile(r"""\b[rRbB]+['"]""")
_WORD: Final = re.compile(r"\w")

_Values = frozenset[tuple[type, Any]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What holds for every event for which a condition holds."""

    values: Mapping[str, _Values]
    """Paths with the values of which each has one."""
    others: frozenset[str] = frozenset()
    """CEL expressions that are true."""


def facts(when: When) -> Facts:
    """The facts that together are a condition."""
    values: dict[str, _Values] = {}
    others: set[str] = set()
    for path, allowed in when.values:
        _narrow(values, path, frozenset((value.__class__, value) for value in allowed))
    for term in _terms(when.expr):
        if match := _IS_TEXT.fullmatch(term):
            path = join_path(match[1][1:].split("."))
            text = match[2] if match[2] is not None else match[3]
            _narrow(values, path, frozenset([(str, text)]))
        elif term:
            others.add(term)
    return Facts(values, frozenset(others))


def covers(earlier: Facts, later: Facts) -> bool:
    """Whether the earlier condition holds wherever the later one does."""
    return earlier.others <= later.others and all(
        path in later.values and later.values[path] <= allowed
        for path, allowed in earlier.values.items()
    )


def contradiction(*conditions: Facts) -> str | None:
    """Why the conditions never hold together; None if they may."""
    values: dict[str, _Values] = {}
    for condition in conditions:
        for path, allowed in condition.values.items():
            _narrow(values, path, allowed)
    for path, allowed in values.items():
        if not allowed:
            return f"{path} can't have two different values"
        if above := next((parent for parent in parents(path) if parent in values), None):
            return f"{above} can't be a single value and hold {path}"
    for term in (term for condition in conditions for term in condition.others):
        if not re.search(r"\bevent\b", term):
            try:
                if Expression(term)({}) is not True:
                    return f"{term:.60} is never true"
            except ExpressionError:
                # A variable of a macro: it is no constant.
                continue
    return None


def types_of(events: Iterable[str]) -> Facts:
    """The facts about an event of one of these types."""
    return Facts({"type": frozenset((str, event) for event in events)})


def _narrow(values: dict[str, _Values], path: str, allowed: _Values) -> None:
    values[path] = values[path] & allowed if path in values else allowed


def _terms(source: str) -> list[str]:
    """The terms of a conjunction, without whitespace and comments; the whole if it is none."""
    if "\\" in source and _RAW.search(source):
        # A backslash escapes nothing there.
        return [source.strip()]
    terms: list[list[str]] = [[]]
    depth = 0
    for part in _PART.findall(source):
        if part.startswith("//"):
            continue
        term = terms[-1]
        if part.isspace():
            # It is needed only between two words.
            if term and _WORD.match(term[-1]):
                term.append(" ")
            continue
        if term and term[-1] == " " and not _WORD.match(part):
            term.pop()
        depth += (part in "([{") - (part in ")]}")
        if depth == 0 and part in ("||", "?"):
            return [source.strip()]
        if depth == 0 and part == "&&":
            terms.append([])
        else:
            term.append(part)
    return ["".join(term) for term in terms]
