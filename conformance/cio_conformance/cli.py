"""The command ``cio-conformance``."""

from importlib import import_module
from typing import Final

import click
from cio_sidecar import __version__


class _Commands(click.Group):
    """Loads a command's module when it is asked for: what all need together would take longer to
    load than direct mode takes.
    """

    _modules: Final = {
        "update": "cio_conformance.workbench.golden.update",
        "coverage": "cio_conformance.workbench.coverage.command",
        "delivery": "cio_conformance.delivery.command",
        "fake": "cio_conformance.fake_command",
        "mutate": "cio_conformance.workbench.mutation.command",
        "new": "cio_conformance.workbench.golden.new",
        "run": "cio_conformance.run.command",
        "schema": "cio_conformance.cases.schema_command",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in self._modules:
            return None
        try:
            command: click.Command = getattr(import_module(self._modules[cmd_name]), cmd_name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("cio_"):
                raise
            click.echo(
                f"cio-conformance: the module {error.name} is not installed: "
                "pip install 'cio-sidecar[conformance]'",
                err=True,
            )
            raise SystemExit(2) from None
        return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="cio-conformance")
def main() -> None:
    """Prove a sidecar against golden cases and a fake Customer.io."""
