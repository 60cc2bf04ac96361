"""The command ``fake``: the fake Customer.io alone."""

import click

from cio_conformance.command import fail
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
        from cio_fake.rule_page import table

        click.echo(table(), nl=False)
        return
    from cio_fake.serve import serve_fake

    host, port = listen
    try:
        serve_fake(host, port, site_id=site_id, api_key=api_key, say=click.echo)
    except OSError as error:
        fail(f"can't listen on {host}:{port}: {error.strerror or error}")
