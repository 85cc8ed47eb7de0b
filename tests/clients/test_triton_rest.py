"""tritonclient.grpc and tritonclient.http against Sluice that speaks REST with a real Triton behind it."""

import pathlib
import tempfile
import unittest

import numpy
import tritonclient.grpc
import tritonclient.http

import sluice
import test_triton
import triton

gateway = None


def setUpModule():
    global gateway
    real = triton.Triton()
    unittest.addModuleCleanup(real.close)
    folder = tempfile.TemporaryDirectory(prefix="triton-rest-")
    unittest.addModuleCleanup(folder.cleanup)
    config = pathlib.Path(folder.name) / "sluice.yaml"
    config.write_text(f"""version: 1
pools: [{{name: triton, kind: kserve, protocol: rest, discover: true, endpoints: [{{address: "{real.http}"}}]}}]
""")
    gateway = sluice.Sluice(arguments=("-c", config))
    unittest.addModuleCleanup(gateway.stop)


class TestGRPC(test_triton.Infer, test_triton.GRPC, unittest.TestCase):
    unknown, invalid, internal, unsupported = "NOT_FOUND", "INVALID_ARGUMENT", "INTERNAL", "UNAVAILABLE"

    def setUp(self):
        self.client = tritonclient.grpc.InferenceServerClient(gateway.grpc)
        self.addCleanup(self.client.close)


class TestHTTP(test_triton.Infer, test_triton.HTTP, unittest.TestCase):
    unknown, invalid, internal, unsupported = "404", "400", "500", "503"

    def setUp(self):
        self.client = tritonclient.http.InferenceServerClient(gateway.http)
        self.addCleanup(self.client.close)

    def test_json(self):
        for dtype in test_triton.DTYPES:
            if dtype in ("FP16", "BF16", "BYTES"):
                continue
            values = test_triton.array(dtype)
            inputs = [self.tensor("IN_" + dtype, values, dtype, binary_data=False)]
            outputs = [tritonclient.http.InferRequestedOutput("OUT_" + dtype, binary_data=False)]
            with self.subTest(dtype=dtype):
                self.same(dtype, self.client.infer("identity", inputs, outputs=outputs).as_numpy("OUT_" + dtype), values)

    def test_compression(self):
        values = numpy.zeros((4, 1000), numpy.float32)
        for coding in "gzip", "deflate":
            self.identity("FP32", values, request_compression_algorithm=coding, response_compression_algorithm=coding)


if __name__ == "__main__":
    unittest.main()
