"""Real servers of the v2 protocol, MLServer and the KServe SDK's, behind Sluice, asked by clients that do not know."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import urllib.request

import numpy
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

import servers
import sluice

HERE = pathlib.Path(__file__).resolve().parent
X = numpy.arange(8, dtype=numpy.float32).reshape(2, 4)


# Each model: the versions by which it can be asked, and what it multiplies by.
MODELS = (
    ("double", ("", "1"), 2), ("triple", ("", "v3"), 3), ("scorer", ("", "1"), 2),
    ("double-rest", ("", "1"), 2), ("triple-rest", ("", "v3"), 3), ("scorer-rest", ("", "1"), 2), ("scorer-binary", ("", "1"), 2), ("scorer-v1", ("", "1"), 2), ("plain", ("", "1"), 2),
)
gateway = None


def setUpModule():
    global gateway
    folder = tempfile.TemporaryDirectory(prefix="kserve-")
    unittest.addModuleCleanup(folder.cleanup)
    models = shutil.copytree(HERE / "models", pathlib.Path(folder.name) / "models")
    mlserver, sdk = servers.mlserver(models), servers.sdk(HERE / "sdk.py")
    config = pathlib.Path(folder.name) / "sluice.yaml"
    config.write_text(f"""version: 1
pools:
  - {{name: mlserver, kind: kserve, discover: true, endpoints: [{{address: "{mlserver.grpc}"}}]}}
  - {{name: sdk, kind: kserve, protocol: grpc, endpoints: [{{address: "{sdk.grpc}"}}]}}
  - {{name: mlserver-rest, kind: kserve, protocol: rest, endpoints: [{{address: "{mlserver.http}"}}]}}
  - {{name: sdk-rest, kind: kserve, protocol: rest, endpoints: [{{address: "{sdk.http}"}}]}}
  - {{name: sdk-binary, kind: kserve, protocol: rest, binary: always, endpoints: [{{address: "{sdk.http}"}}]}}
  - name: sdk-v1
    kind: kserve
    protocol: v1
    endpoints: [{{address: "{sdk.http}"}}]
    signatures:
      - model: plain
        inputs: [{{name: x, datatype: FP32, shape: [-1, 4]}}]
        outputs: [{{name: y, datatype: FP32, shape: [-1, 4]}}]
models:
  - name: scorer
    targets: [{{version: "1", pool: sdk, upstream: {{model: double}}}}]
  - name: double-rest
    targets: [{{version: "1", pool: mlserver-rest, upstream: {{model: double}}}}]
  - name: triple-rest
    targets: [{{version: v3, pool: mlserver-rest, upstream: {{model: triple}}}}]
  - name: scorer-rest
    targets: [{{version: "1", pool: sdk-rest, upstream: {{model: double}}}}]
  - name: scorer-binary
    targets: [{{version: "1", pool: sdk-binary, upstream: {{model: double}}}}]
  - name: scorer-v1
    targets: [{{version: "1", pool: sdk-v1, upstream: {{model: double}}}}]
    batching: {{max_batch_size: 16}}
  - name: plain
    targets: [{{version: "1", pool: sdk-v1}}]
""")
    gateway = sluice.Sluice(arguments=("-c", config))
    unittest.addModuleCleanup(gateway.stop)


class TestTritonsClients(unittest.TestCase):
    def ask(self, library, model, version="", values=X, binary=True):
        with library.InferenceServerClient(gateway.grpc if library is tritonclient.grpc else gateway.http) as client:
            x = library.InferInput("x", [2, 4], "FP32")
            x.set_data_from_numpy(values, **({} if binary else {"binary_data": False}))
            inputs = [x]
            if model.startswith("triple"):
                words = library.InferInput("words", [2, 1], "BYTES")
                words.set_data_from_numpy(numpy.array([[b"one"], ["ö and more".encode()]], object))
                inputs.append(words)
            return client.infer(model, inputs, model_version=version, request_id="9")

    def test_every_server_answers_every_client(self):
        for library in tritonclient.grpc, tritonclient.http:
            for model, versions, factor in MODELS:
                for version in versions:
                    with self.subTest(library=library.__name__, model=model, version=version):
                        answer = self.ask(library, model, version)
                        numpy.testing.assert_array_equal(answer.as_numpy("y"), factor * X)
                        head = answer.get_response(as_json=True) if library is tritonclient.grpc else answer.get_response()
                        self.assertEqual([head["model_name"], head["model_version"], head["id"]], [model, versions[1], "9"])
                        if model.startswith("triple"):
                            self.assertEqual(answer.as_numpy("words").ravel().tolist(), [b"one", "ö and more".encode()])

    def test_values_that_are_missing(self):
        """NaN, which models of tables take for that, reaches servers of JSON as null, and comes back as that."""
        values = X.copy()
        values[0, 1] = values[1, 0] = numpy.nan
        for library, binary in (tritonclient.grpc, True), (tritonclient.http, True), (tritonclient.http, False):
            for model in "scorer", "double-rest", "scorer-rest", "scorer-binary":  # over gRPC MLServer cannot answer with it
                with self.subTest(library=library.__name__, binary=binary, model=model):
                    numpy.testing.assert_array_equal(self.ask(library, model, values=values, binary=binary).as_numpy("y"), 2 * values)

    def test_infinities_are_no_json(self):
        values = X.copy()
        values[0, 1] = -numpy.inf
        for library, binary in (tritonclient.grpc, True), (tritonclient.http, True), (tritonclient.http, False):
            for model in "double-rest", "scorer-rest":
                with self.subTest(library=library.__name__, binary=binary, model=model), \
                        self.assertRaisesRegex(InferenceServerException, f"input 'x' of model '{model}' holds an infinity"):
                    self.ask(library, model, values=values, binary=binary)

    def test_infinities_of_answers(self):
        """In JSON these servers write them as null, as NaN: nothing tells which it was. Over gRPC they arrive. The SDK's model
        writes JSON whatever it is asked for."""
        values = X.copy()
        values[0, 1], values[1, 0] = 3e38, -3e38
        want = X * 2
        want[0, 1], want[1, 0] = numpy.inf, -numpy.inf
        lost = want.copy()
        lost[0, 1] = lost[1, 0] = numpy.nan
        for library, binary in (tritonclient.grpc, True), (tritonclient.http, True), (tritonclient.http, False):
            for model, there in ("scorer", want), ("double", want), ("double-rest", lost), ("scorer-rest", lost), ("scorer-binary", lost):
                with self.subTest(library=library.__name__, binary=binary, model=model):
                    numpy.testing.assert_array_equal(self.ask(library, model, values=values, binary=binary).as_numpy("y"), there)

    def test_members_that_are_null(self):
        """As clients write them who write all that pydantic has."""
        x = {"name": "x", "shape": [2, 4], "datatype": "FP32", "parameters": None, "data": X.ravel().tolist()}
        body = {"id": None, "parameters": None, "inputs": [x], "outputs": None}
        for model, versions, factor in MODELS:
            if model.startswith("triple"):
                continue
            with self.subTest(model=model):
                request = urllib.request.Request(f"http://{gateway.http}/v2/models/{model}/infer", json.dumps(body).encode())
                with urllib.request.urlopen(request, timeout=servers.PATIENCE) as response:
                    self.assertEqual(json.load(response)["outputs"][0]["data"], (factor * X).ravel().tolist())

    def test_versions_that_are_not_there(self):
        for library in tritonclient.grpc, tritonclient.http:
            for model in "double", "scorer", "double-rest", "scorer-rest", "scorer-v1":
                with self.subTest(library=library.__name__, model=model), self.assertRaises(InferenceServerException):
                    self.ask(library, model, "2")


class TestSDKsClient(unittest.TestCase):
    def test_it_is_answered(self):
        done = subprocess.run([servers.VENVS / "kserve/bin/python", HERE / "ask.py", gateway.grpc, gateway.http], capture_output=True, text=True, timeout=servers.PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
