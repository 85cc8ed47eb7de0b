"""tritonclient.grpc, the blocking client and async_infer, unmodified."""

import queue
import threading
import unittest

import ml_dtypes
import numpy
import tritonclient.grpc as triton

import asking
import repository
import sluice

server = None


def setUpModule():
    global server
    server = repository.serve()


class Case(unittest.TestCase):
    def setUp(self):
        self.client = triton.InferenceServerClient(server.grpc)
        self.addCleanup(self.client.close)

    def refused(self, status, *words):
        """A context in which the client must raise with this status and these words."""
        return asking.Refused(self, f"StatusCode.{status}", words)


def tensor(name, array, dtype):
    return asking.tensor(triton, name, array, dtype)


def pair(rows=1, base=0):
    return asking.pair(triton, rows, base)


def slow(turns):
    return asking.slow(triton, turns)


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
        self.assertEqual(metadata.name, "sluice")
        self.assertTrue(metadata.version)
        for extension in ("binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"):
            self.assertIn(extension, metadata.extensions)
        for extension in ("system_shared_memory", "cuda_shared_memory", "trace"):
            self.assertNotIn(extension, metadata.extensions)

    def test_model(self):
        metadata = self.client.get_model_metadata("simple")
        self.assertEqual((metadata.name, list(metadata.versions), metadata.platform), ("simple", ["1"], "onnxruntime_onnx"))
        self.assertEqual([(i.name, i.datatype, list(i.shape)) for i in metadata.inputs],
                         [("INPUT0", "INT32", [-1, 16]), ("INPUT1", "INT32", [-1, 16])])
        self.assertEqual([(o.name, o.datatype, list(o.shape)) for o in metadata.outputs],
                         [("OUTPUT0", "INT32", [-1, 16]), ("OUTPUT1", "INT32", [-1, 16])])
        self.assertEqual(list(self.client.get_model_metadata("digits").versions), ["1", "2"])

    def test_dtypes(self):
        metadata = self.client.get_model_metadata("types", "1", as_json=True)
        self.assertEqual({i["name"]: i["datatype"] for i in metadata["inputs"]}, {"IN_" + d: d for d in repository.DTYPES})

    def test_unknown(self):
        for ask in (self.client.get_model_metadata, self.client.get_model_config, self.client.get_inference_statistics):
            with self.refused("NOT_FOUND", "nowhere"):
                ask("nowhere")
            with self.refused("NOT_FOUND", "digits", "3"):
                ask("digits", "3")

    def test_config(self):
        config = self.client.get_model_config("simple").config
        self.assertEqual((config.name, config.platform, config.max_batch_size), ("simple", "onnxruntime_onnx", 8))
        kinds = type(config.input[0]).DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
        self.assertEqual([(i.name, kinds[i.data_type].name, list(i.dims)) for i in config.input],
                         [("INPUT0", "TYPE_INT32", [16]), ("INPUT1", "TYPE_INT32", [16])])
        self.assertEqual([o.name for o in config.output], ["OUTPUT0", "OUTPUT1"])

    def test_repository_index(self):
        index = {(m.name, m.version): m for m in self.client.get_model_repository_index().models}
        for known in (("digits", "1"), ("digits", "2"), ("simple", "1"), ("text", "1"), ("types", "1")):
            self.assertEqual(index[known].state, "READY")
        self.assertEqual(index["broken", "1"].state, "UNAVAILABLE")
        self.assertTrue(index["broken", "1"].reason)

    def test_statistics(self):
        def simple():
            return self.client.get_inference_statistics("simple", "1").model_stats[0]

        before = simple()
        self.assertEqual((before.name, before.version), ("simple", "1"))
        for rows in (1, 3):
            self.client.infer("simple", pair(rows)[2])
        after = simple()
        self.assertEqual(after.inference_count - before.inference_count, 4)
        self.assertEqual(after.execution_count - before.execution_count, 2)
        for stage in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
            got, old = getattr(after.inference_stats, stage), getattr(before.inference_stats, stage)
            self.assertEqual(got.count - old.count, 2, stage)
        self.assertGreater(after.inference_stats.success.ns, before.inference_stats.success.ns)
        self.assertIn("simple", [m.name for m in self.client.get_inference_statistics().model_stats])


class TestInfer(Case):
    def test_sum(self):
        for rows in (1, 2, 8):
            with self.subTest(rows=rows):
                a, b, inputs = pair(rows)
                result = self.client.infer("simple", inputs, request_id="r-17")
                self.assertEqual(result.as_numpy("OUTPUT0").tolist(), (a + b).tolist())
                self.assertEqual(result.as_numpy("OUTPUT1").tolist(), (a - b).tolist())
                answer = result.get_response()
                self.assertEqual((answer.id, answer.model_name, answer.model_version), ("r-17", "simple", "1"))

    def test_requested_outputs(self):
        a, b, inputs = pair()
        result = self.client.infer("simple", inputs, outputs=[triton.InferRequestedOutput("OUTPUT1")])
        self.assertEqual(result.as_numpy("OUTPUT1").tolist(), (a - b).tolist())
        self.assertIsNone(result.as_numpy("OUTPUT0"))
        self.assertEqual([o.name for o in result.get_response().outputs], ["OUTPUT1"])

    def test_parameters(self):
        a, b, inputs = pair()
        result = self.client.infer("simple", inputs, priority=1, timeout=20_000_000,
                                   parameters={"word": "x", "count": 3, "ratio": 0.5, "flag": True})
        self.assertEqual(result.as_numpy("OUTPUT0").tolist(), (a + b).tolist())

    def test_versions_of_digits(self):
        inputs = [tensor("image", asking.heldout(1)[0], "FP32")]
        answered = {v: self.client.infer("digits", inputs, model_version=v).get_response().model_version for v in ("1", "2", "")}
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
        result = self.client.infer("types", [tensor("IN_" + d, a, d) for d, a in arrays.items()])
        for dtype, want in arrays.items():
            got = result.as_numpy("OUT_" + dtype)
            if dtype == "BYTES":
                want = numpy.array([["a".encode(), "ö".encode()]])
            self.assertEqual(got.astype(want.dtype).tolist(), want.tolist(), dtype)

    def test_scalar(self):
        result = self.client.infer("scalar", [tensor("X", numpy.array(21, numpy.float32), "FP32")])
        self.assertEqual((result.as_numpy("Y").shape, result.as_numpy("Y").item()), ((), 42))

    def test_classification(self):
        labels = (sluice.DIGITS / "models" / "digits" / "labels.txt").read_text().split()
        inputs = [tensor("image", asking.heldout(5)[0], "FP32")]
        scores = self.client.infer("digits", inputs, model_version="2").as_numpy("probabilities")
        result = self.client.infer("digits", inputs, model_version="2",
                                   outputs=[triton.InferRequestedOutput("probabilities", class_count=3)])
        classes = result.as_numpy("probabilities")
        self.assertEqual(classes.shape, (5, 3))
        for row, (got, want) in enumerate(zip(classes, scores)):
            for cell, index in zip(got, numpy.argsort(-want, kind="stable")[:3]):
                score, position, label = cell.decode().split(":")
                self.assertEqual((int(position), label), (index, labels[index]), f"row {row}")
                self.assertAlmostEqual(float(score), float(want[index]), places=5)

    def test_bytes(self):
        for name, cells in (
            ("words", [[b"one", b"two"], [b"three", b"four"]]),
            ("empty", [[b"", b"x", b""]]),
            ("any bytes", [[bytes(range(256)), b"\x00", b"\xff\xfe"]]),
            ("long", [[b"a" * 1_000_000, b"b"]]),
            ("many", [[str(i).encode() for i in range(10_000)]]),
        ):
            with self.subTest(name=name):
                result = self.client.infer("text", [tensor("INPUT0", numpy.array(cells, numpy.object_), "BYTES")])
                self.assertEqual(result.as_numpy("OUTPUT0").tolist(), cells)

    def test_no_element(self):
        result = self.client.infer("text", [tensor("INPUT0", numpy.empty((0, 3), numpy.object_), "BYTES")])
        self.assertEqual(result.as_numpy("OUTPUT0").shape, (0, 3))

    def test_large(self):
        """8 MiB in, 8 MiB out, and both through windows that begin at 64 KiB."""
        random = numpy.random.default_rng(1)
        cells = numpy.array([[random.bytes(1 << 20) for _ in range(8)]], numpy.object_)
        for compression in (None, "gzip"):
            with self.subTest(compression=compression):
                result = self.client.infer("text", [tensor("INPUT0", cells, "BYTES")], compression_algorithm=compression)
                self.assertEqual(result.as_numpy("OUTPUT0").tolist(), cells.tolist())

    def test_compression(self):
        for algorithm in (None, "gzip", "deflate"):
            for rows in (1, 8):
                with self.subTest(algorithm=algorithm, rows=rows):
                    a, b, inputs = pair(rows)
                    result = self.client.infer("simple", inputs, compression_algorithm=algorithm)
                    self.assertEqual(result.as_numpy("OUTPUT0").tolist(), (a + b).tolist())
                    self.assertEqual(result.as_numpy("OUTPUT1").tolist(), (a - b).tolist())

    def test_headers(self):
        a, b, inputs = pair()
        result = self.client.infer("simple", inputs, headers={"x-request-id": "order-17", "x-anything": "at all"})
        self.assertEqual(result.as_numpy("OUTPUT0").tolist(), (a + b).tolist())

    def test_keepalive(self):
        """Pings while a call runs are answered, and are no abuse."""
        options = triton.KeepAliveOptions(keepalive_time_ms=100, keepalive_timeout_ms=20_000, http2_max_pings_without_data=0)
        with triton.InferenceServerClient(server.grpc, keepalive_options=options) as client:
            self.assertEqual(client.infer("slow", slow(50_000)).as_numpy("Y").shape, (128, 128))
            self.assertEqual(client.infer("slow", slow(1)).as_numpy("Y").shape, (128, 128))


class TestDeadlines(Case):
    def test_client_timeout(self):
        with self.refused("DEADLINE_EXCEEDED"):
            self.client.infer("slow", slow(100_000), client_timeout=0.05)
        a, b, inputs = pair()
        self.assertEqual(self.client.infer("simple", inputs, client_timeout=30).as_numpy("OUTPUT0").tolist(), (a + b).tolist())

    def test_parameter(self):
        with self.refused("DEADLINE_EXCEEDED", "deadline"):
            self.client.infer("slow", slow(100_000), timeout=1000)


class TestConcurrent(Case):
    def test_async_infer_answers_its_own_caller(self):
        answers = queue.Queue()
        want = {}
        for i in range(64):
            a, b, inputs = pair(rows=1 + i % 3, base=1000 * i)
            want[f"call-{i}"] = (a + b).tolist(), (a - b).tolist()
            self.client.async_infer("simple", inputs, lambda result, error: answers.put((result, error)), request_id=f"call-{i}")
        got = {}
        for _ in want:
            result, error = answers.get(timeout=30)
            self.assertIsNone(error)
            got[result.get_response().id] = result.as_numpy("OUTPUT0").tolist(), result.as_numpy("OUTPUT1").tolist()
        self.assertEqual(got, want)

    def test_async_infer_of_an_unknown_model(self):
        answers = queue.Queue()
        self.client.async_infer("nowhere", pair()[2], lambda result, error: answers.put((result, error)))
        result, error = answers.get(timeout=30)
        self.assertIsNone(result)
        self.assertEqual(error.status(), "StatusCode.NOT_FOUND")
        self.assertIn("nowhere", error.message())

    def test_cancel(self):
        """Calls that are taken back while they run or wait harm no other."""
        kept, cancelled, calls = queue.Queue(), queue.Queue(), []
        for _ in range(8):
            calls.append(self.client.async_infer("slow", slow(20_000), lambda result, error: cancelled.put(error)))
        self.client.async_infer("slow", slow(10), lambda result, error: kept.put((result, error)))
        for call in calls:
            call.cancel()
        for _ in calls:
            self.assertEqual(cancelled.get(timeout=30).status(), "StatusCode.CANCELLED")
        result, error = kept.get(timeout=30)
        self.assertIsNone(error)
        self.assertEqual(result.as_numpy("Y").argmax(axis=1)[0], 10)

    def test_threads_share_a_client(self):
        failures = []

        def call(number):
            for i in range(50):
                a, b, inputs = pair(base=1000 * number + i)
                got = self.client.infer("simple", inputs).as_numpy("OUTPUT0")
                if got.tolist() != (a + b).tolist():
                    failures.append((number, i))

        threads = [threading.Thread(target=call, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(failures, [])

    def test_a_model_that_mixes_rows_is_never_merged(self):
        answers = queue.Queue()
        rows = numpy.random.default_rng(7).normal(size=(64, 2, 4)).astype(numpy.float32)
        for i, row in enumerate(rows):
            self.client.async_infer("mean", [tensor("X", row, "FP32")], lambda result, error: answers.put((result, error)), request_id=str(i))
        for _ in rows:
            result, error = answers.get(timeout=30)
            self.assertIsNone(error)
            row = rows[int(result.get_response().id)]
            numpy.testing.assert_allclose(result.as_numpy("Y"), row - row.mean(axis=0), atol=1e-5)


class TestRefusals(Case):
    def test_unknown(self):
        with self.refused("NOT_FOUND", 'no model is called "nowhere"', '"simple"'):
            self.client.infer("nowhere", pair()[2])
        with self.refused("NOT_FOUND", 'model "simple" has no version "9"', 'it has "1"'):
            self.client.infer("simple", pair()[2], model_version="9")

    def test_not_ready(self):
        with self.refused("UNAVAILABLE", "broken"):
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
            ("rows that differ", [tensor("INPUT0", pair(2)[0], "INT32"), second], []),
        ):
            with self.subTest(name=name), self.refused("INVALID_ARGUMENT", *words):
                self.client.infer("simple", inputs)

    def test_outputs(self):
        inputs = pair()[2]
        with self.refused("INVALID_ARGUMENT", "NOTHING"):
            self.client.infer("simple", inputs, outputs=[triton.InferRequestedOutput("NOTHING")])
        with self.refused("INVALID_ARGUMENT", "OUTPUT0"):
            self.client.infer("simple", inputs, outputs=[triton.InferRequestedOutput("OUTPUT0"), triton.InferRequestedOutput("OUTPUT0")])

    def test_shared_memory(self):
        made = triton.InferInput("INPUT0", [1, 16], "INT32")
        made.set_shared_memory("region", 64)
        with self.refused("UNIMPLEMENTED", "shared memory"):
            self.client.infer("simple", [made, pair()[2][1]])
        output = triton.InferRequestedOutput("OUTPUT0")
        output.set_shared_memory("region", 64)
        with self.refused("UNIMPLEMENTED", "shared memory"):
            self.client.infer("simple", pair()[2], outputs=[output])

    def test_extensions(self):
        for name, call, word in (
            ("system register", lambda: self.client.register_system_shared_memory("r", "/r", 64), "shares no memory"),
            ("cuda register", lambda: self.client.register_cuda_shared_memory("r", b"aGFuZGxl", 0, 64), "shares no memory"),
            ("trace", self.client.get_trace_settings, "trace_control"),
        ):
            with self.subTest(name=name), self.refused("UNIMPLEMENTED", word):
                call()
        self.assertEqual(dict(self.client.get_system_shared_memory_status().regions), {})
        self.assertEqual(dict(self.client.get_cuda_shared_memory_status().regions), {})
        self.client.unregister_system_shared_memory()
        self.client.unregister_cuda_shared_memory()

    def test_load_and_unload(self):
        for call in (self.client.load_model, self.client.unload_model):
            with self.refused("PERMISSION_DENIED", "may not load"):
                call("simple")
        self.assertTrue(self.client.is_model_ready("simple"))

    def test_after_all_this_it_serves(self):
        a, b, inputs = pair()
        self.assertEqual(self.client.infer("simple", inputs).as_numpy("OUTPUT0").tolist(), (a + b).tolist())


if __name__ == "__main__":
    unittest.main()
