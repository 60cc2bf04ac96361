"""Renders an event to Customer.io operations: mapping, then encoding, then limits. PURE.

The only place that knows both the mapping tables and Customer.io's operations.
"""

from dataclasses import dataclass
from typing import Any, Final

from cio_sidecar import compact_json
from cio_sidecar.customerio import encoders as cio
from cio_sidecar.customerio import operation_templates
from cio_sidecar.customerio.encoders import Encoded, Operation
from cio_sidecar.customerio.limits import Problem
from cio_sidecar.mapping.authoring.profiles import TableSet
from cio_sidecar.mapping.errors import MOST_VIOLATIONS, FieldWarning, Violation
from cio_sidecar.mapping.event import MAX_DEPTH, Event, check, may_be_unfit, unfit
from cio_sidecar.mapping.running.compiler import MISSING, either
from cio_sidecar.mapping.running.email_hashing import hash_emails
from cio_sidecar.mapping.running.event_id import stable_ulid
from cio_sidecar.mapping.running.explain import Explanation, explain, field_of_key
from cio_sidecar.mapping.running.plans import Plan
from cio_sidecar.mapping.running.transforms import unix_seconds
from cio_sidecar.operations import OPERATIONS


@dataclass(slots=True)
class Rendered:
    """An event that can be delivered."""

    message_id: str
    event: bytes
    """The event itself, as canonical JSON."""
    operations: tuple[Operation, ...]
    """What Customer.io is asked for it, in order; empty where the tables say to send nothing."""
    warnings: list[FieldWarning]


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that can't be delivered, and everything that is wrong with it."""

    message_id: str
    violations: list[Violation]


_MOST_NAMED: Final = MOST_VIOLATIONS + 1
"""How many problems and changes are named by their field, which takes long."""
_MOST_ADDRESSES: Final = 10_000
"""How many email addresses of an event are replaced by their hash, which is far longer."""


class _NotRendered(Exception):  # noqa: N818 (named for the condition)
    """A table's violations."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__()
        self.violations = violations


class Renderer:
    """Renders events by one set of tables."""

    def __init__(self, tables: TableSet) -> None:
        self.tables = tables
        options = tables.options
        self._hashes = options.email == "hash_only"
        self._truncates = options.limits == "truncate"
        self._ulids = options.event_id == "ulid"

    def render(self, event: Event) -> Rendered | Rejected:
        """Render an event in its canonical form.

        The caller has set ``messageId`` and ``receivedAt`` where the event came without: this
        function has neither clock nor randomness. The event is not changed.
        """
        rendered = self._render(event)
        if self._hashes and isinstance(rendered, Rejected):
            violations = [Violation(*hash_emails([*each])) for each in rendered.violations]
            return Rejected(hash_emails(rendered.message_id), violations)
        return rendered

    def _render(self, event: Event) -> Rendered | Rejected:
        violations = check(event)
        if violations:
            return _rejected(event, violations)
        try:
            encoded_event = compact_json.dumps(event)
        except (TypeError, ValueError):
            return _rejected(event, unfit(event) or [_NOT_ENCODABLE])
        if may_be_unfit(event, encoded_event) and (violations := unfit(event)):
            return _rejected(event, violations)
        if self._hashes:
            if encoded_event.count(b"@") > _MOST_ADDRESSES:
                return _rejected(event, [_TOO_MANY_ADDRESSES])
            event = hash_emails(event)
            encoded_event = compact_json.dumps(event)
        choice = self.tables.choices.get(event["type"])
        plan = choice(event) if choice else None
        if plan is None:
            return _rejected(event, [self._not_mapped(event["type"])])
        warnings: list[FieldWarning] = []
        operations: tuple[Operation, ...] = ()
        try:
            if plan.straight:
                operations = self._encode(plan, event, plan.map(event, warnings), warnings)
            else:
                for step, output in self._steps(plan, event, warnings):
                    operations += self._encode(step, event, output, warnings)
        except _NotRendered as error:
            return _rejected(event, error.violations)
        if len(warnings) > 1:
            warnings = list(dict.fromkeys(warnings))
        return Rendered(str(event["messageId"]), encoded_event, operations, warnings)

    def explain(self, event: Event) -> list[Explanation]:
        """Where each output key of an event comes from, in order; for an event that render()
        accepts.
        """
        if self._hashes:
            event = hash_emails(event)
        plan = self.tables.choices[event["type"]](event)
        steps = self._steps(plan, event, []) if plan else []
        return explain([step for step, _ in steps], event, self.tables.options)

    def _steps(
        self, plan: Plan, event: Event, warnings: list[FieldWarning]
    ) -> list[tuple[Plan, dict[str, Any]]]:
        """The plans that an event goes by, with what each makes of it."""
        output: dict[str, Any] | None
        if plan.table.drop:
            return []
        while plan.otherwise:
            output = plan.attempt(event, warnings)
            if output is not None:
                break
            plan = plan.otherwise
            if plan.table.drop:
                return []
        else:
            output = plan.map(event, warnings)
        steps = [(plan, output)]
        for other in plan.also:
            if other.holds and not other.holds(event):
                continue
            more = other.attempt(event, warnings)
            if more is not None:
                steps.append((other, more))
        return steps

    def _encode(
        self, plan: Plan, event: Event, output: dict[str, Any], warnings: list[FieldWarning]
    ) -> tuple[Operation, ...]:
        """Encode what a plan made of an event. Raises _NotRendered."""
        violations: list[Violation] = output.pop(MISSING, None) or []
        if self._hashes:
            # A constant or an expression may make an address, too.
            output = hash_emails(output)
        if violations and plan.table.operation == "identify":
            raise _NotRendered(violations)
        try:
            encoded = self._encoded(plan, event, output)
        except (TypeError, ValueError):
            # A row may put what nests as deep as an event may yet deeper into the output.
            raise _NotRendered([_NOT_ENCODABLE]) from None
        if violations or encoded.problems:
            named = {violation.field for violation in violations}
            problems = encoded.problems[:_MOST_NAMED]
            found = [self._violation(plan, event, problem) for problem in problems]
            more = [violation for violation in found if violation.field not in named]
            raise _NotRendered(violations + more)
        for change in encoded.changes[:_MOST_NAMED]:
            field = field_of_key(plan, event, change.key)
            warnings.append(FieldWarning(field, change.description))
        return encoded.operations

    def _encoded(self, plan: Plan, event: Event, output: dict[str, Any]) -> Encoded:
        name = plan.table.operation or ""
        keep = plan.named if self._truncates else None
        if name == "event":
            if self._ulids and output.get("id").__class__ is str:
                output["id"] = stable_ulid(output["id"], _own_time(event))
            # An invite has nobody but its recipient's address.
            return cio.event(output, truncate=self._truncates, invites=not self._hashes)
        if name == "identify":
            if self._hashes and output.get("email") is not None:
                # What stands there is a hash, and no address.
                del output["email"]
            return cio.identify(output.pop("id", None), output, keep=keep)
        return operation_templates.encode(OPERATIONS[name], output, keep=keep)

    def _violation(self, plan: Plan, event: Event, problem: Problem) -> Violation:
        description = problem.description
        if problem.reason == "REQUIRED":
            inputs = plan.inputs(problem.key)
            description += f": give {either(inputs)}" if inputs else ": add a row for it"
        return Violation(field_of_key(plan, event, problem.key), problem.reason, description)

    def _not_mapped(self, event_type: str) -> Violation:
        mapped = ", ".join(self.tables.choices)
        return Violation(
            "type",
            "NOT_MAPPED",
            f"the profile {self.tables.profile} has no table for {event_type} events; "
            f"it maps {mapped}",
        )


def _own_time(event: Event) -> int:
    """When an event happened by its own account, in Unix seconds; 0 where it does not say."""
    for field in ("timestamp", "originalTimestamp"):
        seconds = unix_seconds(event.get(field))
        if seconds.__class__ is int:
            return int(seconds)
    return 0


def _rejected(event: Any, violations: list[Violation]) -> Rejected:
    message_id = event.get("messageId") if isinstance(event, dict) else None
    return Rejected(message_id if isinstance(message_id, str) else "", violations)


_TOO_MANY_ADDRESSES: Final = Violation(
    "",
    "TOO_MANY",
    f"over {_MOST_ADDRESSES:,} email addresses to hash (CIO_EMAIL=hash_only): send less",
)
_NOT_ENCODABLE: Final = Violation(
    "", "TOO_DEEP", f"what it becomes nests deeper than {MAX_DEPTH} levels: flatten it"
)
