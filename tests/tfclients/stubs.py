"""TensorFlow Serving's official stubs, over TensorFlow's messages from a package that has nothing else."""

import sys
import types

import ml_dtypes
import numpy
from google.protobuf import descriptor_pb2, descriptor_pool


def _error_codes():
    """Stand in for tensorflow.core.protobuf.error_codes_pb2, of which the package has an older one: an enumeration."""
    file = descriptor_pb2.FileDescriptorProto(name="tensorflow/core/protobuf/error_codes.proto", package="tensorflow.error", syntax="proto3")
    code = file.enum_type.add(name="Code")
    for number, name in enumerate(("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
                                   "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
                                   "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED")):
        code.value.add(name=name, number=number)
    module = types.ModuleType("tensorflow.core.protobuf.error_codes_pb2")
    module.DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    module.xla_dot_tsl_dot_protobuf_dot_error__codes__pb2 = module  # whence the real one has it
    sys.modules[module.__name__] = module


_error_codes()

from tensorflow.core.framework import tensor_pb2, types_pb2  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402, F401
    classification_pb2, get_model_metadata_pb2, get_model_status_pb2, inference_pb2, model_management_pb2, model_service_pb2_grpc,
    predict_pb2, prediction_service_pb2_grpc, regression_pb2,
)

# The v2 name of a type -> its number, the list of its elements, and what they are in numpy.
TYPES = {
    "FP32": (types_pb2.DT_FLOAT, "float_val", numpy.float32), "FP64": (types_pb2.DT_DOUBLE, "double_val", numpy.float64),
    "INT8": (types_pb2.DT_INT8, "int_val", numpy.int8), "INT16": (types_pb2.DT_INT16, "int_val", numpy.int16),
    "INT32": (types_pb2.DT_INT32, "int_val", numpy.int32), "INT64": (types_pb2.DT_INT64, "int64_val", numpy.int64),
    "UINT8": (types_pb2.DT_UINT8, "int_val", numpy.uint8), "UINT16": (types_pb2.DT_UINT16, "int_val", numpy.uint16),
    "UINT32": (types_pb2.DT_UINT32, "uint32_val", numpy.uint32), "UINT64": (types_pb2.DT_UINT64, "uint64_val", numpy.uint64),
    "BOOL": (types_pb2.DT_BOOL, "bool_val", numpy.bool_), "BYTES": (types_pb2.DT_STRING, "string_val", None),
    "FP16": (types_pb2.DT_HALF, "half_val", numpy.float16), "BF16": (types_pb2.DT_BFLOAT16, "half_val", ml_dtypes.bfloat16),
}
DTYPES = {number: dtype for dtype, (number, _, _) in TYPES.items()}


def tensor(dtype, shape, values, content=False):
    """A TensorProto of flat values: in the list of its type, or as tensor_content."""
    number, field, kind = TYPES[dtype]
    made = tensor_pb2.TensorProto(dtype=number)
    for size in shape:
        made.tensor_shape.dim.add(size=size)
    if dtype == "BYTES":
        made.string_val.extend(values)
    elif content:
        made.tensor_content = numpy.array(values, kind).tobytes()
    else:
        array = numpy.array(values, kind)
        getattr(made, field).extend((array.view(numpy.uint16) if field == "half_val" else array).tolist())
    return made


def read(made):
    """The type, the shape and the bytes of a TensorProto; of strings the list of them. Short lists repeat their last element."""
    dtype = DTYPES[made.dtype]
    shape = [dim.size for dim in made.tensor_shape.dim]
    _, field, kind = TYPES[dtype]
    values = list(getattr(made, field))
    count = int(numpy.prod(shape))
    values += values[-1:] * (count - len(values))
    if dtype == "BYTES":
        return dtype, shape, values
    if made.tensor_content:
        return dtype, shape, made.tensor_content
    if field == "half_val":
        return dtype, shape, numpy.array(values, numpy.uint16).tobytes()
    return dtype, shape, numpy.array(values, kind).tobytes()


def spec(request, model, version=None, label=None, signature=None):
    """Fill in the model_spec of a request."""
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    if signature is not None:
        request.model_spec.signature_name = signature
    return request


def predict(model, inputs, outputs=(), **named):
    """A PredictRequest."""
    request = spec(predict_pb2.PredictRequest(), model, **named)
    for name, made in inputs.items():
        request.inputs[name].CopyFrom(made)
    request.output_filter.extend(outputs)
    return request
