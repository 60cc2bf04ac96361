"""A toy sidecar, which behaves or misbehaves as a test tells it to; and cases for it."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import orjson
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from cio_conformance.run.credentials import DEFAULT
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

Request = tuple[str, str, Any]
"""Method, path, body."""
Violation = tuple[str, str]
"""Field, reason."""

ACCEPTED = ingest_pb2.EVENT_STATUS_ACCEPTED
DUPLICATE = ingest_pb2.EVENT_STATUS_DUPLICATE

CASES = """\
family: toy
cases:
  - name: a purchase
    event: {type: track, messageId: "01HB4HBDKTPDE3GGFBKQ41C9RZ", userId: u1, event: Bought,
       properties: {total: 5}}
    expect:
      v1:
        - {method: POST, path: /api/v1/customers/u1/events,
           body: {name: Bought, data: {total: 5}, timestamp: $received_at}}
      v2:
        - {method: POST, path: /api/v2/batch,
           body: {type: person, identifiers: {id: u1}, action: event, name: Bought,
              attributes: {total: 5}, timestamp: $received_at}}
  - name: a visit
    event: {type: track, messageId: "01HB4HBDKTPDE3GGFBKQ41C9S0", userId: u2, event: Came}
    expect:
      v1:
        - {method: POST, path: /api/v1/customers/u2/events,
           body: {name: Came, data: {}, timestamp: $received_at}}
      v2:
        - {method: POST, path: /api/v2/batch,
           body: {type: person, identifiers: {id: u2}, action: event, name: Came,
              attributes: {}, timestamp: $received_at}}
  - name: nobody
    event: {type: track, messageId: "01HB4HBDKTPDE3GGFBKQ41C9S1", event: Bought}
    reject: [{field: userId, reason: NO_PERSON}]
"""
LOOSE = """\
family: loose
needs: json
cases:
  - name: a number for a type
    event: {type: 5}
    reject: [{field: type, reason: UNKNOWN_TYPE}]
"""


@dataclass
class Toy(ingest_pb2_grpc.IngestServiceServicer):
    """Sends tracks by v1. The functions below turn what is right into what a test wants."""

    base_url: str
    requests: Callable[[list[Request]], list[Request]] = list
    status: Callable[[event_pb2.Event], ingest_pb2.EventStatus] = lambda _: ACCEPTED
    violations: Callable[[list[Violation]], list[Violation]] = list
    warnings: list[str] = field(default_factory=list)

    def Send(  # noqa: N802 (the contract's name)
        self, request: ingest_pb2.SendRequest, context: Any
    ) -> ingest_pb2.SendResponse:
        event = request.event
        found = self.violations([] if event.user_id else [("userId", "NO_PERSON")])
        if found:
            _reject(context, found)
        is_sentinel = event.user_id.startswith("conformance")
        requests = [_track(event)]
        if is_sentinel:
            requests[0][2]["id"] = event.message_id
        for sent in requests if is_sentinel else self.requests(requests):
            self._post(*sent)
        return ingest_pb2.SendResponse(
            result=ingest_pb2.EventResult(
                message_id=event.message_id,
                status=ACCEPTED if is_sentinel else self.status(event),
                warnings=[ingest_pb2.FieldWarning(field=name) for name in self.warnings],
            )
        )

    def SendBatch(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError

    def Stream(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError

    def _post(self, method: str, path: str, body: Any) -> None:
        token = b64encode(f"{DEFAULT.site_id}:{DEFAULT.api_key}".encode()).decode()
        request = urllib.request.Request(
            self.base_url + path,
            orjson.dumps(body),
            {"Authorization": f"Basic {token}"},
            method=method,
        )
        try:
            urllib.request.urlopen(request).close()
        except urllib.error.HTTPError as error:
            error.close()


@contextmanager
def serving(
    toy: Toy, address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None
) -> Iterator[str]:
    """Serve a toy, by TLS where there are credentials; yields its address."""
    server = grpc.server(ThreadPoolExecutor(4))
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(toy, server)
    healthy = health.HealthServicer()
    healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    port = (
        server.add_secure_port(address, credentials)
        if credentials
        else server.add_insecure_port(address)
    )
    server.start()
    try:
        yield address if address.startswith("unix:") else f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def _track(event: event_pb2.Event) -> Request:
    data = orjson.loads(event.track.properties.json or b"{}")
    body = {"name": event.track.event, "data": data, "timestamp": int(time.time())}
    return "POST", f"/api/v1/customers/{event.user_id}/events", body


def _reject(context: Any, violations: list[Violation]) -> None:
    detail = any_pb2.Any()
    detail.Pack(
        error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(
                    field=name, reason=reason, description="said so"
                )
                for name, reason in violations
            ]
        )
    )
    context.abort_with_status(
        rpc_status.to_status(
            status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message="no", details=[detail])
        )
    )
