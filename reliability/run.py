"""One run: a receiver, a sidecar, load and faults; then everything must come to its end."""

import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp

from reliability import ledger
from reliability.answers import FATAL
from reliability.answers import FAULTS as ANSWERS
from reliability.bag import Bag
from reliability.errors import Broken
from reliability.judge import judge
from reliability.load import Load
from reliability.plan import (
    FAULT_RECORD,
    HINDRANCES,
    LEDGER,
    RECORD,
    Outcome,
    Plan,
    Sample,
)
from reliability.receiver import REJECTION_SPELLS
from reliability.shim import FAULTS as SHIMMED
from reliability.shim import FLAGS as DISK
from reliability.shim import Shim
from reliability.sidecar import Sidecar, dead_letters, free_port

BREAKER_REJECTIONS: Final = 20
"""How many rejected persons in a row open the circuit breaker."""
FIRST_ACK_SECONDS: Final = 20
"""How long a round waits for its first ack."""
DRAIN_SECONDS: Final = 180
"""How long everything may take to come to its end once all is well again."""


async def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> Outcome:
    """Run a plan in a folder, which keeps everything that it wrote. Raises Broken."""
    faults = [fault for fault in plan.faults if fault in ANSWERS or fault in FATAL]
    record = folder / RECORD
    port = free_port()
    receiver = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "reliability.receiver", str(port), str(record)),
        *(str(plan.seed), ",".join(faults), str(plan.share)),
        start_new_session=True,
    )
    settings = {
        "CIO_TIMEOUT_SECONDS": "3",
        "CIO_SHUTDOWN_GRACE_SECONDS": "2",
        "CIO_RETRY_AFTER_MAX_SECONDS": "2",
        "CIO_BREAKER_REJECTIONS": str(BREAKER_REJECTIONS),
        **plan.settings,
    }
    shim = None
    if set(SHIMMED) & set(plan.faults):
        shim = Shim(folder)
        settings |= shim.environment
    sidecar = Sidecar(folder, f"http://127.0.0.1:{port}", settings)
    try:
        return await _Run(plan, folder, say, sidecar, shim, port).run()
    finally:
        if sidecar.process is not None and sidecar.alive:
            await sidecar.end(signal.SIGKILL)
        receiver.terminate()
        await receiver.wait()


class _Run:
    def __init__(  # noqa: PLR0917 (all that a run needs)
        self,
        plan: Plan,
        folder: Path,
        say: Callable[[str], None],
        sidecar: Sidecar,
        shim: Shim | None,
        port: int,
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._say = say
        self._sidecar = sidecar
        self._shim = shim
        self._port = port
        self._random = random.Random(plan.seed)  # noqa: S311
        self._samples: list[Sample] = []
        self._done: dict[str, int] = {}
        self._met: dict[str, int] = {}
        self._acked: list[int] = []
        self._over = asyncio.Event()
        self._began = time.monotonic()

    async def run(self) -> Outcome:
        writer = ledger.Writer(self._folder / LEDGER)
        await self._switch("on")
        await self._sidecar.start()
        await self._up()
        plan = self._plan
        load = Load(self._sidecar.target, writer, plan.seed, per_second=plan.per_second)
        loading = asyncio.create_task(load.run())
        watching = asyncio.create_task(self._watch(writer))
        hindering = asyncio.create_task(self._hinder(writer.counts))
        everything = (loading, watching, hindering)
        try:
            await asyncio.wait(
                everything, timeout=plan.seconds, return_when=asyncio.FIRST_COMPLETED
            )
            # What is being done to the sidecar is done to its end: one left frozen would stay so.
            self._over.set()
            await hindering
            for task in (loading, watching):
                if task.done():
                    task.result()
            await self._heal()
            load.stop()
            await self._receipts(loading)
            left = await self._drained()
        finally:
            for task in everything:
                task.cancel()
            await asyncio.wait(everything)
            writer.close()
        code = await self._sidecar.end()
        verdict = judge(
            ledger.read(self._folder / LEDGER),
            ledger.read_arrivals(self._folder / RECORD),
            dead_letters(self._sidecar.data),
            self._sidecar.interruptions,
            may_reject=BREAKER_REJECTIONS * self._met.get(REJECTION_SPELLS, 0),
        )
        if code:
            verdict.wrong.append(f"the sidecar ended with {code} in place of 0")
        return Outcome(
            verdict,
            self._samples,
            self._done,
            self._met,
            load.retries,
            _tracebacks(self._sidecar.log.read_text()),
            time.monotonic() - self._began,
            left,
            self._acked,
        )

    async def _switch(self, what: str) -> dict[str, int]:
        """Tell the receiver to misbehave, or to be well; how many requests have met each fault."""
        end = time.monotonic() + 60
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < end:
                try:
                    async with session.post(
                        f"http://127.0.0.1:{self._port}/_faults/{what}"
                    ) as response:
                        met: dict[str, int] = await response.json()
                        return met
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        raise Broken("the receiver can't be reached")

    async def _up(self) -> None:
        """Wait until the sidecar answers, so that the load lasts as long as the plan says."""
        end = time.monotonic() + 60
        while await self._sidecar.waiting() is None:
            if not self._sidecar.alive or time.monotonic() > end:
                raise Broken(f"the sidecar did not start: {self._sidecar.last_words()}")
            await asyncio.sleep(0.1)

    async def _hinder(self, counts: Mapping[str, int]) -> None:
        """Do what the plan says to process, disk and clock, one thing after the other."""
        acked = 0
        names = [name for name in self._plan.faults if name in HINDRANCES]
        bag = Bag(names, self._random)
        if not names:
            await self._over.wait()
        while self._plan.rounds is None or sum(self._done.values()) < self._plan.rounds:
            if self._plan.rounds is not None:
                await self._first_ack(counts, acked)
            await self._pause(self._random.uniform(*self._plan.every_seconds))
            if self._over.is_set():
                return
            await self._revive()
            name = bag.draw()
            began = time.monotonic()
            self._acked.append(counts["acked"] - acked)
            acked = counts["acked"]
            await self._do(name)
            ledger.write_hindrance(
                self._folder / FAULT_RECORD, ledger.Hindrance(name, began, time.monotonic())
            )
            self._done[name] = self._done.get(name, 0) + 1

    async def _first_ack(self, counts: Mapping[str, int], before: int) -> None:
        """Wait until more is acknowledged than ``before``: a sidecar that is killed sooner has
        nothing to lose. Not for ever: that there was none is for the verdict.
        """
        end = time.monotonic() + FIRST_ACK_SECONDS
        while counts["acked"] <= before and time.monotonic() < end and not self._over.is_set():
            await self._revive()
            await self._pause(0.02)

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until the run is over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)

    async def _do(self, name: str) -> None:
        if name == "kill":
            await self._sidecar.restart(signal.SIGKILL)
            if self._random.random() < 0.2:
                # While it starts, and puts its file in order.
                await asyncio.sleep(self._random.uniform(0.2, 2.0))
                await self._sidecar.restart(signal.SIGKILL)
        elif name == "term":
            await self._sidecar.restart(signal.SIGTERM)
        elif name == "freeze":
            await self._sidecar.freeze(self._random.uniform(0.2, 2.0))
        elif name == "removed":
            await self._sidecar.remove_data(self._random.uniform(1.0, 3.0))
        elif self._shim is not None:
            began = time.monotonic()
            if name == "clock":
                self._shim.set(clock_seconds=self._random.choice((-90_000, -30, 30, 90_000)))
            else:
                self._shim.set(disk=name)
            await asyncio.sleep(self._random.uniform(0.2, 2.0))
            if name in DISK and self._random.random() < 0.3:
                # The worst moment to lose power is while the disk fails.
                await self._sidecar.restart(signal.SIGKILL)
            self._shim.set()
            self._sidecar.interruptions.spans.append((began, time.monotonic() + 5))

    async def _heal(self) -> None:
        self._met = await self._switch("off")
        if self._shim is not None:
            self._shim.set()
        await self._revive()

    async def _revive(self) -> None:
        """Start the sidecar again where it found its disk failing at the start, and ended with a
        word about it. Raises Broken where it ended for another reason."""
        if self._sidecar.alive:
            return
        words = self._sidecar.last_words()
        if self._shim is None or "CIO_DATA_DIR" not in words:
            raise Broken(f"the sidecar ended by itself: {words}")
        await self._sidecar.start()

    async def _receipts(self, loading: "asyncio.Task[None]") -> None:
        """Wait until the callers have their last receipts."""
        end = time.monotonic() + DRAIN_SECONDS
        while not loading.done():
            if time.monotonic() > end:
                raise Broken(f"callers had no receipt {DRAIN_SECONDS} s after the faults")
            await self._revive()
            await asyncio.wait({loading}, timeout=0.5)
        loading.result()

    async def _drained(self) -> int | None:
        """Wait until nothing waits; how many still do when the time is over."""
        end = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < end:
            await self._revive()
            if await self._sidecar.waiting() == 0:
                return 0
            await asyncio.sleep(0.2)
        return await self._sidecar.waiting()

    async def _watch(self, writer: ledger.Writer) -> None:
        """Sample how the sidecar does, and say how far it is."""
        said = 0.0
        while True:
            await asyncio.sleep(1)
            now = time.monotonic() - self._began
            waiting = await self._sidecar.waiting()
            settled = time.monotonic() - self._sidecar.started_at > 3
            if settled and (memory := self._sidecar.memory_bytes()):
                self._samples.append(Sample(now, memory, waiting, self._sidecar.file_bytes()))
            if now - said >= 10:
                said = now
                counts = ", ".join(f"{name} {count:,}" for name, count in writer.counts.items())
                faults = sum(self._done.values())
                shown = "?" if waiting is None else f"{waiting:,}"
                self._say(f"{now:6.0f} s  {counts}, waiting {shown}, faults {faults}")


def _tracebacks(log: str) -> str:
    """What the log has of failures that nobody foresaw: the last line of each traceback."""
    found: list[str] = []
    inside = False
    for line in log.splitlines():
        if line.startswith("Traceback"):
            inside = True
        elif inside and not line.startswith(" "):
            inside = False
            found.append(f"a traceback: {line}")
        elif "unforeseen" in line:
            found.append(line)
    return "\n".join([*found, "a traceback without an end"] if inside else found)


def new_folder() -> Path:
    """A folder whose name is short: a Unix socket's path has little room."""
    return Path(tempfile.mkdtemp(prefix="cio-"))


def remove(folder: Path) -> None:
    """Remove what a run has written."""
    shutil.rmtree(folder, ignore_errors=True)
