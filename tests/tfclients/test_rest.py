"""The curl lines of TensorFlow Serving's documentation, with Sluice's port, and what else its REST API says."""

import base64
import http.client
import json
import pathlib
import shlex
import subprocess
import tempfile
import unittest

import models
import sluice

server = None


def setUpModule():
    global server
    folder = tempfile.TemporaryDirectory(prefix="sluice-models-")
    unittest.addModuleCleanup(folder.cleanup)
    repository = models.build(pathlib.Path(folder.name) / "models", {
        "image_bytes": [("BYTES", ["rows"])],
        "several": [("FP32", ["rows", 2]), ("BYTES", ["rows"]), ("INT64", ["rows"])],
        "scalar": [("INT32", [])],
    })
    config = pathlib.Path(folder.name) / "sluice.yaml"
    config.write_text(f"""version: 1
listen: {{http: {{address: "127.0.0.1:0", prefix: /ml}}}}
pools:
  - {{name: local, kind: onnx, repository: {repository}, discover: true}}
models:
  - name: digits
    targets:
      - {{version: "1", pool: local, weight: 1, labels: [stable]}}
      - {{version: "2", pool: local, weight: 0, labels: [canary]}}
""")
    server = sluice.Sluice(arguments=["-c", config], listeners=("metrics", "admin"))
    unittest.addModuleCleanup(server.stop)


def curl(line):
    """What a documented line prints, its server being this one."""
    words = shlex.split(line.replace("http://localhost:8501/", f"http://{server.http}/ml/"))
    done = subprocess.run([words[0], "--silent", "--show-error", "--max-time", "30", *words[1:]], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def ask(path, body=None):
    """Status and JSON of the answer."""
    connection = http.client.HTTPConnection(server.http, timeout=30)
    try:
        connection.request("GET" if body is None else "POST", "/ml" + path, body if body is None or isinstance(body, (str, bytes)) else json.dumps(body))
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text)
    finally:
        connection.close()


class TestDocumentedLines(unittest.TestCase):
    def test_lines(self):
        for line, want in (
            ("""curl -d '{"instances": [1.0, 2.0, 5.0]}' -X POST http://localhost:8501/v1/models/half_plus_two:predict""",
             {"predictions": [2.5, 3.0, 4.5]}),
            ("""curl -d '{"instances": [1.0,2.0,5.0]}' -X POST http://localhost:8501/v1/models/half_plus_three/versions/1:predict""",
             {"predictions": [3.5, 4.0, 5.5]}),
            ("""curl -X POST -d '{"signature_name": "serving_default", "inputs": {"x": [1.0, 2.0]}}' http://localhost:8501/v1/models/half_plus_two:predict""",
             {"outputs": [2.5, 3.0]}),
            ("curl http://localhost:8501/v1/models/half_plus_three",
             {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}],
              "name": "half_plus_three", "ready": True}),
            ("""curl -d '{"instances": [[1.0,2.0],[3.0]]}' -X POST http://localhost:8501/v1/models/half_plus_two:predict""", "error"),
        ):
            with self.subTest(line=line):
                got = curl(line)
                if want == "error":
                    self.assertEqual(list(got), ["error"])
                else:
                    self.assertEqual(got, want)

    def test_metadata(self):
        got = curl("curl http://localhost:8501/v1/models/half_plus_two/metadata")
        self.assertEqual(got["model_spec"], {"name": "half_plus_two", "signature_name": "", "version": "1"})
        signature = got["metadata"]["signature_def"]["signature_def"]["serving_default"]
        self.assertEqual(signature["inputs"]["x"]["dtype"], "DT_FLOAT")
        self.assertEqual(signature["inputs"]["x"]["tensor_shape"], {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False})
        self.assertEqual(signature["method_name"], "tensorflow/serving/predict")


class TestForms(unittest.TestCase):
    def check(self, path, body, want):
        self.assertEqual(ask(path, body), (200, want))

    def test_rows_of_several(self):
        rows = [{"in0": [1, 2.5], "in1": "a", "in2": -3}, {"in0": [3, 4], "in1": {"b64": base64.b64encode(b"b").decode()}, "in2": 1 << 62}]
        self.check("/v1/models/several:predict", {"instances": rows}, {"predictions": [
            {"out0": [1.0, 2.5], "out1": "a", "out2": -3}, {"out0": [3.0, 4.0], "out1": "b", "out2": 1 << 62},
        ]})

    def test_columns_of_several(self):
        columns = {"in0": [[1, 2], [3, 4]], "in1": ["a", "b"], "in2": [5, 6]}
        self.check("/v1/models/several:predict", {"inputs": columns}, {"outputs": {
            "out0": [[1.0, 2.0], [3.0, 4.0]], "out1": ["a", "b"], "out2": [5, 6],
        }})

    def test_a_scalar(self):
        self.check("/v1/models/scalar:predict", {"inputs": 7}, {"outputs": 7})
        self.check("/v1/models/scalar:predict", {"inputs": {"in0": -7}}, {"outputs": -7})

    def test_bytes(self):
        self.check("/v1/models/image_bytes:predict", {"instances": [{"b64": base64.b64encode("ü".encode()).decode()}, "text"]}, {"predictions": ["ü", "text"]})
        status, answer = ask("/v1/models/image_bytes:predict", {"instances": [{"b64": "/w=="}]})
        self.assertEqual((status, list(answer)), (400, ["error"]))
        self.assertIn("UTF-8", answer["error"])

    def test_labels_and_versions(self):
        image = [0.0] * 64
        answers = {path: ask(f"/v1/models/digits{path}:predict", {"instances": [{"image": image}]}) for path in (
            "", "/labels/stable", "/versions/1", "/labels/canary", "/versions/2")}
        for status, answer in answers.values():
            self.assertEqual((status, sorted(answer["predictions"][0])), (200, ["label", "probabilities"]))
        self.assertEqual(answers[""], answers["/labels/stable"])
        self.assertEqual(answers[""], answers["/versions/1"])
        self.assertEqual(answers["/labels/canary"], answers["/versions/2"])
        self.assertNotEqual(answers["/versions/1"], answers["/versions/2"])
        status, answer = ask("/v1/models/digits/labels/canary")
        self.assertEqual([one["version"] for one in answer["model_version_status"]], ["2"])

    def test_refusals(self):
        for status, words, path, body in (
            (404, ["nope"], "/v1/models/nope:predict", {"instances": [1]}),
            (404, ["half_plus_two", "9"], "/v1/models/half_plus_two/versions/9:predict", {"instances": [1]}),
            (404, ["digits", "beta"], "/v1/models/digits/labels/beta:predict", {"instances": [1]}),
            (404, ["nope"], "/v1/models/nope", None),
            (404, ["nope"], "/v1/models/nope/metadata", None),
            (404, [], "/v1/models/half_plus_two:explain", {"instances": [1]}),
            (405, ["POST"], "/v1/models/half_plus_two:predict", None),
            (400, [], "/v1/models/half_plus_two:predict", '{"instances": [1,}'),
            (400, ["instances", "inputs"], "/v1/models/half_plus_two:predict", {}),
            (400, ["instances", "inputs"], "/v1/models/half_plus_two:predict", {"instances": [1], "inputs": [1]}),
            (400, ["'other'", "half_plus_two", "'serving_default'"], "/v1/models/half_plus_two:predict", {"signature_name": "other", "instances": [1]}),
            (400, ["'x'", "half_plus_two"], "/v1/models/half_plus_two:predict", {"instances": ["a"]}),
            (400, ["several", "3 inputs"], "/v1/models/several:predict", {"instances": [1]}),
            (400, ["'in1'", "several"], "/v1/models/several:predict", {"instances": [{"in0": [1, 2], "in2": 1}]}),
            (400, ["'in2'"], "/v1/models/several:predict", {"instances": [{"in0": [1, 2], "in1": "a", "in2": 1.5}]}),
            (501, ["half_plus_two", "predict"], "/v1/models/half_plus_two:classify", {"examples": [{"x": 1.0}]}),
            (501, ["half_plus_two", "predict"], "/v1/models/half_plus_two:regress", {"examples": [{"x": 1.0}]}),
        ):
            with self.subTest(path=path, body=body):
                got, answer = ask(path, body)
                self.assertEqual((got, list(answer)), (status, ["error"]), answer)
                for word in words:
                    self.assertIn(word, answer["error"])


if __name__ == "__main__":
    unittest.main()
