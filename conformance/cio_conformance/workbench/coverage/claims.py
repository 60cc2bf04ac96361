"""Holds what cases claim to show (``covers``) against the tables. PURE."""

from collections.abc import Callable, Sequence

from cio_sidecar.mapping.authoring.profiles import TableSet

from cio_conformance.cases.golden_cases import Golden
from cio_conformance.workbench.coverage.exercised import plans_of


def untrue_claims(
    goldens: Sequence[Golden],
    tables_of: Callable[[Golden], TableSet],
    more: Sequence[TableSet] = (),
) -> list[str]:
    """Each claim of a row that there is not, in these tables or in more, or that no event such as
    the case's comes to.
    """
    sets = [tables_of(golden) for golden in goldens]
    every = {id(tables): tables for tables in [*sets, *more]}.values()
    rows = {row.name for tables in every for plan in tables.plans for row in plan.rows}
    untrue: list[str] = []
    for golden, tables in zip(goldens, sets, strict=True):
        case = golden.case
        applying = {row.name for plan in plans_of(tables, case.event) for row in plan.rows}
        for name in case.covers:
            if name not in rows:
                untrue.append(f"{golden.name}: covers {name}, but there is no such row")
            elif name not in applying:
                untrue.append(
                    f"{golden.name}: covers {name}, but no such row applies to a "
                    f"{case.event.get('type')} event in the profile {case.profile}"
                )
    return untrue
