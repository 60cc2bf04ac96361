"""Runs a command's event loop until it ends or a signal stops it."""

import asyncio
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from cio_sidecar.app.config import ConfigError
from cio_sidecar.cli.options import EXIT_REJECTED, EXIT_USAGE, fail

STOPS: Final = (signal.SIGINT, signal.SIGTERM)


def run_until_signal(main: Callable[[asyncio.Event], Coroutine[Any, Any, bool]]) -> None:
    """Run on an event loop; SIGINT and SIGTERM set the event. Exits 1 if main returns False."""

    async def with_signals() -> bool:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in STOPS:
            loop.add_signal_handler(number, stopped.set)
        return await main(stopped)

    try:
        if not asyncio.run(with_signals()):
            sys.exit(EXIT_REJECTED)
    except ConfigError as error:
        fail(error, EXIT_USAGE)
    except Exception as error:
        # Its words may hold a person's data, and so may a traceback.
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        fail(f"internal error, please report it: {type(error).__name__} in {where}", EXIT_REJECTED)
