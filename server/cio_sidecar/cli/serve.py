"""``cio-sidecar serve``."""

import asyncio
import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from cio_sidecar.app import logs
from cio_sidecar.app.config import unknown_variables
from cio_sidecar.cli.settings import FLAGS, settings_from, settings_options
from cio_sidecar.cli.signals import STOPS, run_until_signal

log = logging.getLogger(__name__)


@click.command()
@settings_options(FLAGS)
def serve(config: Path | None, **flags: Any) -> None:
    """Run the sidecar until SIGTERM or Ctrl-C. SIGHUP reloads its tables."""
    # Until the event loop runs. The first process of a container would ignore SIGTERM.
    for number in STOPS:
        signal.signal(number, lambda *_: sys.exit(0))
    from cio_sidecar.app.preflight import start_problems
    from cio_sidecar.app.sidecar import Sidecar

    logs.set_up("info")
    for name in unknown_variables(os.environ):
        log.warning("%s is set, but there is no such setting", name)
    settings = settings_from(config, flags, start_problems)
    logs.set_up(settings.log_level)

    async def run(stopped: asyncio.Event) -> bool:
        sidecar = Sidecar(settings)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, sidecar.reload)

        def stop() -> None:
            if stopped.is_set():
                sidecar.stop_at_once()
            stopped.set()

        for number in STOPS:
            loop.add_signal_handler(number, stop)
        async with sidecar:
            collect_less_often()
            await sidecar.until(stopped)
        return True

    run_until_signal(run)


def collect_less_often() -> None:
    """Exempt long-lived objects from garbage collection, and collect less often.

    Events create thousands of objects that reference counting frees; scanning them took a tenth of
    the time. But each gRPC call leaves a dozen that only the collector frees, and a collection of
    fifty thousand stops everything for 80 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
