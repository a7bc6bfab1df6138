"""Reflection: the server itself describes its API, with the comments of the protos.

grpcio-reflection answers under the name `v1alpha` alone and from descriptors without comments; tools of today ask
`v1`, whose messages are the same. Comments come from `descriptors.binpb`, which is made with the generated code.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import cache
from importlib import resources
from typing import Any

import grpc
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

V1 = "grpc.reflection.v1.ServerReflection"
_METHOD = "ServerReflectionInfo"


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Add both names of the reflection service to a server, to describe the services that are named."""
    servicer: Any = _Commented((*services, reflection.SERVICE_NAME, V1))
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, {_METHOD: handler}),))


class _Commented:
    """Answers as grpcio-reflection does, but with proto files that have their comments."""

    def __init__(self, services: Iterable[str]) -> None:
        self._plain: Any = reflection.aio.ReflectionServicer(services)

    async def ServerReflectionInfo(
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        """Yield an answer for each question."""
        async for response in self._plain.ServerReflectionInfo(request_iterator, context):
            if response.HasField("file_descriptor_response"):
                files = response.file_descriptor_response.file_descriptor_proto
                files[:] = [_commented_files().get(_name_of(plain), plain) for plain in files]
            yield response


def _name_of(serialized: bytes) -> str:
    return descriptor_pb2.FileDescriptorProto.FromString(serialized).name


@cache  # read when somebody asks: most masters are never asked
def _commented_files() -> dict[str, bytes]:
    """Return this API's proto files with their comments, serialized, by name; none without `descriptors.binpb`."""
    made = resources.files("licensemaster.v1") / "descriptors.binpb"
    if not made.is_file():
        return {}
    file_descriptor_set = descriptor_pb2.FileDescriptorSet.FromString(made.read_bytes())
    return {file.name: file.SerializeToString() for file in file_descriptor_set.file}
