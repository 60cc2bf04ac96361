"""Says what is wrong with what came of a case. PURE."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cio_conformance.cases.golden_cases import Api, Case, ExpectedRequest
from cio_conformance.run.compare import Window, difference, matches, settled

ACCEPTED: Final = "ACCEPTED"
REJECTED: Final = "INVALID_ARGUMENT"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sidecar told the caller of an event."""

    status: str
    """The receipt's status, such as ACCEPTED; where the call failed its gRPC code."""
    words: str = ""
    """What a failed call says of itself."""
    warnings: Sequence[str] = ()
    """The fields of the receipt's warnings."""
    violations: Sequence[tuple[str, str, str]] = ()
    """Field, reason and description of each of a failed call's field violations."""

    def __str__(self) -> str:
        return f"{self.status}: {self.words[:500]}" if self.words else self.status


@dataclass(frozen=True, slots=True)
class Arrival:
    """An operation that Customer.io was asked for, and what it answered."""

    operation: dict[str, Any]
    """``{"method", "path", "body"}``."""
    status: int = 200
    answer: str = ""


def judge(
    case: Case, api: Api, answer: Answer, arrivals: Sequence[Arrival], window: Window
) -> list[str]:
    """Everything that is not as the case expects, each as text; empty where all is well."""
    problems = _judge_answer(case, answer)
    expected: Any = []
    # Where the event was rejected, that nothing was sent is no second mistake.
    if case.expect and (answer.status == ACCEPTED or arrivals):
        expected = plain(case.expect.by(api))
    received = [arrival.operation for arrival in arrivals]
    if not matches(expected, received, window):
        what = (
            "other requests"
            if len(expected) == len(received)
            else f"expected {_requests(expected)}, {_requests(received)} came"
        )
        shown = difference(settled(expected, received, window), received)
        problems.append(f"{what}:\n{shown}")
    problems += [
        f"Customer.io (the fake) answered HTTP {arrival.status}: {arrival.answer[:1000]}"
        for arrival in arrivals
        # A 207 rejects at least one operation of its batch.
        if not 200 <= arrival.status < 300 or arrival.status == 207
    ]
    return problems


def sides(
    case: Case, api: Api, answer: Answer, arrivals: Sequence[Arrival], window: Window
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a case expects and what came of it, in one form, to be laid side by side."""
    received = [arrival.operation for arrival in arrivals]
    wanted = plain(case.expect.by(api)) if case.expect else []
    expected = {
        "answer": REJECTED if case.reject else ACCEPTED,
        "violations": sorted(f"{rejection.field}: {rejection.reason}" for rejection in case.reject),
        "warnings": sorted(case.warnings),
        "requests": settled(wanted, received, window),
    }
    got = {
        "answer": answer.status,
        "violations": sorted(f"{field}: {reason}" for field, reason, _ in answer.violations),
        "warnings": sorted(answer.warnings),
        "requests": received,
    }
    return expected, got


def plain(requests: Sequence[ExpectedRequest]) -> list[dict[str, Any]]:
    """Expected requests in the form of those that come."""
    return [
        {"method": request.method, "path": request.path, "body": request.body}
        for request in requests
    ]


def _judge_answer(case: Case, answer: Answer) -> list[str]:
    if case.reject:
        wanted = sorted(f"{rejection.field}: {rejection.reason}" for rejection in case.reject)
        if answer.status != REJECTED:
            return [f"expected {REJECTED} ({', '.join(wanted)}), got {answer}"]
        got = sorted(f"{field}: {reason}" for field, reason, _ in answer.violations)
        return [] if got == wanted else [f"other violations:\n{difference(wanted, got)}"]
    if answer.status == "DUPLICATE":
        return [
            f"expected {ACCEPTED}, got DUPLICATE: the sidecar saw this messageId before. Start it "
            "with an empty CIO_DATA_DIR, or with CIO_DEDUP_WINDOW_SECONDS=0"
        ]
    if answer.status != ACCEPTED:
        told = [f"{field}: {reason}: {words}" for field, reason, words in answer.violations]
        return ["\n  ".join([f"expected {ACCEPTED}, got {answer}", *told])]
    wanted, got = sorted(case.warnings), sorted(answer.warnings)
    return [] if got == wanted else [f"other warnings:\n{difference(wanted, got)}"]


def _requests(requests: Sequence[Any]) -> str:
    return f"{len(requests)} request{'' if len(requests) == 1 else 's'}"
