"""What can be wrong with the JSON of a request, or odd."""

import json

import numpy

from faults import any_input, fault, output_of
from made import tensor
from v2 import DTYPES, Tensor


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


@fault("json")
def input_member_doubled(random, case):
    one = case.inputs[0]
    member, text = random.choice((("name", json.dumps("other")), ("datatype", '"INT8"'), ("shape", "[7]"), ("data", "[]")))
    before = random.random() < 0.5
    name = '"name": ' + json.dumps(one.name)

    def edit(text_of_all):
        if before:
            return text_of_all.replace("{" + name, '{"%s": %s, %s' % (member, text, name), 1)
        return text_of_all.replace('"datatype": ' + json.dumps(one.datatype), '"datatype": %s, "%s": %s' % (json.dumps(one.datatype), member, text), 1)
    case.edit = edit


@fault("json")
def parameter_doubled(random, case):
    case.parameters = {}
    case.edit = lambda text: '{"parameters":{"mine":1,"mine":"x"},' + text[1:]


@fault("json", models=("identity", "digits", "optional", "picky"))
def members_that_are_null(random, case):
    member = random.choice(("id", "parameters", "outputs"))
    setattr(case, member, {"id": "", "parameters": {}, "outputs": None}[member])
    case.edit = lambda text: '{"%s":null,' % member + text[1:]


@fault("json")
def tensor_parameters_of_any_form(random, case):
    value = random.choice(("null", '{"none":null}', '{"list":[1,{}]}', '{"headers":{"a":"b"}}'))
    case.edit = lambda text: text.replace('"name":', '"parameters": %s, "name":' % value, 1)


@fault("json")
def parameters_of_tensors_that_are_null(random, case):
    name, output = '"name": ' + json.dumps(case.inputs[0].name), json.dumps(output_of(random, case))
    case.edit = lambda text: '{"outputs":[{"name":%s,"parameters":null}],' % output + text[1:].replace(name, name + ', "parameters": null', 1)


@fault("json")
def escaped_names_of_members(random, case):
    case.edit = lambda text: text.replace('"inputs"', r'"\u0069nputs"', 1).replace('"name"', r'"n\u0061me"', 1)


@fault("json")
def input_parameters_no_object(random, case):
    name = '"name": ' + json.dumps(case.inputs[0].name)
    value = random.choice(("1", "[]", '"x"'))
    case.edit = lambda text: text.replace(name, name + ', "parameters": ' + value, 1)


@fault("json")
def output_no_object(random, case):
    value = random.choice(("1", "null", "[]", '"x"'))
    case.edit = lambda text: '{"outputs":[%s],' % value + text[1:]


@fault("json")
def output_name_no_string(random, case):
    value = random.choice(("1", "null", "[]"))
    case.edit = lambda text: '{"outputs":[{"name":%s}],' % value + text[1:]


@fault("json")
def output_parameters_no_object(random, case):
    name, value = json.dumps(output_of(random, case)), random.choice(("1", "[]", '"x"'))
    case.edit = lambda text: '{"outputs":[{"name":%s,"parameters":%s}],' % (name, value) + text[1:]


@fault("json", models=("digits", "optional", "picky"))
def number_that_is_none(random, case):
    one = any_input(random, case)
    values = [str(value) for value in one.values]
    values[0] = random.choice(("01", "+1", ".5", "1.", "-", "1e", "0x10", "1_000", "inf", "-.5"))
    one.data = "[%s]" % ",".join(values)


@fault("json", models=("digits", "optional", "picky"))
def numbers_written_otherwise(random, case):
    one = any_input(random, case)
    values = [str(value) for value in one.values]
    values[0] = random.choice(("1E+2", "0.1e1", "0e0", "1e-400", "0." + "0" * 400 + "1", "1" + "0" * 20))
    one.data = "[%s]" % ",".join(values)


@fault("json", models=("identity",))
def numbers_of_many_digits(random, case):
    datatype, number = random.choice((
        ("FP64", "1" + "0" * 30), ("FP64", "123456789.123456789123456789"), ("FP32", "1.00000005960464477539062500001"),
    ))
    case.inputs = [Tensor("IN_" + datatype, datatype, [1, 1], [1], data=f"[{number}]")]


@fault("json", models=("identity",))
def minus_zero(random, case):
    datatype = random.choice(("FP32", "FP64"))
    case.inputs = [Tensor("IN_" + datatype, datatype, [1, 1], [1], data="[-0]")]


@fault("json", models=("identity",))
def integers_for_floats(random, case):
    datatype = random.choice(("FP32", "FP64"))
    number = random.choice((16777217, 9007199254740993, (1 << 63) - 1, -(1 << 63), (1 << 64) - 1))
    case.inputs = [Tensor("IN_" + datatype, datatype, [1, 1], [1], data=f"[{number}]")]


@fault("json", models=("identity",))
def extremes_of_integers(random, case):
    datatype = random.choice([d for d in DTYPES if "INT" in d])
    bounds = numpy.iinfo(datatype.lower())
    case.inputs = [Tensor("IN_" + datatype, datatype, [1, 2], [int(bounds.min), int(bounds.max)])]


@fault("json", models=("identity",))
def bools_for_integers(random, case):
    case.inputs = [Tensor("IN_INT32", "INT32", [1, 2], [1, 0], data=random.choice(("[true,false]", "[1,true]")))]


@fault("json", models=("identity",))
def no_strings(random, case):
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, 1], [b"a"], data=random.choice(("[1]", "[null]", "[true]", "[{}]", "[1.5]")))]


@fault("json", models=("identity",))
def no_bytes_in_a_string(random, case):
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, 2], [b"", b""], data=r'["\u0000","a\u0000b"]')]


@fault("json", models=("identity",))
def controls_in_a_string(random, case):
    control = random.choice(("\n", "\t", "\x01", "\x7f"))
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, 1], [b""], data=f'["a{control}b"]')]


@fault("json", models=("identity",))
def escapes_that_are_none(random, case):
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, 1], [b""], data=random.choice((r'["\x41"]', r'["\u12"]', r'["\u12G4"]', r'["\'"]', '["a')))]


@fault("json", models=("identity",))
def strings_beyond_utf8(random, case):
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, 1], [b""], data='["@@"]')]
    other = random.choice((b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"))
    case.mangle = lambda body: body.replace(b"@@", other)


@fault("json", models=("digits", "optional", "picky"))
def empty_lists_in_data(random, case):
    one = any_input(random, case)
    one.data = "[[]," + one.text() + ",[]]"


@fault("json")
def data_of_nothing(random, case):
    any_input(random, case).data = random.choice(("[]", "[[]]", "[[],[]]"))


@fault("json")
def shape_written_otherwise(random, case):
    one = any_input(random, case)
    one.shape[0] = 1
    one.values = one.values[:int(numpy.prod(one.shape))]
    rows = random.choice(("1.0", "1e0", "0.1e1", "01", "+1"))
    case.edit = lambda text: text.replace('"shape": [1', '"shape": [' + rows, 1)


@fault("binary", models=("identity",))
def strings_of_any_bytes_out_in_json(random, case):
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, 1], [b"\xff" + random.randbytes(4)])]
    case.parameters["binary_data_output"] = False
