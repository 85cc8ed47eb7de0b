"""Services as a server's reflection describes them: nothing here is generated from a file."""

import types

from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


class Described:
    """What a server tells of itself, asked over a blocking channel."""

    def __init__(self, channel):
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def message(self, name):
        """The class of a message, for instance grpc.testing.Empty."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def stub(self, channel, service):
        """An object with a callable for each method of a service, on a blocking channel or one of grpc.aio."""
        stub = types.SimpleNamespace()
        for method in self.pool.FindServiceByName(service).methods:
            kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
            call = getattr(channel, kind)(
                f"/{service}/{method.name}",
                request_serializer=message_factory.GetMessageClass(method.input_type).SerializeToString,
                response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
            )
            setattr(stub, method.name, call)
        return stub
