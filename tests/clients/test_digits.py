"""The whole held-out set of digits, against Python's ONNX Runtime on the same files."""

import asyncio
import http.client
import json
import unittest

import numpy
import onnxruntime
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as aio_grpc
import tritonclient.http as triton
import tritonclient.http.aio as aio

import sluice

server = None
VERSIONS = ("1", "2")
OUTPUTS = ("label", "probabilities")


def setUpModule():
    global server
    server = sluice.Sluice(sluice.DIGITS / "models")
    unittest.addModuleCleanup(server.stop)


def session(version):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(sluice.DIGITS / "models" / "digits" / version / "model.onnx", options)


class TestHeldOut(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        heldout = json.loads((sluice.DIGITS / "heldout.json").read_text())
        cls.accuracy = heldout["accuracy"]
        cls.labels = numpy.array([i["label"] for i in heldout["images"]])
        cls.images = numpy.array([i["image"] for i in heldout["images"]], numpy.float32)
        cls.want = {}
        for version in VERSIONS:
            model = session(version)
            runs = [model.run(list(OUTPUTS), {"image": image[None]}) for image in cls.images]
            cls.want[version] = {name: numpy.concatenate([r[i] for r in runs]) for i, name in enumerate(OUTPUTS)}

    def test_one_at_a_time_binary_is_bit_equal(self):
        for protocol, client in (("http", triton.InferenceServerClient(server.http)), ("grpc", triton_grpc.InferenceServerClient(server.grpc))):
            self.addCleanup(client.close)
            kind = (triton if protocol == "http" else triton_grpc).InferInput
            for version in VERSIONS:
                for row, image in enumerate(self.images):
                    result = client.infer("digits", [sent(kind, image)], model_version=version)
                    for name in OUTPUTS:
                        self.assertEqual(result.as_numpy(name).tobytes(), self.want[version][name][row:row + 1].tobytes(),
                                         f"{protocol}: {name}, row {row}")

    def test_one_at_a_time_json_is_the_shortest_that_reads_back(self):
        host, port = server.http.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        self.addCleanup(connection.close)
        for version in VERSIONS:
            for row, image in enumerate(self.images):
                body = json.dumps({"inputs": [{"name": "image", "shape": [1, 64], "datatype": "FP32", "data": image.tolist()}]})
                connection.request("POST", f"/v2/models/digits/versions/{version}/infer", body)
                response = connection.getresponse()
                text = response.read()
                self.assertEqual(response.status, 200, text)
                answer = json.loads(text, parse_float=str)  # numbers as they stand on the wire
                outputs = {o["name"]: o["data"] for o in answer["outputs"]}
                self.assertEqual(outputs["label"], self.want[version]["label"][row:row + 1].tolist())
                for token, want in zip(outputs["probabilities"], self.want[version]["probabilities"][row], strict=True):
                    self.assertEqual(numpy.float32(token).tobytes(), want.tobytes(), token)
                    self.assertLessEqual(digits(str(token)), digits(numpy.format_float_scientific(want, unique=True)), token)

    def test_64_at_a_time_is_within_the_merge_rule(self):
        for protocol in ("http", "grpc"):
            for version in VERSIONS:
                with self.subTest(protocol=protocol, version=version):
                    got = asyncio.run(self.all_at_once(protocol, version, 64))
                    want = self.want[version]
                    numpy.testing.assert_array_equal(got["label"], want["label"])
                    scale = numpy.abs(want["probabilities"]).max(axis=1, keepdims=True)
                    worst = (numpy.abs(got["probabilities"] - want["probabilities"]) / scale).max()
                    self.assertLessEqual(worst, 1e-4)
                    accuracy = float((got["label"] == self.labels).mean())
                    self.assertAlmostEqual(accuracy, self.accuracy[version], places=5)

    async def all_at_once(self, protocol, version, concurrency):
        if protocol == "http":
            client, kind = aio.InferenceServerClient(server.http, conn_limit=concurrency), triton.InferInput
        else:
            client, kind = aio_grpc.InferenceServerClient(server.grpc), triton_grpc.InferInput
        leave = asyncio.Semaphore(concurrency)

        async def one(image):
            async with leave:
                return await client.infer("digits", [sent(kind, image)], model_version=version)

        try:
            results = await asyncio.gather(*(one(image) for image in self.images))
        finally:
            await client.close()
        return {name: numpy.concatenate([r.as_numpy(name) for r in results]) for name in OUTPUTS}


def sent(kind, image):
    """One image as an input of a client's kind."""
    made = kind("image", [1, 64], "FP32")
    made.set_data_from_numpy(image[None])
    return made


def digits(token):
    """The significant digits of a decimal number."""
    return len(token.lower().split("e")[0].replace("-", "").replace(".", "").strip("0"))


if __name__ == "__main__":
    unittest.main()
