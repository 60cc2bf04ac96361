"""Takes up changed tables without a restart: when asked (SIGHUP), or when the folder changes."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Final

from cio_sidecar.app.config import ConfigError, Settings
from cio_sidecar.app.tables import load_tables
from cio_sidecar.intake import Intake
from cio_sidecar.renderer import Renderer

_LOOK_SECONDS: Final = 1

log = logging.getLogger(__name__)


class Reloader:
    """Loads the tables again, one load after the other; bad ones change nothing."""

    def __init__(self, settings: Settings, intake: Intake, wanted: asyncio.Event) -> None:
        """``wanted`` is set to ask for the tables to be loaded again."""
        self._settings = settings
        self._intake = intake
        self._wanted = wanted
        self.loaded_at = time.time()
        """When the tables in force were loaded, in Unix seconds."""
        self.reloads = {"taken up": 0, "refused": 0}
        """How many there were, by what became of them."""

    async def run(self) -> None:
        """Do what is asked for, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._reload()

    async def watch(self, folder: Path) -> None:
        """Ask for it whenever the tables in a folder change, until cancelled.

        It looks once a second: that sees a change however it is made, be it to the files, to the
        folder, or to a symbolic link on the way to them.
        """
        seen = await asyncio.to_thread(_state, folder)
        log.debug("watching %s", folder)
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = await asyncio.to_thread(_state, folder)
            if now != seen:
                seen = now
                self._wanted.set()

    async def _reload(self) -> None:
        try:
            tables = await asyncio.to_thread(load_tables, self._settings)
        except ConfigError as error:
            self.reloads["refused"] += 1
            log.error("the tables were NOT reloaded, those in force stay:\n%s", error)
            return
        # One assignment: an event is mapped wholly by the old tables or by the new.
        self._intake.renderer = Renderer(tables)
        self.loaded_at = time.time()
        self.reloads["taken up"] += 1
        log.info("tables reloaded: profile %s, %d tables", tables.profile, len(tables.tables))


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
