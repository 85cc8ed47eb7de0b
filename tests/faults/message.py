"""What can be wrong with a message over gRPC, or odd."""

import grpc
import numpy

from faults import any_input, fault
from made import tensor
from v2 import DTYPES, NUMPY, OVER_GRPC, Tensor


@fault(*OVER_GRPC)
def no_model(random, case):
    case.model = ""


@fault(*OVER_GRPC, models=("accumulate",))
def most_negative_rows(random, case):
    case.inputs[0].shape = [-(1 << 63), 1]


@fault("typed", models=("identity",))
def contents_of_another_type(random, case):
    one = tensor(random, "IN_INT32", "INT32", (1, 2))
    case.inputs = [one]
    field = random.choice(("int64_contents", "fp32_contents", "bool_contents", "uint_contents"))

    def edit(message):
        contents = message.inputs[0].contents
        contents.Clear()
        getattr(contents, field).extend([True, False] if field == "bool_contents" else [1, 0])
    case.edit = edit


@fault("typed", models=("identity",))
def contents_of_two_types(random, case):
    case.inputs = [tensor(random, "IN_INT32", "INT32", (1, 2))]
    case.edit = lambda message: message.inputs[0].contents.fp32_contents.extend([1, 2])


@fault("typed", models=("identity",))
def contents_out_of_range(random, case):
    case.inputs = [Tensor("IN_INT8", "INT8", [1, 2], [0, 0])]
    value = random.choice((128, -129, 70000))

    def edit(message):
        message.inputs[0].contents.int_contents[:] = [1, value]
    case.edit = edit


@fault("typed", models=("identity",))
def contents_without_a_field(random, case):
    datatype = random.choice(("FP16", "BF16"))
    case.inputs = [tensor(random, "IN_" + datatype, datatype, (1, 2))]
    case.edit = lambda message: message.inputs[0].contents.fp32_contents.extend([1, 2])


@fault("raw")
def fewer_raw_contents(random, case):
    def edit(message):
        del message.raw_input_contents[-1]
    case.edit = edit


@fault("raw")
def more_raw_contents(random, case):
    extra = random.choice((b"", b"more", b"\0" * 4096))
    case.edit = lambda message: message.raw_input_contents.append(extra)


@fault(*OVER_GRPC)
def cut_message(random, case):
    at = random.random()
    case.mangle = lambda body: body[:max(1, int(len(body) * at))][:-1] + b"\x80"


@fault(*OVER_GRPC)
def unknown_fields(random, case):
    # Field 99, a varint, and field 100, a string.
    case.mangle = lambda body: body + b"\x98\x06\x07" + b"\xa2\x06\x03abc"


@fault(*OVER_GRPC)
def compressed_message(random, case):
    case.compression = random.choice((grpc.Compression.Gzip, grpc.Compression.Deflate))


@fault("typed", models=("optional", "identity"))
def raw_contents_of_some(random, case):
    """One input in typed contents, and another one raw."""
    if case.model == "optional":
        case.inputs = [tensor(random, name, "FP32", (1, 2)) for name in "AB"]
    else:
        case.inputs = [tensor(random, "IN_" + datatype, datatype, (1, 2)) for datatype in ("INT32", "FP32")]
    which = random.randrange(2)

    def edit(message):
        message.inputs[which].contents.Clear()
        message.raw_input_contents.append(case.inputs[which].bytes())
    case.edit = edit


@fault("raw")
def empty_contents_beside_raw_ones(random, case):
    def edit(message):
        for one in message.inputs:
            one.contents.SetInParent()
    case.edit = edit


@fault("typed")
def empty_contents(random, case):
    any_input(random, case).bare = True

    def edit(message):
        for one in message.inputs:
            one.contents.SetInParent()
    case.edit = edit


@fault("typed", models=("identity",))
def bytes_for_numbers(random, case):
    """The raw form of a tensor in the field that strings have."""
    datatype = random.choice(("INT32", "FP32", "FP16", "BF16", "BOOL"))
    one = tensor(random, "IN_" + datatype, datatype, (1, 2))
    case.inputs = [one]

    def edit(message):
        message.inputs[0].contents.Clear()
        message.inputs[0].contents.bytes_contents.append(one.bytes())
    case.edit = edit


@fault("typed", models=("identity",))
def extremes_of_contents(random, case):
    datatype = random.choice([d for d in DTYPES if "INT" in d])
    bounds = numpy.iinfo(NUMPY[datatype])
    case.inputs = [Tensor("IN_" + datatype, datatype, [1, 2], [int(bounds.min), int(bounds.max)])]


@fault("typed", models=("identity",))
def floats_that_are_no_numbers(random, case):
    datatype = random.choice(("FP32", "FP64"))
    case.inputs = [Tensor("IN_" + datatype, datatype, [1, 3], [float("nan"), float("inf"), -0.0])]


@fault(*OVER_GRPC, models=("identity", "digits"))
def unsigned_parameters(random, case):
    name = random.choice(("mine", "timeout", "priority"))
    value = random.choice((0, 7, 1 << 40, (1 << 64) - 1)) if name != "timeout" else random.choice((0, 10_000_000, (1 << 64) - 1))

    def edit(message):
        message.parameters[name].uint64_param = value
    case.edit = edit


@fault(*OVER_GRPC, models=("accumulate",))
def unsigned_sequence_id(random, case):
    value = random.choice((1 << 40, (1 << 64) - 1)) + random.randrange(-50, 0)

    def edit(message):
        message.parameters["sequence_id"].uint64_param = value
    case.edit = edit
