"""Sends several events with one call."""

from collections.abc import Sequence
from typing import Any, cast

import grpc
from cio.sidecar.v1 import ingest_pb2
from cio_sidecar.rpc.event_json import from_event

from cio_conformance.run.caller import Caller
from cio_conformance.run.verdict import Answer


class BatchCaller(Caller):
    """A caller that knows ``IngestService.SendBatch`` too."""

    def send_all(self, events: Sequence[dict[str, Any]]) -> list[Answer]:
        """Send events with one call; an answer for each, the same for all where the call failed.

        Raises NotSendable where the typed messages have no place for an event.
        """
        request = ingest_pb2.SendBatchRequest(events=[from_event(event) for event in events])
        try:
            response = self._ingest.SendBatch(request, timeout=self._timeout_seconds)
        except grpc.RpcError as error:
            # The error that ends a call is the call.
            call = cast("grpc.Call", error)
            return [Answer(call.code().name, call.details() or "")] * len(events)
        return [
            Answer(
                ingest_pb2.EventStatus.Name(result.status).removeprefix("EVENT_STATUS_"),
                "; ".join(f"{each.field}: {each.reason}" for each in result.violations),
            )
            for result in response.results
        ]
