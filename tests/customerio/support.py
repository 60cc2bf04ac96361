"""Sending operations to a fake Customer.io, and looking at what they left behind."""

from __future__ import annotations

from typing import Any

from cio_fake import FakeCustomerIO, Request, Response
from cio_sidecar.customerio import requests
from cio_sidecar.customerio.encoders import V1_ONLY, Encoded, Operation

NOW = 1_700_000_000.5
HEADERS = {"authorization": "Basic c2l0ZTprZXk="}  # site:key


def workspace() -> FakeCustomerIO:
    return FakeCustomerIO("site", "key")


def send(fake: FakeCustomerIO, operation: Operation, *, v1: bool) -> Response:
    """Send an operation one way; what only v1 can carry goes by v1 in any case."""
    by_v1 = v1 or operation.marks & V1_ONLY
    made = requests.v1_request(operation) if by_v1 else requests.v2_batch([operation])
    return fake.handle(Request(made.method, made.path, HEADERS, made.body), NOW)


def shown(fake: FakeCustomerIO) -> tuple[Any, ...]:
    """What a workspace holds, in the form in which both ways must agree.

    The permitted differences: the anonymous_id of a known person's event is a key of its own in
    v1, and among the data in v2, where a property of that name goes before it. Of a delivery v2
    tells the metric and the device alone.
    """
    events = []
    for event in fake.events:
        data = dict(event["data"])
        if event["person"] and event["anonymous_id"] is not None:
            data.setdefault("anonymous_id", event["anonymous_id"])
        anonymous_id = None if event["person"] else event["anonymous_id"]
        events.append({**event, "data": data, "anonymous_id": anonymous_id})
    deliveries = [(each["delivery_id"], each["metric"]) for each in fake.deliveries]
    people, objects, devices = fake.people, fake.objects, fake.devices
    return people, events, objects, devices, fake.suppressed, deliveries, fake.stats["ignored"]


def said(encoded: Encoded) -> list[tuple[str, str]]:
    """The key and reason of each problem."""
    return [(problem.key, problem.reason) for problem in encoded.problems]
