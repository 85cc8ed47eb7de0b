"""What can be wrong with the path and the head of a request over HTTP, with its encoding and its binary data, or odd."""

import gzip
import zlib

import numpy

from faults import any_input, fault, output_of
from made import MODELS, tensor
from v2 import OVER_HTTP, Tensor


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


@fault(*OVER_HTTP, models=MODELS)
def header_length_no_number(random, case):
    case.header = random.choice(("x", "", "0x10"))


@fault("json", models=("digits",))
def header_length_read_as_zero(random, case):
    """What a Triton takes for the data of the only input, if it is as long as a row of it."""
    case.header, case.id = random.choice(("x", "", "0x10")), ""
    case.inputs = [Tensor("image", "FP32", [1, 64], [0.0] * 64, data="[%s]" % ",".join("0" * 64))]
    case.mangle = lambda body: body.ljust(256)


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


@fault(*OVER_HTTP)
def query_in_the_path(random, case):
    case.suffix = "/infer" + random.choice(("?", "?x=1", "?x=%00&y"))


@fault(*OVER_HTTP)
def escapes_in_the_path(random, case):
    case.model = f"%{ord(case.model[0]):02x}" + case.model[1:]


@fault(*OVER_HTTP)
def no_version_in_the_path(random, case):
    case.version, case.suffix = "", random.choice(("/versions//infer", "/versions/infer"))


@fault(*OVER_HTTP)
def content_type(random, case):
    case.headers["Content-Type"] = random.choice(("application/json", "application/octet-stream", "text/plain", "nonsense", "application/json; charset=utf-16"))


@fault(*OVER_HTTP)
def body_in_chunks(random, case):
    case.chunked = True


@fault("binary")
def spaces_around_the_header_length(random, case):
    case.header = ("as", random.choice(("  {}", "{} ", "\t{}\t")))


@fault("binary")
def header_length_written_otherwise(random, case):
    case.header = ("as", random.choice(("+{}", "00{}")))


@fault("binary")
def header_length_and_more(random, case):
    case.header = ("as", random.choice(("{},{}", "{} {}", "{}x", "{};")))


def gzipped(body):
    return gzip.compress(body, mtime=0)


@fault(*OVER_HTTP)
def gzip_body(random, case):
    case.headers["Content-Encoding"], case.mangle = "gzip", gzipped


@fault(*OVER_HTTP)
def deflate_body(random, case):
    case.headers["Content-Encoding"], case.mangle = "deflate", zlib.compress


@fault(*OVER_HTTP, models=MODELS)
def deflate_body_without_its_head(random, case):
    """Some call this deflate. A Triton that cannot read it may take it for the data of an only input, of which there is none."""
    case.headers["Content-Encoding"], case.mangle = "deflate", lambda body: zlib.compress(body, wbits=-15)


@fault(*OVER_HTTP)
def encoding_in_capitals(random, case):
    case.headers["Content-Encoding"], case.mangle = "GZIP", gzipped


@fault(*OVER_HTTP)
def encoding_of_old(random, case):
    case.headers["Content-Encoding"], case.mangle = "x-gzip", gzipped


@fault(*OVER_HTTP)
def encoding_that_is_none(random, case):
    case.headers["Content-Encoding"] = random.choice(("identity", ""))


@fault(*OVER_HTTP)
def encoding_of_another_kind(random, case):
    case.headers["Content-Encoding"], case.mangle = random.choice((("gzip", zlib.compress), ("deflate", gzipped)))


@fault(*OVER_HTTP)
def two_encodings(random, case):
    case.headers["Content-Encoding"], case.mangle = "deflate, gzip", lambda body: gzipped(zlib.compress(body))


@fault(*OVER_HTTP)
def cut_gzip(random, case):
    by = random.choice((1, 8, 12))
    case.headers["Content-Encoding"], case.mangle = "gzip", lambda body: gzipped(body)[:-by]


@fault(*OVER_HTTP)
def more_behind_the_gzip(random, case):
    case.headers["Content-Encoding"], case.mangle = "gzip", lambda body: gzipped(body) + b"more"


@fault(*OVER_HTTP)
def two_gzips(random, case):
    case.headers["Content-Encoding"], case.mangle = "gzip", lambda body: gzipped(body[:20]) + gzipped(body[20:])


@fault(*OVER_HTTP)
def wrong_sum_of_the_gzip(random, case):
    def spoil(body):
        packed = bytearray(gzipped(body))
        packed[-8] ^= 1
        return bytes(packed)
    case.headers["Content-Encoding"], case.mangle = "gzip", spoil


@fault(*OVER_HTTP)
def accepts_an_encoding(random, case):
    case.headers["Accept-Encoding"] = random.choice(("gzip", "deflate", "gzip, deflate", "deflate, gzip", "br, gzip", "gzip;q=0.5"))


@fault(*OVER_HTTP)
def accepts_no_encoding(random, case):
    case.headers["Accept-Encoding"] = random.choice(("", "identity", "br", "gzip;q=0", "*;q=0", "nonsense,,;q"))


@fault(*OVER_HTTP)
def accepts_any_encoding(random, case):
    case.headers["Accept-Encoding"] = "*"


@fault(*OVER_HTTP, models=("digits",))
def outputs_in_both_forms(random, case):
    binary = random.choice((True, False))
    case.outputs = [("label", {"binary_data": binary}), ("probabilities", {"binary_data": not binary})]
    if random.random() < 0.5:
        case.parameters["binary_data_output"] = random.choice((True, False))


@fault(*OVER_HTTP)
def binary_output_of_the_list_and_not_of_the_request(random, case):
    case.outputs = [(output_of(random, case), {"binary_data": True})]
    case.parameters["binary_data_output"] = False


@fault(*OVER_HTTP)
def binary_output_of_the_request_and_not_of_the_list(random, case):
    if case.model == "identity":
        case.inputs = [tensor(random, "IN_INT32", "INT32", (1, 2))]
    case.outputs = [(output_of(random, case), {"binary_data": False})]
    case.parameters["binary_data_output"] = True


@fault("json")
def binary_output_of_the_request_beside_a_list(random, case):
    case.outputs = [(output_of(random, case), {})]
    case.parameters["binary_data_output"] = True


@fault(*OVER_HTTP)
def binary_output_no_bool(random, case):
    case.parameters["binary_data_output"] = random.choice((1, 0, "true", 1.5))


@fault(*OVER_HTTP)
def binary_data_no_bool(random, case):
    case.outputs = [(output_of(random, case), {"binary_data": random.choice((1, 0, "true", 1.5))})]


@fault("json")
def no_binary_output(random, case):
    case.parameters["binary_data_output"] = False


@fault("json")
def binary_output_for_json(random, case):
    case.parameters["binary_data_output"] = True


@fault("binary", models=("identity",))
def half_precision_out_in_json(random, case):
    datatype = random.choice(("FP16", "BF16"))
    case.inputs = [tensor(random, "IN_" + datatype, datatype, (1, 2))]
    case.parameters["binary_data_output"] = False


@fault(*OVER_HTTP, models=("digits",))
def classes_in_binary(random, case):
    case.outputs = [("probabilities", {"classification": random.choice((1, 3)), "binary_data": True})]


@fault("binary")
def some_inputs_in_json(random, case):
    for one in case.inputs[:1]:
        one.plain = one.datatype not in ("FP16", "BF16")
