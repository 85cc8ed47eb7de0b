"""One request over every protocol: v2 and TensorFlow Serving's, REST and gRPC, must give the same tensors."""

import http.client
import json
import random
import tempfile
import unittest

import grpc
import numpy

import models
import sluice
import stubs
import v2

SEED = 20261124
MODELS = 40
REQUESTS = 6  # for each of them


def generate(source):
    """Models of one to four tensors, whose first axis is of rows."""
    made = {}
    for number in range(MODELS):
        made[f"model{number}"] = [
            (source.choice(list(stubs.TYPES)), ["rows", *(source.choice([f"free{i}{axis}", 1, 2, 3]) for axis in range(source.randrange(3)))])
            for i in range(source.randrange(1, 5))
        ]
    return made


def value(source, dtype):
    match dtype:
        case "BYTES":
            return "".join(source.choice("abc ü\n\"\\€") for _ in range(source.choice([0, 1, 5, 200]))).encode()
        case "BOOL":
            return source.random() < 0.5
        case "FP16" | "BF16" | "FP32" | "FP64":
            exact = numpy.array([source.choice([0.0, -0.0, 1.0, source.gauss(0, 1), source.gauss(0, 1e4)])], v2.NUMPY[dtype])
            return float(exact.astype(numpy.float64)[0])
    bits = numpy.iinfo(v2.NUMPY[dtype])
    return source.choice([0, 1, int(bits.min), int(bits.max), source.randint(int(bits.min), int(bits.max))])


def nested(shape, values):
    """Flat values as lists in lists."""
    if not shape:
        return next(values)
    return [nested(shape[1:], values) for _ in range(shape[0])]


def binary(dtype, values):
    """Flat values as the bytes of a tensor; of strings the list of them."""
    if dtype == "BYTES":
        return [one.encode() if isinstance(one, str) else one for one in values]
    return numpy.array(values, v2.NUMPY[dtype]).tobytes()


def flat(lists, rank):
    return flat([one for part in lists for one in part], rank - 1) if rank > 1 else lists


class TestSame(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.models = generate(random.Random(SEED))
        folder = tempfile.TemporaryDirectory(prefix="sluice-models-")
        cls.addClassCleanup(folder.cleanup)
        cls.server = sluice.Sluice(models.build(folder.name, cls.models))
        cls.addClassCleanup(cls.server.stop)
        cls.client = v2.Client(cls.server.http, cls.server.grpc)
        cls.addClassCleanup(cls.client.close)
        channel = grpc.insecure_channel(cls.server.grpc)
        cls.addClassCleanup(channel.close)
        cls.stub = stubs.prediction_service_pb2_grpc.PredictionServiceStub(channel)
        cls.connection = http.client.HTTPConnection(cls.server.http, timeout=30)
        cls.addClassCleanup(cls.connection.close)

    def over_v2(self, form, model, tensors):
        answer = self.client.send(v2.Case(form, model, [v2.Tensor(f"in{i}", *one) for i, one in enumerate(tensors)]))
        self.assertTrue(answer.ok, (form, answer.error))
        return {name: (dtype, list(shape), [one.encode("latin-1") for one in values] if dtype == "BYTES" else values.tobytes())
                for name, dtype, shape, values in answer.outputs}

    def over_grpc(self, content, model, tensors):
        answer = self.stub.Predict(stubs.predict(model, {f"in{i}": stubs.tensor(*one, content) for i, one in enumerate(tensors)}), timeout=30)
        return {name: stubs.read(made) for name, made in answer.outputs.items()}

    def over_rest(self, form, model, tensors):
        columns = {}
        for i, (dtype, shape, values) in enumerate(tensors):
            columns[f"in{i}"] = nested(shape, iter([one.decode() if dtype == "BYTES" else one for one in values]))
        body = {"inputs": columns} if form == "inputs" else {"instances": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]}
        self.connection.request("POST", f"/v1/models/{model}:predict", json.dumps(body))
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        self.assertEqual(response.status, 200, answer)
        if form == "inputs":
            lists = answer["outputs"] if len(tensors) > 1 else {"out0": answer["outputs"]}
        elif len(tensors) > 1:
            lists = {f"out{i}": [row[f"out{i}"] for row in answer["predictions"]] for i in range(len(tensors))}
        else:
            lists = {"out0": answer["predictions"]}
        # It says neither type nor shape: they are those of the request, of which the lists must have the right number.
        return {f"out{i}": (dtype, shape, binary(dtype, flat(lists[f"out{i}"], len(shape)))) for i, (dtype, shape, _) in enumerate(tensors)}

    def test_every_protocol_gives_the_same(self):
        source = random.Random(SEED + 1)
        for model, described in self.models.items():
            for number in range(REQUESTS):
                sizes, tensors = {"rows": source.randrange(1, 6)}, []
                for dtype, dims in described:
                    shape = [sizes.setdefault(dim, source.randrange(1, 5)) if isinstance(dim, str) else dim for dim in dims]
                    tensors.append((dtype, shape, [value(source, dtype) for _ in range(int(numpy.prod(shape)))]))
                want = {f"out{i}": (dtype, shape, binary(dtype, values)) for i, (dtype, shape, values) in enumerate(tensors)}
                with self.subTest(model=described, request=number):
                    self.assertEqual(self.over_v2("raw", model, tensors), want)
                    self.assertEqual(self.over_v2("binary", model, tensors), want)
                    self.assertEqual(self.over_grpc(False, model, tensors), want)
                    self.assertEqual(self.over_grpc(True, model, tensors), want)
                    self.assertEqual(self.over_rest("inputs", model, tensors), want)
                    self.assertEqual(self.over_rest("instances", model, tensors), want)


if __name__ == "__main__":
    unittest.main()
