"""No single request stalls the event loop or swells the process.

The heartbeat is the one timed test that there is: 100 ms is the goal, 250 ms the limit.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Final

import pytest
from cio_sidecar.rpc.server import MESSAGE_BYTES

from tests.large_requests.measured import MeasuredSidecar, Measurement, measured_sidecar
from tests.large_requests.requests import Request, grpc_requests, http_requests

STALL_SECONDS: Final = 0.25
GROWTH_BYTES: Final = 64 * 1024**2 + 8 * MESSAGE_BYTES
_TRIES: Final = 3
_REPEATS: Final = 20
_FIRST: Final = 3
_NOISE_BYTES: Final = 64 * 1024**2
"""Of memory that the allocator keeps; four requests of the largest size that are not freed."""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="memory is read from Linux's /proc"
)


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasuredSidecar]:
    with measured_sidecar(tmp_path_factory.mktemp("large")) as running:
        yield running


def all_requests() -> Iterator[Request]:
    return chain(grpc_requests(), http_requests())


def measure(sidecar: MeasuredSidecar, request: Request) -> Measurement:
    """The best of three: the machine has other work, too."""
    best = sidecar.measure(request)
    for _ in range(_TRIES - 1):
        if best.stall_seconds <= STALL_SECONDS and best.growth_bytes <= GROWTH_BYTES:
            break
        again = sidecar.measure(request)
        best = Measurement(
            again.answer,
            min(best.stall_seconds, again.stall_seconds),
            min(best.growth_bytes, again.growth_bytes),
            max(best.peak_bytes, again.peak_bytes),
        )
    return best


def check(sidecar: MeasuredSidecar, requests: Iterable[Request]) -> dict[str, Measurement]:
    """Measure each request; fails with every one that is over a limit."""
    found = {request.name: measure(sidecar, request) for request in requests}
    over = [
        f"{name}: stall {each.stall_seconds * 1000:.0f} ms, growth {each.growth_bytes:,} bytes, "
        f"answer {each.answer}"
        for name, each in found.items()
        if each.stall_seconds > STALL_SECONDS or each.growth_bytes > GROWTH_BYTES
    ]
    assert not over, "\n".join(over)
    return found


# A prime, so that the sample goes through every loop of the builder.
@pytest.mark.timeout(300)
def test_large_requests_sample(sidecar: MeasuredSidecar) -> None:
    check(sidecar, islice(all_requests(), 11, None, 61))


if "LARGE_REQUESTS" in os.environ:

    @pytest.mark.timeout(3600)
    def test_large_requests_all(sidecar: MeasuredSidecar) -> None:
        """Three thousand requests, for twenty minutes: make large-requests."""
        found = check(sidecar, all_requests())
        largest = sorted(found, key=lambda name: found[name].growth_bytes)[-5:]
        check_repeats(sidecar, [each for each in all_requests() if each.name in largest])


@pytest.mark.timeout(300)
def test_large_requests_repeated(sidecar: MeasuredSidecar) -> None:
    check_repeats(sidecar, [each for each in all_requests() if each.name in REPEATED])


REPEATED: Final = (
    f"Send {MESSAGE_BYTES - 1_000:,} event.user_id long",
    "SendBatch properties of keys of objects",
    "SendBatch 10,000 events 12 violations",
    "HTTP batch of properties of empty objects, NaN",
)


def check_repeats(sidecar: MeasuredSidecar, requests: list[Request]) -> None:
    """Twenty times more the same takes no more memory."""
    assert requests
    for request in requests:
        first = max(sidecar.measure(request).peak_bytes for _ in range(_FIRST))
        most = max(sidecar.measure(request).peak_bytes for _ in range(_REPEATS))
        assert most <= first + _NOISE_BYTES, f"{request.name}: {first:,}, then {most:,} bytes"
