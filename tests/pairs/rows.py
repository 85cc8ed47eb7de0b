"""What is sent through every pair: each row goes to a model that gives back what it is given."""

import dataclasses

import ml_dtypes
import numpy

from v2 import DTYPES, NUMPY

MATRIX = (2, 3)


@dataclasses.dataclass
class Row:
    """Tensors by dtype, in the order in which they are sent: IN_<dtype> comes back as OUT_<dtype>, and what the model adds to it."""

    name: str
    model: str
    tensors: dict
    wanted: tuple = None  # the dtypes of the outputs that are asked for, in their order; None: all
    answered: bool = False  # only the answer is to be in the client's own form, where it has several
    small: dict = None  # the tensors, for clients to whom each number is work

    def output(self, dtype):
        return f"OUT_{dtype}_bytes" if self.model == "named_bytes" else f"OUT_{dtype}"

    def of(self, client):
        return self.small if client.slow and self.small is not None else self.tensors


def array(dtype, values):
    return numpy.array(values, NUMPY.get(dtype, object))


def extremes():
    """Of each dtype a matrix with what is at its ends."""
    for dtype in DTYPES:
        if dtype == "BYTES":
            yield dtype, [[b"", b"words", "ö, 号 and 😀".encode()], [b"\0", b'"\\\n\x7f', b"x" * 70000]]
        elif dtype == "BOOL":
            yield dtype, [[True, False, True], [False, False, True]]
        elif "INT" in dtype:
            bounds = numpy.iinfo(NUMPY[dtype])
            yield dtype, [[bounds.min, bounds.max, 0], [1, bounds.max - 1, bounds.min + 1]]
        else:
            bounds = ml_dtypes.finfo(NUMPY[dtype])
            yield dtype, [[bounds.min, bounds.max, bounds.tiny], [bounds.smallest_subnormal, -0.0, 1 / 3]]


def nonfinite(dtype):
    """NaN, as it mostly is and with other bits, and both infinities."""
    values = array(dtype, [[numpy.nan, numpy.inf, -numpy.inf], [1.5, numpy.nan, -0.0]])
    bits = values.view(f"u{values.itemsize}")
    bits[1, 1] |= 5
    bits[1, 1] ^= 1 << (8 * values.itemsize - 1)
    return values


def rows():
    for dtype, values in extremes():
        yield Row(dtype, f"identity_{dtype}", {dtype: array(dtype, values)})
    for dtype in ("FP16", "BF16", "FP32", "FP64"):
        yield Row(f"{dtype}: NaN and infinities", f"identity_{dtype}", {dtype: nonfinite(dtype)})
    binary = {"BYTES": array("BYTES", [[bytes(range(128, 256)), b"\xff", b"\xc3"]])}
    yield Row("BYTES that are not UTF-8", "identity_BYTES", binary)
    yield Row("BYTES that are not UTF-8, in the answer", "identity_BYTES", binary, answered=True)
    yield Row("BYTES that are not UTF-8, for an output whose name ends in `_bytes`", "named_bytes", binary, answered=True)
    some = ("INT32", "FP32", "BYTES", "BOOL", "FP64")
    several = {dtype: array(dtype, values)[:, :2 + number % 2] for number, (dtype, values) in enumerate(extremes()) if dtype in some}
    several = {dtype: several[dtype] for dtype in some}
    yield Row("several inputs and outputs", "several", several)
    yield Row("some of several outputs", "several", several, wanted=("BYTES", "INT32"))
    yield Row("rank 0", "scalar", {"FP32": array("FP32", 0.1), "INT64": array("INT64", -(1 << 63)), "BOOL": array("BOOL", True),
                                   "BYTES": array("BYTES", b"words")})
    yield Row("rank 3", "cube", {"FP32": array("FP32", numpy.arange(12)).reshape(2, 2, 3)})
    for dtype in ("FP32", "BYTES"):
        for shape in ((0, 3), (2, 0)):
            yield Row(f"{dtype}, no elements: shape [{shape[0]},{shape[1]}]", f"identity_{dtype}", {dtype: array(dtype, numpy.zeros(shape))})
    numbers = numpy.random.default_rng(1).standard_normal(1 << 22, numpy.float32)
    yield Row("FP32, 16 MiB, or 256 KiB as text and in typed fields", "identity_FP32", {"FP32": numbers.reshape(64, -1)}, small={"FP32": numbers[:1 << 16].reshape(64, -1)})
    words = array("BYTES", [[b"x" * (i % 97) for i in range(1 << 16)]]).reshape(-1, 2)
    yield Row("BYTES, 65,536 strings", "identity_BYTES", {"BYTES": words})
