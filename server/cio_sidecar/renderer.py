"""Renders an event to Customer.io operations: mapping, then encoding, then limits. PURE.

The only place that knows both the mapping tables and Customer.io's operations.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from cio_sidecar.customerio import operation as cio
from cio_sidecar.customerio.limits import Problem
from cio_sidecar.customerio.operation import Encoded, Operation
from cio_sidecar.mapping.compiler import MISSING, either
from cio_sidecar.mapping.errors import FieldWarning, Violation
from cio_sidecar.mapping.event import MAX_DEPTH, Event, check, may_be_unfit, unfit
from cio_sidecar.mapping.profiles import TableSet
from cio_sidecar.mapping.table import SPREAD


@dataclass(frozen=True, slots=True)
class Rendered:
    """An event that can be delivered."""

    message_id: str
    event: bytes
    """The event itself, as canonical JSON."""
    operations: tuple[Operation, ...]
    """What Customer.io is asked for it, in order; at least one."""
    warnings: list[FieldWarning]


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that can't be delivered, and everything that is wrong with it."""

    message_id: str
    violations: list[Violation]


class Renderer:
    """Renders events by one set of tables."""

    def __init__(self, tables: TableSet) -> None:
        self.tables = tables

    def render(self, event: Event) -> Rendered | Refused:
        """Render an event in its canonical form.

        The caller has set ``messageId`` and ``receivedAt`` where the event came without: this
        function has neither clock nor randomness. The event is not changed.
        """
        violations = check(event)
        if violations:
            return _refused(event, violations)
        try:
            encoded_event = orjson.dumps(event)
        except (TypeError, ValueError):
            return _refused(event, unfit(event) or [_NOT_ENCODABLE])
        if may_be_unfit(event, encoded_event) and (violations := unfit(event)):
            return _refused(event, violations)
        mapping = self.tables.mappings.get(event["type"])
        if mapping is None:
            return _refused(event, [self._not_mapped(event["type"])])
        warnings: list[FieldWarning] = []
        output = mapping(event, warnings)
        violations = output.pop(MISSING, [])
        if violations and event["type"] == "identify":
            return _refused(event, violations)
        try:
            encoded = _encode(event["type"], output)
        except (TypeError, ValueError):
            # A row may put what nests as deep as an event may yet deeper into the output.
            return _refused(event, [_NOT_ENCODABLE])
        if encoded.operation is None or violations:
            named = {violation.field for violation in violations}
            found = [self._violation(event, problem) for problem in encoded.problems]
            more = [violation for violation in found if violation.field not in named]
            return _refused(event, violations + more)
        warnings += [
            FieldWarning(self._field(event, change), change.description)
            for change in encoded.changes
        ]
        if len(warnings) > 1:
            warnings = list(dict.fromkeys(warnings))
        return Rendered(str(event["messageId"]), encoded_event, (encoded.operation,), warnings)

    def _violation(self, event: Event, problem: Problem) -> Violation:
        description = problem.description
        if problem.reason == "REQUIRED":
            inputs = self.tables.inputs(event["type"], problem.key)
            description += f": give {either(inputs)}" if inputs else ": add a row for it"
        return Violation(self._field(event, problem), problem.reason, description)

    def _field(self, event: Event, problem: Problem) -> str:
        """The input that gave an output key its value; the first of its inputs if none did."""
        event_type = event["type"]
        inputs = self.tables.inputs(event_type, problem.key)
        for source in inputs:
            if self.tables.value_of(source, event) is not None:
                return source.path
        spread = self.tables.inputs(event_type, SPREAD) if event_type == "identify" else ()
        for source in spread:
            traits = self.tables.value_of(source, event)
            if not inputs or (traits and problem.key in traits):
                return f"{source.path}.{problem.key}"
        if inputs:
            return inputs[0].path
        head, _, rest = problem.key.partition(".")
        if event_type != "identify" and rest and (whole := self.tables.inputs(event_type, head)):
            return f"{whole[0].path}.{rest}"
        return problem.key

    def _not_mapped(self, event_type: str) -> Violation:
        mapped = ", ".join(self.tables.mappings)
        return Violation(
            "type",
            "NOT_MAPPED",
            f"the profile {self.tables.profile} has no table for {event_type} events; "
            f"it maps {mapped}",
        )


def _encode(event_type: str, output: dict[str, Any]) -> Encoded:
    if event_type == "identify":
        person = output.pop("id", None)
        return cio.identify(person, output)
    return cio.event(output)


def _refused(event: Any, violations: list[Violation]) -> Refused:
    message_id = event.get("messageId") if isinstance(event, dict) else None
    return Refused(message_id if isinstance(message_id, str) else "", violations)


_NOT_ENCODABLE: Final = Violation(
    "", "TOO_DEEP", f"what it becomes nests deeper than {MAX_DEPTH} levels: flatten it"
)
