"""What became of each event, told from the requests that came. PURE.

The rules that hold in every case, delivery being at least once:

- An event is *taken* once each of its operations was answered with success, and *rejected* once a
  207 named one of them, or a request about it alone got 400, 404, 413 or 422. Both are its end: it
  isn't sent again. Anything else, a lost or broken answer or a web page included, leaves it open,
  and it comes again.
- A person's next event isn't sent before the last one has ended, unless it stands behind it in the
  same request.
- After an answer with `Retry-After` none of what it was about comes before the time is up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson
from cio_fake import Received

End = Literal["taken", "rejected"]
_REJECTED: Final = frozenset({400, 404, 413, 422})
# Two clocks look at the same second.
_SLACK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Sent:
    """An event that was sent, in a case's words."""

    name: str
    message_id: str
    person: str
    operations: int = 1
    is_kept: bool = True
    """Whether Customer.io keeps it as an event, by its id."""


@dataclass(slots=True)
class Course:
    """What became of one event so far."""

    end: End | None = None
    tries: int = 0
    """In how many requests it came."""
    last: str = "it never came"
    """What the last of them got, in words."""
    done: set[bytes] = field(default_factory=set)
    """The operations that were answered with success."""
    not_before: float = 0.0


@dataclass(slots=True)
class History:
    """What became of all events of a case."""

    courses: dict[str, Course]
    """By the event's name."""
    ended: list[str] = field(default_factory=list)
    """The events that have ended, in this order."""
    problems: list[str] = field(default_factory=list)
    """Each rule that was broken, in words."""


def follow(sent: Sequence[Sent], log: Iterable[Received]) -> History:
    """Read the requests in order of receipt; those about other events are passed over."""
    history = History({event.name: Course() for event in sent})
    for received in log:
        about = [_about(operation, sent) for operation in received.operations]
        if any(about):
            _check(history, sent, received, about)
            _apply(history, received, about)
    return history


def strangers(log: Iterable[Received], known: Iterable[str]) -> list[str]:
    """The operations that hold none of the message ids that are known, as text."""
    ids = [message_id.encode() for message_id in known]
    every = (orjson.dumps(operation) for received in log for operation in received.operations)
    return [each.decode()[:500] for each in every if not any(known in each for known in ids)]


def _about(operation: Mapping[str, Any], sent: Sequence[Sent]) -> Sent | None:
    text = orjson.dumps(operation)
    return next((event for event in sent if event.message_id.encode() in text), None)


def _check(
    history: History, sent: Sequence[Sent], received: Received, about: Sequence[Sent | None]
) -> None:
    seen: set[bytes] = set()
    for place, event in enumerate(about):
        if event is None:
            continue
        course = history.courses[event.name]
        key = _key(received.operations[place])
        if key in seen:
            history.problems.append(f"{event.name} stands twice in one request")
        seen.add(key)
        if place and event in about[:place]:
            continue
        if course.end:
            history.problems.append(f"{event.name} came again after it was {course.end}")
        if received.at < course.not_before - _SLACK_SECONDS:
            early = course.not_before - received.at
            history.problems.append(f"{event.name} came {early:.1f} s before Retry-After was over")
        for other in sent[: sent.index(event)]:
            if (
                other.person == event.person
                and history.courses[other.name].end is None
                and other not in about[:place]
            ):
                history.problems.append(f"{event.name} came before {other.name} had ended")


def _apply(history: History, received: Received, about: Sequence[Sent | None]) -> None:
    rejected = _rejected(received, about)
    response = received.response
    for event in dict.fromkeys(event for event in about if event):
        course = history.courses[event.name]
        places = [place for place, other in enumerate(about) if other is event]
        course.tries += 1
        course.last = f"HTTP {response.status}" if response.status else "no answer"
        if response.cut_after is not None and response.status:
            course.last += ", cut"
        if (wait := response.headers.get("Retry-After")) is not None:
            course.not_before = received.at + float(wait)
        if rejected is None or course.end:
            continue
        course.done |= {
            _key(received.operations[place]) for place in places if place not in rejected
        }
        if any(place in rejected for place in places):
            course.end = "rejected"
        elif len(course.done) >= event.operations:
            course.end = "taken"
        if course.end:
            history.ended.append(event.name)


def _rejected(received: Received, about: Sequence[Sent | None]) -> set[int] | None:
    """The places of a request that were rejected; None where its answer settles nothing."""
    response = received.response
    if response.cut_after is not None or response.body.startswith(b"<"):
        return None
    if response.status == 207:
        return (
            _named(response.body, len(about)) if received.request.path == "/api/v2/batch" else None
        )
    if 200 <= response.status < 300:
        return set()
    if response.status in _REJECTED and len(set(about)) == 1:
        return set(range(len(about)))
    return None


def _named(body: bytes, count: int) -> set[int] | None:
    """The places that a 207 names; None where it can't be read, or names what there is not."""
    try:
        places = {error["batch_index"] for error in orjson.loads(body)["errors"]}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return places if places and places <= set(range(count)) else None


def _key(operation: Mapping[str, Any]) -> bytes:
    return orjson.dumps(operation, option=orjson.OPT_SORT_KEYS)
