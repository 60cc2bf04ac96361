"""Server reflection, by both names of the service: grpc.reflection.v1 and v1alpha.

The library has v1alpha alone. v1 differs in nothing but its package.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection, reflection_pb2

_V1ALPHA: Final = reflection.SERVICE_NAME
_V1: Final = _V1ALPHA.replace("v1alpha", "v1")
_METHOD: Final = "ServerReflectionInfo"


def enable_reflection(names: Iterable[str], server: grpc.aio.Server) -> None:
    """Let callers ask a server which of these services it has, and for their descriptors."""
    _describe_v1()
    listed = (*names, _V1ALPHA, _V1)
    servicer: Any = reflection.aio.ReflectionServicer(listed)

    async def info(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        async def decoded() -> AsyncIterator[Any]:
            async for request in requests:
                try:
                    # gRPC itself logs a traceback for what it can't decode.
                    yield reflection_pb2.ServerReflectionRequest.FromString(request)
                except DecodeError:
                    await context.abort(
                        grpc.StatusCode.INVALID_ARGUMENT,
                        "the bytes are no ServerReflectionRequest",
                    )

        async for response in servicer.ServerReflectionInfo(decoded(), context):
            yield response

    method: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
        info,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(service, {_METHOD: method})
            for service in (_V1ALPHA, _V1)
        )
    )


def _describe_v1() -> None:
    """Add the descriptors of v1, so that callers can ask for them as well."""
    file = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name = "grpc/reflection/v1/reflection.proto"
    file.package = file.package.replace("v1alpha", "v1")
    for message in file.message_type:
        for field in message.field:
            if not field.type_name:
                continue
            field.type_name = field.type_name.replace("v1alpha", "v1")
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace("v1alpha", "v1")
            method.output_type = method.output_type.replace("v1alpha", "v1")
    Default().Add(file)
