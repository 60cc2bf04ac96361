"""``cio-conformance new``: a golden case of an event and of what it becomes at present."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, get_args

import click
import orjson
from cio_sidecar.mapping.errors import TableError
from cio_sidecar.mapping.model import EventType
from cio_sidecar.rpc.event_json import NotSendable

from cio_conformance.cases.golden_cases import (
    Case,
    FixtureError,
    Golden,
    load_fixtures,
    parse_fixtures,
)
from cio_conformance.cases.mistakes import shown
from cio_conformance.command import fail
from cio_conformance.options import overlay_option
from cio_conformance.run.caller import message_of
from cio_conformance.run.result import PROFILES, Profile
from cio_conformance.workbench.coverage.exercised import exercised
from cio_conformance.workbench.coverage.states import State
from cio_conformance.workbench.golden.current_output import NoGoldenError, Present, present
from cio_conformance.workbench.golden.file import check, read, write, write_end
from cio_conformance.workbench.golden.flow import scalar
from cio_conformance.workbench.golden.splice import SpliceError, Splicer, child, compose
from cio_conformance.workbench.in_process import Mapper, Mappers

MARK: Final = "# TO REVIEW: made of what the tables gave. Is this what Customer.io must receive?"
"""Stands above a new case until a person has looked at it."""

_HELD: Final = (State.PRESENT, State.OVERRIDDEN)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The case that is to be made."""

    family: str
    name: str
    profile: Profile
    event: dict[str, Any]

    @property
    def full_name(self) -> str:
        """As runs show it."""
        return f"{self.family}: {self.name}"


@click.command()
@click.argument("event", type=click.File("rb"), default="-", metavar="[FILE]")
@click.option("--family", help="The family of the case; the event's type if not given.")
@click.option("--name", help="The name of the case; that of the event if not given.")
@click.option(
    "--profile",
    type=click.Choice(PROFILES),
    default="standard",
    show_default=True,
    help="The profile that the case is for.",
)
@overlay_option
@click.option(
    "--fixtures",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Add the case to its family's file in this folder, or make the file; without it a whole "
    "file is printed.",
)
def new(
    *,
    event: BinaryIO,
    family: str | None,
    name: str | None,
    profile: Profile,
    overlay: Path | None,
    fixtures: Path | None,
) -> None:
    """Make a golden case of an event: one JSON object, in FILE or on standard input.

    The case holds what the tables now give, and a comment that asks for a review.

    Exit 0 if it was made, 2 if it can't be: no such event, a name that is taken, wrong tables.
    """
    try:
        given = _event(event.read())
        kind = _line(given.get("type")) or "event"
        called = _line(given.get("event")) or _line(given.get("name")) or kind
        wanted = _Wanted(family or kind, name or called, profile, given)
        mappers = Mappers(overlay)
        if fixtures is None:
            click.echo(_new_file(wanted, mappers), nl=False)
            _doubt(given)
            return
        path = _add(fixtures, wanted, mappers)
    except (FixtureError, TableError, NoGoldenError, SpliceError) as error:
        fail(error)
    _doubt(given)
    click.echo(f"{path}: added {wanted.full_name}; review it, and take its comment out")


def _doubt(event: dict[str, Any]) -> None:
    """Warn of a type that there is not: a case of it says that it is rejected."""
    if event.get("type") not in get_args(EventType):
        known = ", ".join(get_args(EventType))
        click.echo(
            f"cio-conformance: warning: the case says that its event is rejected: type: expected "
            f"one of {known}, got {shown(event.get('type'))}",
            err=True,
        )


def _line(value: Any) -> str:
    """A text as one line; empty where it is none."""
    return " ".join(value.split()) if isinstance(value, str) else ""


def _event(text: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise FixtureError(f"expected an event, one JSON object; it is not JSON: {error}") from None
    if not isinstance(event, dict):
        raise FixtureError(f"expected an event, one JSON object, got {text[:60].decode()!r}")
    return event


def _add(folder: Path, wanted: _Wanted, mappers: Mappers) -> Path:
    """Add a case to its family's file; returns the file. Raises the errors of this package."""
    everything = load_fixtures(folder) if any(folder.glob("*.yaml")) else []
    _check_free(everything, wanted)
    path, text, goldens = _file_of(folder, wanted.family)
    if not goldens:
        if path.exists():
            raise FixtureError(
                f"{path}: is there already, with another family: give another --family"
            )
        write(path, _new_file(wanted, mappers), folder)
        return path
    family = goldens[0].family
    if family.needs == "grpc" and (why := _not_sendable(wanted.event)):
        raise FixtureError(
            f"{path}: the family {wanted.family} is sent over gRPC, whose messages can't hold this "
            f"event: {why}; give it a --family of its own"
        )
    lines = _case(wanted, mappers.of(wanted.profile, goldens[0].settings))
    splicer = Splicer(text, lambda old, new: bool(old == new))
    cases = child(compose(text), "cases")
    edit = splicer.append(cases, lambda column: f"\n{' ' * column}{_indented(lines, column)}")
    after = splicer.apply([edit])
    check(after, path.name, goldens, {wanted.name}, mappers)
    write(path, after, folder)
    return path


def _check_free(goldens: Sequence[Golden], wanted: _Wanted) -> None:
    """Raises FixtureError where the name, or the event's messageId, is taken."""
    message_id = wanted.event.get("messageId")
    for golden in goldens:
        if golden.name == wanted.full_name:
            raise FixtureError(f"there is a case {golden.name!r} already: give another --name")
        if message_id and golden.case.event.get("messageId") == message_id:
            raise FixtureError(
                f"the case {golden.name!r} has the messageId {message_id!r} already, and a sidecar "
                "accepts it once: give the event another"
            )


def _file_of(folder: Path, family: str) -> tuple[Path, str, list[Golden]]:
    """The file of a family with its text and cases; without cases the file that it would have."""
    for path in sorted(folder.glob("*.yaml")):
        text = read(path)
        goldens = parse_fixtures(text, path.name)
        if goldens[0].family.family == family:
            return path, text, goldens
    stem = "".join(letter if letter.isalnum() else "_" for letter in family) or "cases"
    return folder / f"{stem}.yaml", "", []


def _new_file(wanted: _Wanted, mappers: Mappers) -> str:
    needs = "needs: json\n" if _not_sendable(wanted.event) else ""
    lines = _case(wanted, mappers.of(wanted.profile, ()))
    text = f"family: {scalar(wanted.family)}\n{needs}cases:\n  {_indented(lines, 2)}\n"
    check(text, "the new file", [], {wanted.name}, mappers)
    return text


def _case(wanted: _Wanted, mapper: Mapper) -> list[str]:
    """A case's lines, as they stand where the dash is in the first column.

    Raises NoGoldenError.
    """
    now = present(mapper, wanted.event)
    keys: dict[str, Any] = {}
    if covered := _covered(wanted, now, mapper):
        keys["covers"] = covered
    keys |= {"profile": wanted.profile, "event": wanted.event}
    keys |= {"reject": now.reject} if now.reject else {"expect": now.expect}
    if now.warnings:
        keys["warnings"] = now.warnings
    written = [f"name: {scalar(wanted.name)}"]
    written += [write_end(key, value, 2) for key, value in keys.items()]
    first, *rest = "\n  ".join(written).split("\n")
    return [MARK, f"- {first}", *rest]


def _covered(wanted: _Wanted, now: Present, mapper: Mapper) -> list[str]:
    """The rows whose value stands in the output, or for which the event is rejected."""
    case = Case.model_validate(
        {
            "name": "new",
            "profile": wanted.profile,
            "event": wanted.event,
            **({"reject": now.reject} if now.reject else {"expect": now.expect}),
        }
    )
    found = exercised(case, mapper.tables)
    shown = {name for name, column in found if now.reject or column.state in _HELD}
    return [
        name
        for name in dict.fromkeys(row.name for plan in mapper.tables.plans for row in plan.rows)
        if name in shown
    ]


def _not_sendable(event: dict[str, Any]) -> str:
    """Why gRPC's messages can't hold an event; empty where they can."""
    try:
        message_of(event)
    except NotSendable as error:
        return str(error)
    return ""


def _indented(lines: Sequence[str], column: int) -> str:
    """Lines of which the first stands at a column already."""
    return f"\n{' ' * column}".join(lines)
