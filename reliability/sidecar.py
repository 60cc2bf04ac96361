"""The sidecar as a process: started, killed, stopped, and asked how it does."""

import asyncio
import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp

from reliability.errors import Broken
from reliability.ledger import DeadLetter, Interruptions

_ON_ITS_WAY_SECONDS: Final = 0.2
"""For how long what a killed sidecar has sent may come to the receiver yet: less than the next one
needs to start."""


class Sidecar:
    """``cio-sidecar serve`` on a folder, as often as it must be started."""

    def __init__(self, folder: Path, base_url: str, settings: Mapping[str, str]) -> None:
        """``settings`` are environment variables."""
        self.interruptions = Interruptions()
        self.target = f"unix:{folder}/grpc.sock"
        self.data = folder / "data"
        self.log = folder / "sidecar.log"
        self.starts = 0
        self.started_at = 0.0
        self.process: asyncio.subprocess.Process | None = None
        self._http = f"127.0.0.1:{free_port()}"
        self._environment = {
            "PATH": os.environ["PATH"],
            "CIO_SITE_ID": "site",
            "CIO_API_KEY": "key",
            "CIO_BASE_URL": base_url,
            "CIO_LISTEN": self.target,
            "CIO_HTTP_LISTEN": self._http,
            "CIO_DATA_DIR": str(self.data),
            "CIO_EVENT_ID": "ulid",
            "CIO_QUEUE_MIN_FREE_BYTES": "0",
            "CIO_LOG_LEVEL": "warning",
            **settings,
        }

    async def start(self) -> None:
        """Start it, as a process group of its own; returns at once."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "cio_sidecar", "serve"),
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        self.started_at = time.monotonic()

    async def restart(self, number: int) -> None:
        """End it by a signal, and start it again."""
        began = time.monotonic()
        await self.end(number)
        await self.start()
        self.interruptions.spans.append((began, time.monotonic() + _ON_ITS_WAY_SECONDS))

    async def end(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit code. Raises Broken where it does not end."""
        process = self._process()
        if process.returncode is None:
            self._signal(number)
        try:
            return await asyncio.wait_for(process.wait(), 60)
        except TimeoutError:
            raise Broken(f"the sidecar did not end within 60 s of signal {number}") from None

    async def freeze(self, seconds: float) -> None:
        """Stop it for a while, as a debugger or a busy machine would."""
        began = time.monotonic()
        self._signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self._signal(signal.SIGCONT)
        self.interruptions.spans.append((began, time.monotonic() + 5))

    async def remove_data(self, seconds: float) -> None:
        """Move its data directory away for a while, and back."""
        began = time.monotonic()
        away = self.data.with_name("away")
        self.data.rename(away)
        try:
            await asyncio.sleep(seconds)
        finally:
            away.rename(self.data)
        self.interruptions.spans.append((began, time.monotonic() + 5))

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process().pid, number)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process().returncode is None

    def _process(self) -> asyncio.subprocess.Process:
        assert self.process is not None, "it was never started"
        return self.process

    def last_words(self) -> str:
        """The last line of its log."""
        return "".join(self.log.read_text(errors="replace").splitlines()[-1:])

    def memory_bytes(self) -> int:
        """What it holds in memory (RSS); 0 where it has ended."""
        try:
            status = Path(f"/proc/{self._process().pid}/status").read_text()
        except OSError:
            return 0
        found = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(found[0].split()[1]) * 1024 if found else 0

    def file_bytes(self) -> dict[str, int]:
        """The sizes of its files, by name."""
        sizes = {}
        for path in sorted(self.data.glob("*")):
            # A file of a moment, or the directory, may be gone by now.
            with suppress(FileNotFoundError):
                sizes[path.name] = path.stat().st_size
        return sizes

    async def waiting(self) -> int | None:
        """How many events wait; None where it doesn't say."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
                session.get(f"http://{self._http}/metrics") as response,
            ):
                lines = (await response.text()).splitlines()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None
        values = [line.split()[1] for line in lines if line.startswith("cio_queue_events ")]
        return int(float(values[0])) if values else None


def dead_letters(data: Path) -> list[DeadLetter]:
    """What a sidecar keeps as rejected in its folder, once it has ended."""
    db = sqlite3.connect(f"file:{data}/queue.sqlite3?mode=ro", uri=True)
    try:
        rows = db.execute("SELECT message_id, reason FROM dead_letters ORDER BY rowid").fetchall()
    finally:
        db.close()
    return [DeadLetter(*row) for row in rows]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
