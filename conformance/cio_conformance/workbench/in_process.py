"""Direct mode: what the tables make of an event, asked within this process, without a sidecar.

The only module of the suite that uses the renderer.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from cio_sidecar.customerio.encoders import Operation
from cio_sidecar.customerio.requests import requests
from cio_sidecar.mapping.authoring.profiles import TableSet, load_profile
from cio_sidecar.mapping.event import Event
from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.renderer import Rejected, Renderer

from cio_conformance.cases.golden_cases import Api, Golden
from cio_conformance.cases.settings import options_of
from cio_conformance.run.compare import Window
from cio_conformance.run.result import Profile, Result, Setup, SidecarApi
from cio_conformance.run.verdict import ACCEPTED, REJECTED, Answer, Arrival, judge, sides
from cio_conformance.workbench.overlay_files import own_tables


@dataclass(frozen=True, slots=True)
class Moment:
    """What stands for the sidecar's clock and for the ids that it makes."""

    seconds: int
    """The Unix second of receipt."""
    received_at: str
    """The same as ISO 8601."""
    message_id: str
    """The id that an event gets that comes without; a ULID."""

    @property
    def window(self) -> Window:
        """The seconds within which an event came."""
        return Window(self.seconds, self.seconds)


NOW: Final = Moment(1_900_000_000, "2030-03-17T17:46:40.000Z", "01HB4HBDKTPDE3GGFBKQ41C9RZ")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an event."""

    answer: Answer
    operations: Sequence[Operation] = ()
    """Empty where the event was rejected, or is not to be sent."""

    def requests(self, api: Api) -> list[dict[str, Any]]:
        """What Customer.io would be asked, as goldens have it: ``{"method", "path", "body"}``."""
        return [
            {
                "method": request.method,
                "path": request.path,
                "body": orjson.loads(request.body or b"null"),
            }
            for request in requests(self.operations, v1=api == "v1")
        ]


class Mapper:
    """What one set of tables makes of events."""

    def __init__(self, tables: TableSet) -> None:
        self.tables = tables
        self._renderer = Renderer(tables)

    def send(self, event: Event, moment: Moment = NOW) -> Outcome:
        """Map an event as a sidecar would that received it at a moment."""
        event = {"receivedAt": moment.received_at, **event}
        message_id = event.get("messageId")
        if message_id is None or (isinstance(message_id, str) and not message_id.strip()):
            event["messageId"] = moment.message_id
        rendered = self._renderer.render(event)
        if isinstance(rendered, Rejected):
            return Outcome(Answer(REJECTED, violations=rendered.violations))
        warnings = [warning.field for warning in rendered.warnings]
        return Outcome(Answer(ACCEPTED, warnings=warnings), rendered.operations)


class Mappers:
    """The mapping of each case: by its profile, a user's own tables, and its family's settings."""

    def __init__(self, overlay: Path | None = None) -> None:
        """``overlay``: a folder of tables that extend the profiles'. Raises TableError."""
        self.overlay = overlay
        self._files = own_tables(overlay)
        self._compiled: dict[tuple[Profile, MappingOptions], Mapper] = {}

    def of(self, profile: Profile, settings: Sequence[tuple[str, str]]) -> Mapper:
        """The mapping under a profile and settings. Raises TableError."""
        key = profile, options_of(settings)
        if key not in self._compiled:
            self._compiled[key] = Mapper(load_profile(profile, self._files, key[1]))
        return self._compiled[key]


@dataclass(frozen=True, slots=True)
class Run:
    """The results of a run, and how long the cases took."""

    results: list[Result]
    seconds: float
    """Without reading the cases and the tables."""

    def __str__(self) -> str:
        """Such as ``2,088 cases rendered in 0.20 s, 10,440 a second``."""
        count = len(self.results)
        rate = count / max(self.seconds, 1e-6)
        return f"{count:,} cases rendered in {self.seconds:.2f} s, {rate:,.0f} a second"


def run_direct(
    goldens: Sequence[Golden],
    *,
    apis: Sequence[SidecarApi],
    mappers: Mappers,
    seed: int | None = None,
) -> Run:
    """Run cases by each API, in a random order of this seed, or in theirs if None.

    Raises TableError.
    """
    prepared = [
        (index, golden, mappers.of(golden.case.profile, golden.settings))
        for index, golden in enumerate(goldens)
    ]
    if seed is not None:
        random.Random(seed).shuffle(prepared)  # noqa: S311 (an order is no secret)
    results: list[tuple[Setup, int, Result]] = []
    start = time.perf_counter()
    for index, golden, mapper in prepared:
        found = _results(golden, mapper, apis, mappers.overlay)
        results += [(result.setup, index, result) for result in found]
    seconds = time.perf_counter() - start
    # Whatever the order in which they ran, they are told as those of sidecars are.
    results.sort(key=lambda each: each[:2])
    return Run([result for _, _, result in results], seconds)


def _results(
    golden: Golden, mapper: Mapper, apis: Sequence[SidecarApi], overlay: Path | None
) -> Iterator[Result]:
    """A case's result by each API; the event is mapped once."""
    case = golden.case
    setups = [Setup(case.profile, api, overlay, golden.settings) for api in apis]
    start = time.perf_counter()
    try:
        outcome = mapper.send(case.event)
        requests = [outcome.requests(setup.golden_api) for setup in setups]
    except Exception as error:
        words = f"the mapping itself failed: {type(error).__name__}: {error}"
        yield from (Result(golden, setup, "failed", words) for setup in setups)
        return
    # Each has an equal share of the time.
    seconds = (time.perf_counter() - start) / len(setups)
    for setup, came in zip(setups, requests, strict=True):
        arrivals = [Arrival(request) for request in came]
        all_of_it = (case, setup.golden_api, outcome.answer, arrivals, NOW.window)
        if problems := judge(*all_of_it):
            words = "\n".join(problems)
            yield Result(golden, setup, "failed", words, seconds, *sides(*all_of_it))
        else:
            yield Result(golden, setup, "passed", duration_seconds=seconds)
