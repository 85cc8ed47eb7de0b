"""What a client got, in one form for all of them."""

import dataclasses

import numpy

import v2


@dataclasses.dataclass
class Outcome:
    """What a server made of a row: the outputs, each as dtype, shape and bytes, or a refusal."""

    status: object
    text: str = ""
    outputs: dict = None


def raw(dtype, values):
    """The bytes of a tensor, as the v2 protocol has them."""
    if dtype == "BYTES":
        return v2.Tensor("", dtype, [], values.reshape(-1).tolist()).bytes()
    return values.tobytes()


def text_of(value):
    """The text that bytes are; None if they are none."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def one_nan(values):
    """Floats with one NaN for all."""
    nan = numpy.isnan(values.astype(float))
    return numpy.where(nan, numpy.array(numpy.nan, values.dtype), values) if nan.any() else values
