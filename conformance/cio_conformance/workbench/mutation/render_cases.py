"""Renders cases within this process, by tables and encoders that may have been changed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

from cio_sidecar.mapping.authoring.profiles import TableSet, compile_tables, read_tables
from cio_sidecar.mapping.errors import TableError
from cio_sidecar.mapping.model import Table
from cio_sidecar.mapping_options import MappingOptions

from cio_conformance.cases.golden_cases import Api, Golden
from cio_conformance.cases.settings import options_of
from cio_conformance.run.compare import matches
from cio_conformance.run.result import Profile
from cio_conformance.run.verdict import REJECTED, plain
from cio_conformance.workbench.in_process import NOW, Mapper

CHECKS: Final = "the tables' own checks"
"""What kills a mutant whose tables can't be loaded."""

_APIS: Final[tuple[Api, ...]] = ("v1", "v2")


class Mutant(Protocol):
    """A change of one rule."""

    @property
    def name(self) -> str:
        """Stable and readable: ``page.name: from context.page.url left out``."""

    def concerns(self, tables: TableSet) -> Collection[str]:
        """The event types that can come to the rule, by the unchanged tables; none: no event."""

    def applied(self, profile: Profile, tables: dict[str, Table]) -> dict[str, Table] | None:
        """The tables with the change in them; None where the rule is not among them."""

    def active(self) -> AbstractContextManager[None]:
        """Within it the change holds that is not one of tables."""

    def favours(self, golden: Golden) -> bool:
        """Whether a case is likely to tell; it is tried first."""


@dataclass
class _Setup:
    """Cases that need the same tables and options."""

    profile: Profile
    options: MappingOptions
    tables: dict[str, Table]
    built_in: Collection[str]
    compiled: TableSet
    goldens: list[Golden] = field(default_factory=list)


class Bench:
    """All cases, each under its profile and its family's settings."""

    def __init__(self, goldens: Iterable[Golden], overlay: Sequence[tuple[str, str]] = ()) -> None:
        """``overlay``: name and text of the files of a user's own tables. Raises TableError."""
        setups: dict[tuple[Profile, MappingOptions], _Setup] = {}
        for golden in goldens:
            profile, options = golden.case.profile, options_of(golden.settings)
            setup = setups.get((profile, options))
            if setup is None:
                tables, built_in = read_tables(profile, overlay, options)
                compiled = compile_tables(profile, tables, built_in, options)
                setup = _Setup(profile, options, tables, built_in, compiled)
                setups[profile, options] = setup
            setup.goldens.append(golden)
        # Most mutants fall to the settings with the most cases.
        self._setups = sorted(setups.values(), key=lambda setup: -len(setup.goldens))

    def tables(self) -> list[tuple[Profile, Mapping[str, Table]]]:
        """The tables that cases run by, as their files state them: each profile's by itself and
        with what settings add to it.
        """
        return [(setup.profile, setup.tables) for setup in self._setups]

    def wrong(self) -> list[str]:
        """The cases that come out otherwise than their goldens say without any change."""
        return [
            golden.name
            for setup in self._setups
            for golden in setup.goldens
            if _tells(golden, Mapper(setup.compiled))
        ]

    def killer(self, mutant: Mutant) -> str | None:
        """The first case found that comes out otherwise under a change; None if none does."""
        with mutant.active():
            for setup in self._setups:
                types = mutant.concerns(setup.compiled)
                goldens = [each for each in setup.goldens if each.case.event.get("type") in types]
                tables = mutant.applied(setup.profile, setup.tables) if goldens else None
                if tables is None:
                    continue
                try:
                    compiled = compile_tables(setup.profile, tables, setup.built_in, setup.options)
                except TableError:
                    return CHECKS
                mapper = Mapper(compiled)
                for golden in sorted(goldens, key=lambda each: not mutant.favours(each)):
                    if _tells(golden, mapper):
                        return golden.name
        return None


def _tells(golden: Golden, mapper: Mapper) -> bool:
    """Whether a case comes out otherwise than its golden says, by either API."""
    case = golden.case
    try:
        outcome = mapper.send(case.event)
        answer = outcome.answer
        if answer.status == REJECTED:
            got = sorted((field, reason) for field, reason, _ in answer.violations)
            return got != sorted((rejection.field, rejection.reason) for rejection in case.reject)
        if case.expect is None:
            return True
        if sorted(answer.warnings) != sorted(case.warnings):
            return True
        return not all(
            matches(plain(case.expect.by(api)), outcome.requests(api), NOW.window) for api in _APIS
        )
    except Exception:
        # A change may break the encoders in any way; whichever it is, it shows.
        return True
