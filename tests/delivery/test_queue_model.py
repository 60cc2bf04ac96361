"""The queue in any order of calls, one after the other and at once, against a plain model."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cio_sidecar.event_queue import dead_letters
from cio_sidecar.event_queue.errors import QueueError, QueueFull
from cio_sidecar.event_queue.limits import QueueLimits
from cio_sidecar.event_queue.model import Entry, FinalFailure
from cio_sidecar.event_queue.operation_codec import unpack
from cio_sidecar.event_queue.put_order import PutOrder
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.delivery.support import Clock, event

COUNTED = (
    "SELECT (SELECT count(*) FROM message_ids), (SELECT count(*) FROM events), "
    "(SELECT coalesce(sum(length(event) + length(operations)), 0) FROM events)"
)
TOTALS = "SELECT remembered, waiting, waiting_bytes FROM totals"

IDS = tuple(f"id-{n}" for n in range(6))
"""Few, so that they come again."""

entries = st.builds(
    lambda person, message_id, size, remember: event(person, message_id, size=size)._replace(
        remember=remember
    ),
    st.sampled_from(["ann", "bob", "cid"]),
    st.sampled_from(IDS),
    st.sampled_from([0, 0, 500, 3_000]),
    st.sampled_from([True, True, False]),
)
puts = st.lists(entries, max_size=5)
seqs = st.integers(1, 40)
some_seqs = st.lists(seqs, max_size=6, unique=True)
limits = st.builds(
    QueueLimits,
    max_events=st.sampled_from([4, 12, 1_000]),
    max_bytes=st.sampled_from([2_000, 9_000, 1 << 20]),
    dedup_window_seconds=st.sampled_from([60, 600]),
    min_free_bytes=st.just(0),
    dead_letter_max_age_seconds=st.just(0),
)
at_once = st.booleans()
"""Whether a call is made together with those that follow."""


@dataclass
class Stored:
    """An event that waits, or died."""

    entry: Entry
    accepted_at: int
    failure: FinalFailure | None = None
    died_at: int = 0

    @property
    def size(self) -> int:
        beside = (self.failure.request, self.failure.response) if self.failure else ()
        return sum(map(len, (self.entry.event, self.entry.operations, *beside)))


@dataclass
class Model:
    """What the queue must hold."""

    limits: QueueLimits
    waiting: dict[int, Stored] = field(default_factory=dict)
    dead: dict[int, Stored] = field(default_factory=dict)
    remembered: dict[str, int] = field(default_factory=dict)
    perhaps: set[str] = field(default_factory=set)
    """Ids that were out of the window once. They may be forgotten at any time since; where the
    clock was set back, both answers are right."""
    next_seq: int = 1
    leased_upto: int = 0

    def time_passes(self, now: int) -> None:
        since = now - self.limits.dedup_window_seconds
        self.perhaps |= {each for each, at in self.remembered.items() if at < since}

    def has_room(self, given: list[Entry]) -> bool:
        size = sum(len(each.event) + len(each.operations) for each in given)
        return (
            len(self.waiting) + len(given) <= self.limits.max_events
            and sum(each.size for each in self.waiting.values()) + size <= self.limits.max_bytes
        )

    def answers(self, given: list[Entry], result: Any, now: int) -> None:
        """What a put was answered: repeats are told also where there is no room."""
        if self.has_room(given):
            self.put(given, result, now)
        elif isinstance(result, QueueFull):
            since = now - self.limits.dedup_window_seconds
            assert not all(
                entry.remember
                and self.remembered.get(entry.message_id, since - 1) >= since
                and entry.message_id not in self.perhaps
                for entry in given
            )
        else:
            assert not any(result)
            self.put(given, result, now)

    def store(self, entry: Entry, now: int) -> None:
        self.waiting[self.next_seq] = Stored(entry, now)
        self.next_seq += 1

    def put(self, given: list[Entry], results: list[bool], now: int) -> None:
        assert len(results) == len(given)
        since = now - self.limits.dedup_window_seconds
        for entry, is_new in zip(given, results, strict=True):
            message_id = entry.message_id
            known = entry.remember and self.remembered.get(message_id, since - 1) >= since
            if not (known and message_id in self.perhaps):
                assert is_new is not known
            if is_new:
                self.store(entry, now)
                if entry.remember:
                    self.remembered[message_id] = now
                    self.perhaps.discard(message_id)
            else:
                # It has just been looked for, and found.
                assert known

    def lease(self, limit: int, most_bytes: int | None) -> list[int]:
        taken: list[int] = []
        size = 0
        for seq, stored in self.waiting.items():
            if seq > self.leased_upto:
                taken.append(seq)
                size += len(stored.entry.operations)
                if len(taken) == limit or (most_bytes is not None and size >= most_bytes):
                    break
        if taken:
            self.leased_upto = taken[-1]
        return taken

    def settle(self, delivered: list[int], dead_lettered: list[FinalFailure], now: int) -> None:
        for failure in dead_lettered:
            if stored := self.waiting.pop(failure.seq, None):
                stored.failure, stored.died_at = failure, now
                self.dead[failure.seq] = stored
        for seq in delivered:
            self.waiting.pop(seq, None)


class QueueMachine(RuleBasedStateMachine):
    """A queue on a file, and the model of it."""

    @initialize(limits=limits)
    def begin(self, limits: QueueLimits) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cio-"))
        self.clock = Clock()
        self.runner = asyncio.Runner()
        self.model = Model(limits)
        self.calls: list[tuple[Callable[[], Awaitable[Any]], Callable[[Any], None]]] = []
        self.open()

    def open(self) -> None:
        self.queue = SqliteQueue(
            self.folder / "queue.sqlite3", limits=self.model.limits, clock=self.clock
        )

    @property
    def now(self) -> int:
        return int(self.clock.now)

    def call(
        self, what: Callable[[], Awaitable[Any]], check: Callable[[Any], None], at_once: bool
    ) -> None:
        """Calls take effect in the order in which they are made, also of those made at once."""
        self.calls.append((what, check))
        if not at_once:
            self.all_return()

    def all_return(self) -> None:
        async def make() -> list[Any]:
            made = [what() for what, _ in self.calls]
            return await asyncio.gather(*made, return_exceptions=True)

        results = self.runner.run(make())
        for (_, check), result in zip(self.calls, results, strict=True):
            check(result)
        self.calls.clear()

    # What may happen

    @rule(given=puts, at_once=at_once)
    def put(self, given: list[Entry], at_once: bool) -> None:
        def check(result: Any) -> None:
            self.model.answers(given, result, self.now)

        self.call(lambda: self.queue.put(given), check, at_once)

    @rule(given=st.lists(puts, min_size=2, max_size=4), at_once=at_once)
    def put_in_line(self, given: list[list[Entry]], at_once: bool) -> None:
        """What comes behind one that is rejected is rejected too."""
        line = PutOrder()
        results: list[Any] = []

        def check(result: Any) -> None:
            entries = given[len(results)]
            turned_away = any(isinstance(each, QueueFull) for each in results)
            results.append(result)
            if turned_away:
                assert isinstance(result, QueueFull), result
            else:
                self.model.answers(entries, result, self.now)

        for each in given:
            self.call(lambda each=each: self.queue.put(each, line), check, True)  # type: ignore[misc]
        if not at_once:
            self.all_return()

    @rule(given=entries, at_once=at_once)
    def put_what_can_not_be_stored(self, given: Entry, at_once: bool) -> None:
        """It fails the transaction that it shares with others, and none of them."""
        fits = [event("ann"), given._replace(lane="\ud800", remember=False)]

        def check(result: Any) -> None:
            assert isinstance(result, QueueError), result
            assert isinstance(result, QueueFull) is not self.model.has_room(fits)

        self.call(lambda: self.queue.put(fits), check, at_once)

    @rule(
        limit=st.integers(1, 6),
        most_bytes=st.sampled_from([None, None, 1, 200, 3_000]),
        at_once=at_once,
    )
    def lease(self, limit: int, most_bytes: int | None, at_once: bool) -> None:
        def check(result: Any) -> None:
            expected = self.model.lease(limit, most_bytes)
            self.are(result, expected)

        self.call(lambda: self.queue.lease(limit, most_bytes), check, at_once)

    @rule()
    def lease_all(self) -> None:
        """Whoever takes all that there is knows it."""
        self.all_return()
        self.call(
            lambda: self.queue.lease(1_000),
            lambda result: self.are(result, self.model.lease(1_000, None)),
            False,
        )
        assert not self.queue.has_unleased

    @rule(asked=some_seqs, at_once=at_once)
    def fetch(self, asked: list[int], at_once: bool) -> None:
        self.call(
            lambda: self.queue.fetch(asked),
            lambda result: self.are(result, [s for s in self.model.waiting if s in asked]),
            at_once,
        )

    @rule(
        ended=some_seqs,
        dead_lettered=st.integers(0, 6),
        size=st.sampled_from([0, 40]),
        at_once=at_once,
    )
    def settle(self, ended: list[int], dead_lettered: int, size: int, at_once: bool) -> None:
        """Of any events, also of such as ended before, or never were."""
        delivered = ended[dead_lettered:]
        failures = [
            FinalFailure(seq, "HTTP 400", 400, 1, "POST", "/batch", b"?" * size, b"no")
            for seq in ended[:dead_lettered]
        ]

        def check(result: Any) -> None:
            assert result is None, result
            self.model.settle(delivered, failures, self.now)

        self.call(lambda: self.queue.settle(delivered, failures), check, at_once)

    @rule(given=st.dictionaries(seqs, entries, max_size=5), at_once=at_once)
    def replay(self, given: dict[int, Entry], at_once: bool) -> None:
        def check(result: Any) -> None:
            found = sorted(seq for seq in given if seq in self.model.dead)
            if found and not self.model.has_room([given[seq] for seq in found]):
                assert isinstance(result, QueueFull), result
                return
            assert result == len(found)
            for seq in found:
                del self.model.dead[seq]
                self.model.store(given[seq], self.now)

        self.call(lambda: self.queue.replay(given), check, at_once)

    @rule(seconds=st.sampled_from([-90, -1, 1, 59, 60, 61, 599, 600, 601]))
    def time_passes(self, seconds: int) -> None:
        self.all_return()
        self.clock.now += seconds
        self.model.time_passes(self.now)

    @rule(given=entries, beyond=st.integers(0, 1))
    def put_again_when_the_window_ends(self, given: Entry, beyond: int) -> None:
        self.put([given], at_once=False)
        self.time_passes(self.model.limits.dedup_window_seconds + beyond)
        self.put([given], at_once=False)

    @rule(limits=limits)
    def reopen(self, limits: QueueLimits) -> None:
        """A new process: the leases of the last one are void."""
        self.all_return()
        self.queue.close()
        self.model.limits = limits
        self.model.leased_upto = 0
        self.model.time_passes(self.now)
        self.open()

    # What is always true

    def are(self, found: Any, expected: list[int]) -> None:
        assert isinstance(found, list), found
        assert [each.seq for each in found] == expected
        for each in found:
            stored = self.model.waiting[each.seq]
            entry = stored.entry
            assert (each.message_id, each.lane, each.accepted_at, each.operations) == (
                *(entry.message_id, entry.lane, stored.accepted_at),
                unpack(entry.lane, entry.operations),
            )

    @invariant()
    def it_holds_what_it_must(self) -> None:
        if self.calls:
            return
        model, queue = self.model, self.queue

        async def look() -> Any:
            return await asyncio.gather(
                queue.stats(),
                queue.fetch(range(1, model.next_seq + 10)),
                queue.run(
                    lambda db: dead_letters.read(db, dead_letters.EVERY, after=0, upto=1 << 40),
                    writes=False,
                ),
                queue.run(
                    lambda db: [db.execute(sql).fetchone() for sql in (TOTALS, COUNTED)],
                    writes=False,
                ),
            )

        stats, waiting, letters, (totals, counted) = self.runner.run(look())
        self.are(waiting, list(model.waiting))
        assert [
            (each.seq, each.message_id, each.accepted_at, each.event, each.died_at, each.request)
            for each in letters.letters
        ] == [
            (
                *(seq, each.entry.message_id, each.accepted_at, each.entry.event),
                *(each.died_at, each.failure.request if each.failure else None),
            )
            for seq, each in sorted(model.dead.items())
        ]
        first = next(iter(model.waiting.values()), None)
        assert stats.oldest_accepted_at == (first and first.accepted_at)
        assert (stats.waiting, stats.waiting_bytes) == (
            len(model.waiting),
            sum(each.size for each in model.waiting.values()),
        )
        assert (stats.dead_letters, stats.dead_letter_bytes) == (
            len(model.dead),
            sum(each.size for each in model.dead.values()),
        )
        assert totals == counted
        assert queue.waiting == len(model.waiting)
        assert queue.not_accepting_because is None
        if any(seq > model.leased_upto for seq in model.waiting):
            assert queue.has_unleased

    # How it ends

    def teardown(self) -> None:
        if not hasattr(self, "queue"):
            return
        try:
            self.reopen(QueueLimits(min_free_bytes=0, dead_letter_max_age_seconds=0))
            self.put([event("ann", "the last")], at_once=False)
            self.lease_all()
            self.it_holds_what_it_must()
        finally:
            # Where it failed within reopening, it is closed already.
            with suppress(QueueError):
                self.queue.close()
            self.runner.close()
            shutil.rmtree(self.folder)


def test_any_order_of_calls_loses_nothing_and_gives_nothing_twice() -> None:
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=18,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Shrinking whole runs takes minutes.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            report_multiple_bugs=False,
        ),
    )
