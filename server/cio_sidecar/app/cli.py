"""The command ``cio-sidecar``."""

import asyncio
import gc
import io
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Collection, Coroutine, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import click
import orjson
from pydantic_core import PydanticUndefined
from ulid import ULID

from cio_sidecar import __version__
from cio_sidecar.app import logs, show_tables
from cio_sidecar.app.command import (
    EXIT_REFUSED,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    Target,
    fail,
    target_option,
)
from cio_sidecar.app.config import (
    ENV_PREFIX,
    SECRETS,
    ConfigError,
    Settings,
    load_settings,
    unknown_variables,
)
from cio_sidecar.app.tables import load_tables
from cio_sidecar.intake import iso_time
from cio_sidecar.mapping.options import Options
from cio_sidecar.mapping.profiles import TableSet
from cio_sidecar.mapping.schema import table_schema
from cio_sidecar.mapping.transforms import NoValue, unix_seconds
from cio_sidecar.renderer import Renderer

log = logging.getLogger(__name__)

_FLAGS: Final = tuple(name for name in Settings.model_fields if name not in SECRETS)
# The fake stands in for all of these.
_NOT_OF_DEV: Final = frozenset(
    {"site_id", "site_id_file", "api_key_file", "region", "base_url", "data_dir", "shared_listen"}
    | {"tls_cert_file", "tls_key_file", "tls_client_ca_file"}
)
_STOPS: Final = (signal.SIGINT, signal.SIGTERM)
_OF_MAPPING: Final = ("profile", "overlay", *(field.name for field in fields(Options)))
_Command = Callable[..., Any]


def _settings_options(names: Iterable[str]) -> Callable[[_Command], _Command]:
    """Give a command an option for each of these settings, and ``--config``."""

    def decorate(command: _Command) -> _Command:
        for name in reversed([*names]):
            setting = Settings.model_fields[name]
            default = setting.default
            shown = (
                "" if default in (None, "", (), PydanticUndefined) else f"  [default: {default}]"
            )
            command = click.option(
                f"--{name.replace('_', '-')}", name, help=f"{setting.description}{shown}"
            )(command)
        return click.option(
            "--config",
            type=click.Path(path_type=Path),
            envvar=f"{ENV_PREFIX}CONFIG",
            help="Settings file, TOML (.toml) or YAML.",
        )(command)

    return decorate


def _settings(
    config: Path | None,
    flags: dict[str, Any],
    check: Callable[[Settings, Collection[str]], list[str]] | None = None,
) -> Settings:
    try:
        given = {name: value for name, value in flags.items() if value is not None}
        return load_settings(given, config, check)
    except ConfigError as error:
        fail(error, EXIT_USAGE)


def _run(main: Callable[[asyncio.Event], Coroutine[Any, Any, bool]]) -> None:
    """Run on an event loop; SIGINT and SIGTERM set the event. Exit 1 where main returns False."""

    async def with_signals() -> bool:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in _STOPS:
            loop.add_signal_handler(number, stopped.set)
        return await main(stopped)

    try:
        if not asyncio.run(with_signals()):
            sys.exit(EXIT_REFUSED)
    except ConfigError as error:
        fail(error, EXIT_USAGE)
    except Exception as error:
        # Its words may hold a person's data, and so may a traceback.
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        fail(f"internal error, please report it: {type(error).__name__} in {where}", EXIT_REFUSED)


class _Commands(click.Group):
    """Loads the commands that need gRPC when one of them is asked for: that takes its time."""

    _lazy = ("dead-letters", "delivery")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self._lazy])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        from cio_sidecar.app import delivery_commands

        return delivery_commands.COMMANDS[cmd_name]


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="cio-sidecar")
def main() -> None:
    """A gRPC sidecar that maps analytics events to Customer.io and delivers them.

    Every setting is also a variable: --site-id is CIO_SITE_ID, and so on. A flag goes before a
    variable, a variable before the settings file.
    """


@main.command()
@_settings_options(_FLAGS)
def serve(config: Path | None, **flags: Any) -> None:
    """Run the sidecar until SIGTERM or Ctrl-C. SIGHUP has it read its tables again."""
    # Until the event loop runs. The first process of a container would ignore SIGTERM.
    for number in _STOPS:
        signal.signal(number, lambda *_: sys.exit(0))
    from cio_sidecar.app.preflight import start_problems
    from cio_sidecar.app.sidecar import Sidecar

    logs.set_up("info")
    for name in unknown_variables(os.environ):
        log.warning("%s is set, but there is no such setting", name)
    settings = _settings(config, flags, start_problems)
    logs.set_up(settings.log_level)

    async def run(stopped: asyncio.Event) -> bool:
        sidecar = Sidecar(settings)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, sidecar.reload)

        def stop() -> None:
            if stopped.is_set():
                sidecar.stop_at_once()
            stopped.set()

        for number in _STOPS:
            loop.add_signal_handler(number, stop)
        async with sidecar:
            _collect_less_often()
            await sidecar.until(stopped)
        return True

    _run(run)


def _collect_less_often() -> None:
    """Have the garbage collector leave alone what is there to stay, and look less often.

    Events make objects by the thousand that are gone without it; to look through them took a tenth
    of the time. But each call of gRPC leaves a dozen that it alone removes, while everybody waits:
    of fifty thousand, for 80 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


@main.command()
@click.option("--once", is_flag=True, help="Play the sample events, then end.")
@_settings_options([name for name in _FLAGS if name not in _NOT_OF_DEV])
def dev(config: Path | None, once: bool, **flags: Any) -> None:
    """Run the sidecar against a fake Customer.io, and play sample events.

    No credentials are needed. Shows each event, its receipt, the request it becomes and the
    answer; then stays up, so that you can send events of your own.
    """
    from cio_sidecar.app import dev as dev_mode

    settings = _settings(config, flags)
    logs.set_up("warning")
    _run(lambda stopped: dev_mode.run(settings, once=once, stopped=stopped))


@main.command()
@click.option("--api", default="v2", show_default=True, type=click.Choice(["v1", "v2"]))
@click.option("--explain", is_flag=True, help="Say which row gave each output key.")
@click.option("--now", help="Stands for the time of receipt: ISO 8601 or Unix seconds.")
@_settings_options(_OF_MAPPING)
def render(api: str, explain: bool, now: str | None, config: Path | None, **flags: Any) -> None:
    """Show what events become: NDJSON in on standard input, a JSON line each on standard output.

    Nothing is stored or sent. Exit 1 if any event is refused.
    """
    from cio_sidecar.app.render import render_lines

    try:
        renderer = Renderer(load_tables(_settings(config, flags)))
        received_at = _moment(now)
    except ConfigError as error:
        fail(error, EXIT_USAGE)
    _require_input()
    all_good = True
    output = sys.stdout.buffer
    for good, line in render_lines(
        sys.stdin.buffer,
        renderer,
        v1=api == "v1",
        explain=explain,
        received_at=iso_time(received_at),
        new_message_id=lambda: str(ULID()),
    ):
        all_good = all_good and good
        output.write(line + b"\n")
        output.flush()
    if not all_good:
        sys.exit(EXIT_REFUSED)


def _require_input() -> None:
    if sys.stdin is None:
        error = ConfigError("standard input is closed: give events, a JSON object a line")
        fail(error, EXIT_USAGE)


def _moment(now: str | None) -> float:
    if now is None:
        return time.time()
    seconds = unix_seconds(now)
    if isinstance(seconds, NoValue):
        raise ConfigError(f"--now: expected an ISO 8601 date-time or Unix seconds, got {now!r}")
    return float(seconds)


@main.command()
@target_option
@click.option(
    "--patience",
    default=30.0,
    show_default=True,
    help="How long to try again when the sidecar is busy or not there, in seconds.",
)
def send(target: Target, patience: float) -> None:
    """Send events: NDJSON on standard input, a JSON receipt each on standard output.

    Exit 1 if any event is refused, 3 if the sidecar can't be reached: it says then how many events
    were acknowledged, and which line is the first without a receipt.
    """
    from cio_sidecar.app.send import SendFailed, send_lines

    counts = {"accepted": 0, "duplicate": 0, "refused": 0}
    _require_input()
    # A reader of its own: a thread may be waiting on it when the process ends, and that of sys
    # could not be closed then.
    lines = io.BufferedReader(io.FileIO(0, closefd=False))
    output = sys.stdout.buffer
    progress = sys.stderr.isatty() and not sys.stdout.isatty()
    try:
        for receipt in send_lines(lines, target, patience_seconds=patience):
            output.write(orjson.dumps(receipt) + b"\n")
            output.flush()
            counts[receipt["status"]] += 1
            if progress and sum(counts.values()) % 100 == 0:
                click.echo(f"\r{sum(counts.values()):,} events", nl=False, err=True)
    except SendFailed as error:
        fail(error, EXIT_UNAVAILABLE)
    if progress:
        words = ", ".join(f"{count:,} {status}" for status, count in counts.items())
        click.echo(f"\r{words}", err=True)
    if counts["refused"]:
        sys.exit(EXIT_REFUSED)


@main.group()
def queue() -> None:
    """Look after the queue file of a sidecar that is stopped."""


@queue.command("recover")
@_settings_options(["data_dir"])
def recover_queue(config: Path | None, **flags: Any) -> None:
    """Save what can be read of a damaged queue file into a new one; the old one is kept beside it.

    A sound file is left as it is. Exit 1 where some could not be read, 2 where nothing could be, or
    the file is in use.
    """
    from cio_sidecar.delivery.queue.entry import QueueError
    from cio_sidecar.delivery.queue.recover import recover

    path = _settings(config, flags).queue_file
    try:
        recovered = recover(path, time.time())
    except QueueError as error:
        fail(error, EXIT_USAGE)
    if recovered is None:
        click.echo(f"{path} is sound: there is nothing to recover, and it is left as it is")
        return
    click.echo(
        f"saved in {path}: {recovered.events:,} event(s), {recovered.dead_letters:,} dead "
        f"letter(s), {recovered.message_ids:,} remembered message id(s)"
    )
    click.echo(f"the damaged file is kept as {recovered.kept}")
    for table, first, last in recovered.gaps:
        click.echo(f"can't be read: what may have been in {table} from {first} to {last}", err=True)
    if recovered.gaps:
        sys.exit(EXIT_REFUSED)


@main.group()
def tables() -> None:
    """Look at the mapping tables, and check your own."""


@tables.command("list")
@_settings_options(_OF_MAPPING)
def list_tables(config: Path | None, **flags: Any) -> None:
    """List the tables in force."""
    _print(show_tables.summary(_tables(config, flags)))


@tables.command("show")
@click.argument("name", required=False)
@_settings_options(_OF_MAPPING)
def show_table(name: str | None, config: Path | None, **flags: Any) -> None:
    """Show tables as they are in force (NAME alone, or all), and where each row comes from."""
    loaded = _tables(config, flags)
    if name is not None and name not in loaded.tables:
        known = ", ".join(sorted(loaded.tables))
        fail(ConfigError(f"there is no table {name!r}; there are {known}"), EXIT_USAGE)
    for table in sorted(loaded.tables):
        if name in (None, table):
            _print(show_tables.effective(loaded, table))


@tables.command("check")
@click.argument("overlay")
@_settings_options([name for name in _OF_MAPPING if name != "overlay"])
def check_tables(config: Path | None, **flags: Any) -> None:
    """Check the tables in the folder OVERLAY; names every mistake with file, line and row."""
    loaded = _tables(config, flags)
    overlay = flags["overlay"]
    rows = {
        row.name: row
        for table in loaded.tables.values()
        for row in table.rows
        if Path(row.origin).parent == Path(overlay)
    }
    _print(show_tables.notes(rows.values()))
    click.echo(f"no mistakes; rows of {overlay} in force: {len(rows)}")


@tables.command("diff")
@click.argument("overlay")
@_settings_options([name for name in _OF_MAPPING if name != "overlay"])
def diff_tables(config: Path | None, **flags: Any) -> None:
    """Show what the tables in the folder OVERLAY change."""
    settings = _settings(config, flags)
    before = load_tables(settings.model_copy(update={"overlay": None}))
    _print(show_tables.differences(before, _tables(config, flags)))


@tables.command("schema")
def schema() -> None:
    """Print the JSON Schema of table files, for editors."""
    click.echo(orjson.dumps(table_schema(), option=orjson.OPT_INDENT_2))


def _tables(config: Path | None, flags: dict[str, Any]) -> TableSet:
    try:
        return load_tables(_settings(config, flags))
    except ConfigError as error:
        fail(error, EXIT_USAGE)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)
