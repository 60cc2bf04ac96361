"""The options of ``cio-conformance run`` that say what is tested, and in which order."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import click
from click.core import ParameterSource

from cio_conformance.drivers import Call, Route
from cio_conformance.options import address

if TYPE_CHECKING:
    # Direct mode starts in half the time without gRPC.
    import grpc

    from cio_conformance.drivers.passes import Via
    from cio_conformance.run.processes import Launch

_SEEDS: Final = 2**32
_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What is tested: a target that is there, a command to start, or this package's sidecar.

    Raises click.UsageError where options contradict each other.
    """

    target: str | None
    fake_listen: tuple[str, int] | None
    command: str | None
    tcp: bool
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    overlay: Path | None
    via_commands: tuple[str, ...] = ()
    via_routes: tuple[Route, ...] = ()
    via_calls: tuple[Call, ...] = ()

    def __post_init__(self) -> None:
        if self.target and self.command is not None:
            raise click.UsageError(
                "--target and --exec exclude each other: a target is there already"
            )
        if (self.target is None) != (self.fake_listen is None):
            raise click.UsageError("--target and --fake-listen go together")
        if self.target and self.overlay:
            raise click.UsageError(
                "--overlay is for sidecars that the suite starts; the target has its own"
            )
        if self.tcp and self.command is None:
            raise click.UsageError("--exec-tcp is for --exec alone")
        if self.tls_ca and not self.target:
            raise click.UsageError("TLS is for --target alone")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise click.UsageError("--tls-cert and --tls-key go together")
        if self.tls_cert and not self.tls_ca:
            raise click.UsageError("--tls-cert and --tls-key need --tls-ca")

        if not self.via_commands and (self.via_routes or self.via_calls):
            raise click.UsageError("--via-route and --via-call are for --via alone")
        if self.via_commands and self.tls_cert:
            raise click.UsageError("--via takes no --tls-cert: drivers show no certificate")

    def via(self) -> "Via | None":
        """The drivers to send through; None without any. Raises click.UsageError."""
        from cio_conformance.drivers.passes import Via

        if not self.via_commands:
            return None
        tls = {"CIO_TLS_CA_FILE": str(self.tls_ca.absolute())} if self.tls_ca else {}
        try:
            via = Via.parse(self.via_commands, self.via_routes, self.via_calls, tls)
        except ValueError as error:
            raise click.UsageError(f"--via: {error}") from None
        if self.target and via.passes > 1:
            raise click.UsageError(
                "--target remembers message ids: give one --via, --via-route and --via-call"
            )
        return via

    def launch(self) -> "Launch | None":
        """How to start the command; None without one. Raises click.UsageError."""
        from cio_conformance.run.processes import Launch

        if self.command is None:
            return None
        try:
            return Launch.parse(self.command, tcp=self.tcp)
        except ValueError as error:
            raise click.UsageError(f"--exec: {self.command!r} is no command: {error}") from None

    def tls(self) -> "grpc.ChannelCredentials | None":
        """The credentials of TLS; None where the target speaks plain text. Raises TargetError."""
        from cio_conformance.run.tls import channel_credentials

        if self.tls_ca is None:
            return None
        return channel_credentials(self.tls_ca, self.tls_cert, self.tls_key)


target_option: Final = click.option(
    "--target",
    metavar="host:port|unix:PATH",
    help="A sidecar that is there already; without it the suite starts its own.",
)

fake_listen_option: Final = click.option(
    "--fake-listen",
    callback=address,
    metavar="host:port",
    help="Where to serve the fake that the target sends to (its CIO_BASE_URL). With --target only.",
)


def tested_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `Tested` is made of, save ``--overlay``."""
    for option in (
        click.option("--tls-key", type=_FILE, help="The key of --tls-cert (PEM)."),
        click.option(
            "--tls-cert", type=_FILE, help="The certificate to show to a target that asks (PEM)."
        ),
        click.option(
            "--tls-ca",
            type=_FILE,
            help="Reach the target by TLS, and trust the certificates of this file (PEM).",
        ),
        click.option(
            "--exec-tcp",
            "tcp",
            is_flag=True,
            help="Have the command listen on a free port of 127.0.0.1, not on a unix socket.",
        ),
        click.option(
            "--exec",
            "command",
            metavar="COMMAND",
            help="Start this implementation in place of the suite's own, told by variables "
            "(CIO_LISTEN, CIO_BASE_URL, …) what to do; see docs/protocol.md.",
        ),
        click.option(
            "--via-call",
            "via_calls",
            multiple=True,
            type=click.Choice(get_args(Call)),
            help="By which call drivers send; may be given again. send if not given.",
        ),
        click.option(
            "--via-route",
            "via_routes",
            multiple=True,
            type=click.Choice(get_args(Route)),
            help="In which form drivers send objects; both if not given.",
        ),
        click.option(
            "--via",
            "via_commands",
            multiple=True,
            metavar="COMMAND",
            help="Send through this driver of a caller in another language, such as "
            "clients/go/driver; may be given again. See docs/callers/driver.md.",
        ),
        fake_listen_option,
        target_option,
    ):
        command = option(command)
    return command


render_option: Final = click.option(
    "--render",
    is_flag=True,
    help="Direct mode: hold the tables alone against the goldens, within this process, without a "
    "sidecar.",
)

_OF_A_SIDECAR: Final = (
    ("target", "--target"),
    ("fake_listen", "--fake-listen"),
    ("command", "--exec"),
    ("tcp", "--exec-tcp"),
    ("tls_ca", "--tls-ca"),
    ("tls_cert", "--tls-cert"),
    ("tls_key", "--tls-key"),
    ("site_id", "--site-id"),
    ("api_key", "--api-key"),
    ("patience", "--patience"),
    ("via_commands", "--via"),
    ("via_routes", "--via-route"),
    ("via_calls", "--via-call"),
)


def reject_what_needs_a_sidecar(context: click.Context) -> None:
    """Reject the options that mean nothing to direct mode. Raises click.UsageError."""
    given = [
        flag
        for name, flag in _OF_A_SIDECAR
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    if given:
        raise click.UsageError(
            f"--render takes no {' or '.join(given)}: it maps within this process, and there is no "
            "sidecar to reach; leave one of them out"
        )


known_option: Final = click.option(
    "--known-failing",
    type=_FILE,
    metavar="FILE",
    help="Names of cases that may fail, one a line; one of them that passes fails the run.",
)


def seed_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The seed of the order in which cases run: that given, else a new one, which is shown."""

    def choose(_: click.Context, __: click.Parameter, value: int | None) -> int:
        if value is not None:
            return value
        seed = random.randrange(_SEEDS)  # noqa: S311 (an order is no secret)
        click.echo(f"cases in random order; --seed {seed} repeats it", err=True)
        return seed

    return click.option(
        "--seed",
        type=click.IntRange(min=0),
        callback=choose,
        metavar="N",
        help="Run the cases in the order of an earlier run, which showed this seed.",
    )(command)
