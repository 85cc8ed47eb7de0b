"""What can be wrong with the model, the version, the id and the inputs that a request names, or odd."""

import copy

import numpy

from faults import any_input, fault
from made import ONNX, tensor
from v2 import DTYPES, OVER_GRPC, OVER_HTTP, Tensor


@fault()
def unknown_model(random, case):
    case.model = random.choice(("nowhere", "Digits", "digits2", "..", "a b"))


@fault()
def unknown_version(random, case):
    case.version = random.choice(("9", "3", "1000000"))


@fault()
def version_no_number(random, case):
    case.version = random.choice(("abc", "-1", "1.0", "0x1"))


@fault()
def version_out_of_range(random, case):
    case.version = random.choice(("99999999999999999999", str(1 << 63)))


@fault()
def long_id(random, case):
    case.id = "x" * random.choice((257, 5000))


@fault()
def id_with_controls(random, case):
    case.id = random.choice(("a\nb", "\x01", "tab\t"))


@fault()
def id_beyond_ascii(random, case):
    case.id = random.choice(("größe", "号", "😀"))


@fault()
def input_missing(random, case):
    case.inputs = []


@fault(models=("optional",))
def input_missing_beside_an_optional_one(random, case):
    case.inputs = [tensor(random, "B", "FP32", (1, 2))]


@fault()
def input_unknown(random, case):
    case.inputs.append(tensor(random, "more", "FP32", (1, 2)))


@fault()
def input_doubled(random, case):
    case.inputs.append(copy.deepcopy(any_input(random, case)))


@fault()
def input_of_another_case(random, case):
    any_input(random, case).name = random.choice(("Image", "in_fp32", "IMAGE", " X"))


@fault()
def input_without_name(random, case):
    any_input(random, case).name = ""


@fault()
def another_datatype(random, case):
    one = any_input(random, case)
    one.datatype = random.choice([d for d in DTYPES if d != one.datatype and (case.form in ("binary", "raw") or d not in ("FP16", "BF16"))])
    one.values = tensor(random, "", one.datatype, one.shape).values


@fault()
def unknown_datatype(random, case):
    one = any_input(random, case)
    one.data, one.raw = one.text(), one.bytes()
    one.datatype = random.choice(("FP31", "fp32", "float", "STRING", "INVALID", "FP32 "))


@fault()
def no_datatype(random, case):
    one = any_input(random, case)
    one.data, one.raw = one.text(), one.bytes()
    one.datatype = ""


@fault(models=("digits", "optional", "picky", ONNX))
def dims(random, case):
    one = any_input(random, case)
    one.shape[-1] += random.choice((1, 3))
    one.values = tensor(random, "", one.datatype, one.shape).values


@fault(models=("identity", "digits", "optional", "picky", ONNX))
def rank(random, case):
    one = any_input(random, case)
    one.shape = random.choice(([*one.shape, 1], [1, *one.shape], [int(numpy.prod(one.shape))], []))
    if not one.shape:
        one.values = one.values[:1]


@fault(models=("digits", "optional", "picky", ONNX))
def no_rows(random, case):
    for one in case.inputs:
        one.shape[0], one.values = 0, []


@fault(models=("identity",))
def no_elements(random, case):
    for one in case.inputs:
        one.shape, one.values = random.choice(([0, 3], [2, 0], [0, 0])), []


@fault(models=("digits", "optional", "picky"))
def too_many_rows(random, case):
    rows = 65 if case.model == "digits" else random.choice((9, 100))
    for one in case.inputs:
        one.shape[0] = rows
        one.values = [1.0] * int(numpy.prod(one.shape))


@fault(models=("optional",))
def rows_that_differ(random, case):
    case.inputs = [tensor(random, "A", "FP32", (2, 2)), tensor(random, "B", "FP32", (3, 2))]


@fault()
def negative_dim(random, case):
    one = any_input(random, case)
    one.shape[random.randrange(len(one.shape))] = random.choice((-1, -2))


OVERFLOWING = (
    [16, (1 << 60) + 2], [1 << 32, (1 << 32) + 1], [5, 0x6666666666666668], [1 << 62, 8], [(1 << 63) - 1, (1 << 63) - 1],  # in elements
    [1 << 60, 2], [1, 1 << 61], [(1 << 61) + 1, 1],  # in bytes, of 8 to an element
)
HUGE = ([1 << 20, 1 << 20], [1 << 40, 1])


@fault(models=("identity",))
def shape_that_overflows(random, case):
    case.inputs = [Tensor("IN_INT64", "INT64", random.choice(OVERFLOWING), [0])]


@fault("binary", "raw", "typed", models=("identity",))
def huge_shape(random, case):
    case.inputs[0].shape = random.choice(HUGE)


@fault("json", models=("identity",))
def huge_shape_in_json(random, case):
    case.inputs = [Tensor("IN_INT64", "INT64", random.choice(HUGE), [0])]


@fault()
def many_dims(random, case):
    any_input(random, case).shape += [1] * random.choice((31, 33, 500))


@fault()
def too_few_elements(random, case):
    one = any_input(random, case)
    one.values = one.values[:-1]


@fault()
def too_many_elements(random, case):
    one = any_input(random, case)
    one.values = one.values + one.values[:1] * random.choice((1, 7))


@fault("binary", "raw")
def bytes_not_whole(random, case):
    one = any_input(random, case)
    one.raw = one.bytes()[:-1] if random.random() < 0.5 else one.bytes() + b"\0"


@fault()
def no_data(random, case):
    any_input(random, case).bare = True


@fault()
def data_in_both_forms(random, case):
    any_input(random, case).doubled = True


@fault("binary", "raw", models=("identity",))
def strings_badly_framed(random, case):
    raw = random.choice((
        b"\5\0\0\0abc", b"\3\0\0\0abc\1", b"\3\0\0\0abc\3\0\0\0", b"\xff\xff\xff\xffabc", b"\xff\xff\xff\x7fabc", b"\1", b"\0\0\0\0\0",
    ))
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, 1], [], raw=raw)]


@fault("binary", "raw", models=("identity",))
def strings_miscounted(random, case):
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, random.choice((1, 3))], [b"a", b"bc"])]


@fault("binary", "raw", models=("identity",))
def bool_of_two(random, case):
    case.inputs = [Tensor("IN_BOOL", "BOOL", [1, 2], [], raw=bytes((1, random.choice((2, 255)))))]


@fault(*OVER_GRPC)
def decoupled(random, case):
    case.model, case.version, case.parameters = "repeat", "", {}
    case.inputs = [Tensor("count", "INT32", [1], [1])]


@fault(*OVER_HTTP)
def decoupled_over_http(random, case):
    decoupled(random, case)


@fault(models=("picky",))
def a_model_that_raises(random, case):
    case.inputs[0].values = [-1.0] * len(case.inputs[0].values)


@fault(models=("identity", "optional"))
def inputs_in_another_order(random, case):
    case.inputs.reverse()


@fault()
def version_with_zeros(random, case):
    case.version = random.choice(("01", "+1", "1 ", "0"))


@fault()
def many_inputs(random, case):
    case.inputs += [tensor(random, f"more-{number}", "FP32", (1, 2)) for number in range(200)]


@fault(models=("identity",))
def long_strings(random, case):
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, 2], [b"x" * random.choice((255, 256, 65536, 300_000)), b""])]


@fault(models=("identity",))
def strings_beyond_ascii(random, case):
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, 2], ["größe".encode(), "号😀".encode()])]


@fault("binary", "raw", models=("identity",))
def strings_of_any_bytes(random, case):
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, 2], [random.randbytes(9), b"\0\xff"])]


@fault("binary", "raw", models=("identity",))
def floats_of_any_bits(random, case):
    datatype, size = random.choice((("FP16", 2), ("BF16", 2), ("FP32", 4), ("FP64", 8)))
    case.inputs = [Tensor("IN_" + datatype, datatype, [1, 4], [], raw=random.randbytes(4 * size))]


@fault(models=("identity",))
def large_input(random, case):
    case.inputs = [Tensor("IN_INT32", "INT32", [500, 100], list(range(50_000)))]
