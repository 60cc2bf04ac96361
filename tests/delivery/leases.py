"""Leased events out of thin air, for the tests of the pure delivery core."""

from __future__ import annotations

from cio_sidecar.customerio import requests
from cio_sidecar.customerio.answers import Outcome
from cio_sidecar.customerio.encoders import JOINED, V1_ONLY, Operation
from cio_sidecar.delivery.lane import Shipment
from cio_sidecar.delivery.policy import Policy, Probe, Settlement
from cio_sidecar.delivery.result import DELIVERED, Result, Returned
from cio_sidecar.event_queue.model import Leased

BATCH_BYTES = 600
"""Of a batch in these tests."""


def leased(
    seq: int,
    *names: str,
    size: int = 20,
    v1_only: bool = False,
    parts: int = 1,
    accepted_at: int = 0,
) -> Leased:
    """An event of a person; of several names, one that joins them. ``size`` is an item's bytes."""
    lane = JOINED.join(names)
    item = b'"%s"' % (b"x" * (size - 2))
    operation = Operation(lane, item, V1_ONLY if v1_only else 0)
    return Leased(seq, lane, (operation,) * parts, accepted_at=accepted_at)


def body_bytes(shipment: Shipment) -> int:
    operations = [operation for event in shipment.events for operation in event.operations]
    return len(requests.v2_batch(operations).body)


def seqs(shipment: Shipment | Probe | None) -> list[int]:
    """Which events are in a shipment."""
    assert isinstance(shipment, Shipment), f"expected a shipment, got {shipment}"
    return [event.seq for event in shipment.events]


def delivered(shipment: Shipment, seconds: float = 0.0) -> Returned:
    return Returned([DELIVERED] * len(shipment.events), seconds=seconds)


def whole(
    shipment: Shipment,
    outcome: Outcome,
    status: int = 503,
    wait_seconds: float | None = None,
) -> Returned:
    """One answer for all of a shipment."""
    result = Result(outcome, f"HTTP {status}", status, wait_seconds=wait_seconds)
    return Returned([result] * len(shipment.events), whole=True)


def retry(shipment: Shipment, status: int = 503, wait_seconds: float | None = None) -> Returned:
    return whole(shipment, Outcome.RETRY, status, wait_seconds)


def rejected(shipment: Shipment) -> Returned:
    return whole(shipment, Outcome.REJECTED, 400)


def ends(policy: Policy, shipment: Shipment, returned: Returned, now: float) -> Settlement:
    """Bring a shipment to its end: what is settled is on disk at once."""
    settlement = policy.returned(shipment, returned, now)
    policy.settled(settlement)
    return settlement
