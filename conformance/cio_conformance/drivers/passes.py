"""Which drivers cases go through, by which routes and calls, and a sidecar's cases through all."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

from cio_conformance.cases.golden_cases import Golden
from cio_conformance.drivers import Call, Route
from cio_conformance.drivers.process import Driver
from cio_conformance.drivers.runner import ViaRunner
from cio_conformance.run.inbox import Inbox
from cio_conformance.run.result import Result, Setup, Way

ROUTES: Final[tuple[Route, ...]] = ("struct", "json")


@dataclass(frozen=True, slots=True)
class Via:
    """Drivers, and how cases go through each of them."""

    drivers: tuple[tuple[str, ...], ...]
    """The command of each."""
    routes: tuple[Route, ...] = ROUTES
    calls: tuple[Call, ...] = ("send",)
    variables: Mapping[str, str] = field(default_factory=dict)
    """More of their environment."""

    @classmethod
    def parse(
        cls,
        commands: Sequence[str],
        routes: Sequence[Route],
        calls: Sequence[Call],
        variables: Mapping[str, str],
    ) -> Self:
        """Read command lines as a shell would split them. Raises ValueError."""
        drivers = tuple(tuple(shlex.split(text)) for text in commands)
        if not all(drivers):
            raise ValueError("expected a command, got nothing")
        return cls(drivers, tuple(routes) or ROUTES, tuple(calls) or ("send",), variables)

    @property
    def passes(self) -> int:
        """How often each case is sent at most."""
        return len(self.drivers) * len(self.routes) * len(self.calls)

    def run(
        self,
        goldens: Sequence[Golden],
        setup: Setup,
        address: str,
        inbox: Inbox,
        patience_seconds: float,
    ) -> list[Result]:
        """Send cases to a sidecar through every driver; what none can send is skipped.

        Raises TargetError.
        """
        results: list[Result] = []
        for command in self.drivers:
            name = shlex.join(command)
            left: dict[str, str] = {}
            ran: set[str] = set()
            for call in self.calls:
                with Driver(command, address, call, variables=self.variables) as driver:
                    for route in self.routes:
                        named = replace(setup, via=Way(name, call, route))
                        runner = ViaRunner(
                            named, driver, route, inbox, patience_seconds=patience_seconds
                        )
                        more, why = runner.run(goldens)
                        results += more
                        ran |= {result.golden.name for result in more}
                        left |= why
            named = replace(setup, via=Way(name))
            results += [
                Result(golden, named, "skipped", left[golden.name])
                for golden in goldens
                if golden.name not in ran
            ]
        return results
