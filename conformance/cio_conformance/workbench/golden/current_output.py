"""What the tables give for an event at present, as a golden has it."""

from dataclasses import dataclass, field
from typing import Any, Final

from cio_sidecar.mapping.event import Event

from cio_conformance.cases.golden_cases import Api
from cio_conformance.run.compare import RECEIVED_AT, ULID_SLOT
from cio_conformance.run.verdict import ACCEPTED
from cio_conformance.workbench.in_process import NOW, Mapper, Moment

_LATER: Final = Moment(1_900_090_061, "2030-03-18T18:47:41.000Z", "01K2V7MB9S0PB1T8WZXG4N3QEF")
"""Another time of receipt, and another message id: what differs by them is no golden."""
_APIS: Final[tuple[Api, ...]] = ("v1", "v2")


class NoGoldenError(Exception):
    """What comes of an event can't be written as a golden; ``str()`` says why and what to do."""


@dataclass(frozen=True, slots=True)
class Present:
    """What comes of an event: ``expect`` and ``warnings``, or ``reject``."""

    expect: dict[str, Any] | None = None
    """The requests by ``v1`` and by ``v2``."""
    warnings: list[str] = field(default_factory=list)
    reject: list[dict[str, str]] = field(default_factory=list)
    """Field and reason of each violation."""
    told: list[str] = field(default_factory=list)
    """Each violation in words."""


def present(mapper: Mapper, event: Event) -> Present:
    """What comes of an event. Raises NoGoldenError."""
    try:
        now, later = mapper.send(event), mapper.send(event, _LATER)
    except Exception as error:
        raise NoGoldenError(
            f"the mapping itself failed ({type(error).__name__}: {error}): please report it"
        ) from None
    if now.answer != later.answer:
        raise NoGoldenError(_VARIES.format("whether it is rejected"))
    if now.answer.status != ACCEPTED:
        reject = [{"field": f, "reason": reason} for f, reason, _ in now.answer.violations]
        told = [f"{f}: {reason}: {words}" for f, reason, words in now.answer.violations]
        return Present(reject=reject, told=told)
    expect: dict[str, Any] = {
        api: _golden(now.requests(api), later.requests(api), api) for api in _APIS
    }
    return Present(expect, list(now.answer.warnings))


def concrete(golden: Any) -> Any:
    """A golden with what came in place of its placeholders."""
    if isinstance(golden, dict):
        return {key: concrete(value) for key, value in golden.items()}
    if isinstance(golden, list):
        return [concrete(value) for value in golden]
    values = {RECEIVED_AT: NOW.seconds, ULID_SLOT: NOW.message_id}
    return values.get(golden, golden) if isinstance(golden, str) else golden


_VARIES: Final = (
    "{} hangs on the time of receipt, or on a message id that the sidecar makes, in a way that no "
    "placeholder stands for: give the event a receivedAt and a messageId"
)


def _golden(now: Any, later: Any, where: str) -> Any:
    """A value that holds for both moments, with placeholders. Raises NoGoldenError."""
    if (now, later) == (NOW.seconds, _LATER.seconds):
        return RECEIVED_AT
    if (now, later) == (NOW.message_id, _LATER.message_id):
        return ULID_SLOT
    if isinstance(now, dict) and isinstance(later, dict) and now.keys() == later.keys():
        return {key: _golden(now[key], later[key], f"{where}.{key}") for key in now}
    if isinstance(now, list) and isinstance(later, list) and len(now) == len(later):
        both = enumerate(zip(now, later, strict=True))
        return [_golden(*values, f"{where}.{index}") for index, values in both]
    if now == later:
        return now
    raise NoGoldenError(_VARIES.format(where))
