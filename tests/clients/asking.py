"""What the tests of tritonclient ask with: the library is tritonclient.http or tritonclient.grpc."""

import json

import numpy
from tritonclient.utils import InferenceServerException

import sluice


def tensor(library, name, array, dtype, **options):
    made = library.InferInput(name, list(array.shape), dtype)
    made.set_data_from_numpy(array, **options)
    return made


def pair(library, rows=1, base=0, **options):
    """Inputs of simple, whose rows tell each other apart."""
    a = numpy.arange(rows * 16, dtype=numpy.int32).reshape(rows, 16) + base
    b = numpy.full((rows, 16), 3, numpy.int32)
    return a, b, [tensor(library, name, array, "INT32", **options) for name, array in (("INPUT0", a), ("INPUT1", b))]


def slow(library, turns):
    """Inputs of slow, which takes some ten microseconds a turn."""
    return [tensor(library, "X", numpy.eye(128, dtype=numpy.float32), "FP32"), tensor(library, "turns", numpy.array([turns]), "INT64")]


def heldout(count):
    """Images of digits that no model was trained with, and what they show."""
    found = json.loads((sluice.DIGITS / "heldout.json").read_text())["images"][:count]
    return numpy.array([one["image"] for one in found], numpy.float32), [one["label"] for one in found]


class Refused:
    """A context in which the client must raise with this status and these words."""

    def __init__(self, case, status, words):
        self.case, self.status, self.words = case, status, words

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.case.fail(f"the server accepted what must be answered {self.status}")
        if not isinstance(error, InferenceServerException):
            return False
        self.case.assertEqual(error.status(), self.status, error.message())
        for word in self.words:
            self.case.assertIn(word, error.message())
        return True
