"""Says what is wrong with what came of a delivery case. PURE."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cio_fake import Received

from cio_conformance.delivery.cases import DeliveryCase
from cio_conformance.delivery.history import Sent, follow


def judge(
    case: DeliveryCase,
    sent: Sequence[Sent],
    log: Iterable[Received],
    events: Iterable[Mapping[str, Any]],
) -> list[str]:
    """Everything that is not as the case expects, each as text; empty where all is well.

    ``sent``: the events in the order of sending. ``log``: all requests that came, those after the
    case included. ``events``: what Customer.io holds in the end, as the fake shows them.
    """
    history = follow(sent, log)
    problems = list(history.problems)
    for event in sent:
        course = history.courses[event.name]
        wanted = "rejected" if event.name in case.expect.rejected else "taken"
        if course.end is None:
            tried = f" (requests: {course.tries}; the last: {course.last})" if course.tries else ""
            problems.append(f"{event.name} must be {wanted}, and never was{tried}")
        elif course.end != wanted:
            problems.append(f"{event.name} must be {wanted}, and was {course.end}")
    order = case.expect.order
    ended = [name for name in history.ended if name in order]
    if sorted(ended) == sorted(order) and ended != order:
        problems.append(f"expected the order {_list(order)}, got {_list(ended)}")
    by_name = {event.name: event for event in sent}
    by_id = {event.message_id: event.name for event in sent}
    held = [by_id[each["id"]] for each in events if each["id"] in by_id]
    for person in dict.fromkeys(event.person for event in sent):
        names = case.expect.taken.get(person, [])
        taken = [name for name in history.ended if name in names]
        if sorted(taken) == sorted(names) and taken != names:
            problems.append(f"{person}: expected the order {_list(names)}, got {_list(taken)}")
        kept = [name for name in names if name in by_name and by_name[name].is_kept]
        got = [name for name in held if by_name[name].person == person]
        if got != kept:
            problems.append(
                f"{person}: Customer.io must hold {_list(kept)}, each once, and holds {_list(got)}"
            )
    return problems


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"
