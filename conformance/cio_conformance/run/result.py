"""The words that the suite's parts share: how a sidecar is set up, and how a case ended."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from cio_conformance.cases.golden_cases import Api, Golden
from cio_conformance.drivers import Call, Route

if TYPE_CHECKING:
    # It brings the fake, which the mapping alone has no need of.
    from cio_conformance.delivery.cases import DeliveryGolden

Profile = Literal["documented", "standard"]
PROFILES: Final[tuple[Profile, ...]] = get_args(Profile)
SidecarApi = Literal["auto", "v1"]
"""What ``CIO_API`` may be."""
APIS: Final[tuple[SidecarApi, ...]] = ("v1", "auto")
"""By which of them a case runs, where none is asked for."""
Outcome = Literal["passed", "failed", "known", "skipped"]
"""``known``: it failed, as was said beforehand."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a case is sent through a driver."""

    driver: str
    """Its command."""
    call: Call | None = None
    """None, as the route is, where no route can carry the case."""
    route: Route | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.driver, self.call, self.route)))


@dataclass(frozen=True, slots=True, order=True)
class Setup:
    """How a sidecar is set up: which tables it maps by, and which API it sends by."""

    profile: Profile
    api: SidecarApi
    overlay: Path | None = None
    """A folder of tables that extend the profile's."""
    settings: tuple[tuple[str, str], ...] = ()
    """Name and value of every other setting, by name: ``("event_id", "ulid")``."""
    via: Way | None = None
    """Where a driver sends the cases."""

    @property
    def golden_api(self) -> Api:
        """The API whose goldens hold: ``auto`` packs v2 batches."""
        return "v1" if self.api == "v1" else "v2"

    def __str__(self) -> str:
        settings = (f"{name}={value}" for name, value in self.settings)
        via = [f"via {self.via}"] if self.via else []
        return ", ".join([self.profile, self.api, *settings, *via])


@dataclass(frozen=True, slots=True)
class Result:
    """How a case ended with a sidecar."""

    golden: "Golden | DeliveryGolden"
    setup: Setup
    outcome: Outcome
    message: str = ""
    """Why it failed or was skipped: plain text, of several lines where it holds a diff."""
    duration_seconds: float = 0.0
    """How long it took, from the call until its requests had come; 0 where it was skipped."""
    expected: Any = None
    """Of a case that failed: the answer and the requests that were to come, as JSON."""
    received: Any = None
    """What came instead, in the same form."""

    def __str__(self) -> str:
        return f"{self.golden.name} [{self.setup}]"


def summary(results: Sequence[Result]) -> str:
    """Such as ``812 passed, 0 failed, 41 skipped``, and known failures where there are any."""
    counts = Counter(result.outcome for result in results)
    known = f", {counts['known']} known to fail" if counts["known"] else ""
    return (
        f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped{known}"
    )
