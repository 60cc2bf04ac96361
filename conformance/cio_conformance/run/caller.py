"""Drives a sidecar over gRPC, as any caller would."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, cast

import grpc
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from cio_sidecar.rpc.event_json import NotSendable, from_event
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from cio_conformance.run.verdict import Answer

NOT_SENT: Final = "NOT_SENT"
"""Status of an event that the typed messages have no place for."""

# A sidecar that is starting is found at once, not after gRPC's usual second.
_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    # A proxy of the environment has no business with a sidecar.
    ("grpc.enable_http_proxy", 0),
)
_LOOK_SECONDS: Final = 0.02
"""Time between two looks at a sidecar that does not serve yet."""


class TargetError(Exception):
    """A sidecar can't be started or reached; ``str()`` says why and what to do."""


class Caller:
    """A channel to a sidecar at ``host:port`` or ``unix:PATH``; close it, or use ``with``."""

    def __init__(
        self,
        address: str,
        *,
        timeout_seconds: float,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """``credentials`` are those of TLS; without them the channel is in plain text."""
        self.address = address
        self._timeout_seconds = timeout_seconds
        # The path of a socket is no name that a certificate could have.
        named = (("grpc.ssl_target_name_override", "localhost"),)
        options = (*_OPTIONS, *(named if address.startswith("unix:") else ()))
        self._channel = (
            grpc.secure_channel(address, credentials, options=options)
            if credentials
            else grpc.insecure_channel(address, options=_OPTIONS)
        )
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._ingest = ingest_pb2_grpc.IngestServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()

    def wait_until_serving(self, seconds: float, check: Callable[[], None]) -> None:
        """Wait for gRPC health SERVING, ``seconds`` at most.

        ``check`` is called now and then, and raises TargetError where waiting is of no use. Raises
        TargetError.
        """
        deadline = time.monotonic() + seconds
        seen = "no connection"
        while (left := deadline - time.monotonic()) > 0:
            check()
            try:
                answer = self._check(left)
            except grpc.RpcError as error:
                call = cast("grpc.Call", error)
                if call.code() is grpc.StatusCode.UNIMPLEMENTED:
                    raise TargetError(
                        f"{self.address} has no gRPC health service: is it a sidecar?"
                    ) from None
                if call.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    seen = f"{call.code().name} ({call.details()})"
            else:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
                name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
                seen = f"health {name}"
            time.sleep(_LOOK_SECONDS)
        raise TargetError(
            f"{self.address}: expected a sidecar that serves within {seconds:g} s, got {seen}: "
            "is it running, and does CIO_LISTEN name this address?"
        )

    def _check(self, seconds: float) -> health_pb2.HealthCheckResponse:
        # The types of the generated stub know no calls.
        check: Any = self._health.Check  # type: ignore[attr-defined]
        answer: health_pb2.HealthCheckResponse = check(
            health_pb2.HealthCheckRequest(), timeout=seconds
        )
        return answer

    def send(self, event: dict[str, Any]) -> Answer:
        """Send one event and say what the sidecar answered; a failed call is an answer too."""
        try:
            message = message_of(event)
        except NotSendable as error:
            words = f"{error}; a family with such events needs: json"
            return Answer(NOT_SENT, words)
        try:
            response = self._ingest.Send(
                ingest_pb2.SendRequest(event=message), timeout=self._timeout_seconds
            )
        except grpc.RpcError as error:
            # The error that ends a call is the call.
            return _failed(cast("grpc.Call", error))
        name = ingest_pb2.EventStatus.Name(response.result.status)
        return Answer(
            name.removeprefix("EVENT_STATUS_"),
            warnings=[warning.field for warning in response.result.warnings],
        )


def message_of(event: dict[str, Any]) -> event_pb2.Event:
    """The message of an event, also of one without a type. Raises NotSendable."""
    if "type" in event:
        return from_event(event)
    # Without a type: a message in which no call is set.
    message = from_event({**event, "type": "track"})
    message.ClearField("track")
    return message


def _failed(error: grpc.Call) -> Answer:
    violations: list[tuple[str, str, str]] = []
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        bad_request = error_details_pb2.BadRequest()
        if detail.Unpack(bad_request):
            violations += [
                (violation.field, violation.reason, violation.description)
                for violation in bad_request.field_violations
            ]
    return Answer(error.code().name, error.details() or "", violations=violations)
