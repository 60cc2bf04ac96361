"""People whose events fail, and who fill all that is read from the queue when a sidecar starts."""

from __future__ import annotations

from random import Random

import pytest
from cio_sidecar.delivery.dispatcher import WINDOW_EVENTS
from cio_sidecar.delivery.lane import Shipment
from cio_sidecar.delivery.policy import Policy
from cio_sidecar.event_queue.model import Leased

from tests.delivery.leases import delivered, leased, retry


class Delivery:
    """A queue, read as the dispatcher reads it, and a server that fails for some people; the clock
    jumps to whenever there is something to do."""

    def __init__(self, queue: list[Leased], seed: int) -> None:
        self.queue = queue
        self.read = 0
        self.now = 0.0
        self.policy = Policy(
            v1=False, batch_bytes=500_000, concurrency=8, random=Random(seed).random
        )
        self.delivered: list[Leased] = []

    def fill(self) -> None:
        lanes, policy = self.policy.lanes, self.policy
        while (hungry := lanes.hungry()) is not None:
            lane, places = hungry
            lanes.feed(lane, places, [leased(seq, lane.names[0]) for seq in places])
        if lanes.size >= WINDOW_EVENTS * 3 // 4:
            lanes.make_room(trouble=policy.in_trouble)
        room = WINDOW_EVENTS - lanes.size
        if room > WINDOW_EVENTS // 4:
            lanes.add(self.queue[self.read : self.read + room])
            self.read += room

    def step(self) -> None:
        shipment = self.policy.next(self.now)
        if shipment is None:
            self.fill()
            shipment = self.policy.next(self.now)
        if shipment is None:
            next_time = self.policy.next_time(self.now)
            assert next_time is not None
            self.now = next_time
            return
        assert isinstance(shipment, Shipment)
        stuck = any(event.lane.startswith("p:stuck") for event in shipment.events)
        answer = retry(shipment) if stuck else delivered(shipment)
        self.now += 0.01
        settlement = self.policy.returned(shipment, answer, self.now)
        self.delivered += settlement.delivered
        self.policy.settled(settlement)


@pytest.mark.parametrize("seed", range(5))
def test_those_behind_them_are_delivered_within_seconds(seed: int) -> None:
    queue = [leased(seq, f"p:stuck{seq % 60}") for seq in range(60_000)]
    queue += [leased(60_000 + seq, f"p:{seq % 500}") for seq in range(2_000)]
    delivery = Delivery(queue, seed)
    while not delivery.delivered:
        delivery.step()
    assert delivery.now < 10
    while len(delivery.delivered) < 2_000:
        delivery.step()
    assert delivery.now < 60
