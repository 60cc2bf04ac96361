"""The command ``fake``: the fake Customer.io alone."""

import click

from cio_conformance.command import fail
from cio_conformance.credentials import Credentials
from cio_conformance.options import address, credentials_options


@click.command()
@click.option(
    "--listen", callback=address, default="127.0.0.1:8099", metavar="host:port", show_default=True
)
@credentials_options
@click.option(
    "--rules", is_flag=True, help="Print its rules as a Markdown page, and serve nothing."
)
def fake(listen: tuple[str, int], site_id: str, api_key: str, *, rules: bool) -> None:
    """Serve the fake Customer.io alone, until Ctrl-C, and print each request."""
    if rules:
        from cio_conformance.fake.rule_table import table

        click.echo(table(), nl=False)
        return
    from cio_conformance.caller import TargetError
    from cio_conformance.fake_alone import serve_fake

    try:
        serve_fake(*listen, Credentials(site_id, api_key), click.echo)
    except TargetError as error:
        fail(error)
