"""The dead letters of a queue file: found by filter in slices, removed, and put back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from cio_sidecar.customerio.encoders import Operation
from cio_sidecar.event_queue import dead_letters
from cio_sidecar.event_queue.dead_letters import EVERY, DeadLetter, Filter
from cio_sidecar.event_queue.errors import QueueFull
from cio_sidecar.event_queue.model import Entry, FinalFailure
from cio_sidecar.event_queue.operation_codec import pack
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue
from cio_sidecar.mapping.authoring.profiles import load_profile
from cio_sidecar.renderer import Renderer
from cio_sidecar.replay import Progress, replay
from hypothesis import given
from hypothesis import strategies as st

from tests.delivery.support import NOW, Clock, opened, rows, stored_ids


def stored(message_id: str, **fields: Any) -> Entry:
    event = {"type": "track", "event": "E", "userId": "u1", "messageId": message_id}
    event |= {"receivedAt": "2026-03-02T09:30:00.000Z", **fields}
    return Entry(message_id, True, "p:u1", orjson.dumps(event), pack([Operation("p:u1", b"{}")]))


def failure(seq: int, **fields: Any) -> FinalFailure:
    given: dict[str, Any] = {"reason": "HTTP 400: bad", "status": 400, "attempts": 1}
    given |= {"method": "POST", "path": "/api/v2/batch", "request": b"{}", "response": b"{}"}
    return FinalFailure(seq, **{**given, **fields})


async def dead_letter(queue: SqliteQueue, *entries: Entry, **fields: Any) -> None:
    """Make dead letters of new events."""
    await queue.put(entries)
    leased = await queue.lease(len(entries))
    await queue.settle([], [failure(event.seq, **fields) for event in leased])


async def found(queue: SqliteQueue, which: Filter = EVERY, most: int = 1000) -> list[DeadLetter]:
    """All that a filter finds, slice by slice."""
    letters: list[DeadLetter] = []
    after: int | None = 0
    while after is not None:
        start = after
        part = await queue.run(
            lambda db: dead_letters.read(db, which, after=start, upto=1 << 60, most=most),  # noqa: B023
            writes=False,
        )
        assert part.after is None or part.after > start
        letters += part.letters
        after = part.after
    return letters


async def purged(queue: SqliteQueue, which: Filter) -> int:
    """Remove all that a filter finds, slice by slice; how many."""
    total = 0
    after: int | None = 0
    while after is not None:
        start = after
        count, after = await queue.run(
            lambda db: dead_letters.remove(db, which, after=start, upto=1 << 60),  # noqa: B023
            writes=True,
        )
        total += count
    return total


def ids(letters: Sequence[DeadLetter]) -> list[str]:
    return [letter.message_id for letter in letters]


async def test_a_dead_letter_is_read_with_all_that_is_kept_of_it(path: Path) -> None:
    clock = Clock()
    with opened(path, clock) as queue:
        await queue.put([stored("m1")])
        clock.now += 60
        end = failure(1, reason="HTTP 422: why", status=422, attempts=3, response=b"{}", path="/p")
        await queue.lease(1)
        await queue.settle([], [end])
        assert await found(queue) == [
            DeadLetter(
                *(1, "m1", NOW, NOW + 60, "HTTP 422: why", 422, 3, "POST", "/p"),
                *(stored("m1").event, b"{}", b"{}"),
            )
        ]


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (EVERY, "abcd"),
        (Filter(reason="BAD name"), "b"),
        (Filter(reason="%"), ""),
        (Filter(statuses=(400, 404)), "abd"),
        (Filter(statuses=(422,)), "c"),
        (Filter(died_after=NOW + 10), "bcd"),
        (Filter(died_before=NOW + 10), "a"),
        (Filter(message_ids=("d", "nobody", "a")), "ad"),
        (Filter(event_types=("page",)), "c"),
        (Filter(event_names=("E", "Pricing")), "abc"),
        (Filter(event_names=("Pricing",), statuses=(400,)), ""),
        (Filter(event_types=("identify",)), "d"),
    ],
)
async def test_a_filter_finds_what_meets_all_of_it(
    path: Path, which: Filter, expected: str
) -> None:
    clock = Clock()
    with opened(path, clock) as queue:
        await dead_letter(queue, stored("a"))
        clock.now += 10
        await dead_letter(queue, stored("b"), reason="HTTP 400: bad NAME")
        await dead_letter(queue, stored("c", type="page", name="Pricing"), status=422)
        await dead_letter(queue, stored("d", type="identify", event=None, name="E"[1:]), status=404)
        assert ids(await found(queue, which)) == [*expected]


@given(
    statuses=st.lists(st.sampled_from([400, 404, 422]), max_size=12),
    sought=st.sets(st.sampled_from([400, 404, 422]), min_size=1),
    scan=st.integers(1, 5),
    most=st.integers(1, 5),
)
def test_slices_of_any_size_find_the_same_in_the_same_order(
    tmp_path_factory: pytest.TempPathFactory,
    statuses: list[int],
    sought: set[int],
    scan: int,
    most: int,
) -> None:
    async def run() -> None:
        with opened(tmp_path_factory.mktemp("q") / "queue.sqlite3") as queue:
            for number, status in enumerate(statuses):
                await dead_letter(queue, stored(f"m{number}"), status=status)
            letters = await found(queue, Filter(statuses=tuple(sought)), most)
            expected = [f"m{n}" for n, status in enumerate(statuses) if status in sought]
            assert ids(letters) == expected
            assert await purged(queue, Filter(statuses=tuple(sought))) == len(expected)
            left = [f"m{n}" for n, status in enumerate(statuses) if status not in sought]
            assert ids(await found(queue)) == left
            assert (await queue.stats()).dead_letters == len(left)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dead_letters, "SCAN_ROWS", scan)
        asyncio.run(run())


async def test_a_slice_ends_when_it_holds_enough_bytes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "SLICE_BYTES", 1000)
    with opened(path) as queue:
        await dead_letter(queue, *(stored(f"m{n}", properties={"x": "x" * 500}) for n in range(6)))
        part = await queue.run(
            lambda db: dead_letters.read(db, EVERY, after=0, upto=99), writes=False
        )
        assert ids(part.letters) == ["m0", "m1"]
        assert part.after == part.letters[-1].seq
        assert ids(await found(queue)) == [f"m{n}" for n in range(6)]


# Replay


def standard() -> Renderer:
    return Renderer(load_profile("standard"))


async def replayed(
    queue: SqliteQueue, which: Filter = EVERY, renderer: Callable[[], Renderer] = standard
) -> Progress:
    """The last word of a replay."""
    last = Progress()
    rejections = []
    async for last in replay(queue, renderer, which):
        rejections += last.rejections
    last.rejections = rejections
    return last


async def test_a_replay_maps_again_and_puts_at_the_end_under_the_same_message_id(
    path: Path,
) -> None:
    clock = Clock()
    with opened(path, clock) as queue:
        await dead_letter(queue, stored("m1", properties={"n": 1}), stored("m2"))
        await queue.put([stored("m3")])
        clock.now += 50
        assert (await replayed(queue)).replayed == 2
        assert await found(queue) == []
        assert queue.waiting == 3
        again = [event for event in await queue.lease(10) if event.message_id == "m1"]
        item = orjson.loads(again[0].operations[0].item)
        assert (item["name"], item["attributes"]["n"]) == ("E", 1)
    assert stored_ids(path) == ["m3", "m1", "m2"]
    assert rows(path, "SELECT accepted_at FROM events")[-1] == (NOW + 50,)


async def test_what_the_tables_reject_stays_and_is_named(path: Path) -> None:
    with opened(path) as queue:
        await dead_letter(queue, stored("m1", userId=None), stored("m2"))
        done = await replayed(queue)
        assert (done.replayed, done.rejected) == (1, 1)
        ((letter, violations),) = done.rejections
        assert (letter.message_id, violations[0].reason) == ("m1", "NO_PERSON")
        assert ids(await found(queue)) == ["m1"]


async def test_what_can_not_even_be_rendered_stays_and_spoils_no_other(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(path) as queue:
        broken = stored("m1")._replace(event=b"ann@example.com")
        await dead_letter(queue, broken, stored("m2"))
        done = await replayed(queue)
        assert (done.replayed, done.rejected) == (1, 1)
        assert done.rejections[0][1][0].reason == "INTERNAL"
        assert "ann@" not in caplog.text


async def test_what_dies_again_during_a_replay_is_not_replayed_once_more(path: Path) -> None:
    with opened(path) as queue:
        await dead_letter(queue, *(stored(f"m{n}") for n in range(450)))
        told = []
        async for done in replay(queue, standard, EVERY):
            told.append(done.replayed)
            again = await queue.lease(1000)
            await queue.settle([], [failure(event.seq) for event in again])
        assert told == [200, 400, 450, 450]
        assert len(await found(queue)) == 450


async def test_a_dead_letter_that_is_gone_meanwhile_is_not_put_back(path: Path) -> None:
    with opened(path) as queue:
        await dead_letter(queue, stored("m1"))
        (letter,) = await found(queue)
        await queue.run(lambda db: dead_letters.take(db, [letter.seq]), writes=True)
        assert await queue.replay({letter.seq: stored("m1")}) == 0
        assert queue.waiting == 0


async def test_a_full_queue_ends_a_replay_after_what_it_told(path: Path) -> None:
    with opened(path, max_bytes=80_000) as queue:
        await dead_letter(queue, *(stored(f"m{n}") for n in range(200)))
        await dead_letter(queue, *(stored(f"n{n}") for n in range(200)))
        steps = replay(queue, standard, EVERY)
        assert (await anext(steps)).replayed == 200
        with pytest.raises(QueueFull):
            await anext(steps)
        assert len(await found(queue)) == 200
        assert queue.waiting == 200
