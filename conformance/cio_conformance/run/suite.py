"""Runs the suite: against sidecars that it starts, or against one that is there."""

import os
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from cio_sidecar.mapping.errors import TableError

from cio_conformance.cases.golden_cases import Golden
from cio_conformance.drivers.passes import Via
from cio_conformance.run.caller import Caller, TargetError
from cio_conformance.run.credentials import Credentials
from cio_conformance.run.inbox import Inbox
from cio_conformance.run.processes import Launch, Processes
from cio_conformance.run.result import APIS, Result, Setup, SidecarApi
from cio_conformance.run.runner import Runner
from cio_conformance.run.sidecars import hosted_fake, started, variable
from cio_conformance.workbench.in_process import Mappers, run_direct

AT_ONCE: Final = max(3, min(os.cpu_count() or 1, 4))
"""How many sidecars run at a time.

Each waits for the disk for most of its time; many more than the processors bear gain nothing.
"""
START_SECONDS: Final = 30
"""How long a sidecar may take until it serves."""


def run_started(
    goldens: Sequence[Golden],
    *,
    apis: Sequence[SidecarApi] = APIS,
    overlay: Path | None = None,
    credentials: Credentials,
    patience_seconds: float,
    launch: Launch | None = None,
    seed: int | None = None,
    note: Callable[[str], None] = lambda _: None,
    via: Via | None = None,
) -> list[Result]:
    """Start a sidecar for every setup that the cases need, and run its cases. Raises TargetError.

    Cases that need loose JSON are run in direct mode; where ``launch`` starts another
    implementation, or drivers send the events (``via``), they are skipped. ``seed`` is that of the
    order in which the cases run, theirs if None. ``note`` is told what a sidecar said for which a
    case failed.
    """
    cases: dict[Setup, list[Golden]] = defaultdict(list)
    for golden in goldens:
        for api in apis:
            cases[Setup(golden.case.profile, api, overlay, golden.settings)].append(golden)

    def run(setup: Setup) -> list[Result]:
        sendable, loose = _split(cases[setup])
        rendered = _skipped(loose, setup) if launch or via else _directly(loose, setup, seed)
        return [*_run_started(sendable, setup, how), *rendered]

    processes = Processes()
    how = _How(credentials, patience_seconds, launch, processes, seed, note, via)
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        try:
            # The longest first: none is left to run alone at the end.
            longest_first = sorted(cases, key=lambda setup: (-len(cases[setup]), setup))
            ended = dict(zip(longest_first, pool.map(run, longest_first), strict=True))
            return [result for setup in sorted(cases) for result in ended[setup]]
        except BaseException:
            # Of an interrupted run nobody wants the rest.
            processes.give_up()
            raise


def run_target(
    goldens: Sequence[Golden],
    setup: Setup,
    *,
    address: str,
    fake_host: str,
    fake_port: int,
    credentials: Credentials,
    patience_seconds: float,
    tls: grpc.ChannelCredentials | None = None,
    seed: int | None = None,
    via: Via | None = None,
) -> list[Result]:
    """Run the cases of one profile against a sidecar that sends to the fake hosted here.

    Cases that need loose JSON, or settings, are skipped. ``seed`` is that of their order, as in
    `run_started`. Raises TargetError.
    """
    mine = [golden for golden in goldens if golden.case.profile == setup.profile]
    sendable, loose = _split([golden for golden in mine if not golden.settings])
    inbox = Inbox()
    with (
        hosted_fake(credentials, inbox.put, fake_host, fake_port),
        Caller(address, timeout_seconds=patience_seconds, credentials=tls) as caller,
    ):
        caller.wait_until_serving(patience_seconds, lambda: None)
        if via:
            results = via.run(_shuffled(sendable, seed), setup, address, inbox, patience_seconds)
        else:
            runner = Runner(setup, caller, inbox, patience_seconds=patience_seconds)
            runner.run(_shuffled(sendable, seed))
            runner.close()
            results = runner.results(sendable)
    skipped = _skipped(loose, setup)
    skipped += [
        Result(golden, setup, "skipped", f"the target would need {_variables(golden)}")
        for golden in mine
        if golden.settings
    ]
    return [*results, *skipped]


@dataclass(frozen=True, slots=True)
class _How:
    """What is the same for every sidecar of a run; see `run_started`."""

    credentials: Credentials
    patience_seconds: float
    launch: Launch | None
    processes: Processes
    seed: int | None
    note: Callable[[str], None]
    via: Via | None


def _run_started(goldens: Sequence[Golden], setup: Setup, how: _How) -> list[Result]:
    if not goldens:
        return []
    inbox = Inbox()
    with hosted_fake(how.credentials, inbox.put) as (_, url):
        with (
            started(
                setup, url, how.credentials, how.launch, how.processes, dedup=how.via is None
            ) as sidecar,
            Caller(sidecar.address, timeout_seconds=how.patience_seconds) as caller,
        ):
            try:
                caller.wait_until_serving(START_SECONDS, sidecar.check)
            except TargetError as error:
                if sidecar.process.exit_code() is not None:
                    raise
                raise TargetError(f"{error}\n{sidecar.account()}") from None
            if how.via:
                shuffled = _shuffled(goldens, how.seed)
                return how.via.run(shuffled, setup, sidecar.address, inbox, how.patience_seconds)
            runner = Runner(
                setup,
                caller,
                inbox,
                patience_seconds=how.patience_seconds,
                explain=sidecar.account,
            )
            runner.run(_shuffled(goldens, how.seed))
        # It has delivered what was in flight: nothing can come any more.
        runner.close()
    results = runner.results(goldens)
    if any(result.outcome == "failed" for result in results):
        how.note(f"[{setup}] {sidecar.account()}")
    return results


def _shuffled(goldens: Sequence[Golden], seed: int | None) -> list[Golden]:
    return list(goldens) if seed is None else random.Random(seed).sample(goldens, len(goldens))  # noqa: S311


def _directly(loose: Sequence[Golden], setup: Setup, seed: int | None) -> list[Result]:
    try:
        return run_direct(
            loose, apis=[setup.api], mappers=Mappers(setup.overlay), seed=seed
        ).results
    except TableError as error:
        raise TargetError(str(error)) from None


def _skipped(loose: Sequence[Golden], setup: Setup) -> list[Result]:
    words = "left to render: gRPC's messages can't hold the event"
    return [Result(golden, setup, "skipped", words) for golden in loose]


def _variables(golden: Golden) -> str:
    return " ".join(f"{variable(name)}={value}" for name, value in golden.settings)


def _split(goldens: Sequence[Golden]) -> tuple[list[Golden], list[Golden]]:
    """Cases that go over gRPC, and those that only JSON can hold."""
    sendable = [golden for golden in goldens if golden.family.needs == "grpc"]
    return sendable, [golden for golden in goldens if golden.family.needs == "json"]
