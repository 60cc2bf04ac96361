"""Takes up changed tables without a restart: when asked (SIGHUP), or when the folder changes."""

import asyncio
import logging
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar, cast

from cio_sidecar.app.config import ConfigError, Settings
from cio_sidecar.app.tables import load_tables
from cio_sidecar.intake import Intake
from cio_sidecar.renderer import Renderer

_LOOK_SECONDS: Final = 1
_Result = TypeVar("_Result")

log = logging.getLogger(__name__)


class Reloader:
    """Loads the tables again, one load after the other; bad ones change nothing."""

    def __init__(self, settings: Settings, intake: Intake, wanted: asyncio.Event) -> None:
        """``wanted`` is set to ask for the tables to be loaded again."""
        self._settings = settings
        self._intake = intake
        self._wanted = wanted
        self.loaded_at = time.time()
        """When the current tables were loaded, in Unix seconds."""
        self.reloads = {"taken up": 0, "rejected": 0}
        """How many there were, by what became of them."""

    async def run(self) -> None:
        """Do what is asked for, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._reload()
            except Exception as error:
                self.reloads["rejected"] += 1
                log.error(
                    "the tables were NOT reloaded, the current ones stay: internal error %s",
                    _place(error),
                )

    async def watch(self, folder: Path) -> None:
        """Ask for it whenever the tables in a folder change, until cancelled.

        It looks once a second: that sees a change however it is made, be it to the files, to the
        folder, or to a symbolic link on the way to them.
        """
        seen: list[tuple[str, int, int, int]] | None = await self._look(folder)
        log.debug("watching %s", folder)
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = await self._look(folder)
            if now is not None and now != seen:
                seen = now
                self._wanted.set()

    async def _look(self, folder: Path) -> list[tuple[str, int, int, int]] | None:
        """The state of the folder; None, and a log line, after an unexpected error."""
        try:
            return await in_thread(lambda: _state(folder))
        except Exception as error:
            log.error("CIO_OVERLAY_WATCH: can't look at %s: %s", folder, _place(error))
            return None

    async def _reload(self) -> None:
        log.debug("loading the tables")
        try:
            tables = await in_thread(lambda: load_tables(self._settings))
        except ConfigError as error:
            self.reloads["rejected"] += 1
            log.error("the tables were NOT reloaded, the current ones stay:\n%s", error)
            return
        # One assignment: an event is mapped wholly by the old tables or by the new.
        self._intake.renderer = Renderer(tables)
        self.loaded_at = time.time()
        self.reloads["taken up"] += 1
        log.info("tables reloaded: profile %s, %d tables", tables.profile, len(tables.tables))


async def in_thread(work: Callable[[], _Result]) -> _Result:
    """Run work in a daemon thread of its own: unlike one of the executor, it never delays the end
    of the process.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Result] = loop.create_future()

    def settle(result: _Result | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast("_Result", result))

    def run() -> None:
        result: _Result | None = None
        failed: BaseException | None = None
        try:
            result = work()
        except BaseException as error:
            failed = error
        # The loop may have been closed meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=run, name="tables", daemon=True).start()
    return await done


def _place(error: Exception) -> str:
    """The type of an error and where it was raised; never its text, which may hold data."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _state(folder: Path) -> list[tuple[str, int, int, int]]:
    """Name, inode, size and time of change of each table file; empty where there is no folder."""
    found: list[tuple[str, int, int, int]] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            stat = path.stat()
        except OSError:
            # Gone since it was listed.
            continue
        found.append((path.name, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return found
