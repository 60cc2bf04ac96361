"""A driver in Python, by which the suite's side is tested: ``python -m tests.clients.toy_driver``.

Manners, as an argument: ``doubles`` sends JSON numbers through a double, ``sorts`` sorts JSON's
keys, ``mute`` answers nothing, ``babbles`` writes no receipt, ``leaves`` ends after the first event
and says why.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import grpc
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

TEXTS = {
    "messageId": "message_id",
    "timestamp": "timestamp",
    "originalTimestamp": "original_timestamp",
    "userId": "user_id",
    "anonymousId": "anonymous_id",
}
CALL_TEXTS = {
    "event": "event",
    "name": "name",
    "category": "category",
    "groupId": "group_id",
    "previousId": "previous_id",
}


def message_of(line: dict[str, Any], manner: str) -> event_pb2.Event:
    message = event_pb2.Event()
    for name, field in TEXTS.items():
        setattr(message, field, line.get(name, ""))
    if "context" in line:
        fill(message.context, line["context"], manner)
    if "type" not in line:
        return message
    call: Any = getattr(message, line["type"])
    call.SetInParent()
    for name, field in CALL_TEXTS.items():
        if name in line:
            setattr(call, field, line[name])
    for name in ("properties", "traits"):
        if name in line:
            fill(getattr(call, name), line[name], manner)
    return message


def fill(message: event_pb2.Object, value: Any, manner: str) -> None:
    if isinstance(value, dict):
        message.struct.SetInParent()
        message.struct.update(value)
    elif manner == "doubles":
        message.json = json.dumps(json.loads(value, parse_int=float)).encode()
    elif manner == "sorts":
        message.json = json.dumps(json.loads(value), sort_keys=True).encode()
    else:
        message.json = value.encode()


def receipt_of(stub: Any, line: dict[str, Any], manner: str) -> dict[str, Any]:
    try:
        request = ingest_pb2.SendRequest(event=message_of(line, manner))
        result = stub.Send(request, timeout=10).result
    except grpc.RpcError as error:
        call: Any = error
        if call.code() is not grpc.StatusCode.INVALID_ARGUMENT:
            return {"status": "failed", "code": call.code().name, "message": call.details()}
        bad = error_details_pb2.BadRequest()
        for detail in rpc_status.from_call(call).details:
            detail.Unpack(bad)
        return {
            "message_id": line.get("messageId", ""),
            "status": "rejected",
            "violations": [
                {"field": each.field, "reason": each.reason, "description": each.description}
                for each in bad.field_violations
            ],
        }
    return {
        "message_id": result.message_id,
        "status": ingest_pb2.EventStatus.Name(result.status).removeprefix("EVENT_STATUS_").lower(),
        "warnings": [
            {"field": each.field, "description": each.description} for each in result.warnings
        ],
    }


def main() -> None:
    manner = sys.argv[1] if len(sys.argv) > 1 else ""
    channel = grpc.insecure_channel(os.environ["CIO_TARGET"])
    stub = ingest_pb2_grpc.IngestServiceStub(channel)
    for text in sys.stdin.buffer:
        if manner == "leaves":
            sys.exit("I have had enough")
        if manner == "babbles":
            print("hello", flush=True)
        elif manner != "mute":
            print(json.dumps(receipt_of(stub, json.loads(text), manner)), flush=True)


if __name__ == "__main__":
    main()
