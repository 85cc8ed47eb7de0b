"""Clients of TensorFlow Serving's protocol, over REST and gRPC. The messages are as the server's reflection describes them."""

import base64
import functools
import http.client
import json

import grpc
import numpy
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from pairs.outcome import Outcome, one_nan, raw, text_of
from v2 import NUMPY

# The number of a type, and the list of its elements in a TensorProto.
TYPES = {
    "FP32": (1, "float_val"), "FP64": (2, "double_val"), "INT32": (3, "int_val"), "UINT8": (4, "int_val"), "INT16": (5, "int_val"),
    "INT8": (6, "int_val"), "BYTES": (7, "string_val"), "INT64": (9, "int64_val"), "BOOL": (10, "bool_val"), "BF16": (14, "half_val"),
    "UINT16": (17, "int_val"), "FP16": (19, "half_val"), "UINT32": (22, "uint32_val"), "UINT64": (23, "uint64_val"),
}
NAMES = {number: dtype for dtype, (number, _) in TYPES.items()}
SERVICE = "tensorflow.serving.PredictionService"


class REST:
    """Predict over REST, by rows or by columns. An answer has neither types nor shapes: they are those of its lists."""

    slow = True

    def __init__(self, form):
        self.form = form

    def send(self, server, row, model):
        if row.wanted:
            return None  # the protocol has no such thing
        values = {f"IN_{dtype}": self.lists(dtype, values) for dtype, values in row.of(self).items()}
        if self.form == "instances":
            if not all(isinstance(lists, list) for lists in values.values()):
                return None  # nor that
            body = {"instances": [dict(zip(values, one, strict=True)) for one in zip(*values.values(), strict=True)]}
        else:
            body = {"inputs": values}
        connection = http.client.HTTPConnection(server.http, timeout=30)
        try:
            connection.request("POST", f"/v1/models/{model}:predict", json.dumps(body))
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            return Outcome(response.status, answer["error"])
        outputs = [row.output(dtype) for dtype in row.tensors]
        if self.form == "inputs":
            got = answer["outputs"] if len(outputs) > 1 else {outputs[0]: answer["outputs"]}
        elif len(outputs) > 1:
            got = {name: [one[name] for one in answer["predictions"]] for name in outputs}
        else:
            got = {outputs[0]: answer["predictions"]}
        return Outcome(200, "", {name: self.tensor(dtype, got.pop(name)) for name, dtype in zip(outputs, row.tensors, strict=True)} | got)

    def lists(self, dtype, values):
        if dtype == "BYTES":
            return numpy.frompyfunc(lambda value: text_of(value) or {"b64": base64.b64encode(value).decode()}, 1, 1)(values).tolist() if values.shape else values.item().decode()
        return (values.astype(float) if "F" in dtype else values).tolist()

    def tensor(self, dtype, lists):
        """An output as an Outcome has it."""
        if dtype == "BYTES":
            lists = nested(lists)
        values = numpy.array(lists, NUMPY.get(dtype, object))
        return dtype, values.shape, raw(dtype, values)

    def expected(self, row):
        tensors = row.of(self)
        return {row.output(dtype): (dtype, seen(values.shape), raw(dtype, one_nan(values) if "F" in dtype else values)) for dtype, values in tensors.items()}


def nested(lists):
    """The strings of nested lists as bytes."""
    match lists:
        case list():
            return [nested(one) for one in lists]
        case {"b64": coded}:
            return base64.b64decode(coded)
    return lists.encode()


def seen(shape):
    """What lists show of a shape: nothing of what is inside an empty one."""
    return shape[:shape.index(0) + 1] if 0 in shape else shape


class GRPC:
    """Predict over gRPC, with tensors as their content, or as lists of their elements."""

    def __init__(self, form):
        self.form, self.slow = form, form == "lists"

    def send(self, server, row, model):
        stub = described(server.grpc)
        request = stub.request()
        request.model_spec.name = model
        for dtype, values in row.of(self).items():
            self.fill(request.inputs[f"IN_{dtype}"], dtype, values)
        request.output_filter.extend(row.output(dtype) for dtype in row.wanted or ())
        try:
            answer = stub.predict(request, timeout=30)
        except grpc.RpcError as error:
            return Outcome(error.code().name, error.details())
        return Outcome("OK", "", {name: tensor(proto) for name, proto in answer.outputs.items()})

    def fill(self, proto, dtype, values):
        proto.dtype, field = TYPES[dtype]
        proto.tensor_shape.SetInParent()
        for size in values.shape:
            proto.tensor_shape.dim.add(size=size)
        if dtype == "BYTES" or self.form == "lists":
            flat = values.reshape(-1)
            getattr(proto, field).extend((flat.view(numpy.uint16) if field == "half_val" else flat).tolist())
        else:
            proto.tensor_content = values.tobytes()

    def expected(self, row):
        tensors = row.of(self)
        return {row.output(dtype): (dtype, tensors[dtype].shape, raw(dtype, tensors[dtype])) for dtype in row.wanted or tensors}


def tensor(proto):
    """A TensorProto as an Outcome has it."""
    dtype, shape = NAMES[proto.dtype], tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_content:
        return dtype, shape, proto.tensor_content
    values = list(getattr(proto, TYPES[dtype][1]))
    if dtype == "BYTES":
        return dtype, shape, raw(dtype, numpy.array(values, object))
    return dtype, shape, numpy.array(values, numpy.uint16 if "16" in dtype and "F" in dtype else NUMPY[dtype]).tobytes()


class Stub:
    """The method Predict and its messages."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
        pool = descriptor_pool.DescriptorPool()
        for file in reflected(self.channel, SERVICE):
            pool.Add(file)
        method = pool.FindServiceByName(SERVICE).FindMethodByName("Predict")
        self.request = message_factory.GetMessageClass(method.input_type)
        self.predict = self.channel.unary_unary(
            f"/{SERVICE}/Predict", request_serializer=self.request.SerializeToString,
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString)


described = functools.cache(Stub)


def reflected(channel, symbol):
    """The files that describe a symbol, those first that others import."""
    ask = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    answer = next(iter(ask(iter([bytes([4 << 3 | 2, len(symbol)]) + symbol.encode()]), timeout=30)))
    files = {}
    for number, content in fields(answer):
        if number == 4:  # file_descriptor_response
            for _, one in fields(content):
                file = descriptor_pb2.FileDescriptorProto.FromString(one)
                files[file.name] = file
    ordered = {}

    def put(name):
        if name not in ordered and name in files:
            for other in files[name].dependency:
                put(other)
            ordered[name] = files[name]
    for name in files:
        put(name)
    return ordered.values()


def fields(message):
    """The fields of a message that has only fields with a length."""
    at = 0

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value
    while at < len(message):
        key, size = varint(), varint()
        assert key & 7 == 2, f"field {key >> 3} has no length"
        yield key >> 3, message[at:at + size]
        at += size
