"""Plays delivery cases: does what a case says to sidecar and fake, and waits for its end."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from cio_fake import FakeCustomerIO, Received
from cio_fake.scenario import Step, When
from ulid import ULID

from cio_conformance.delivery.cases import Act, DeliveryCase, DeliveryGolden, person_of
from cio_conformance.delivery.history import Sent, follow, strangers
from cio_conformance.delivery.verdict import judge
from cio_conformance.run.credentials import Credentials
from cio_conformance.run.result import Result, Setup
from cio_conformance.run.verdict import ACCEPTED, Answer

_KEPT: Final = frozenset({"track", "page", "screen"})


class SendsAll(Protocol):
    """What the player needs of a caller."""

    def send_all(self, events: Sequence[dict[str, Any]]) -> list[Answer]:
        """Send events with one call; an answer for each."""


class Log:
    """Every request in order of receipt. ``put`` is a fake's ``on_received``."""

    def __init__(self) -> None:
        self._received: list[Received] = []
        self._changed = threading.Condition()

    def put(self, received: Received) -> None:
        """Take in a request; one that asks for nothing is left out."""
        if received.operations:
            with self._changed:
                self._received.append(received)
                self._changed.notify_all()

    def since(self, start: int) -> list[Received]:
        """The requests from the one at a place on, from 0."""
        with self._changed:
            return self._received[start:]

    def wait(self, enough: Callable[[list[Received]], bool], start: int, seconds: float) -> bool:
        """Wait until those from a place on are enough, ``seconds``: whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: enough(self._received[start:]), seconds)


@dataclass(slots=True)
class _Played:
    """A case that was begun."""

    golden: DeliveryGolden
    start: int
    """The log's length when it began."""
    messages: Mapping[str, dict[str, Any]]
    """The events as they are sent, by their names."""
    tag: str
    """Set behind the person's name: what one case leaves behind holds up no other."""
    sent: list[Sent] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def case(self) -> DeliveryCase:
        return self.golden.case


class Player:
    """Plays one case after the other against one sidecar; judges them all at the end, so that what
    comes late is seen too.
    """

    def __init__(
        self,
        setup: Setup,
        caller: SendsAll,
        fake: FakeCustomerIO,
        log: Log,
        *,
        credentials: Credentials,
        patience_seconds: float,
        explain: Callable[[], str] = str,
    ) -> None:
        """``fake``: the Customer.io of the sidecar, its requests going to ``log``.

        ``patience_seconds``: how long each thing that a case waits for may take. ``explain`` says
        what is known of a sidecar that delivers nothing more.
        """
        self._setup = setup
        self._caller = caller
        self._fake = fake
        self._log = log
        self._credentials = credentials
        self._patience_seconds = patience_seconds
        self._explain = explain
        self._played: list[_Played] = []
        self._sentinels: list[str] = []
        self._stuck = ""

    def play(self, goldens: Iterable[DeliveryGolden]) -> None:
        """Play cases. A sidecar that delivers nothing more ends it; `results` says so."""
        self.flush("its start")
        for golden in goldens:
            played = _Played(golden, len(self._log.since(0)), *_messages(golden.case))
            self._played.append(played)
            if self._stuck:
                played.problems.append(f"not run: {self._stuck}")
                continue
            self._case(played)
            self._heal()
            if played.problems and not self.flush(repr(golden.name)):
                played.problems.append("\n".join(filter(None, [self._stuck, self._explain()])))

    def flush(self, after: str) -> bool:
        """Send a plain event, and wait until it comes: whether the sidecar still delivers."""
        mark = str(ULID())
        self._sentinels.append(mark)
        start = len(self._log.since(0))
        event = {"type": "track", "event": "Sentinel", "messageId": mark, "userId": "sentinel"}
        (answer,) = self._caller.send_all([event])
        sent = [Sent("sentinel", mark, "sentinel")]
        came = answer.status == ACCEPTED and self._wait_for(sent, ["sentinel"], start)
        if not came:
            self._stuck = (
                f"a plain track event, sent after {after}, was not delivered within "
                f"{self._patience_seconds:g} s (the sidecar answered {answer})"
            )
        return came

    def results(self) -> list[Result]:
        """How each case ended; once nothing more can come."""
        events = self._fake.events
        known = [sent.message_id for played in self._played for sent in played.sent]
        strange = strangers(self._log.since(0), [*known, *self._sentinels])
        if strange and self._played:
            self._played[-1].problems.append(f"a request about no event came: {strange[0]}")
        results = []
        for played in self._played:
            if played.sent:
                log = self._log.since(played.start)
                played.problems += judge(played.case, played.sent, log, events)
            message = "\n".join(dict.fromkeys(played.problems))
            results.append(
                Result(played.golden, self._setup, "failed" if message else "passed", message)
            )
        return results

    def _case(self, played: _Played) -> None:
        for act in played.case.acts:
            self._act(played, act)
            if played.problems:
                return
        names = [sent.name for sent in played.sent]
        if not self._wait_for(played.sent, names, played.start):
            played.problems.append(f"waited {self._patience_seconds:g} s for the end of each event")
        else:
            self._say_unused(played)

    def _act(self, played: _Played, act: Act) -> None:
        if act.fake is not None:
            self._say_unused(played)
            self._fake.play(_tagged(step, played.tag) for step in act.steps)
        elif act.send is not None:
            self._send(played, act.send)
        elif act.credentials is not None:
            right = act.credentials == "right"
            site_id, api_key = self._credentials.site_id, self._credentials.api_key
            self._fake.set_credentials(site_id, api_key if right else f"not {api_key}")
        elif act.asked is not None:
            asked = act.asked
            enough = self._log.wait(
                lambda log: len(log) >= asked, played.start, self._patience_seconds
            )
            if not enough:
                played.problems.append(f"waited {self._patience_seconds:g} s for {asked} requests")
        elif act.settled is not None:
            names = act.settled
            if not self._wait_for(played.sent, names, played.start):
                played.problems.append(
                    f"waited {self._patience_seconds:g} s for the end of {', '.join(names)}, while "
                    "others could not be delivered"
                )

    def _send(self, played: _Played, names: Sequence[str]) -> None:
        case = played.case
        messages = [played.messages[name] for name in names]
        for name, message in zip(names, messages, strict=True):
            played.sent.append(
                Sent(
                    name,
                    message["messageId"],
                    person_of(case.events[name]),
                    case.operations.get(name, 1),
                    message["type"] in _KEPT,
                )
            )
        answers = self._caller.send_all(messages)
        played.problems += [
            f"{name}: expected {ACCEPTED}, got {answer}"
            for name, answer in zip(names, answers, strict=True)
            if answer.status != ACCEPTED
        ]

    def _wait_for(self, sent: Sequence[Sent], names: Iterable[str], start: int) -> bool:
        wanted = set(names)
        return self._log.wait(
            lambda log: wanted <= set(follow(sent, log).ended), start, self._patience_seconds
        )

    def _say_unused(self, played: _Played) -> None:
        """A scenario that did not happen proves nothing."""
        played.problems += [f"the fake's {unused}" for unused in self._fake.scenario.unused()]

    def _heal(self) -> None:
        self._fake.heal()
        self._fake.set_credentials(self._credentials.site_id, self._credentials.api_key)


def _tagged(step: Step, tag: str) -> Step:
    """A step about the persons as they are sent."""

    def tagged(which: When) -> When:
        return replace(which, person=which.person and which.person + tag)

    when = step.when and tagged(step.when)
    return replace(step, when=when, reject=tuple(map(tagged, step.reject)))


def _messages(case: DeliveryCase) -> tuple[dict[str, dict[str, Any]], str]:
    """The events with message ids of their own, in place of each ``$name`` as well; and the tag
    that their persons have.
    """
    tag = f"-{str(ULID()).lower()}"
    ids = {name: str(ULID()) for name in case.events}

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item) for item in value]
        return ids.get(value[1:], value) if isinstance(value, str) and value[:1] == "$" else value

    def message(name: str, event: dict[str, Any]) -> dict[str, Any]:
        filled = fill(event)
        # One that is a message id is of this run already.
        who = {
            key: event[key] + tag
            for key in ("userId", "anonymousId")
            if key in event and filled[key] == event[key]
        }
        return {**filled, "messageId": ids[name], **who}

    return {name: message(name, event) for name, event in case.events.items()}, tag
