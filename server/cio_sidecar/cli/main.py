"""The command ``cio-sidecar``. Each command's module is imported only when it is used."""

from importlib import import_module
from typing import Final

import click

from cio_sidecar import __version__

_COMMANDS: Final = {
    "dead-letters": ("delivery", "List, show, replay, export and purge dead letters."),
    "delivery": ("delivery", "Show, pause and resume the delivery of a running sidecar."),
    "dev": ("dev", "Run the sidecar with a fake Customer.io, and play sample events."),
    "queue": ("queue", "Recover the queue file of a stopped sidecar."),
    "render": ("render", "Print the requests that events become."),
    "send": ("send", "Send events to a running sidecar."),
    "serve": ("serve", "Run the sidecar until SIGTERM or Ctrl-C."),
    "tables": ("tables", "List, show, check and compare mapping tables."),
}
"""The module and the one-line help of each command."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"cio_sidecar.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="cio-sidecar")
def main() -> None:
    """A gRPC sidecar that maps analytics events to Customer.io and delivers them.

    Every setting is also a variable: --site-id is CIO_SITE_ID, and so on. A flag overrides a
    variable; a variable overrides the settings file.
    """
