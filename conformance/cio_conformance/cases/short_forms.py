"""Short forms of long values in fixture files: ``$repeat``, ``$numbered`` and ``$merge``. PURE."""

import math
from typing import Any, Final

from cio_sidecar.yaml_lines import Location

from cio_conformance.cases.mistakes import Mistake, shown

_FORMS: Final = frozenset({"$repeat", "$numbered", "$merge"})
_FREE: Final = frozenset({"event", "body"})
"""What holds any JSON, and short forms."""
_MOST: Final = {"times": 1_000_000, "count": 100_000}
"""How far a short form may go: beyond every limit, and within a machine's memory."""


def expand(value: Any, at: Location, mistakes: list[Mistake]) -> Any:
    """Write out the short forms, which what stands in an event or a body may have.

    What is wrong stays as it is, and is added to the mistakes.
    """
    match value:
        case dict() if _FORMS.isdisjoint(value):
            return {key: expand(item, (*at, key), mistakes) for key, item in value.items()}
        case list():
            return [expand(item, (*at, index), mistakes) for index, item in enumerate(value)]
        case float() if "body" in at and not math.isfinite(value):
            problem = "expected what JSON can hold: no request holds NaN or infinity"
        case dict() if _FREE.isdisjoint(at):
            problem = f"{', '.join(_FORMS & {*value})} is for what stands in event or body"
        case dict():
            return _long_form(value, at, mistakes)
        case _:
            return value
    mistakes.append((at, problem))
    return value


def _long_form(value: dict[str, Any], at: Location, mistakes: list[Mistake]) -> Any:
    match value:
        case {"$repeat": str(text), "times": times, **rest} if not rest and _fits(times, "times"):
            return text * times
        case {"$numbered": str(prefix), "count": count, **rest} if not rest and _fits(
            count, "count"
        ):
            return {f"{prefix}{number}": number for number in range(count)}
        case {"$merge": list(parts), **rest} if not rest:
            written = [
                expand(part, (*at, "$merge", index), mistakes) for index, part in enumerate(parts)
            ]
            if all(isinstance(part, dict) for part in written):
                return {key: item for part in written for key, item in part.items()}
    most = " and ".join(f"{name} to {number:,}" for name, number in _MOST.items())
    problem = (
        "expected {$repeat: text, times: number}, {$numbered: prefix, count: number} or "
        f"{{$merge: [objects]}} ({most}), got {shown(value)}"
    )
    mistakes.append((at, problem))
    return value


def _fits(number: Any, name: str) -> bool:
    return type(number) is int and 0 <= number <= _MOST[name]
