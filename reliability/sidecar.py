"""The sidecar as a process: started, killed, stopped, and asked how it does."""

import asyncio
import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from reliability.ledger import DeadLetter, Interruptions


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
        """Start it; returns at once."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "cio_sidecar", "serve"),
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        self.starts += 1
        self.started_at = time.monotonic()

    async def restart(self, number: int) -> None:
        """End it by a signal, and start it again."""
        began = time.monotonic()
        await self.end(number)
        await self.start()
        self.interruptions.spans.append((began, time.monotonic()))

    async def end(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit code."""
        process = self._process()
        if process.returncode is None:
            process.send_signal(number)
        async with asyncio.timeout(60):
            return await process.wait()

    async def freeze(self, seconds: float) -> None:
        """Stop it for a while, as a debugger or a busy machine would."""
        began = time.monotonic()
        self._process().send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self._process().send_signal(signal.SIGCONT)
        self.interruptions.spans.append((began, time.monotonic() + 5))

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process().returncode is None

    def _process(self) -> asyncio.subprocess.Process:
        assert self.process is not None, "it was never started"
        return self.process

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
        return {path.name: path.stat().st_size for path in sorted(self.data.glob("*"))}

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

    def dead_letters(self) -> list[DeadLetter]:
        """What it keeps as refused; once it has ended."""
        db = sqlite3.connect(f"file:{self.data}/queue.sqlite3?mode=ro", uri=True)
        try:
            rows = db.execute("SELECT message_id, reason FROM dead_letters").fetchall()
        finally:
            db.close()
        return [DeadLetter(*row) for row in rows]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
