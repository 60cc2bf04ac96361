"""Known failures: cases that are listed as failing, so that they don't fail a run."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, get_args

from cio_conformance.cases.golden_cases import FixtureError, Golden
from cio_conformance.drivers import Call, Route
from cio_conformance.run.result import Result, Setup, SidecarApi

_VIA: Final = re.compile(
    rf", via .+ ({'|'.join(get_args(Call))}) ({'|'.join(get_args(Route))})(?=\]$)"
)
"""Of a setup, the driver with its call and its route, which only a run knows."""


@dataclass(frozen=True, slots=True)
class KnownFailures:
    """The lines of a file that names failing cases."""

    places: dict[str, str]
    """Where each name stands, such as ``known.txt:3``.

    A name is that of a case (``page: known person``), in every setup, or of a case in one setup,
    as a report has it (``page: known person [documented, v1]``, ``[documented, v1, via ./driver
    send json]``).
    """

    def judge(self, results: Iterable[Result]) -> list[Result]:
        """Turn the failures that are listed into known ones, and listed passes into failures."""
        return [self._judge(result) for result in results]

    def place(self, result: Result) -> str | None:
        """Where a result's case is listed, in its setup or in every one; None if it is not."""
        return self.places.get(str(result)) or self.places.get(result.golden.name)

    def _judge(self, result: Result) -> Result:
        place = self.place(result)
        if place is None:
            return result
        if result.outcome == "passed":
            words = f"it passed, but {place} lists it as failing: take it out there"
            return replace(result, outcome="failed", message=words)
        return replace(result, outcome="known") if result.outcome == "failed" else result


def read_known(file: Path, goldens: Sequence[Golden]) -> KnownFailures:
    """Read a file of one name a line; ``#``, first or after a blank, begins a comment.

    ``goldens`` are all cases that there are, whether they run or not. Raises FixtureError with
    every line that names none of them.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except OSError as error:
        raise FixtureError(f"{file}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FixtureError(f"{file}: can't be read: it is not UTF-8") from None
    names = {name for golden in goldens for name in _names(golden)}
    places: dict[str, str] = {}
    mistakes: list[str] = []
    for number, line in enumerate(lines, 1):
        name = f" {line}".partition(" #")[0].strip()
        place = f"{file}:{number}"
        if not name:
            continue
        if _VIA.sub("", name) not in names:
            mistakes.append(
                f"{place}: there is no case {name!r}; write it as the run shows it, "
                "'family: case', or with its setup, 'family: case [documented, v1]'"
            )
        elif name in places:
            mistakes.append(f"{place}: {name!r} stands in {places[name]} already; remove one")
        places[name] = place
    if mistakes:
        raise FixtureError("\n".join(mistakes))
    return KnownFailures(places)


def _names(golden: Golden) -> list[str]:
    setups = [
        Setup(golden.case.profile, api, None, golden.settings) for api in get_args(SidecarApi)
    ]
    return [golden.name, *(str(Result(golden, setup, "failed")) for setup in setups)]
