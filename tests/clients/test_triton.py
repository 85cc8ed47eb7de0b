"""tritonclient.grpc and tritonclient.http against a real Triton, and against Sluice in front of it."""

import asyncio
import queue
import time
import unittest

import grpc
import ml_dtypes
import numpy
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

import asking
import triton
from triton import both

servers = None


def setUpModule():
    global servers
    servers = triton.Servers()


DTYPES = {
    "BOOL": [[True, False]],
    "INT8": [[-128, 127]],
    "INT16": [[-(1 << 15), (1 << 15) - 1]],
    "INT32": [[-(1 << 31), (1 << 31) - 1]],
    "INT64": [[-(1 << 63), (1 << 63) - 1]],
    "UINT8": [[0, 255]],
    "UINT16": [[0, (1 << 16) - 1]],
    "UINT32": [[0, (1 << 32) - 1]],
    "UINT64": [[0, (1 << 64) - 1]],
    "FP16": [[1.5, float("nan"), -65504]],
    "BF16": [[1.5, -2.0, 3.0e38]],
    "FP32": [[0.1, float("inf"), -0.0]],
    "FP64": [[0.1, float("nan"), 5e-324]],
    "BYTES": [[b"", b"words", bytes(range(256))], [b"\0", "ö".encode(), b"x" * 70000]],
}
NUMPY = {"BOOL": bool, "FP16": numpy.float16, "BF16": ml_dtypes.bfloat16, "FP32": numpy.float32, "FP64": numpy.float64, "BYTES": object,
         **{f"{sign}INT{bits}": f"{sign}int{bits}".lower() for sign in ("", "U") for bits in (8, 16, 32, 64)}}


def array(dtype, values=None):
    return numpy.array(DTYPES[dtype] if values is None else values, NUMPY[dtype])


def images(count):
    """Images whose answers tell them apart."""
    return numpy.random.default_rng(count).uniform(0, 16, (count, 64)).astype(numpy.float32)


class GRPC:
    """The blocking client over gRPC."""

    library = tritonclient.grpc

    def setUp(self):
        self.client = tritonclient.grpc.InferenceServerClient(getattr(servers, self.front).grpc)
        self.addCleanup(self.client.close)

    def tensor(self, name, values, dtype, **options):
        return asking.tensor(self.library, name, values, dtype, **options)

    def refused(self, status, *words):
        return asking.Refused(self, f"StatusCode.{status}", words)


class HTTP(GRPC):
    """The blocking client over HTTP; Sluice speaks gRPC with Triton behind it."""

    library = tritonclient.http

    def setUp(self):
        self.client = tritonclient.http.InferenceServerClient(getattr(servers, self.front).http)
        self.addCleanup(self.client.close)

    def refused(self, status, *words):
        return asking.Refused(self, status, words)


@both
class TestModels(GRPC):
    def test_health(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        for name, version, want in (
            ("digits", "", True), ("digits", "1", True), ("digits", "2", True), ("digits", "3", False), ("repeat", "", True), ("nowhere", "", False),
        ):
            with self.subTest(name=name, version=version):
                self.assertEqual(self.client.is_model_ready(name, version), want)

    def test_metadata(self):
        metadata = self.client.get_model_metadata("digits")
        self.assertEqual((metadata.name, sorted(metadata.versions), metadata.platform), ("digits", ["1", "2"], "python"))
        self.assertEqual([(i.name, i.datatype, list(i.shape)) for i in metadata.inputs], [("image", "FP32", [-1, 64])])
        self.assertEqual([(o.name, o.datatype, list(o.shape)) for o in metadata.outputs],
                         [("label", "INT64", [-1, 1]), ("probabilities", "FP32", [-1, 10])])
        with self.refused("NOT_FOUND", "nowhere"):
            self.client.get_model_metadata("nowhere")

    def test_config(self):
        config = self.client.get_model_config("digits").config
        self.assertEqual((config.name, config.max_batch_size, [list(i.dims) for i in config.input]), ("digits", 64, [[64]]))
        # Triton batches nothing here; what Sluice does to it, its config says.
        self.assertEqual(config.HasField("dynamic_batching"), self.front == "sluice")
        self.assertTrue(self.client.get_model_config("repeat").config.model_transaction_policy.decoupled)
        self.assertEqual([i.optional for i in self.client.get_model_config("optional").config.input], [False, True])
        with self.refused("NOT_FOUND", "nowhere"):
            self.client.get_model_config("nowhere")

    def test_repository_index(self):
        index = {(model.name, model.version): model.state for model in self.client.get_model_repository_index().models}
        for known in (("digits", "1"), ("digits", "2"), ("identity", "1"), ("repeat", "1"), ("accumulate", "1")):
            self.assertEqual(index[known], "READY")

    def test_statistics(self):
        def of(version):
            (found,) = self.client.get_inference_statistics("digits", version).model_stats
            self.assertEqual((found.name, found.version), ("digits", version))
            return found

        before = of("2")
        for rows in (1, 3):
            self.client.infer("digits", [self.tensor("image", images(rows), "FP32")], model_version="2")
        after = of("2")
        self.assertEqual(after.inference_count - before.inference_count, 4)
        self.assertEqual(after.execution_count - before.execution_count, 2)
        self.assertEqual(after.inference_stats.success.count - before.inference_stats.success.count, 2)
        self.assertIn("digits", [model.name for model in self.client.get_inference_statistics().model_stats])


class Infer:
    """What holds over gRPC and over HTTP alike."""

    def test_digits(self):
        accuracy = {"1": 0.85, "2": 0.95}
        images, labels = asking.heldout(64)
        for version, at_least in accuracy.items():
            result = self.client.infer("digits", [self.tensor("image", images, "FP32")], model_version=version)
            self.assertGreater((result.as_numpy("label").ravel() == labels).mean(), at_least)
            numpy.testing.assert_allclose(result.as_numpy("probabilities").sum(axis=1), numpy.ones(64), atol=1e-5)

    def test_dtypes(self):
        for dtype in DTYPES:
            with self.subTest(dtype=dtype):
                self.identity(dtype, array(dtype))

    def test_all_dtypes_at_once(self):
        result = self.client.infer("identity", [self.tensor("IN_" + dtype, array(dtype), dtype) for dtype in DTYPES])
        for dtype in DTYPES:
            self.same(dtype, result.as_numpy("OUT_" + dtype), array(dtype))

    def test_nothing(self):
        for dtype in DTYPES:
            for shape in ((0, 3), (2, 0), (0, 0)):
                with self.subTest(dtype=dtype, shape=shape):
                    self.identity(dtype, numpy.zeros(shape, NUMPY[dtype]))

    def test_large(self):
        self.identity("FP32", numpy.random.default_rng(1).normal(size=(512, 4096)).astype(numpy.float32))

    def identity(self, dtype, values, **options):
        result = self.client.infer("identity", [self.tensor("IN_" + dtype, values, dtype)], request_id="r-17", **options)
        self.same(dtype, result.as_numpy("OUT_" + dtype), values)
        return result

    def same(self, dtype, got, want):
        self.assertEqual(got.shape, want.shape)
        if dtype == "BYTES":
            self.assertEqual(got.tolist(), want.tolist())
        elif dtype == "BF16":  # which the clients widen
            self.assertEqual(got.astype(numpy.float32).tobytes(), want.astype(numpy.float32).tobytes())
        else:
            self.assertEqual((got.dtype, got.tobytes()), (want.dtype, want.tobytes()))

    def test_optional_inputs(self):
        a, b = (numpy.array([[1, 2]], numpy.float32) * factor for factor in (1, 10))
        both = self.client.infer("optional", [self.tensor("A", a, "FP32"), self.tensor("B", b, "FP32")])
        alone = self.client.infer("optional", [self.tensor("A", a, "FP32")])
        self.assertEqual((both.as_numpy("Y").tolist(), alone.as_numpy("Y").tolist()), ([[11, 22]], [[1, 2]]))

    def test_requested_outputs(self):
        inputs = [self.tensor("image", images(2), "FP32")]
        result = self.client.infer("digits", inputs, outputs=[self.library.InferRequestedOutput("label")])
        self.assertEqual(result.as_numpy("label").shape, (2, 1))
        self.assertIsNone(result.as_numpy("probabilities"))

    def test_classification(self):
        inputs = [self.tensor("image", asking.heldout(3)[0], "FP32")]
        scores = self.client.infer("digits", inputs).as_numpy("probabilities")
        classes = self.client.infer("digits", inputs, outputs=[self.library.InferRequestedOutput("probabilities", class_count=2)]).as_numpy("probabilities")
        self.assertEqual(classes.shape, (3, 2))
        for row, want in zip(classes, scores):
            self.assertEqual([int(cell.decode().split(":")[1]) for cell in row], numpy.argsort(-want, kind="stable")[:2].tolist())

    def test_sequences(self):
        """Two sequences, their requests mixed."""
        sums = {100: [], 200: []}
        for step in range(3):
            for sequence in sums:
                value = numpy.array([[sequence + step]], numpy.int32)
                result = self.client.infer("accumulate", [self.tensor("value", value, "INT32")], sequence_id=sequence,
                                           sequence_start=step == 0, sequence_end=step == 2)
                sums[sequence].append(result.as_numpy("sum").item())
        self.assertEqual(sums, {100: [100, 201, 303], 200: [200, 401, 603]})

    def test_errors(self):
        image, wide = images(1), numpy.zeros((1, 65), numpy.float32)
        x = numpy.ones((1, 1), numpy.float32)
        for name, status, words, model, inputs, options in (
            ("unknown model", self.unknown, ["nowhere"], "nowhere", [("image", image, "FP32")], {}),
            ("unknown version", self.unknown, ["digits", "9"], "digits", [("image", image, "FP32")], {"model_version": "9"}),
            ("dims", self.invalid, ["image", "65"], "digits", [("image", wide, "FP32")], {}),
            ("rank", self.invalid, ["image"], "digits", [("image", image.reshape(64), "FP32")], {}),
            ("rank 0", self.invalid, ["IN_FP32"], "identity", [("IN_FP32", numpy.array(1, numpy.float32), "FP32")], {}),
            ("dtype", self.invalid, ["image", "FP64"], "digits", [("image", image.astype(numpy.float64), "FP64")], {}),
            ("missing input", self.invalid, ["image"], "digits", [], {}),
            ("extra input", self.invalid, ["more"], "digits", [("image", image, "FP32"), ("more", image, "FP32")], {}),
            ("too many rows", self.invalid, ["picky", "8"], "picky", [("X", numpy.ones((9, 1), numpy.float32), "FP32")], {}),
            ("unknown output", self.invalid, ["more"], "digits", [("image", image, "FP32")], {"outputs": [self.library.InferRequestedOutput("more")]}),
            ("a model that raises", self.internal, ["a row is negative"], "picky", [("X", -x, "FP32")], {}),
            ("a sequence without its id", self.invalid, ["accumulate"], "accumulate", [("value", numpy.ones((1, 1), numpy.int32), "INT32")], {}),
        ):
            with self.subTest(name=name), self.refused(status, *words):
                self.client.infer(model, [self.tensor(*one) for one in inputs], **options)
        with self.subTest(name="decoupled"), self.refused(self.unsupported):
            self.client.infer("repeat", [self.tensor("count", numpy.array([1], numpy.int32), "INT32")])
        self.assertEqual(self.client.infer("picky", [self.tensor("X", x, "FP32")]).as_numpy("Y").tolist(), [[2]])


@both
class TestGRPC(Infer, GRPC):
    unknown, invalid, internal, unsupported = "NOT_FOUND", "INVALID_ARGUMENT", "INTERNAL", "UNIMPLEMENTED"

    def test_echoes(self):
        answer = self.identity("FP32", array("FP32")).get_response()
        self.assertEqual((answer.id, answer.model_name, answer.model_version), ("r-17", "identity", "1"))

    def test_the_newest_version(self):
        result = self.client.infer("digits", [self.tensor("image", images(1), "FP32")])
        self.assertEqual(result.get_response().model_version, "2")

    def test_typed_contents(self):
        """What clients in other languages send: numbers in their own fields. Answers are raw all the same."""
        request, want = pb.ModelInferRequest(model_name="identity"), {}
        for dtype, field, values in (
            ("BOOL", "bool_contents", [True, False]), ("INT8", "int_contents", [-128, 127]), ("INT64", "int64_contents", [-1, 1 << 40]),
            ("UINT16", "uint_contents", [0, 65535]), ("UINT64", "uint64_contents", [0, (1 << 64) - 1]),
            ("FP32", "fp32_contents", [0.5, -0.5]), ("FP64", "fp64_contents", [0.1, 0.2]),
        ):
            getattr(request.inputs.add(name="IN_" + dtype, datatype=dtype, shape=[1, 2]).contents, field).extend(values)
            want["OUT_" + dtype] = array(dtype, values).tobytes()
        request.inputs.add(name="IN_BYTES", datatype="BYTES", shape=[1, 2]).contents.bytes_contents.extend([b"", b"words"])
        want["OUT_BYTES"] = b"\0\0\0\0\5\0\0\0words"
        with grpc.insecure_channel(getattr(servers, self.front).grpc) as channel:
            answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=30)
        raw = {output.name: content for output, content in zip(answer.outputs, answer.raw_output_contents, strict=True)}
        self.assertEqual(raw, want)

    def test_compression(self):
        for algorithm in ("gzip", "deflate"):
            for size in (2, 100_000):
                with self.subTest(algorithm=algorithm, size=size):
                    self.identity("INT32", numpy.arange(size, dtype=numpy.int32).reshape(1, size), compression_algorithm=algorithm)

    def test_async(self):
        answers, want = queue.Queue(), {}
        for i in range(64):
            value = numpy.full((1, 4), i, numpy.int64)
            want[f"call-{i}"] = value.tolist()
            self.client.async_infer("identity", [self.tensor("IN_INT64", value, "INT64")],
                                    lambda result, error: answers.put((result, error)), request_id=f"call-{i}")
        got = {}
        for _ in want:
            result, error = answers.get(timeout=30)
            self.assertIsNone(error)
            got[result.get_response().id] = result.as_numpy("OUT_INT64").tolist()
        self.assertEqual(got, want)

    def slow(self, seconds, **options):
        return self.client.infer("slow", [self.tensor("seconds", numpy.array([seconds], numpy.float32), "FP32")], **options)

    def left(self):
        """How many callers the model has seen leave."""
        return self.slow(0).as_numpy("cancelled").item()

    def until_left(self, count):
        deadline = time.monotonic() + 10
        while (seen := self.left()) < count:
            self.assertLess(time.monotonic(), deadline, f"the model saw {seen} callers leave, not {count}")
            time.sleep(0.01)

    def test_deadline(self):
        before = self.left()
        begun = time.monotonic()
        with self.refused("DEADLINE_EXCEEDED"):
            self.slow(30, client_timeout=0.2)
        self.assertLess(time.monotonic() - begun, 5)
        self.until_left(before + 1)
        self.assertAlmostEqual(self.slow(0.1, client_timeout=30).as_numpy("seconds").item(), 0.1, places=6)

    def test_cancel(self):
        before, answers = self.left(), queue.Queue()
        calls = [self.client.async_infer("slow", [self.tensor("seconds", numpy.array([30], numpy.float32), "FP32")],
                                         lambda result, error: answers.put(error)) for _ in range(4)]
        time.sleep(0.2)  # so that they are with the model
        for call in calls:
            call.cancel()
        for _ in calls:
            self.assertEqual(answers.get(timeout=10).status(), "StatusCode.CANCELLED")
        self.until_left(before + 4)


@both
class TestHTTP(Infer, HTTP):
    unknown, invalid, internal, unsupported = "404", "400", "500", "501"

    def test_json(self):
        """Numbers in JSON both ways, where v2 has a form for them."""
        for dtype in DTYPES:
            if dtype in ("FP16", "BF16"):
                continue
            with self.subTest(dtype=dtype):
                values = array(dtype)
                if dtype == "BYTES":
                    values = array(dtype, [[b"", b"words"]])
                elif dtype.startswith("FP"):
                    values = array(dtype, [[0.1, -2.5]])
                inputs = [self.tensor("IN_" + dtype, values, dtype, binary_data=False)]
                outputs = [self.library.InferRequestedOutput("OUT_" + dtype, binary_data=False)]
                got = self.client.infer("identity", inputs, outputs=outputs).as_numpy("OUT_" + dtype)
                self.assertEqual(got.tolist(), [["", "words"]] if dtype == "BYTES" else values.tolist())

    def test_compression(self):
        for algorithm in ("gzip", "deflate"):
            for size in (2, 100_000):
                with self.subTest(algorithm=algorithm, size=size):
                    self.identity("INT32", numpy.arange(size, dtype=numpy.int32).reshape(1, size),
                                  request_compression_algorithm=algorithm, response_compression_algorithm=algorithm)

    def test_models(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready("digits"))
        self.assertFalse(self.client.is_model_ready("nowhere"))
        metadata = self.client.get_model_metadata("digits")
        self.assertEqual(metadata["inputs"], [{"name": "image", "datatype": "FP32", "shape": [-1, 64]}])
        self.assertEqual(self.client.get_model_config("digits")["max_batch_size"], 64)
        self.assertIn(("digits", "2"), [(model["name"], model["version"]) for model in self.client.get_model_repository_index()])
        (stats,) = self.client.get_inference_statistics("digits", "1")["model_stats"]
        self.assertEqual((stats["name"], stats["version"]), ("digits", "1"))


@both
class TestAio:
    async def asyncSetUp(self):
        asyncio.get_running_loop().slow_callback_duration = 60  # a busy machine is no finding
        self.client = tritonclient.grpc.aio.InferenceServerClient(getattr(servers, self.front).grpc)

    async def asyncTearDown(self):
        await self.client.close()

    async def one(self, number, **options):
        made = tritonclient.grpc.InferInput("IN_INT64", [1, 3], "INT64")
        made.set_data_from_numpy(numpy.full((1, 3), number))
        result = await self.client.infer("identity", [made], request_id=f"call-{number}", **options)
        self.assertEqual(result.get_response().id, f"call-{number}")
        self.assertEqual(result.as_numpy("OUT_INT64").tolist(), [[number] * 3])

    async def test_many_at_once(self):
        await asyncio.gather(*(self.one(n) for n in range(200)))

    async def test_compression(self):
        for algorithm in ("gzip", "deflate"):
            await self.one(7, compression_algorithm=algorithm)

    async def test_callers_that_leave_harm_nobody(self):
        tasks = [asyncio.create_task(self.one(n)) for n in range(50)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        for outcome in await asyncio.gather(*tasks[1::2], return_exceptions=True):
            self.assertIsNone(outcome)
        await asyncio.gather(*tasks[::2], return_exceptions=True)


if __name__ == "__main__":
    unittest.main()
