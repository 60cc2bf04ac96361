"""Reads scenarios from JSON, and rejects what makes no sense, with all that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cio_fake.checks import check
from cio_fake.scenario import DAY_MS, Rate, Step, When
from cio_fake.shapes import Shape

_NUMBER = Shape(type="integer")
_TEXT = Shape(type="identifier")
_WHICH = {"name": _TEXT, "person": _TEXT}
_STEP = Shape(
    type="object",
    fields={
        "count": Shape(type="integer", nullable=True),
        "when": Shape(type="object", nonempty=True, fields=_WHICH),
        "delay_ms": _NUMBER,
        "status": _NUMBER,
        "retry_after": Shape(type="integer", nullable=True),
        "cut": Shape(type="string", one_of=("before", "after", "headers")),
        "truncate": _NUMBER,
        "malformed": Shape(type="string", one_of=("html", "json", "indexes")),
        "reject": Shape(
            type="array",
            nonempty=True,
            items=Shape(type="object", nonempty=True, fields={**_WHICH, "index": _NUMBER}),
        ),
        "rate": Shape(
            type="object",
            fields={
                "per_second": Shape(type="integer", required=True),
                "retry_after": Shape(type="integer", nullable=True),
            },
        ),
    },
)
_STEPS = Shape(type="object", fields={"steps": Shape(type="array", required=True, items=_STEP)})
_ALONE = ("status", "cut", "truncate", "malformed", "reject", "rate")
# Where a number is, the least and the most that it may be.
_RANGES = {
    "count": (0, None),
    "delay_ms": (0, DAY_MS),
    "status": (200, 599),
    "retry_after": (0, None),
    "truncate": (0, None),
}


def read_scenario(body: Any) -> list[Step]:
    """Read `{"steps": [{…}, …]}`, or one step in place of that.

    Raises:
        ValueError: it can't be used; the text says all that is wrong, one mistake a line.
    """
    if not isinstance(body, dict) or not body:
        raise ValueError('expected {"steps": […]}, or a step such as {"status": 503, "count": 1}')
    alone = "steps" not in body
    mistakes = [str(problem) for problem in check(body, _STEP if alone else _STEPS)]
    if not mistakes:
        steps = [body] if alone else body["steps"]
        for index, step in enumerate(steps):
            at = "" if alone else f"steps[{index}]."
            mistakes += [f"{at}{mistake}" for mistake in _mistakes(step, index == len(steps) - 1)]
    if mistakes:
        raise ValueError("\n".join(mistakes))
    # A count of 0 is no step at all.
    return [_step(step) for step in steps if step.get("count") != 0]


def _mistakes(step: dict[str, Any], last: bool) -> Iterator[str]:
    yield from _out_of_range(step)
    for index, which in enumerate(step.get("reject", ())):
        if which.get("index", 0) < 0:
            yield f"reject[{index}].index: must not be negative"
    if "rate" in step:
        if step["rate"]["per_second"] < 1:
            yield "rate.per_second: must be at least 1"
        if (step["rate"].get("retry_after") or 0) < 0:
            yield "rate.retry_after: must be at least 0"
    kinds = [key for key in _ALONE if key in step]
    if kinds not in ([], ["status", "malformed"]) and len(kinds) > 1:
        yield f"{kinds[1]}: can't go with {kinds[0]}; make two steps of it"
    elif not kinds and "delay_ms" not in step:
        yield f"says nothing to do: give one of {', '.join(_ALONE)}, delay_ms"
    if step.get("malformed") == "indexes" and "status" in step:
        yield "status: can't go with malformed indexes, which is a 207"
    if step.get("retry_after") is not None and "status" not in step:
        yield "retry_after: goes with status; that of a rate is rate.retry_after"
    if not last and step.get("count") is None and "when" not in step:
        yield "count: is required in all steps but the last: what follows would never come"


def _out_of_range(step: dict[str, Any]) -> Iterator[str]:
    for key, (least, most) in _RANGES.items():
        value = step.get(key)
        if value is None or (value >= least and (most is None or value <= most)):
            continue
        yield (
            f"{key}: must be at least {least}"
            if most is None
            else (f"{key}: must be from {least} to {most:,}")
        )


def _step(given: dict[str, Any]) -> Step:
    made = dict(given)
    if "when" in made:
        made["when"] = When(**made["when"])
    if "reject" in made:
        made["reject"] = tuple(When(**which) for which in made["reject"])
    if "rate" in made:
        made["rate"] = Rate(**made["rate"])
    return Step(**made)
