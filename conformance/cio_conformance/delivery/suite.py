"""Runs delivery cases: against sidecars that it starts, or against one that is there."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from cio_conformance.delivery.caller import BatchCaller
from cio_conformance.delivery.cases import DeliveryGolden
from cio_conformance.delivery.player import Log, Player
from cio_conformance.run.credentials import Credentials
from cio_conformance.run.result import Result, Setup, SidecarApi
from cio_conformance.run.sidecars import hosted_fake, started
from cio_conformance.run.suite import START_SECONDS


def run_started(
    goldens: Sequence[DeliveryGolden],
    *,
    apis: Sequence[SidecarApi],
    credentials: Credentials,
    patience_seconds: float,
) -> list[Result]:
    """Start a sidecar for each API, all at a time, and play the cases. Raises TargetError."""

    def run(api: SidecarApi) -> list[Result]:
        setup = Setup("standard", api)
        log = Log()
        with hosted_fake(credentials, log.put) as (fake, url):
            with (
                started(setup, url, credentials) as sidecar,
                BatchCaller(sidecar.address, timeout_seconds=patience_seconds) as caller,
            ):
                caller.wait_until_serving(START_SECONDS, sidecar.check)
                player = Player(
                    setup,
                    caller,
                    fake,
                    log,
                    credentials=credentials,
                    patience_seconds=patience_seconds,
                    explain=sidecar.account,
                )
                player.play(goldens)
            # It has delivered what was in flight: nothing can come any more.
            return player.results()

    with ThreadPoolExecutor(max_workers=len(apis)) as pool:
        return [result for results in pool.map(run, apis) for result in results]


def run_target(
    goldens: Sequence[DeliveryGolden],
    setup: Setup,
    *,
    address: str,
    fake_host: str,
    fake_port: int,
    credentials: Credentials,
    patience_seconds: float,
) -> list[Result]:
    """Play the cases against a sidecar that sends to the fake hosted here. Raises TargetError."""
    log = Log()
    with (
        hosted_fake(credentials, log.put, fake_host, fake_port) as (fake, _),
        BatchCaller(address, timeout_seconds=patience_seconds) as caller,
    ):
        caller.wait_until_serving(patience_seconds, lambda: None)
        player = Player(
            setup,
            caller,
            fake,
            log,
            credentials=credentials,
            patience_seconds=patience_seconds,
        )
        player.play(goldens)
        # What came too often, or late, has come by now, if the sidecar is quick.
        player.flush("the last case")
        return player.results()
