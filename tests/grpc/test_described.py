"""The real binary as tools see it that know nothing but reflection, and as balancers do that watch its health."""

import json
import queue
import signal
import struct
import threading
import unittest

import grpc

import described
import sluice

SERVICE, HEALTH = "inference.GRPCInferenceService", "grpc.health.v1.Health"
PREDICTIONS, MODELS = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


class Case(unittest.TestCase):
    def setUp(self):
        self.server = sluice.Sluice(sluice.DIGITS / "models")
        self.addCleanup(self.server.kill)
        self.channel = grpc.insecure_channel(self.server.grpc)
        self.addCleanup(self.channel.close)
        self.described = described.Described(self.channel)
        self.message = self.described.message


class TestReflection(Case):
    def test_services(self):
        self.assertEqual(sorted(self.described.database.get_services()), [
            HEALTH, "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", SERVICE, MODELS, PREDICTIONS])

    def test_every_method_is_described(self):
        methods = {m.name: (m.client_streaming, m.server_streaming)
                   for m in self.described.pool.FindServiceByName(SERVICE).methods}
        self.assertEqual(methods["ModelInfer"], (False, False))
        self.assertEqual(methods["ModelStreamInfer"], (True, True))
        self.assertEqual(methods["ModelStatistics"], (False, False))

    def test_calls(self):
        stub = self.described.stub(self.channel, SERVICE)
        ask = lambda name: self.message(f"inference.{name}Request")
        self.assertTrue(stub.ServerReady(ask("ServerReady")(), timeout=30).ready)
        self.assertEqual(stub.ModelMetadata(ask("ModelMetadata")(name="digits"), timeout=30).inputs[0].name, "image")
        image = json.loads((sluice.DIGITS / "sample.json").read_text())["inputs"][0]["data"]
        request = ask("ModelInfer")(model_name="digits", raw_input_contents=[struct.pack("<64f", *image)])
        request.inputs.add(name="image", datatype="FP32", shape=[1, 64])
        answer = stub.ModelInfer(request, timeout=30)
        labels = [raw for output, raw in zip(answer.outputs, answer.raw_output_contents) if output.name == "label"]
        self.assertEqual([struct.unpack("<q", raw) for raw in labels], [(0,)])

    def test_calls_as_tensorflow_serving(self):
        request = self.message("tensorflow.serving.PredictRequest")()
        request.model_spec.name = "digits"
        image = json.loads((sluice.DIGITS / "sample.json").read_text())["inputs"][0]["data"]
        request.inputs["image"].dtype = 1
        for size in (1, 64):
            request.inputs["image"].tensor_shape.dim.add(size=size)
        request.inputs["image"].float_val.extend(image)
        answer = self.described.stub(self.channel, PREDICTIONS).Predict(request, timeout=30)
        self.assertEqual(list(answer.outputs["label"].int64_val), [0])
        ask = self.message("tensorflow.serving.GetModelStatusRequest")()
        ask.model_spec.name = "digits"
        status = self.described.stub(self.channel, MODELS).GetModelStatus(ask, timeout=30)
        self.assertEqual({one.version: one.state for one in status.model_version_status}, {1: 30, 2: 30})

    def test_refusals_are_explained(self):
        stub = self.described.stub(self.channel, SERVICE)
        with self.assertRaises(grpc.RpcError) as caught:
            stub.ModelMetadata(self.message("inference.ModelMetadataRequest")(name="nowhere"), timeout=30)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
        details = dict(caught.exception.trailing_metadata())
        self.assertIn(b"UNKNOWN_MODEL", details["grpc-status-details-bin"])
        self.assertTrue(details["x-request-id"])


class TestHealth(Case):
    def watch(self, name):
        """A queue of the statuses that a watch tells; its last element is the status that ended it."""
        told = queue.Queue()
        call = self.described.stub(self.channel, HEALTH).Watch(self.message("grpc.health.v1.HealthCheckRequest")(service=name))

        def follow():
            try:
                for answer in call:
                    told.put(answer.status)
            except grpc.RpcError as error:
                told.put(error.code())

        threading.Thread(target=follow, daemon=True).start()
        self.addCleanup(call.cancel)
        return told

    def test_watches(self):
        watches = {name: self.watch(name) for name in ("", SERVICE, "digits", "nowhere")}
        for name, told in watches.items():
            self.assertEqual(told.get(timeout=30), SERVICE_UNKNOWN if name == "nowhere" else SERVING, name)
        self.server.process.send_signal(signal.SIGINT)
        for name in ("", SERVICE):
            self.assertEqual(watches[name].get(timeout=30), NOT_SERVING, name)
        for name, told in watches.items():
            self.assertEqual(told.get(timeout=30), grpc.StatusCode.UNAVAILABLE, name)
        self.assertEqual(self.server.process.wait(10), 0)

    def test_list(self):
        stub = self.described.stub(self.channel, HEALTH)
        answer = stub.List(self.message("grpc.health.v1.HealthListRequest")(), timeout=30)
        self.assertEqual({name: a.status for name, a in answer.statuses.items()}, dict.fromkeys(("", SERVICE, PREDICTIONS, MODELS, "digits"), SERVING))


if __name__ == "__main__":
    unittest.main()
