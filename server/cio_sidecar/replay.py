"""Replays dead letters: maps their events again by the current tables, and puts them back."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import orjson

from cio_sidecar.event_queue import dead_letters
from cio_sidecar.event_queue.dead_letters import DeadLetter, Filter, Slice
from cio_sidecar.event_queue.model import Entry
from cio_sidecar.event_queue.operation_codec import pack
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue
from cio_sidecar.mapping.errors import Violation
from cio_sidecar.renderer import Rejected, Rendered, Renderer

SLICE_EVENTS: Final = 200
"""How many events are mapped before others have their turn."""
_SLICE_SECONDS: Final = 0.02
"""How long dead letters are mapped before other work has its turn."""
_PAUSE_SECONDS: Final = 0.001

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Progress:
    """How far a replay has come."""

    replayed: int = 0
    dropped: int = 0
    """Removed, because the tables say to send nothing for them."""
    rejected: int = 0
    """Those that the tables reject: they stay."""
    rejections: list[tuple[DeadLetter, list[Violation]]] = field(default_factory=list)
    """Of the last step alone, with what is wrong with each."""
    not_found: list[str] = field(default_factory=list)
    """After the last step: the message_ids of the filter of which no dead letter was found."""


async def replay(
    queue: SqliteQueue, renderer: Callable[[], Renderer], which: Filter
) -> AsyncIterator[Progress]:
    """Replay in small steps, in the order of acceptance; the progress after each.

    Those that die again meanwhile are left alone. Raises QueueFull or QueueError: what was told
    before is done, and nothing else.
    """
    upto = await queue.run(dead_letters.last, writes=False)
    after: int | None = 0
    done = Progress()
    not_found = dict.fromkeys(which.message_ids)
    while after is not None:
        found = await _read(queue, which, after, upto)
        after = found.after
        done.rejections = []
        for letter in found.letters:
            not_found.pop(letter.message_id, None)
        if after is None:
            done.not_found = [*not_found]
        if found.letters:
            await _step(queue, renderer(), found.letters, done)
        yield done


async def _read(queue: SqliteQueue, which: Filter, after: int, upto: int) -> Slice:
    return await queue.run(
        lambda db: dead_letters.read(db, which, after=after, upto=upto, most=SLICE_EVENTS),
        writes=False,
    )


async def _step(
    queue: SqliteQueue, renderer: Renderer, letters: list[DeadLetter], done: Progress
) -> None:
    entries: dict[int, Entry] = {}
    dropped: list[int] = []
    rejections: list[tuple[DeadLetter, list[Violation]]] = []
    until = monotonic() + _SLICE_SECONDS
    for letter in letters:
        if monotonic() > until:
            await asyncio.sleep(_PAUSE_SECONDS)
            until = monotonic() + _SLICE_SECONDS
        rendered = _render(renderer, letter)
        if isinstance(rendered, Rejected):
            rejections.append((letter, rendered.violations))
        elif not rendered.operations:
            dropped.append(letter.seq)
        else:
            entries[letter.seq] = Entry(
                letter.message_id,
                False,
                rendered.operations[0].lane,
                rendered.event,
                pack(rendered.operations),
            )
    if entries:
        done.replayed += await queue.replay(entries)
    if dropped:
        done.dropped += await queue.run(lambda db: dead_letters.take(db, dropped), writes=True)
    done.rejected += len(rejections)
    done.rejections = rejections


def _render(renderer: Renderer, letter: DeadLetter) -> Rendered | Rejected:
    try:
        return renderer.render(orjson.loads(letter.event))
    except Exception as error:
        # Whatever it is, the other dead letters are none the worse for it. Its words may hold data.
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {place.name}, line {place.lineno}"
        log.error("rendering a dead letter failed: %s; it stays, please report it", where)
        what = f"the sidecar failed on this event ({where}): please report it"
        return Rejected(letter.message_id, [Violation("", "INTERNAL", what)])
