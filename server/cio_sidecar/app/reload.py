"""Takes up changed tables without a restart: when asked (SIGHUP), or when the folder changes."""

import asyncio
import logging
import time
from typing import Final

from watchfiles import awatch

from cio_sidecar.app.config import ConfigError, Settings
from cio_sidecar.app.tables import load_tables
from cio_sidecar.renderer import Renderer
from cio_sidecar.rpc.intake import Intake

_WATCH_AGAIN_SECONDS: Final = 5.0

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

    async def watch(self) -> None:
        """Ask for it whenever the overlay's folder changes, until cancelled."""
        folder = self._settings.overlay
        while folder is not None:
            log.debug("watching %s", folder)
            try:
                async for _ in awatch(folder, recursive=True):
                    self._wanted.set()
            except OSError as error:
                log.warning("can't watch %s: %s", folder, error)
            await asyncio.sleep(_WATCH_AGAIN_SECONDS)

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
