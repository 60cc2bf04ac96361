"""A run in figures, and what is wrong with it in words."""

from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from reliability.plan import Outcome, Plan, Sample

ACKS_OF_A_ROUND: Final = 10
"""How many events must be acknowledged in the median round of kills. A slow machine takes hundreds
a second; one that takes fewer has hardly anything to lose."""


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
        "acks_of_median_round": round(median(outcome.acked)) if outcome.acked else None,
        "delivered": verdict.delivered,
        "dead_letters": verdict.dead_letters,
        "rejected_in_spells": verdict.rejected_in_spells,
        "rejected": verdict.rejected,
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


def problems(plan: Plan, outcome: Outcome) -> list[str]:
    """Each thing that is wrong with a run, in words; also that it proves nothing."""
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
        *_too_little(plan, outcome),
    ]


def _too_little(plan: Plan, outcome: Outcome) -> list[str]:
    """Why nothing can be said of a run in which nothing is wrong."""
    if not outcome.verdict.acknowledged:
        return ["nothing was acknowledged: the run proves nothing"]
    if plan.rounds is None:
        return []
    found = []
    done = len(outcome.acked)
    if done < plan.rounds:
        found.append(f"only {done} of {plan.rounds} rounds were done in {outcome.seconds:.0f} s")
    if done and (acks := median(outcome.acked)) < ACKS_OF_A_ROUND:
        found.append(
            f"too little was acknowledged for the run to prove anything: {acks:g} events in the "
            f"median round, {ACKS_OF_A_ROUND} are needed (--per-second {plan.per_second:g} asks "
            f"for {plan.per_second:g} a second)"
        )
    return found


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
