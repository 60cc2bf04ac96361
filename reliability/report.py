"""A run in figures, and what is wrong with it in words."""

from collections.abc import Sequence
from typing import Any

from reliability.plan import Outcome, Plan, Sample


def quarters(samples: Sequence[Sample]) -> list[int]:
    """The median of the memory in each quarter of a run, in bytes; 0 where nobody looked."""
    if not samples:
        return [0, 0, 0, 0]
    end = samples[-1].at
    parts: list[list[int]] = [[], [], [], []]
    for sample in samples:
        parts[min(3, int(4 * sample.at / end))].append(sample.memory_bytes)
    return [sorted(part)[len(part) // 2] if part else 0 for part in parts]


def growth_percent(by_quarter: Sequence[int]) -> float | None:
    """How much more memory the last quarter took than the second; None where nobody looked."""
    _, second, _, last = by_quarter
    return round(100 * (last / second - 1), 1) if second and last else None


def figures(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """A run in figures, for people and for programs."""
    verdict, samples = outcome.verdict, outcome.samples
    return {
        "seed": plan.seed,
        "seconds": round(outcome.seconds),
        "faults": dict(sorted(outcome.done.items())),
        "bad_answers": dict(sorted(outcome.met.items())),
        "sent": verdict.sent,
        "acknowledged": verdict.acknowledged,
        "delivered": verdict.delivered,
        "dead_letters": verdict.dead_letters,
        "refused": verdict.refused,
        "lost": len(verdict.lost),
        "duplicated": len(verdict.duplicated),
        "out_of_order": len(verdict.disordered),
        "otherwise_wrong": len(verdict.wrong),
        "repeats": verdict.repeats,
        "calls_again": outcome.retries,
        "left_waiting": outcome.left,
        "most_waiting": max((s.waiting or 0 for s in samples), default=0),
        "peak_memory_bytes": max((s.memory_bytes for s in samples), default=0),
        "memory_by_quarter_bytes": quarters(samples),
        "memory_growth_percent": growth_percent(quarters(samples)),
        "peak_file_bytes": {
            name: max(s.file_bytes.get(name, 0) for s in samples)
            for name in sorted({name for s in samples for name in s.file_bytes})
        },
    }


def problems(outcome: Outcome) -> list[str]:
    """Each thing that is wrong with a run, in words."""
    verdict = outcome.verdict
    left = [f"{outcome.left} events still wait"] if outcome.left != 0 else []
    log = [f"the log: {line}" for line in outcome.log.splitlines()]
    return [
        *verdict.lost,
        *verdict.duplicated,
        *verdict.disordered,
        *verdict.wrong,
        *left,
        *log,
    ]


def table(found: dict[str, Any]) -> str:
    """Figures as text, a line each."""
    lines: list[str] = []
    for name, value in found.items():
        if isinstance(value, dict):
            words = ", ".join(f"{key} {_text(key, each)}" for key, each in value.items())
        elif isinstance(value, list):
            words = ", ".join(_text(name, each) for each in value)
        else:
            words = _text(name, value)
        title = name.removesuffix("_bytes").removesuffix("_percent").replace("_", " ")
        lines.append(f"{title:>20}  {words}")
    return "\n".join(lines)


def _text(name: str, value: Any) -> str:
    if value is None:
        return "not known"
    if name.endswith("_bytes") or "sqlite" in name:
        return f"{value / 1e6:,.1f} MB"
    if name.endswith("_percent"):
        return f"{value} %"
    return f"{value:,}" if isinstance(value, int) else str(value)
