"""The clients of the pairs. Each sends a row in its protocol, and says what came back in one form."""

import dataclasses
import json

import numpy

import v2
from v2 import NUMPY


@dataclasses.dataclass
class Outcome:
    """What a server made of a row: the outputs, each as dtype, shape and bytes, or a refusal."""

    status: object
    text: str = ""
    outputs: dict = None


def raw(dtype, values):
    return v2.Tensor("", dtype, [], values.reshape(-1).tolist() if dtype == "BYTES" else [], raw=None if dtype == "BYTES" else values.tobytes()).bytes()


class V2:
    """The v2 protocol, in one of the forms of package v2."""

    def __init__(self, form):
        self.form, self.text, self.slow = form, form == "json", form in ("json", "typed")

    def send(self, server, row, model):
        form = "binary" if row.answered and self.text else self.form
        case = v2.Case(form, model, [self.tensor(dtype, values, form) for dtype, values in row.of(self).items()])
        if row.wanted:
            case.outputs = [(f"OUT_{dtype}", {}) for dtype in row.wanted]
        if form != self.form:
            case.edit = lambda text: text.replace('"binary_data_output": true', '"binary_data_output": false')
        case.mangle = lambda body: unmarked(body) if b"@bytes:" in body else body
        answer = server.v2.send(case)
        if not answer.ok:
            return Outcome(answer.status, answer.error)
        if answer.outputs and len(answer.outputs) != len({output[0] for output in answer.outputs}):
            return Outcome(answer.status, "an output came twice")
        return Outcome(answer.status, "", {name: (dtype, tuple(shape), self.bytes(dtype, values)) for name, dtype, shape, values in answer.outputs})

    def tensor(self, dtype, values, form):
        made = v2.Tensor(f"IN_{dtype}", dtype, list(values.shape), [])
        if form == "typed":
            made.values = values.reshape(-1).tolist()
        else:
            made.raw = raw(dtype, values)
        if form == "json":
            flat = values.reshape(-1)
            made.data = json.dumps([marked(value) for value in flat] if dtype == "BYTES" else flat.astype(float).tolist() if "F" in dtype else flat.tolist())
        return made

    def bytes(self, dtype, values):
        if dtype != "BYTES":
            return values.tobytes()
        coding = "utf-8" if self.text else "latin-1"
        return raw(dtype, numpy.array([value.encode(coding) for value in values], object))

    def expected(self, row):
        """The outputs that must come back."""
        tensors = row.of(self)
        return {row.output(dtype): (dtype, tensors[dtype].shape, self.bytes_of(dtype, tensors[dtype])) for dtype in row.wanted or tensors}

    def bytes_of(self, dtype, values):
        """The bytes that must come back. There is one NaN in text."""
        if self.text and "F" in dtype and numpy.isnan(values.astype(float)).any():
            values = numpy.where(numpy.isnan(values.astype(float)), numpy.array(numpy.nan, values.dtype), values)
        return raw(dtype, values)


def marked(value):
    """The text of a string for JSON; a mark that unmarked replaces, where the string is not text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"@bytes:{value.hex()}@"


def unmarked(body):
    """The body with what was marked in it as it is, which makes it no JSON."""
    head, *parts = body.split(b"@bytes:")
    for part in parts:
        coded, rest = part.split(b"@", 1)
        head += bytes.fromhex(coded.decode()) + rest
    return head


CLIENTS = {
    "v2 REST, JSON": V2("json"),
    "v2 REST, binary": V2("binary"),
    "v2 gRPC, raw": V2("raw"),
    "v2 gRPC, typed": V2("typed"),
}
