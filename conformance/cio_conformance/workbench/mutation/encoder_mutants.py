"""Mutants of the encoders' data: the operations (operations.yaml) and the limits (limits.yaml).

The data is read when its modules are imported; a mutant's change holds within ``active()``.
"""

import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from cio_sidecar.customerio import limits, requests
from cio_sidecar.mapping.authoring.profiles import TableSet
from cio_sidecar.mapping.event import EVENT_TYPES
from cio_sidecar.mapping.model import Table
from cio_sidecar.operations import OPERATIONS, V1, Key, KeyType, Spec

from cio_conformance.cases.golden_cases import Golden
from cio_conformance.run.result import Profile

_CONSTANTS: Final = {
    "person_id": "PERSON_ID_BYTES",
    "attribute_name": "ATTRIBUTE_NAME_BYTES",
    "attribute_value": "ATTRIBUTE_VALUE_BYTES",
    "attributes": "ATTRIBUTES",
    "attributes_size": "ATTRIBUTES_BYTES",
    "event_name": "EVENT_NAME_BYTES",
    "event_data": "EVENT_DATA_BYTES",
    "operation": "OPERATION_BYTES",
    "batch": "BATCH_BYTES",
    "beside": "BESIDE_BYTES",
    "requests_per_second": "REQUESTS_PER_SECOND",
}
"""The constant that holds each limit of limits.yaml."""

_OTHER_TYPES: Final[dict[KeyType, KeyType]] = {
    "id": "text",
    "text": "id",
    "scalar": "text",
    "texts": "object",
    "attributes": "object",
}
"""The type that a key's own is most easily taken for."""


@dataclass(frozen=True, slots=True)
class SpecMutant:
    """A change of one rule of an operation."""

    name: str
    operation: str
    spec: Spec
    """The operation with the change."""

    def concerns(self, tables: TableSet) -> Collection[str]:
        """The event types whose tables have the operation."""
        return {plan.event_type for plan in tables.plans if plan.table.operation == self.operation}

    def applied(self, _: Profile, tables: dict[str, Table]) -> dict[str, Table]:
        """The tables as they are: they are compiled by the changed operation."""
        return tables

    @contextmanager
    def active(self) -> Iterator[None]:
        """The operation with the change, in place of its own."""
        own = OPERATIONS[self.operation]
        templates = dict(requests.TEMPLATES)
        OPERATIONS[self.operation] = self.spec
        if self.spec.v2:
            kind = self.spec.v2.get("type", ""), self.spec.v2.get("action", "")
            requests.TEMPLATES[kind] = self.spec.v1 if isinstance(self.spec.v1, V1) else None
        try:
            yield
        finally:
            OPERATIONS[self.operation] = own
            requests.TEMPLATES.clear()
            requests.TEMPLATES.update(templates)

    def favours(self, _: Golden) -> bool:
        """Cases don't say which operation they show."""
        return False


@dataclass(frozen=True, slots=True)
class LimitMutant:
    """A limit that is one more or one less."""

    limit: str
    by: int

    @property
    def name(self) -> str:
        """Such as ``limits: person_id + 1``."""
        return f"limits: {self.limit} {'+' if self.by > 0 else '-'} {abs(self.by)}"

    def concerns(self, _: TableSet) -> Collection[str]:
        """Any event may be over a limit."""
        return EVENT_TYPES

    def applied(self, _: Profile, tables: dict[str, Table]) -> dict[str, Table]:
        """The tables as they are."""
        return tables

    @contextmanager
    def active(self) -> Iterator[None]:
        """The changed limit in every module that uses it."""
        constant = _CONSTANTS[self.limit]
        own = getattr(limits, constant)
        modules = [
            module
            for name, module in sys.modules.items()
            if name.startswith("cio_sidecar.customerio.") and hasattr(module, constant)
        ]
        for module in modules:
            setattr(module, constant, own + self.by)
        try:
            yield
        finally:
            for module in modules:
                setattr(module, constant, own)

    def favours(self, golden: Golden) -> bool:
        """Whether the case is one of a family of limits."""
        return "limit" in golden.family.family


def encoder_mutants() -> list[SpecMutant | LimitMutant]:
    """Every mutant of the encoders' data."""
    found: list[SpecMutant | LimitMutant] = [
        SpecMutant(f"operations: {name}{what}", name, changed)
        for name, spec in OPERATIONS.items()
        for what, changed in _spec_changes(spec)
    ]
    found += [LimitMutant(name, by) for name in _CONSTANTS for by in (1, -1)]
    return found


def _spec_changes(spec: Spec) -> Iterator[tuple[str, Spec]]:
    """What may be wrong with an operation: words, and the operation as it is then."""
    for name, key in spec.keys.items():
        for what, changed in _key_changes(key):
            yield f".{name} {what}", _with(spec, keys={**spec.keys, name: changed})
        yield f".{name} removed", _with(spec, keys=_without(spec.keys, name))
    if spec.differ:
        yield " differ dropped", _with(spec, differ=None)
    for name, wanted in spec.v2_only_if.items():
        yield (
            f" v2_only_if {name} dropped",
            _with(spec, v2_only_if=_without(spec.v2_only_if, name)),
        )
        values = wanted if isinstance(wanted, tuple) else ()
        for value in values:
            others = tuple(other for other in values if other != value)
            changed_if = {**spec.v2_only_if, name: others}
            yield f" v2_only_if {name} {value} dropped", _with(spec, v2_only_if=changed_if)
    for name in spec.beside:
        others = tuple(other for other in spec.beside if other != name)
        yield f" beside {name} dropped", _with(spec, beside=others)
    for what, template in _template_changes(spec.v2):
        yield f" v2 {what}", _with(spec, v2=template)
    if isinstance(spec.v1, V1):
        yield from _v1_changes(spec, spec.v1)
    elif spec.v1:
        yield f" v1 {spec.v1} dropped", _with(spec, v1=None)


def _key_changes(key: Key) -> Iterator[tuple[str, Key]]:
    if key.required:
        yield "required dropped", _with(key, required=False)
    else:
        yield "required", _with(key, required=True)
    for value in key.one_of:
        others = tuple(other for other in key.one_of if other != value)
        yield f"one_of {value} dropped", _with(key, one_of=others)
    if key.one_of:
        yield "one_of dropped", _with(key, one_of=())
    for name, values in key.only.items():
        yield f"only {name} dropped", _with(key, only=_without(key.only, name))
        for value in values:
            others = tuple(other for other in values if other != value)
            yield f"only {name} {value} dropped", _with(key, only={**key.only, name: others})
    if key.digits:
        yield "digits dropped", _with(key, digits=False)
    if key.type in _OTHER_TYPES:
        other = _OTHER_TYPES[key.type]
        yield f"{other} instead of {key.type}", _with(key, type=other)


def _v1_changes(spec: Spec, v1: V1) -> Iterator[tuple[str, Spec]]:
    method = "PUT" if v1.method == "POST" else "POST"
    yield f" v1 {method} instead of {v1.method}", _with(spec, v1=_with(v1, method=method))
    segments = v1.path.split("/")
    for index, segment in enumerate(segments):
        if segment:
            path = "/".join([*segments[:index], *segments[index + 1 :]])
            yield f" v1 path without {segment}", _with(spec, v1=_with(v1, path=path))
    for what, template in _template_changes(v1.body):
        yield f" v1 body {what}", _with(spec, v1=_with(v1, body=template))


def _template_changes(template: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """A template without each of its keys, and with each of its constants changed."""
    if isinstance(template, list):
        for index, item in enumerate(template):
            for what, changed in _template_changes(item, at):
                yield what, [*template[:index], changed, *template[index + 1 :]]
    for key, item in template.items() if isinstance(template, dict) else ():
        where = f"{at}.{key}" if at else key
        yield f"{where} dropped", _without(template, key)
        yield (
            f"{where} renamed",
            {
                (f"{other}_other" if other == key else other): value
                for other, value in template.items()
            },
        )
        if isinstance(item, str) and not item.startswith("$"):
            yield f"{where} is not {item}", {**template, key: f"{item}_other"}
        for what, changed in _template_changes(item, where):
            yield what, {**template, key: changed}


def _with(model: Any, **changes: Any) -> Any:
    return model.model_copy(update=changes)


def _without(mapping: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key != name}
