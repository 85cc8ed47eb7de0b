"""tritonclient.http, the blocking client and its async_infer, unmodified."""

import http.client
import json
import unittest

import ml_dtypes
import numpy
import tritonclient.http as triton

import asking
import repository
import sluice

server = None


def setUpModule():
    global server
    server = repository.serve()


class Case(unittest.TestCase):
    def setUp(self):
        self.client = triton.InferenceServerClient(server.http, concurrency=16)
        self.addCleanup(self.client.close)

    def refused(self, status, *words):
        """A context in which the client must raise with this status and these words."""
        return asking.Refused(self, str(status), words)


def tensor(name, array, dtype, binary=True):
    return asking.tensor(triton, name, array, dtype, binary_data=binary)


def pair(rows=1, base=0, binary=True):
    return asking.pair(triton, rows, base, binary_data=binary)


class TestHealth(Case):
    def test_server(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())

    def test_model(self):
        for name, version, want in (
            ("digits", "", True), ("digits", "1", True), ("digits", "2", True), ("digits", "3", False),
            ("simple", "", True), ("nowhere", "", False), ("broken", "", False), ("broken", "1", False),
        ):
            with self.subTest(name=name, version=version):
                self.assertEqual(self.client.is_model_ready(name, version), want)


class TestMetadata(Case):
    def test_server(self):
        metadata = self.client.get_server_metadata()
        self.assertEqual(metadata["name"], "sluice")
        self.assertTrue(metadata["version"])
        for extension in ("binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"):
            self.assertIn(extension, metadata["extensions"])
        for extension in ("system_shared_memory", "cuda_shared_memory", "trace"):
            self.assertNotIn(extension, metadata["extensions"])

    def test_model(self):
        metadata = self.client.get_model_metadata("simple")
        self.assertEqual(metadata["name"], "simple")
        self.assertEqual(metadata["versions"], ["1"])
        self.assertEqual(metadata["platform"], "onnxruntime_onnx")
        self.assertEqual(metadata["inputs"], [
            {"name": "INPUT0", "datatype": "INT32", "shape": [-1, 16]},
            {"name": "INPUT1", "datatype": "INT32", "shape": [-1, 16]}])
        self.assertEqual(metadata["outputs"], [
            {"name": "OUTPUT0", "datatype": "INT32", "shape": [-1, 16]},
            {"name": "OUTPUT1", "datatype": "INT32", "shape": [-1, 16]}])

    def test_dtypes(self):
        metadata = self.client.get_model_metadata("types", "1")
        self.assertEqual({i["name"]: i["datatype"] for i in metadata["inputs"]}, {"IN_" + d: d for d in repository.DTYPES})

    def test_versions(self):
        self.assertEqual(self.client.get_model_metadata("digits")["versions"], ["1", "2"])

    def test_unknown(self):
        with self.refused(404, "nowhere"):
            self.client.get_model_metadata("nowhere")
        with self.refused(404, "digits", "3"):
            self.client.get_model_metadata("digits", "3")

    def test_config(self):
        config = self.client.get_model_config("simple")
        self.assertEqual(config["name"], "simple")
        self.assertEqual(config["platform"], "onnxruntime_onnx")
        self.assertEqual(config["max_batch_size"], 8)
        self.assertEqual([(i["name"], i["data_type"], [int(d) for d in i["dims"]]) for i in config["input"]],
                         [("INPUT0", "TYPE_INT32", [16]), ("INPUT1", "TYPE_INT32", [16])])
        self.assertEqual([o["name"] for o in config["output"]], ["OUTPUT0", "OUTPUT1"])

    def test_repository_index(self):
        index = {(m["name"], m.get("version", "")): m for m in self.client.get_model_repository_index()}
        for known in (("digits", "1"), ("digits", "2"), ("simple", "1"), ("text", "1"), ("types", "1")):
            self.assertEqual(index[known]["state"], "READY")
        self.assertEqual(index["broken", "1"]["state"], "UNAVAILABLE")
        self.assertTrue(index["broken", "1"]["reason"])

    def test_statistics(self):
        def simple():
            return self.client.get_inference_statistics("simple", "1")["model_stats"][0]

        before = simple()
        self.assertEqual((before["name"], before["version"]), ("simple", "1"))
        for rows in (1, 3):
            self.client.infer("simple", pair(rows)[2])
        after = simple()
        self.assertEqual(after["inference_count"] - before["inference_count"], 4)
        self.assertEqual(after["execution_count"] - before["execution_count"], 2)
        for stage in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"):
            self.assertEqual(set(after["inference_stats"][stage]) & {"count", "ns"}, {"count", "ns"}, stage)
        success = after["inference_stats"]["success"]
        self.assertEqual(success["count"] - before["inference_stats"]["success"]["count"], 2)
        self.assertGreater(success["ns"], before["inference_stats"]["success"]["ns"])
        self.assertIn("simple", [m["name"] for m in self.client.get_inference_statistics()["model_stats"]])


class TestInfer(Case):
    def test_sum(self):
        for binary_in in (True, False):
            for binary_out in (True, False):
                for rows in (1, 2, 8):
                    with self.subTest(binary_in=binary_in, binary_out=binary_out, rows=rows):
                        a, b, inputs = pair(rows, binary=binary_in)
                        outputs = [triton.InferRequestedOutput(o, binary_data=binary_out) for o in ("OUTPUT0", "OUTPUT1")]
                        result = self.client.infer("simple", inputs, outputs=outputs, request_id="r-17")
                        self.assertEqual(result.as_numpy("OUTPUT0").tolist(), (a + b).tolist())
                        self.assertEqual(result.as_numpy("OUTPUT1").tolist(), (a - b).tolist())
                        answer = result.get_response()
                        self.assertEqual(answer["id"], "r-17")
                        self.assertEqual((answer["model_name"], answer["model_version"]), ("simple", "1"))

    def test_one_input_binary_the_other_not(self):
        a, b, _ = pair()
        result = self.client.infer("simple", [tensor("INPUT0", a, "INT32", True), tensor("INPUT1", b, "INT32", False)])
        self.assertEqual(result.as_numpy("OUTPUT0").tolist(), (a + b).tolist())

    def test_requested_outputs(self):
        a, b, inputs = pair()
        result = self.client.infer("simple", inputs, outputs=[triton.InferRequestedOutput("OUTPUT1")])
        self.assertEqual(result.as_numpy("OUTPUT1").tolist(), (a - b).tolist())
        self.assertIsNone(result.as_numpy("OUTPUT0"))
        self.assertEqual([o["name"] for o in result.get_response()["outputs"]], ["OUTPUT1"])

    def test_outputs_binary_and_not(self):
        a, b, inputs = pair()
        result = self.client.infer("simple", inputs, outputs=[
            triton.InferRequestedOutput("OUTPUT1", binary_data=False), triton.InferRequestedOutput("OUTPUT0", binary_data=True)])
        self.assertEqual(result.as_numpy("OUTPUT0").tolist(), (a + b).tolist())
        self.assertEqual(result.as_numpy("OUTPUT1").tolist(), (a - b).tolist())
        self.assertIn("data", result.get_output("OUTPUT1"))

    def test_parameters(self):
        a, b, inputs = pair()
        result = self.client.infer("simple", inputs, priority=1, timeout=20_000_000,
                                   parameters={"word": "x", "count": 3, "ratio": 0.5, "flag": True})
        self.assertEqual(result.as_numpy("OUTPUT0").tolist(), (a + b).tolist())

    def test_versions_of_digits(self):
        image = numpy.array(json.loads((sluice.DIGITS / "heldout.json").read_text())["images"][0]["image"], numpy.float32)
        inputs = [tensor("image", image.reshape(1, 64), "FP32")]
        answered = {v: self.client.infer("digits", inputs, model_version=v).get_response()["model_version"] for v in ("1", "2", "")}
        self.assertEqual(answered, {"1": "1", "2": "2", "": "2"})

    def test_dtypes(self):
        arrays = {
            "BOOL": numpy.array([[True, False]]),
            "FP16": numpy.array([[1.5, -65504]], numpy.float16),
            "BF16": numpy.array([[1.5, -2.0]], ml_dtypes.bfloat16),
            "FP32": numpy.array([[numpy.float32(0.1), 3.4028235e38]], numpy.float32),
            "FP64": numpy.array([[0.1, 5e-324]], numpy.float64),
            "BYTES": numpy.array([["a", "ö"]], numpy.object_),
        }
        for bits in (8, 16, 32, 64):
            for name, kind in ((f"INT{bits}", f"int{bits}"), (f"UINT{bits}", f"uint{bits}")):
                limits = numpy.iinfo(kind)
                arrays[name] = numpy.array([[limits.min, limits.max]], kind)
        self.assertEqual(set(arrays), set(repository.DTYPES))
        for binary in (True, False):
            with self.subTest(binary=binary):
                # The client itself sends FP16 and BF16 in binary only.
                inputs = [tensor("IN_" + d, a, d, binary or d in ("FP16", "BF16")) for d, a in arrays.items()]
                outputs = [triton.InferRequestedOutput("OUT_" + d, binary_data=binary or d in ("FP16", "BF16")) for d in arrays]
                result = self.client.infer("types", inputs, outputs=outputs)
                for dtype, want in arrays.items():
                    got = result.as_numpy("OUT_" + dtype)
                    if dtype == "BYTES":
                        want = numpy.array([["a".encode(), "ö".encode()]]) if binary else want
                    self.assertEqual(got.astype(want.dtype).tolist(), want.tolist(), dtype)

    def test_scalar(self):
        for binary in (True, False):
            result = self.client.infer("scalar", [tensor("X", numpy.array(21, numpy.float32), "FP32", binary)])
            self.assertEqual(result.as_numpy("Y").shape, ())
            self.assertEqual(result.as_numpy("Y").item(), 42)

    def test_classification(self):
        images = json.loads((sluice.DIGITS / "heldout.json").read_text())["images"][:5]
        rows = numpy.array([i["image"] for i in images], numpy.float32)
        labels = (sluice.DIGITS / "models" / "digits" / "labels.txt").read_text().split()
        inputs = [tensor("image", rows, "FP32")]
        scores = self.client.infer("digits", inputs, model_version="2").as_numpy("probabilities")
        for binary in (True, False):
            result = self.client.infer("digits", inputs, model_version="2", outputs=[
                triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=3)])
            classes = result.as_numpy("probabilities")
            self.assertEqual(classes.shape, (5, 3))
            for row, (got, want) in enumerate(zip(classes, scores)):
                order = numpy.argsort(-want, kind="stable")[:3]
                for cell, index in zip(got, order):
                    cell = cell.decode() if isinstance(cell, bytes) else cell
                    score, position, label = cell.split(":")
                    self.assertEqual((int(position), label), (index, labels[index]), f"row {row}")
                    self.assertAlmostEqual(float(score), float(want[index]), places=5)

    def test_raw_binary_request(self):
        image = json.loads((sluice.DIGITS / "heldout.json").read_text())["images"][0]["image"]
        host, port = server.http.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        self.addCleanup(connection.close)
        connection.request("POST", "/v2/models/digits/versions/2/infer", numpy.array(image, numpy.float32).tobytes(),
                           {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"})
        response = connection.getresponse()
        body = response.read()
        self.assertEqual(response.status, 200, body)
        head = int(response.headers["Inference-Header-Content-Length"])
        self.assertEqual(json.loads(body[:head])["model_name"], "digits")


class TestBytes(Case):
    def echo(self, array, binary_in=True, binary_out=True):
        result = self.client.infer("text", [tensor("INPUT0", array, "BYTES", binary_in)],
                                   outputs=[triton.InferRequestedOutput("OUTPUT0", binary_data=binary_out)])
        return result.as_numpy("OUTPUT0")

    def test_binary(self):
        for name, cells in (
            ("words", [[b"one", b"two"], [b"three", b"four"]]),
            ("empty", [[b"", b"x", b""]]),
            ("any bytes", [[bytes(range(256)), b"\x00", b"\xff\xfe"]]),
            ("long", [[b"a" * 1_000_000, b"b"]]),
            ("many", [[str(i).encode() for i in range(10_000)]]),
        ):
            with self.subTest(name=name):
                self.assertEqual(self.echo(numpy.array(cells, numpy.object_)).tolist(), cells)

    def test_json(self):
        words = [["plain", "quote \" slash \\ / tab \t line \n", "ö 漢字 🙂", "", "\u2028"]]
        array = numpy.array(words, numpy.object_)
        for binary_in in (True, False):
            for binary_out in (True, False):
                with self.subTest(binary_in=binary_in, binary_out=binary_out):
                    got = [[c.decode() if isinstance(c, bytes) else c for c in row] for row in self.echo(array, binary_in, binary_out)]
                    self.assertEqual(got, words)

    def test_no_element(self):
        self.assertEqual(self.echo(numpy.empty((0, 3), numpy.object_)).shape, (0, 3))


class TestCompression(Case):
    def test_both_ways(self):
        a, b, _ = pair(8)
        for binary in (True, False):
            for sent in (None, "gzip", "deflate"):
                for wanted in (None, "gzip", "deflate"):
                    with self.subTest(binary=binary, sent=sent, wanted=wanted):
                        result = self.client.infer(
                            "simple", pair(8, binary=binary)[2],
                            outputs=[triton.InferRequestedOutput(o, binary_data=binary) for o in ("OUTPUT0", "OUTPUT1")],
                            request_compression_algorithm=sent, response_compression_algorithm=wanted)
                        self.assertEqual(result.as_numpy("OUTPUT0").tolist(), (a + b).tolist())
                        self.assertEqual(result.as_numpy("OUTPUT1").tolist(), (a - b).tolist())

    def test_answers_are_compressed(self):
        body, head = triton.InferenceServerClient.generate_request_body(pair(8, binary=False)[2])
        host, port = server.http.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        self.addCleanup(connection.close)
        for wanted in ("gzip", "deflate"):
            connection.request("POST", "/v2/models/simple/infer", body,
                               {"Inference-Header-Content-Length": str(head or len(body)), "Accept-Encoding": wanted})
            response = connection.getresponse()
            response.read()
            self.assertEqual((response.status, response.headers["Content-Encoding"]), (200, wanted))


class TestConcurrent(Case):
    def test_async_infer_answers_its_own_caller(self):
        calls = []
        for i in range(64):
            a, b, inputs = pair(rows=1 + i % 3, base=1000 * i)
            calls.append((a, b, self.client.async_infer("simple", inputs, request_id=f"call-{i}")))
        for i, (a, b, call) in enumerate(calls):
            result = call.get_result()
            self.assertEqual(result.get_response()["id"], f"call-{i}")
            self.assertEqual(result.as_numpy("OUTPUT0").tolist(), (a + b).tolist())
            self.assertEqual(result.as_numpy("OUTPUT1").tolist(), (a - b).tolist())

    def test_async_infer_of_an_unknown_model(self):
        with self.refused(404, "nowhere"):
            self.client.async_infer("nowhere", pair()[2]).get_result()

    def test_a_model_that_mixes_rows_is_never_merged(self):
        rows = numpy.random.default_rng(7).normal(size=(64, 2, 4)).astype(numpy.float32)
        calls = [self.client.async_infer("mean", [tensor("X", row, "FP32")]) for row in rows]
        for row, call in zip(rows, calls):
            numpy.testing.assert_allclose(call.get_result().as_numpy("Y"), row - row.mean(axis=0), atol=1e-5)


class TestRefusals(Case):
    def test_unknown(self):
        with self.refused(404, "nowhere"):
            self.client.infer("nowhere", pair()[2])
        with self.refused(404, "simple", "9", "1"):
            self.client.infer("simple", pair()[2], model_version="9")

    def test_not_ready(self):
        with self.refused(503, "broken"):
            self.client.infer("broken", pair()[2])

    def test_inputs(self):
        a, b, (first, second) = pair()
        wide = numpy.zeros((1, 17), numpy.int32)
        for name, inputs, words in (
            ("missing", [first], ["INPUT1"]),
            ("extra", [first, second, tensor("INPUT2", a, "INT32")], ["INPUT2"]),
            ("twice", [first, second, tensor("INPUT0", a, "INT32")], ["INPUT0"]),
            ("none", [], ["INPUT0"]),
            ("dtype", [first, tensor("INPUT1", b.astype(numpy.int64), "INT64")], ["INPUT1", "INT32", "INT64"]),
            ("dims", [first, tensor("INPUT1", wide, "INT32")], ["INPUT1", "17"]),
            ("rank", [first, tensor("INPUT1", b.reshape(16), "INT32")], ["INPUT"]),
        ):
            with self.subTest(name=name), self.refused(400, *words):
                self.client.infer("simple", inputs)

    def test_rows_that_differ_between_inputs(self):
        a, _, _ = pair(2)
        _, b, _ = pair(1)
        with self.refused(400):
            self.client.infer("simple", [tensor("INPUT0", a, "INT32"), tensor("INPUT1", b, "INT32")])

    def test_outputs(self):
        inputs = pair()[2]
        with self.refused(400, "NOTHING"):
            self.client.infer("simple", inputs, outputs=[triton.InferRequestedOutput("NOTHING")])
        with self.refused(400, "OUTPUT0"):
            self.client.infer("simple", inputs, outputs=[triton.InferRequestedOutput("OUTPUT0"), triton.InferRequestedOutput("OUTPUT0")])

    def test_shared_memory(self):
        made = triton.InferInput("INPUT0", [1, 16], "INT32")
        made.set_shared_memory("region", 64)
        with self.refused(501, "shared memory"):
            self.client.infer("simple", [made, pair()[2][1]])
        output = triton.InferRequestedOutput("OUTPUT0")
        output.set_shared_memory("region", 64)
        with self.refused(501, "shared memory"):
            self.client.infer("simple", pair()[2], outputs=[output])

    def test_shared_memory_regions(self):
        for name, call in (
            ("system register", lambda: self.client.register_system_shared_memory("r", "/r", 64)),
            ("cuda register", lambda: self.client.register_cuda_shared_memory("r", b"handle", 0, 64)),
        ):
            with self.subTest(name=name), self.refused(501, "shares no memory"):
                call()
        self.assertEqual(self.client.get_system_shared_memory_status(), [])
        self.assertEqual(self.client.get_cuda_shared_memory_status(), [])
        self.client.unregister_system_shared_memory()
        self.client.unregister_cuda_shared_memory()

    def test_load_and_unload(self):
        for call in (self.client.load_model, self.client.unload_model):
            with self.refused(403, "may not load"):
                call("simple")
        self.assertTrue(self.client.is_model_ready("simple"))

    def test_after_all_this_it_serves(self):
        a, b, inputs = pair()
        self.assertEqual(self.client.infer("simple", inputs).as_numpy("OUTPUT0").tolist(), (a + b).tolist())


if __name__ == "__main__":
    unittest.main()
