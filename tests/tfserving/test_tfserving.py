"""TensorFlow behind Sluice: what its own clients get through Sluice is what they get straight from it, and other
protocols' clients get the same tensors."""

import concurrent.futures
import json
import pathlib
import subprocess
import tempfile
import time
import unittest
import urllib.request

import ml_dtypes
import numpy
import tensorflow as tf
import tritonclient.grpc
import tritonclient.http
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2, get_model_metadata_pb2, get_model_status_pb2, inference_pb2, model_service_pb2_grpc, predict_pb2,
    prediction_service_pb2_grpc, regression_pb2)
from tritonclient.utils import InferenceServerException

import grpc
import sluice
import tfserving

DTYPES = {
    "BOOL": bool, "UINT8": "u1", "UINT16": "u2", "UINT32": "u4", "UINT64": "u8", "INT8": "i1", "INT16": "i2", "INT32": "i4",
    "INT64": "i8", "FP16": "f2", "BF16": ml_dtypes.bfloat16, "FP32": "f4", "FP64": "f8", "BYTES": object,
}
MODELS = [f"identity_{name}" for name in DTYPES] + ["several", "scalar", "cube", "mixed", "half_plus_two", "slow"]
LISTS = {"FP32": "float_val", "FP64": "double_val", "INT64": "int64_val", "BOOL": "bool_val", "BYTES": "string_val", "UINT32": "uint32_val",
         "UINT64": "uint64_val", "FP16": "half_val", "BF16": "half_val"}

server = gateway = None


def setUpModule():
    global server, gateway
    server = tfserving.TFServing(labels={"half_plus_two:stable": 1, "half_plus_two:canary": 2, "mixed:only": 1})
    unittest.addModuleCleanup(server.close)
    folder = tempfile.TemporaryDirectory(prefix="tfserving-")
    unittest.addModuleCleanup(folder.cleanup)
    config = pathlib.Path(folder.name) / "sluice.yaml"
    config.write_text(f"""version: 1
pools:
  - name: tf
    kind: tfserving
    discover: true
    models: [{", ".join(MODELS)}]
    labels: [only, none]
    health: {{interval: 100ms, timeout: 5s}}
    endpoints: [{{address: "{server.grpc}"}}]
models:
  - name: half_plus_two
    targets:
      - {{version: "1", pool: tf, weight: 0, labels: [stable]}}
      - {{version: "2", pool: tf, labels: [canary]}}
  - name: halves
    targets: [{{version: "41", pool: tf, upstream: {{model: half_plus_two, version: "1"}}}}]
  - name: merging
    batching: {{max_batch_size: 16}}
    targets: [{{version: "1", pool: tf, upstream: {{model: slow}}}}]
""")
    gateway = sluice.Sluice(arguments=("-c", config))
    unittest.addModuleCleanup(gateway.stop)


def values(name, shape=(2, 3)):
    count = int(numpy.prod(shape))
    if name == "BYTES":
        flat = [b"", "ö and more".encode(), b"\0\xff\xfe", b"x" * 3000, b"4", b"5"][:count]
    elif name == "BOOL":
        flat = [True, False, True, True, False, False][:count]
    else:
        flat = [0, 1, 2, 3, 100, 7][:count]
    return numpy.array(flat, DTYPES[name]).reshape(shape)


def content(array):
    """A tensor as clients of TensorFlow make it, which is tensor_content where that is possible."""
    return tf.make_tensor_proto(array)


def listed(name, array, short=False):
    """A tensor as the list of its type; short, without the elements that are as the last one."""
    proto = tensor_pb2.TensorProto(dtype=content(array).dtype, tensor_shape=content(array).tensor_shape)
    flat = array.ravel()
    if name in ("FP16", "BF16"):
        flat = flat.view("u2")
    flat = flat.tolist()
    while short and len(flat) > 1 and flat[-1] == flat[-2]:
        flat.pop()
    getattr(proto, LISTS.get(name, "int_val")).extend(flat)
    return proto


def predict(model, version=None, label=None, signature="", wanted=(), **inputs):
    q = predict_pb2.PredictRequest(output_filter=wanted)
    spec(q.model_spec, model, version, label, signature)
    for name, value in inputs.items():
        q.inputs[name].CopyFrom(value if isinstance(value, tensor_pb2.TensorProto) else content(value))
    return q


def spec(to, model, version=None, label=None, signature=""):
    to.name, to.signature_name = model, signature
    if version is not None:
        to.version.value = version
    if label is not None:
        to.version_label = label


def examples(given, *numbers):
    for x in numbers:
        given.example_list.examples.add().features.feature["x"].float_list.value.append(x)


class Front:
    """The stubs of a server, straight or through Sluice."""

    def __init__(self, case, address):
        channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
        case.addCleanup(channel.close)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(channel)

    def predict(self, *arguments, **named):
        return self.prediction.Predict(predict(*arguments, **named), timeout=30)


class Case(unittest.TestCase):
    def setUp(self):
        self.straight, self.through = Front(self, server.grpc), Front(self, gateway.grpc)

    def same(self, ask):
        """What ask gets is the same from both, message for message. Returns it."""
        want, got = ask(self.straight), ask(self.through)
        self.assertEqual(want, got)
        return got

    def refused(self, ask, code, *words):
        """Both refuse, with the code, and Sluice with the words."""
        for front in self.straight, self.through:
            with self.assertRaises(grpc.RpcError) as caught:
                ask(front)
            self.assertEqual(caught.exception.code(), code, caught.exception.details())
        for word in words:
            self.assertIn(word, caught.exception.details())


class TestStubs(Case):
    def test_every_type_in_every_form(self):
        for name in DTYPES:
            array = values(name)
            repeated = numpy.concatenate([array, numpy.repeat(array[-1:, -1:], 3, axis=1)])
            for form, proto in {
                "content": content(array), "list": listed(name, array), "short list": listed(name, repeated, short=True),
                "no rows": content(array[:0]), "no columns": listed(name, array[:, :0]),
            }.items():
                with self.subTest(dtype=name, form=form):
                    answer = self.same(lambda front: front.predict(f"identity_{name}", **{f"IN_{name}": proto}))
                    numpy.testing.assert_array_equal(tf.make_ndarray(answer.outputs[f"OUT_{name}"]), tf.make_ndarray(proto))

    def test_rank_0_and_several(self):
        scalars = {f"IN_{name}": listed(name, numpy.array(value, DTYPES[name])) for name, value in (
            ("FP32", 0.1), ("INT64", -(1 << 63)), ("BOOL", True), ("BYTES", b"words"))}
        answer = self.same(lambda front: front.predict("scalar", **scalars))
        self.assertEqual(tf.make_ndarray(answer.outputs["OUT_INT64"]), -(1 << 63))
        several = {f"IN_{name}": values(name) for name in ("INT32", "FP32", "BYTES", "BOOL", "FP64")}
        self.same(lambda front: front.predict("several", **several))
        answer = self.same(lambda front: front.predict("several", wanted=("OUT_BYTES", "OUT_FP64"), **several))
        self.assertEqual(set(answer.outputs), {"OUT_BYTES", "OUT_FP64"})

    def test_large(self):
        array = numpy.random.default_rng(1).standard_normal((64, 1 << 14), numpy.float32)
        answer = self.same(lambda front: front.predict("identity_FP32", IN_FP32=array))
        numpy.testing.assert_array_equal(tf.make_ndarray(answer.outputs["OUT_FP32"]), array)

    def test_signatures(self):
        x, words = numpy.array([[1, 2], [3, 4]], "f4"), numpy.array([b"a", b"b"], object)
        answer = self.same(lambda front: front.predict("mixed", x=x, words=words))
        self.assertEqual(list(answer.outputs["text"].string_val), [b"a/2", b"b/2"])
        answer = self.same(lambda front: front.predict("mixed", signature="product", x=x))
        self.assertEqual(list(answer.outputs["product"].float_val), [2, 12])

    def test_versions_and_labels(self):
        x = numpy.array([1], "f4")
        for named, y in (({}, 3.5), ({"version": 1}, 2.5), ({"version": 2}, 3.5), ({"label": "stable"}, 2.5), ({"label": "canary"}, 3.5)):
            with self.subTest(**named):
                answer = self.same(lambda front: front.predict("half_plus_two", x=x, **named))
                self.assertEqual(list(answer.outputs["y"].float_val), [y])
        self.same(lambda front: front.predict("mixed", label="only", signature="product", x=x[None]))
        answer = self.through.predict("halves", x=x)
        self.assertEqual((answer.model_spec.name, answer.model_spec.version.value, answer.outputs["y"].float_val[0]), ("halves", 41, 2.5))

    def test_examples(self):
        def classify(front):
            q = classification_pb2.ClassificationRequest()
            spec(q.model_spec, "half_plus_two", version=1, signature="classify_x_to_y")
            examples(q.input, 1, 2, 5)
            return front.prediction.Classify(q, timeout=30)

        def regress(front):
            q = regression_pb2.RegressionRequest()
            spec(q.model_spec, "half_plus_two", label="canary", signature="regress_x_to_y")
            q.input.example_list_with_context.context.features.feature["x"].float_list.value.append(3)
            q.input.example_list_with_context.examples.add()
            return front.prediction.Regress(q, timeout=30)

        def both(front):
            q = inference_pb2.MultiInferenceRequest()
            for method in "classify", "regress":
                task = q.tasks.add(method_name=f"tensorflow/serving/{method}")
                spec(task.model_spec, "half_plus_two", version=1, signature=f"{method}_x_to_y")
            examples(q.input, 4)
            return front.prediction.MultiInference(q, timeout=30)

        answer = self.same(classify)
        self.assertEqual([(c.label, c.score) for c in answer.result.classifications[2].classes], [("up", 4.5), ("down", -4.5)])
        self.assertEqual(self.same(regress).result.regressions[0].value, 4.5)
        self.assertEqual(self.same(both).results[1].regression_result.regressions[0].value, 4)

    def test_metadata_and_status(self):
        def signatures(front):
            q = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
            spec(q.model_spec, "mixed", version=1)
            answer = front.prediction.GetModelMetadata(q, timeout=30)
            all_of_them = get_model_metadata_pb2.SignatureDefMap()
            answer.metadata["signature_def"].Unpack(all_of_them)
            return {name: (s.method_name, {k: (t.dtype, str(t.tensor_shape)) for k, t in s.inputs.items()},
                           {k: (t.dtype, str(t.tensor_shape)) for k, t in s.outputs.items()})
                    for name, s in all_of_them.signature_def.items() if not name.startswith("__")}

        self.assertEqual(set(self.same(signatures)), {"serving_default", "product", "checked"})
        q = get_model_status_pb2.GetModelStatusRequest()
        spec(q.model_spec, "half_plus_two")
        self.same(lambda front: sorted((s.version, s.state) for s in front.models.GetModelStatus(q, timeout=30).model_version_status))

    def test_refusals(self):
        x, codes = numpy.array([1], "f4"), grpc.StatusCode
        self.refused(lambda front: front.predict("nobody", x=x), codes.NOT_FOUND, "nobody")
        self.refused(lambda front: front.predict("half_plus_two", version=9, x=x), codes.NOT_FOUND, "9")
        self.refused(lambda front: front.predict("half_plus_two"), codes.INVALID_ARGUMENT, "'x'")
        self.refused(lambda front: front.predict("half_plus_two", x=x, y=x), codes.INVALID_ARGUMENT)
        self.refused(lambda front: front.predict("half_plus_two", x=x.astype("i4")), codes.INVALID_ARGUMENT, "'x'", "FP32")
        self.refused(lambda front: front.predict("half_plus_two", x=x[0]), codes.INVALID_ARGUMENT, "'x'", "[-1]")
        self.refused(lambda front: front.predict("half_plus_two", x=x, wanted=("z",)), codes.INVALID_ARGUMENT, "'z'")
        nan = numpy.array([[numpy.nan]], "f4")
        self.refused(lambda front: front.predict("mixed", signature="checked", x=nan), codes.INVALID_ARGUMENT, "x is not finite")


class TestContent(unittest.TestCase):
    """A server that answers with tensor_content, as the flag --enable_serialization_as_tensor_content of the real one has it."""

    def test_every_type(self):
        content_server = tfserving.TFServing(content=True)
        self.addCleanup(content_server.close)
        own = sluice.Sluice(arguments=("--backend", f"tfserving={content_server.grpc}#{','.join(MODELS[:len(DTYPES)])}"))
        self.addCleanup(own.stop)
        straight, through = Front(self, content_server.grpc), Front(self, own.grpc)
        with tritonclient.http.InferenceServerClient(own.http) as client:
            for name in DTYPES:
                with self.subTest(dtype=name):
                    array = values(name)
                    asked = predict(f"identity_{name}", **{f"IN_{name}": array})
                    answer = through.prediction.Predict(asked, timeout=30)
                    self.assertEqual(answer, straight.prediction.Predict(asked, timeout=30))
                    self.assertEqual(name != "BYTES", bool(answer.outputs[f"OUT_{name}"].tensor_content))
                    x = tritonclient.http.InferInput(f"IN_{name}", list(array.shape), name)
                    x.set_data_from_numpy(array)
                    numpy.testing.assert_array_equal(client.infer(f"identity_{name}", [x]).as_numpy(f"OUT_{name}"), array)


class TestOtherClients(Case):
    """The v2 protocol's own client, and curl as TensorFlow Serving's documentation has it."""

    def infer(self, library, model, tensors, wanted=(), **named):
        with library.InferenceServerClient(gateway.grpc if library is tritonclient.grpc else gateway.http) as client:
            inputs = []
            for name, (dtype, array) in tensors.items():
                inputs.append(library.InferInput(name, list(array.shape), dtype))
                inputs[-1].set_data_from_numpy(array)
            return client.infer(model, inputs, outputs=[library.InferRequestedOutput(name) for name in wanted] or None, **named)

    def test_every_type(self):
        for library in tritonclient.grpc, tritonclient.http:
            for name in DTYPES:
                with self.subTest(library=library.__name__, dtype=name):
                    array = values(name)
                    answer = self.infer(library, f"identity_{name}", {f"IN_{name}": (name, array)})
                    numpy.testing.assert_array_equal(answer.as_numpy(f"OUT_{name}"), array)

    def test_rank_0(self):
        scalars = {f"IN_{name}": (name, numpy.array(value, DTYPES[name])) for name, value in (
            ("FP32", 0.5), ("INT64", -5), ("BOOL", True), ("BYTES", b"words"))}
        for library in tritonclient.grpc, tritonclient.http:
            with self.subTest(library=library.__name__):
                answer = self.infer(library, "scalar", scalars, wanted=("OUT_FP32", "OUT_BYTES"))
                self.assertEqual((answer.as_numpy("OUT_FP32").shape, answer.as_numpy("OUT_FP32")[()], answer.as_numpy("OUT_BYTES")[()]), ((), 0.5, b"words"))

    def test_signatures(self):
        x = numpy.array([[1, 2], [3, 4]], "f4")
        for library in tritonclient.grpc, tritonclient.http:
            with self.subTest(library=library.__name__):
                answer = self.infer(library, "mixed", {"x": ("FP32", x)}, parameters={"signature_name": "product"})
                numpy.testing.assert_array_equal(answer.as_numpy("product"), [2, 12])
                with self.assertRaisesRegex(InferenceServerException, "input 'words' of signature 'serving_default' of model 'mixed' is missing"):
                    self.infer(library, "mixed", {"x": ("FP32", x)})

    def curl(self, path, *arguments):
        done = subprocess.run(["curl", "-s", "-S", *arguments, f"http://{gateway.http}{path}"], check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def test_curl(self):
        model = "/v1/models/half_plus_two"
        self.assertEqual(self.curl(f"{model}/versions/1:predict", "-d", '{"instances": [1.0, 2.0, 5.0]}', "-X", "POST"), {"predictions": [2.5, 3.0, 4.5]})
        self.assertEqual(self.curl(f"{model}/labels/canary:predict", "-d", '{"inputs": [1.0]}'), {"outputs": [3.5]})
        self.assertEqual(self.curl(f"{model}/versions/1:regress", "-d", '{"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": 2.0}]}'), {"results": [2.5, 3.0]})
        self.assertEqual(self.curl(f"{model}/versions/1:classify", "-d", '{"signature_name": "classify_x_to_y", "examples": [{"x": 1.0}]}'),
                         {"results": [[["up", 2.5], ["down", -2.5]]]})
        self.assertEqual({s["state"] for s in self.curl(model)["model_version_status"]}, {"AVAILABLE"})
        self.assertIn("words", self.curl("/v1/models/mixed/metadata")["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"])
        self.assertIn("'x'", self.curl(f"{model}:predict", "-d", '{"instances": [[1.0]]}')["error"])


class TestServer(Case):
    def await_(self, what, holds):
        deadline = time.monotonic() + 30
        while not holds():
            self.assertLess(time.monotonic(), deadline, f"in vain: {what}\n{gateway.log()[-4000:]}")
            time.sleep(0.02)

    def answer(self, **named):
        """What half_plus_two makes of 1, or the code of the refusal."""
        try:
            return self.through.predict("half_plus_two", x=numpy.array([1], "f4"), **named).outputs["y"].float_val[0]
        except grpc.RpcError as e:
            return e.code()

    def test_versions_come_and_go(self):
        server.remove("half_plus_two", 1)
        try:
            self.await_("version 1 is gone", lambda: self.answer(version=1) == grpc.StatusCode.UNAVAILABLE)
            self.assertEqual(self.answer(version=2), 3.5)
        finally:
            server.restore("half_plus_two", 1)
        self.await_("version 1 is back", lambda: self.answer(version=1) == 2.5)

    def test_server_dies_and_comes_back(self):
        server.kill()
        try:
            self.await_("nobody answers", lambda: self.answer(version=2) == grpc.StatusCode.UNAVAILABLE)
        finally:
            server.start()
        self.await_("it answers again", lambda: self.answer(version=2) == 3.5)

    def test_requests_merge(self):
        def ask(i):
            x = numpy.full((1 + i % 3, 4), i, "f4")
            for _ in range(4):
                answer = self.through.predict("merging", x=x)
                numpy.testing.assert_allclose(tf.make_ndarray(answer.outputs["y"]), x)

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(ask, range(16)))
        with urllib.request.urlopen(f"http://{gateway.metrics}/metrics") as metrics:
            counts = [line for line in metrics.read().decode().splitlines() if line.startswith("sluice_batch_rows") and 'model="merging"' in line]
        batches = sum(float(line.split()[-1]) for line in counts if line.startswith("sluice_batch_rows_count"))
        rows = sum(float(line.split()[-1]) for line in counts if line.startswith("sluice_batch_rows_sum"))
        self.assertEqual(rows, 4 * sum(1 + i % 3 for i in range(16)), counts)
        self.assertLess(batches, 64, counts)

    def test_command_line(self):
        own = sluice.Sluice(arguments=("--backend", f"tfserving={server.grpc}#half_plus_two,mixed"))
        try:
            front = Front(self, own.grpc)
            self.assertEqual(front.predict("half_plus_two", x=numpy.array([1], "f4")).outputs["y"].float_val[0], 3.5)
        finally:
            own.stop()


if __name__ == "__main__":
    unittest.main()
