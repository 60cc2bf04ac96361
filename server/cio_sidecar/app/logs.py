"""Logging: plain lines on standard error. No message holds a secret or a person's data."""

import logging
import sys


def set_up(level: str) -> None:
    """Log from ``level`` (debug, info, warning, error) upwards."""
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )
    # Its messages may quote addresses of peers and paths of requests.
    logging.getLogger("aiohttp").setLevel(logging.ERROR)
