"""``cio-sidecar queue``: commands for the queue file of a stopped sidecar."""

import sys
import time
from pathlib import Path
from typing import Any

import click

from cio_sidecar.cli.options import EXIT_REJECTED, EXIT_USAGE, fail
from cio_sidecar.cli.settings import settings_from, settings_options
from cio_sidecar.event_queue.errors import QueueError
from cio_sidecar.event_queue.recover import recover


@click.group()
def queue() -> None:
    """Recover the queue file of a stopped sidecar."""


@queue.command("recover")
@settings_options(["data_dir"])
def recover_queue(config: Path | None, **flags: Any) -> None:
    """Save what can be read of a damaged queue file into a new one; the old one is kept.

    An intact file is not changed. Exits 1 if some of it could not be read, and 2 if nothing could
    be or the file is in use.
    """
    path = settings_from(config, flags).queue_file
    try:
        recovered = recover(path, time.time())
    except QueueError as error:
        fail(error, EXIT_USAGE)
    if recovered is None:
        click.echo(f"{path} is intact: there is nothing to recover, and it is not changed")
        return
    click.echo(
        f"saved in {path}: {recovered.events:,} event(s), {recovered.dead_letters:,} dead "
        f"letter(s), {recovered.message_ids:,} remembered message id(s)"
    )
    click.echo(f"the damaged file is kept as {recovered.kept}")
    for table, first, last in recovered.gaps:
        click.echo(f"can't be read: what may have been in {table} from {first} to {last}", err=True)
    if recovered.gaps:
        sys.exit(EXIT_REJECTED)
