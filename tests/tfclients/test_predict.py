"""tensorflow-serving-api's own stubs over grpcio, unmodified, against the real binary."""

import json
import tempfile
import unittest

import grpc
import numpy

import models
import sluice
import stubs

server = None


def setUpModule():
    global server
    folder = tempfile.TemporaryDirectory(prefix="sluice-models-")
    unittest.addModuleCleanup(folder.cleanup)
    server = sluice.Sluice(models.build(folder.name, {
        "text": [("BYTES", ["rows", "columns"])],
        "two": [("FP32", ["rows", 2]), ("INT64", ["rows"])],
    }))
    unittest.addModuleCleanup(server.stop)


class Case(unittest.TestCase):
    def setUp(self):
        channel = grpc.insecure_channel(server.grpc)
        self.addCleanup(channel.close)
        self.predictions = stubs.prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.models = stubs.model_service_pb2_grpc.ModelServiceStub(channel)

    def predict(self, *arguments, **named):
        return self.predictions.Predict(stubs.predict(*arguments, **named), timeout=30)

    def refused(self, code, *words):
        return Refused(self, code, words)


class Refused:
    """A context in which a call must fail with this code and these words."""

    def __init__(self, case, code, words):
        self.case, self.code, self.words = case, code, words

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.case.fail(f"the server accepted what must be answered {self.code}")
        if not isinstance(error, grpc.RpcError):
            return False
        self.case.assertEqual(error.code().name, self.code, error.details())
        for word in self.words:
            self.case.assertIn(word, error.details())
        return True


class TestPredict(Case):
    def test_documented_model(self):
        for content in (False, True):
            answer = self.predict("half_plus_two", {"x": stubs.tensor("FP32", [3], [1, 2, 5], content)})
            self.assertEqual(list(answer.outputs["y"].float_val), [2.5, 3, 4.5])
            self.assertEqual((answer.model_spec.name, answer.model_spec.version.value, answer.model_spec.signature_name),
                             ("half_plus_two", 1, "serving_default"))

    def test_short_list_repeats_its_last_element(self):
        answer = self.predict("half_plus_two", {"x": stubs.tensor("FP32", [4], [1, 3])})
        self.assertEqual(list(answer.outputs["y"].float_val), [2.5, 3.5, 3.5, 3.5])

    def test_no_elements_are_zeros(self):
        answer = self.predict("half_plus_two", {"x": stubs.tensor("FP32", [2], [])})
        self.assertEqual(list(answer.outputs["y"].float_val), [2, 2])

    def test_versions(self):
        image = stubs.tensor("FP32", [1, 64], [0] * 64)
        for version in (1, 2):
            answer = self.predict("digits", {"image": image}, version=version, signature="serving_default")
            self.assertEqual(answer.model_spec.version.value, version)
        self.assertEqual(self.predict("digits", {"image": image}).model_spec.version.value, 2)

    def test_output_filter(self):
        image = stubs.tensor("FP32", [1, 64], [0] * 64)
        for wanted in (["label"], ["probabilities", "label"], []):
            answer = self.predict("digits", {"image": image}, wanted)
            self.assertEqual(sorted(answer.outputs), sorted(wanted or ["label", "probabilities"]))

    def test_strings_need_not_be_text(self):
        values = [b"", b"caf\xc3\xa9", b"\x00\xff\xfe", b"x" * 100_000]
        answer = self.predict("text", {"in0": stubs.tensor("BYTES", [2, 2], values)})
        self.assertEqual(stubs.read(answer.outputs["out0"]), ("BYTES", [2, 2], values))

    def test_future_calls_and_compression(self):
        calls = [self.predictions.Predict.future(stubs.predict("half_plus_two", {"x": stubs.tensor("FP32", [1], [i])}), timeout=30,
                                                 compression=(None, grpc.Compression.Gzip, grpc.Compression.Deflate)[i % 3])
                 for i in range(300)]
        for i, call in enumerate(calls):
            self.assertEqual(list(call.result().outputs["y"].float_val), [i / 2 + 2])

    def test_large(self):
        array = numpy.arange(1 << 22, dtype=numpy.float32)
        channel = grpc.insecure_channel(server.grpc, options=[("grpc.max_receive_message_length", -1)])
        self.addCleanup(channel.close)
        stub = stubs.prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for content in (False, True):
            answer = stub.Predict(stubs.predict("half_plus_two", {"x": stubs.tensor("FP32", [len(array)], array, content)}), timeout=60)
            self.assertEqual(stubs.read(answer.outputs["y"])[2], (array / 2 + 2).tobytes())

    def test_fields_of_other_servers_are_passed_over(self):
        request = stubs.predict("half_plus_two", {"x": stubs.tensor("FP32", [1], [1])})
        request.client_id = b"somebody"
        request.request_options.max_cache_length = 7
        self.assertEqual(list(self.predictions.Predict(request).outputs["y"].float_val), [2.5])

    def test_refusals(self):
        one = stubs.tensor("FP32", [1], [1])
        for code, words, arguments, named in (
            ("NOT_FOUND", ["nope"], ("nope", {"x": one}), {}),
            ("NOT_FOUND", ["half_plus_two", "7"], ("half_plus_two", {"x": one}), {"version": 7}),
            ("NOT_FOUND", ["half_plus_two", "canary"], ("half_plus_two", {"x": one}), {"label": "canary"}),
            ("INVALID_ARGUMENT", ["'other'", "half_plus_two", "'serving_default'"], ("half_plus_two", {"x": one}), {"signature": "other"}),
            ("INVALID_ARGUMENT", ["'y'"], ("half_plus_two", {"y": one}), {}),
            ("INVALID_ARGUMENT", ["'x'"], ("half_plus_two", {}), {}),
            ("INVALID_ARGUMENT", ["'in1'", "two"], ("two", {"in0": stubs.tensor("FP32", [1, 2], [1, 2])}), {}),
            ("INVALID_ARGUMENT", ["'x'", "FP32", "INT64"], ("half_plus_two", {"x": stubs.tensor("INT64", [1], [1])}), {}),
            ("INVALID_ARGUMENT", ["'in0'", "[-1,2]", "[1,3]"], ("two", {"in0": stubs.tensor("FP32", [1, 3], [1]), "in1": stubs.tensor("INT64", [1], [1])}), {}),
            ("INVALID_ARGUMENT", ["'x'"], ("half_plus_two", {"x": stubs.tensor("FP32", [1], [1, 2])}), {}),
            ("INVALID_ARGUMENT", ["'x'"], ("half_plus_two", {"x": stubs.tensor("FP32", [-1], [1])}), {}),
            ("INVALID_ARGUMENT", ["'z'"], ("half_plus_two", {"x": one}, ["z"]), {}),
        ):
            with self.subTest(arguments=arguments, named=named), self.refused(code, *words):
                self.predict(*arguments, **named)
        complex_ = stubs.tensor("FP32", [1], [1])
        complex_.dtype = stubs.types_pb2.DT_COMPLEX64
        with self.refused("INVALID_ARGUMENT", "'x'", "DT_COMPLEX64"):
            self.predict("half_plus_two", {"x": complex_})
        self.assertEqual(list(self.predict("half_plus_two", {"x": one}).outputs["y"].float_val), [2.5])


class TestQuestions(Case):
    def test_metadata(self):
        request = stubs.spec(stubs.get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]), "digits", 1)
        answer = self.predictions.GetModelMetadata(request, timeout=30)
        signatures = stubs.get_model_metadata_pb2.SignatureDefMap()
        self.assertTrue(answer.metadata["signature_def"].Unpack(signatures))
        one = signatures.signature_def["serving_default"]
        self.assertEqual(one.method_name, "tensorflow/serving/predict")
        self.assertEqual([dim.size for dim in one.inputs["image"].tensor_shape.dim], [-1, 64])
        self.assertEqual((one.inputs["image"].dtype, one.outputs["label"].dtype), (stubs.types_pb2.DT_FLOAT, stubs.types_pb2.DT_INT64))
        self.assertEqual((answer.model_spec.name, answer.model_spec.version.value), ("digits", 1))
        with self.refused("INVALID_ARGUMENT", "signature_def"):
            self.predictions.GetModelMetadata(stubs.spec(stubs.get_model_metadata_pb2.GetModelMetadataRequest(), "digits"))

    def test_status(self):
        def ask(**named):
            answer = self.models.GetModelStatus(stubs.spec(stubs.get_model_status_pb2.GetModelStatusRequest(), "digits", **named), timeout=30)
            return {one.version: (one.state, one.status.error_code) for one in answer.model_version_status}

        available = stubs.get_model_status_pb2.ModelVersionStatus.AVAILABLE
        self.assertEqual(ask(), {1: (available, 0), 2: (available, 0)})
        self.assertEqual(ask(version=1), {1: (available, 0)})
        with self.refused("NOT_FOUND", "digits", "9"):
            ask(version=9)

    def test_what_such_a_model_does_not_have(self):
        example = stubs.classification_pb2.ClassificationRequest()
        example.input.example_list.examples.add()
        with self.refused("UNIMPLEMENTED", "half_plus_two", "predict"):
            self.predictions.Classify(stubs.spec(example, "half_plus_two"), timeout=30)
        regress = stubs.regression_pb2.RegressionRequest(input=example.input)
        with self.refused("UNIMPLEMENTED", "half_plus_two", "predict"):
            self.predictions.Regress(stubs.spec(regress, "half_plus_two"), timeout=30)
        multi = stubs.inference_pb2.MultiInferenceRequest(input=example.input)
        stubs.spec(multi.tasks.add(method_name="tensorflow/serving/classify"), "half_plus_two")
        with self.refused("UNIMPLEMENTED", "half_plus_two", "predict"):
            self.predictions.MultiInference(multi, timeout=30)
        with self.refused("UNIMPLEMENTED", "configuration"):
            self.models.HandleReloadConfigRequest(stubs.model_management_pb2.ReloadConfigRequest(), timeout=30)


class TestHeldOut(Case):
    def test_digits_are_those_of_v2(self):
        """The whole held-out set: bit for bit what clients of the v2 protocol get."""
        import v2
        images = [i["image"] for i in json.loads((sluice.DIGITS / "heldout.json").read_text())["images"]]
        client = v2.Client(server.http, server.grpc)
        self.addCleanup(client.close)
        for version in (1, 2):
            for image in images:
                want = client.send(v2.Case("raw", "digits", [v2.Tensor("image", "FP32", [1, 64], image)], str(version)))
                self.assertTrue(want.ok, want)
                got = self.predict("digits", {"image": stubs.tensor("FP32", [1, 64], image)}, version=version)
                for name, dtype, shape, values in want.outputs:
                    self.assertEqual(stubs.read(got.outputs[name]), (dtype, shape, values.tobytes()))


if __name__ == "__main__":
    unittest.main()
