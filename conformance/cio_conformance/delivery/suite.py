"""Runs delivery cases: against sidecars that it starts, or against one that is there."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from cio_conformance.caller import TargetError
from cio_conformance.delivery.caller import BatchCaller
from cio_conformance.delivery.cases import DeliveryGolden
from cio_conformance.delivery.player import Log, Player
from cio_conformance.fake import FakeCustomerIO
from cio_conformance.fake.host_httpserver import hosted
from cio_conformance.result import Result, Setup, SidecarApi
from cio_conformance.suite import START_SECONDS
from cio_conformance.target import Credentials, started


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
        with _fake(credentials) as (fake, log, url):
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
    with (
        _fake(credentials, fake_host, fake_port) as (fake, log, _),
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


@contextmanager
def _fake(
    credentials: Credentials, host: str = "127.0.0.1", port: int = 0
) -> Iterator[tuple[FakeCustomerIO, Log, str]]:
    log = Log()
    fake = FakeCustomerIO(
        credentials.site_id, credentials.api_key, keep_requests=0, on_received=log.put
    )
    with ExitStack() as stack:
        try:
            url = stack.enter_context(hosted(fake, host, port))
        except OSError as error:
            why = error.strerror or error
            raise TargetError(f"the fake can't listen on {host}:{port}: {why}") from None
        yield fake, log, url
