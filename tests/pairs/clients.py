"""The clients of the pairs. Each sends a row in its protocol, and says what came back in one form; None where it cannot say that."""

import json

import numpy

import v2
from pairs import serving
from pairs.outcome import Outcome, one_nan, raw, text_of


class V2:
    """The v2 protocol, in one of the forms of module v2."""

    def __init__(self, form):
        self.form, self.text, self.slow = form, form == "json", form in ("json", "typed")

    def send(self, server, row, model):
        form = "binary" if row.answered and self.text else self.form
        case = v2.Case(form, model, [self.tensor(dtype, values, form) for dtype, values in row.of(self).items()])
        if row.wanted:
            case.outputs = [(row.output(dtype), {}) for dtype in row.wanted]
        if form != self.form:
            case.edit = lambda text: text.replace('"binary_data_output": true', '"binary_data_output": false')
        case.mangle = lambda body: unmarked(body) if b"@bytes:" in body else body
        answer = server.v2.send(case)
        if not answer.ok:
            return Outcome(answer.status, answer.error)
        outputs = {name: (dtype, tuple(shape), self.bytes(dtype, values)) for name, dtype, shape, values in answer.outputs}
        return Outcome(answer.status, "", outputs if len(outputs) == len(answer.outputs) else {"an output came twice": answer.outputs})

    def tensor(self, dtype, values, form):
        made = v2.Tensor(f"IN_{dtype}", dtype, list(values.shape), [])
        if form == "typed":
            made.values = values.reshape(-1).tolist()
        else:
            made.raw = raw(dtype, values)
        if form == "json":
            flat = values.reshape(-1)
            if dtype == "BYTES":
                made.data = json.dumps([marked(value) for value in flat])
            else:
                made.data = json.dumps((flat.astype(float) if "F" in dtype else flat).tolist())
        return made

    def bytes(self, dtype, values):
        if dtype != "BYTES":
            return values.tobytes()
        coding = "utf-8" if self.text else "latin-1"
        return raw(dtype, numpy.array([value.encode(coding) for value in values], object))

    def expected(self, row):
        """The outputs that must come back. There is one NaN in text."""
        tensors = row.of(self)
        if self.text:
            tensors = {dtype: one_nan(values) if "F" in dtype else values for dtype, values in tensors.items()}
        return {row.output(dtype): (dtype, tensors[dtype].shape, raw(dtype, tensors[dtype])) for dtype in row.wanted or tensors}


def marked(value):
    """The text of a string for JSON; a mark that unmarked replaces, where the string is not text."""
    text = text_of(value)
    return f"@bytes:{value.hex()}@" if text is None else text


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
    "v2 gRPC": V2("raw"),
    "v2 gRPC, typed": V2("typed"),
    "TF REST, columns": serving.REST("inputs"),
    "TF REST, rows": serving.REST("instances"),
    "TF gRPC": serving.GRPC("content"),
    "TF gRPC, lists": serving.GRPC("lists"),
}
