"""What a run consists of, and what comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from reliability.answers import FAULTS as ANSWERS
from reliability.judge import Verdict
from reliability.shim import FAULTS as SHIMMED

PROCESS: Final = ("kill", "term", "freeze", "removed")
"""Faults of the process, and of its data directory."""
HINDRANCES: Final = (*PROCESS, *SHIMMED)
"""Faults of process, disk and clock, which are done one after the other."""
FAULTS: Final = (*ANSWERS, *HINDRANCES)
LEDGER: Final = "ledger.ndjson"
RECORD: Final = "received.ndjson"
FAULT_RECORD: Final = "faults.ndjson"


@dataclass(slots=True)
class Plan:
    """What a run consists of."""

    seconds: float
    seed: int
    faults: Sequence[str] = FAULTS
    per_second: float = 1_000
    every_seconds: tuple[float, float] = (2.0, 8.0)
    """The shortest and longest time between two faults of process, disk or clock."""
    share: float = 0.05
    """Of how many requests in one the answer goes wrong."""
    settings: dict[str, str] = field(default_factory=dict)
    rounds: int | None = None
    """End after so many faults of the process, whenever that is. Each begins with an ack."""


@dataclass(slots=True)
class Sample:
    """How the sidecar was at a moment."""

    at: float
    """Seconds since the run began."""
    memory_bytes: int
    waiting: int | None
    file_bytes: dict[str, int]


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    verdict: Verdict
    samples: list[Sample]
    done: dict[str, int]
    """How often each fault of process, disk and clock was done."""
    met: dict[str, int]
    """How many requests met each fault of connection or answer."""
    retries: int
    log: str
    """What the sidecar said that it should not have: lines with a traceback."""
    seconds: float
    left: int | None
    """Events that still waited when the time to drain was over; 0 is right."""
    acked: list[int] = field(default_factory=list)
    """How many events were acknowledged before each fault of process, disk and clock, since the one
    before."""
