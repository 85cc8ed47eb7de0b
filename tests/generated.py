"""Requests of the inference protocol, good and bad, made from a seed; the label of each says what was done to it."""

import copy
import itertools
import json

import numpy

from v2 import DTYPES, FORMS, NUMPY, OVER_GRPC, OVER_HTTP, Case, Tensor


# Good requests.

def tensor(random, name, datatype, shape):
    count = int(numpy.prod(shape))
    if datatype == "BYTES":
        values = [bytes(random.choice(b"abcxyz 019") for _ in range(random.randrange(8))) for _ in range(count)]
    elif datatype == "BOOL":
        values = [random.random() < 0.5 for _ in range(count)]
    elif datatype in ("FP16", "BF16", "FP32", "FP64"):
        values = [random.randrange(-64, 64) / 4 for _ in range(count)]
    else:
        bounds = numpy.iinfo(NUMPY[datatype])
        values = [random.choice((bounds.min, bounds.max, 0, 1, random.randint(int(bounds.min), int(bounds.max)))) for _ in range(count)]
        values = [int(value) for value in values]
    return Tensor(name, datatype, list(shape), values)


def good(random, form, model=None):
    """A request that every server has to answer."""
    model = model or random.choice(("identity", "identity", "digits", "optional", "picky", "accumulate"))
    case = Case(form, model, [])
    rows = random.randrange(1, 5)
    match model:
        case "identity":
            takes = [d for d in DTYPES if d not in ("FP16", "BF16") or form in ("binary", "raw")]
            for datatype in random.sample(takes, random.randrange(1, 3)):
                case.inputs.append(tensor(random, "IN_" + datatype, datatype, (rows, random.randrange(1, 4))))
        case "digits":
            case.inputs.append(tensor(random, "image", "FP32", (rows, 64)))
            case.version = random.choice(("", "1", "2"))
        case "optional":
            names = ("A", "B")[:random.randrange(1, 3)]
            case.inputs += [tensor(random, name, "FP32", (rows, 2)) for name in names]
        case "picky":
            case.inputs.append(tensor(random, "X", "FP32", (rows, 1)))
            case.inputs[0].values = [abs(value) for value in case.inputs[0].values]
        case "accumulate":
            case.inputs.append(Tensor("value", "INT32", [1, 1], [random.randrange(1000)]))
            case.parameters = {"sequence_id": random.randrange(1, 1 << 40), "sequence_start": True, "sequence_end": True}
        case "repeat":
            case.inputs.append(Tensor("count", "INT32", [1], [1]))
    if random.random() < 0.5:
        case.id = f"r-{random.randrange(1000)}"
    return case


# Faults. Each takes (random, case), and changes it; its name is the label.

FAULTS = {}


def fault(*forms, models=None):
    def add(function):
        FAULTS[function.__name__.replace("_", "-")] = (forms or FORMS, models, function)
        return function
    return add


def any_input(random, case):
    return random.choice(case.inputs)


@fault()
def unknown_model(random, case):
    case.model = random.choice(("nowhere", "Digits", "digits2", "..", "a b"))


@fault(*OVER_GRPC)
def no_model(random, case):
    case.model = ""


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


@fault(models=("digits", "optional", "picky"))
def dims(random, case):
    one = any_input(random, case)
    one.shape[-1] += random.choice((1, 3))
    one.values = tensor(random, "", one.datatype, one.shape).values


@fault(models=("identity", "digits", "optional", "picky"))
def rank(random, case):
    one = any_input(random, case)
    one.shape = random.choice(([*one.shape, 1], [1, *one.shape], [int(numpy.prod(one.shape))], []))
    if not one.shape:
        one.values = one.values[:1]


@fault(models=("digits", "optional", "picky"))
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


@fault(*OVER_GRPC, models=("accumulate",))
def most_negative_rows(random, case):
    case.inputs[0].shape = [-(1 << 63), 1]


OVERFLOWING = (
    [16, (1 << 60) + 2], [1 << 32, (1 << 32) + 1], [5, 0x6666666666666668], [1 << 62, 8], [(1 << 63) - 1, (1 << 63) - 1],  # in elements
    [1 << 60, 2], [1, 1 << 61], [(1 << 61) + 1, 1],  # in bytes, of 8 to an element
)
HUGE = ([1 << 20, 1 << 20], [1 << 40, 1], [1, (1 << 31) - 1])


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


def output_of(random, case):
    return random.choice({
        "identity": [one.name.replace("IN_", "OUT_") for one in case.inputs], "digits": ["label", "probabilities"], "optional": ["Y"], "picky": ["Y"],
        "accumulate": ["sum"],
    }[case.model])


@fault()
def one_output(random, case):
    case.outputs = [(output_of(random, case), {})]


@fault()
def an_empty_list_of_outputs(random, case):
    case.outputs = []


@fault()
def output_unknown(random, case):
    case.outputs = [(output_of(random, case), {}), ("more", {})]


@fault()
def output_doubled(random, case):
    case.outputs = [(output_of(random, case), {})] * 2


@fault()
def output_without_name(random, case):
    case.outputs = [("", {})]


@fault(models=("identity",))
def an_output_that_is_not_made(random, case):
    case.inputs = [tensor(random, "IN_INT32", "INT32", (1, 2))]
    case.outputs = [("OUT_INT32", {}), ("OUT_INT64", {})]


@fault(models=("digits",))
def classes(random, case):
    case.outputs = [("probabilities", {"classification": random.choice((1, 3, 10))})]


@fault(models=("digits",))
def no_classes(random, case):
    case.outputs = [("probabilities", {"classification": 0})]


@fault(models=("digits",))
def more_classes_than_there_are(random, case):
    case.outputs = [("probabilities", {"classification": random.choice((11, 1000))})]


@fault(models=("digits",))
def negative_classes(random, case):
    case.outputs = [("probabilities", {"classification": random.choice((-1, -(1 << 40)))})]


@fault(models=("digits",))
def classes_no_number(random, case):
    case.outputs = [("probabilities", {"classification": random.choice(("3", True, 1.5))})]


@fault(models=("identity",))
def classes_of_strings(random, case):
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, 2], [b"a", b"b"])]
    case.outputs = [("OUT_BYTES", {"classification": 1})]


@fault(models=("identity", "digits", "optional", "picky"))
def own_parameters(random, case):
    case.parameters = {"mine": random.choice((True, 7, -7, "text", 1.5, "")), "other": 0}


@fault()
def parameter_without_a_value(random, case):
    case.parameters["mine"] = None


@fault(*OVER_HTTP)
def parameter_of_no_type(random, case):
    case.parameters["mine"] = random.choice(([1], {"a": 1}))


@fault(models=("identity", "digits"))
def timeout(random, case):
    case.parameters["timeout"] = random.choice((0, 10_000_000, 1 << 40))


@fault(models=("identity", "digits"))
def timeout_no_number(random, case):
    case.parameters["timeout"] = random.choice(("soon", True, 1.5))


@fault(models=("identity", "digits"))
def negative_timeout(random, case):
    case.parameters["timeout"] = random.choice((-1, -(1 << 40)))


@fault(models=("identity", "digits"))
def priority(random, case):
    case.parameters["priority"] = random.choice((0, 1, 7))


@fault(models=("identity", "digits"))
def priority_no_number(random, case):
    case.parameters["priority"] = random.choice(("high", True, 1.5))


@fault(models=("identity", "digits"))
def negative_priority(random, case):
    case.parameters["priority"] = random.choice((-1, -(1 << 40)))


@fault()
def reserved_parameter(random, case):
    case.parameters[random.choice(("triton_x", "triton_", "triton_grpc_error"))] = random.choice((True, 1, "x"))


@fault()
def parameter_headers(random, case):
    case.parameters["headers"] = random.choice((True, 1, "x"))


@fault()
def parameter_of_sluice(random, case):
    case.parameters["sluice_x"] = 1


@fault(models=("accumulate",))
def sequence_without_id(random, case):
    del case.parameters["sequence_id"]
    if random.random() < 0.5:
        case.parameters.clear()


@fault(models=("accumulate",))
def sequence_not_started(random, case):
    del case.parameters["sequence_start"]


@fault(models=("accumulate",))
def sequence_id_of_zero(random, case):
    case.parameters["sequence_id"] = 0


@fault(models=("accumulate",))
def sequence_id_as_text(random, case):
    case.parameters["sequence_id"] = random.choice(("first", "x" * 100))


@fault(models=("identity", "digits", "optional"))
def sequence_parameters_of_no_sequence(random, case):
    case.parameters |= {"sequence_id": random.choice((5, 0, "text")), "sequence_start": True, "sequence_end": True}


@fault()
def sequence_id_no_id(random, case):
    case.parameters["sequence_id"] = random.choice((True, 1.5))


@fault(models=("identity", "digits"))
def negative_sequence_id(random, case):
    case.parameters["sequence_id"] = random.choice((-1, -(1 << 40)))


@fault()
def long_sequence_id(random, case):
    case.parameters["sequence_id"] = "x" * random.choice((129, 1000))


@fault()
def sequence_flags_no_bool(random, case):
    case.parameters[random.choice(("sequence_start", "sequence_end"))] = random.choice((1, "true", 1.5))


@fault()
def input_in_shared_memory(random, case):
    one = any_input(random, case)
    one.bare = True
    one.parameters = {"shared_memory_region": random.choice(("mine", "triton_python_backend_shm_region_1", "../x")), "shared_memory_byte_size": 64}
    if random.random() < 0.5:
        one.parameters["shared_memory_offset"] = random.choice((0, 1 << 62))


@fault()
def output_in_shared_memory(random, case):
    case.outputs = [(output_of(random, case), {"shared_memory_region": "mine", "shared_memory_byte_size": 64})]


@fault()
def shared_memory_without_size(random, case):
    one = any_input(random, case)
    one.bare = True
    one.parameters = {"shared_memory_region": "mine"}


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


# HTTP.

@fault("binary")
def size_too_small(random, case):
    one = case.inputs[-1]
    one.size = random.choice((0, len(one.bytes()) - 1))


@fault("binary")
def size_too_large(random, case):
    one = any_input(random, case)
    one.size = len(one.bytes()) + random.choice((1, 1000, 1 << 40, (1 << 63) - 1))


@fault("binary")
def negative_size(random, case):
    any_input(random, case).size = random.choice((-1, -(1 << 40)))


@fault("binary")
def size_no_number(random, case):
    any_input(random, case).size = random.choice(("8", True, 8.5, 1 << 64))


@fault("binary")
def bytes_behind_the_last(random, case):
    case.mangle = lambda body: body + b"\0" * 8


@fault("binary")
def bytes_missing(random, case):
    case.mangle = lambda body: body[:-1]


@fault("binary")
def header_length_too_large(random, case):
    case.header = random.choice(("100000", "99999999999", "99999999999999999999999"))


@fault(*OVER_HTTP)
def header_length_no_number(random, case):
    case.header = random.choice(("x", "", "0x10"))


@fault(*OVER_HTTP)
def header_length_with_a_fraction(random, case):
    case.header = "1.5"


@fault(*OVER_HTTP)
def negative_header_length(random, case):
    case.header = random.choice(("-1", "-99999999999"))


@fault("binary")
def header_length_off(random, case):
    case.header = ("off", random.choice((-5, -1, 1)))


@fault("binary")
def no_header_length(random, case):
    case.header = ("none",)


@fault("json")
def header_length_of_json(random, case):
    case.header = ("off", 0)


@fault("binary", models=("digits", "picky"))
def header_length_of_nothing(random, case):
    """The data of the only input, alone."""
    one = case.inputs[0]
    one.values = one.values[:int(numpy.prod(one.shape[1:]))]
    case.mangle = lambda body: one.bytes()
    case.header = "0"


@fault("json")
def broken_json(random, case):
    case.mangle = random.choice((
        lambda body: body[:-1], lambda body: body[:len(body) // 2], lambda body: b"", lambda body: b"{", lambda body: b"nothing",
        lambda body: body.replace(b":", b"=", 1), lambda body: b"'" + body[1:], lambda body: body[:-1] + b",}",
    ))


@fault("json")
def more_behind_the_json(random, case):
    more = random.choice((b"x", b"{}"))
    case.mangle = lambda body: body + more


@fault("json")
def a_zero_behind_the_json(random, case):
    case.mangle = lambda body: body + b"\0"


@fault("json")
def json_no_object(random, case):
    value = random.choice((b"[]", b"1", b"null", b'"x"', b"true"))
    case.mangle = lambda body: value


@fault("json")
def space_around_the_json(random, case):
    case.mangle = lambda body: b" \n\t" + body + b"\r\n "


@fault("json")
def byte_order_mark(random, case):
    case.mangle = lambda body: b"\xef\xbb\xbf" + body


@fault("json")
def comments(random, case):
    case.edit = lambda text: text.replace("{", "{/* no */", 1)


@fault("json")
def unknown_members(random, case):
    case.edit = lambda text: '{"more":{"a":[1,2,{"b":null}]},' + text[1:]


@fault("json")
def deep_json(random, case):
    depth = random.choice((200, 5000))
    case.edit = lambda text: '{"more":' + "[" * depth + "]" * depth + "," + text[1:]


@fault("json", models=("digits", "optional", "picky"))
def deep_data(random, case):
    depth = random.choice((150, 3000))
    case.inputs[0].data = "[" * depth + case.inputs[0].text() + "]" * depth


@fault("json")
def nested_data(random, case):
    one = any_input(random, case)
    values = json.loads(one.text())
    width = one.shape[-1]
    one.data = json.dumps([values[i:i + width] for i in range(0, len(values), width)])


@fault("json")
def ragged_data(random, case):
    one = any_input(random, case)
    values = json.loads(one.text())
    one.data = json.dumps([values[:1], values[1:]])


@fault("json")
def data_no_array(random, case):
    any_input(random, case).data = random.choice(("1", '"x"', "null", "{}", "true"))


@fault("json", models=("digits", "optional", "picky", "identity"))
def data_of_another_kind(random, case):
    if case.model == "identity":
        case.inputs = [tensor(random, "IN_INT32", "INT32", (1, 1))]
    one = any_input(random, case)
    values = json.loads(one.text())
    values[-1] = random.choice(("1", True, None, {}))
    one.data = json.dumps(values)


@fault("json", models=("identity",))
def fraction_for_an_integer(random, case):
    case.inputs = [Tensor("IN_INT32", "INT32", [1, 2], [1, 2], data=random.choice(("[1.5,2]", "[1.0,2]", "[1e3,2]")))]


@fault("json", models=("identity",))
def integer_out_of_range(random, case):
    case.inputs = [Tensor("IN_INT8", "INT8", [1, 2], [1, 2], data=random.choice(("[128,1]", "[-129,1]", "[70000,1]")))]


@fault("json", models=("identity",))
def negative_for_unsigned(random, case):
    datatype = random.choice(("UINT8", "UINT32", "UINT64"))
    case.inputs = [Tensor("IN_" + datatype, datatype, [1, 2], [1, 2], data="[-1,1]")]


@fault("json", models=("identity",))
def integer_beyond_64_bits(random, case):
    case.inputs = [Tensor("IN_INT64", "INT64", [1, 1], [1], data=random.choice(("[9223372036854775808]", "[99999999999999999999999]")))]


@fault("json", models=("identity",))
def float_out_of_range(random, case):
    case.inputs = [Tensor("IN_FP32", "FP32", [1, 1], [1], data="[1e39]")]


@fault("json", models=("identity",))
def double_out_of_range(random, case):
    case.inputs = [Tensor("IN_FP64", "FP64", [1, 1], [1], data="[1e400]")]


@fault("json", models=("identity",))
def not_finite(random, case):
    case.inputs = [Tensor("IN_FP32", "FP32", [1, 3], [1, 2, 3], data="[NaN,Infinity,-Infinity]")]


@fault("json", models=("identity",))
def half_precision_in_json(random, case):
    datatype = random.choice(("FP16", "BF16"))
    case.inputs = [tensor(random, "IN_" + datatype, datatype, (1, 2))]


@fault("json", models=("identity",))
def number_for_a_bool(random, case):
    case.inputs = [Tensor("IN_BOOL", "BOOL", [1, 2], [1, 0], data="[1,0]")]


@fault("json", models=("identity",))
def escapes_in_strings(random, case):
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, 3], [b"", b"", b""], data=r'["\u00e9\n","\ud83d\ude00","\u0041\\"]')]


@fault("json", models=("identity",))
def lone_surrogates(random, case):
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, 1], [b""], data=r'["\ud83d"]')]


@fault("json")
def member_doubled(random, case):
    case.id = "first"
    case.edit = lambda text: text[:-1] + ',"id":"second"}'


@fault("json")
def inputs_doubled(random, case):
    case.edit = lambda text: text[:-1] + ',"inputs":[]}'


@fault("json")
def inputs_no_array(random, case):
    value = random.choice(("{}", "1", "null", '"x"'))
    case.edit = lambda text: '{"inputs":%s}' % value


@fault("json")
def input_no_object(random, case):
    value = random.choice(("1", "null", "[]", '"x"'))
    case.edit = lambda text: '{"inputs":[%s]}' % value


@fault("json")
def no_inputs(random, case):
    case.edit = lambda text: "{}"


@fault("json")
def id_no_string(random, case):
    value = random.choice(("1", "{}", "[]", "true"))
    case.edit = lambda text: '{"id":%s,' % value + text[1:]
    case.id = ""


@fault("json")
def name_no_string(random, case):
    value = random.choice(("1", "null", "[]"))
    name = json.dumps(case.inputs[0].name)
    case.edit = lambda text: text.replace('"name": ' + name, '"name": ' + value, 1)


@fault("json")
def shape_no_numbers(random, case):
    value = random.choice(('"x"', "null", "{}", '["1"]', "[1.5]", "[1.0,1]", "[null]", "[[1]]", "[99999999999999999999]"))
    shape = json.dumps(case.inputs[0].shape)
    case.edit = lambda text: text.replace('"shape": ' + shape, '"shape": ' + value, 1)


@fault("json")
def no_shape(random, case):
    shape = json.dumps(case.inputs[0].shape)
    case.edit = lambda text: text.replace('"shape": ' + shape + ", ", "", 1)


@fault("json")
def parameters_no_object(random, case):
    value = random.choice(("1", "[]", '"x"'))
    case.parameters = {}
    case.edit = lambda text: '{"parameters":%s,' % value + text[1:]


@fault("json")
def outputs_no_array(random, case):
    value = random.choice(("1", "{}", '"x"'))
    case.outputs = None
    case.edit = lambda text: '{"outputs":%s,' % value + text[1:]


@fault("json", models=("identity", "digits", "optional", "picky"))
def members_that_are_null(random, case):
    member = random.choice(("id", "parameters", "outputs"))
    setattr(case, member, {"id": "", "parameters": {}, "outputs": None}[member])
    case.edit = lambda text: '{"%s":null,' % member + text[1:]


@fault("json")
def tensor_parameters_of_any_form(random, case):
    value = random.choice(("null", '{"none":null}', '{"list":[1,{}]}', '{"headers":{"a":"b"}}'))
    case.edit = lambda text: text.replace('"name":', '"parameters": %s, "name":' % value, 1)


@fault(*OVER_HTTP)
def another_method(random, case):
    case.method = random.choice(("GET", "PUT", "DELETE"))


@fault(*OVER_HTTP)
def another_path(random, case):
    case.suffix = random.choice(("/infer/", "/infers", "/infer/x", "//infer", "/Infer"))


@fault(*OVER_HTTP)
def another_encoding(random, case):
    case.headers["Content-Encoding"] = random.choice(("br", "zstd", "nonsense"))


@fault(*OVER_HTTP)
def broken_gzip(random, case):
    case.headers["Content-Encoding"] = random.choice(("gzip", "deflate"))


def each(random):
    """Each fault in each of its forms, and good requests between them."""
    for name, (forms, _, _) in FAULTS.items():
        for form in forms:
            yield broken(random, name, form)
        yield good(random, random.choice(FORMS))


def generate(random, count):
    """count cases: each fault in each of its forms, then as chance has it."""
    every = list(itertools.islice(each(random), count))
    yield from every
    names = list(FAULTS)
    for _ in range(count - len(every)):
        if random.random() < 0.25:
            yield good(random, random.choice(FORMS))
        else:
            name = random.choice(names)
            yield broken(random, name, random.choice(FAULTS[name][0]))


def each_at(random, models, forms, times):
    """Each fault a number of times in each of some forms at each of some models, where it can be had so."""
    for name, (of_fault, at, _) in FAULTS.items():
        for form in forms:
            for model in models:
                if form in of_fault and (at is None or model in at):
                    yield from (broken(random, name, form, model) for _ in range(times))


def broken(random, name, form, model=None):
    _, models, function = FAULTS[name]
    case = good(random, form, model or (random.choice(models) if models else None))
    case.label = name
    function(random, case)
    return case
