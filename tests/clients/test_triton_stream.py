"""ModelStreamInfer against a real Triton, and against Sluice in front of it."""

import asyncio
import contextlib
import pathlib
import queue
import re
import time
import unittest

import grpc
import numpy
import tritonclient.grpc
import tritonclient.grpc.aio
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

import asking
import triton
from triton import both

servers = None


def setUpModule():
    global servers
    servers = triton.Servers("repeat", "accumulate", "identity", "picky", "slow")


def tensor(name, values, dtype):
    return asking.tensor(tritonclient.grpc, name, values, dtype)


def repeat(count, delay=0.0, fail_at=None, size=None):
    """Inputs of repeat."""
    inputs = [tensor("count", numpy.array([count], numpy.int32), "INT32"), tensor("delay", numpy.array([delay], numpy.float32), "FP32")]
    if fail_at is not None:
        inputs.append(tensor("fail_at", numpy.array([fail_at], numpy.int32), "INT32"))
    if size is not None:
        inputs.append(tensor("size", numpy.array([size], numpy.int32), "INT32"))
    return inputs


def request(count, delay=0.0, id="", size=0):
    """The same as a message, for those who use the stub itself."""
    made = pb.ModelInferRequest(model_name="repeat", id=id)
    for name, dtype, kind, value in (("count", "INT32", numpy.int32, count), ("delay", "FP32", numpy.float32, delay), ("size", "INT32", numpy.int32, size)):
        made.inputs.add(name=name, datatype=dtype, shape=[1])
        made.raw_input_contents.append(numpy.array([value], kind).tobytes())
    return made


def index(result):
    return result.as_numpy("index").item()


def final(result):
    """What the answer says of being the last one; None where it says nothing."""
    parameters = result.get_response().parameters
    return parameters["triton_final_response"].bool_param if "triton_final_response" in parameters else None


class Stream:
    """A client with one stream open."""

    def setUp(self):
        self.address = getattr(servers, self.front).grpc
        self.client = tritonclient.grpc.InferenceServerClient(self.address)
        self.addCleanup(self.client.close)
        self.open()

    def open(self, **options):
        self.answers = queue.Queue()
        self.client.start_stream(lambda result, error: self.answers.put((result, error)), **options)
        self.addCleanup(self.client.stop_stream, cancel_requests=True)

    def answer(self):
        result, error = self.answers.get(timeout=20)
        self.assertIsNone(error)
        return result

    def error(self):
        result, error = self.answers.get(timeout=20)
        self.assertIsNone(result)
        return error

    def no_more(self):
        """End the stream as a client does that has what it wanted, and find nothing behind."""
        self.client.stop_stream()
        self.assertTrue(self.answers.empty(), list(self.answers.queue))


@both
class TestDecoupled(Stream):
    def test_responses_come_in_order(self):
        self.client.async_stream_infer("repeat", repeat(100), request_id="r-17")
        for want in range(100):
            result = self.answer()
            self.assertEqual(index(result), want)
            answer = result.get_response()
            self.assertEqual((answer.id, answer.model_name, answer.model_version), ("r-17", "repeat", "1"))
        self.no_more()

    def test_each_as_soon_as_it_is_there(self):
        self.client.async_stream_infer("repeat", repeat(2, delay=0.5))
        self.answer()
        begun = time.monotonic()
        self.answer()
        self.assertGreater(time.monotonic() - begun, 0.3)

    def test_final_response(self):
        """The last answer is an empty one, for who asks for it."""
        for count in (0, 1, 5):
            with self.subTest(count=count):
                self.client.async_stream_infer("repeat", repeat(count), request_id=f"r-{count}", enable_empty_final_response=True)
                for want in range(count):
                    result = self.answer()
                    self.assertEqual((index(result), final(result)), (want, False))
                result = self.answer()
                self.assertEqual((final(result), len(result.get_response().outputs), result.get_response().id), (True, 0, f"r-{count}"))
        self.no_more()

    def test_no_response(self):
        self.client.async_stream_infer("repeat", repeat(0))
        self.client.async_stream_infer("repeat", repeat(1))
        self.assertEqual(index(self.answer()), 0)
        self.no_more()

    def test_an_error_midway_leaves_the_stream_open(self):
        self.client.async_stream_infer("repeat", repeat(5, fail_at=2))
        self.assertEqual([index(self.answer()) for _ in range(2)], [0, 1])
        self.assertIn("fails as asked", self.error().message())
        self.client.async_stream_infer("repeat", repeat(1))
        self.assertEqual(index(self.answer()), 0)
        self.no_more()

    def test_outstanding_requests(self):
        """Each request's responses are in order, whatever comes between."""
        for number in range(8):
            self.client.async_stream_infer("repeat", repeat(10, delay=0.01), request_id=str(number))
        got = {str(number): [] for number in range(8)}
        for _ in range(80):
            result = self.answer()
            got[result.get_response().id].append(index(result))
        self.assertEqual(got, {number: list(range(10)) for number in got})
        self.no_more()

    def test_compression(self):
        for algorithm in ("gzip", "deflate"):
            with self.subTest(algorithm=algorithm):
                self.client.stop_stream()
                self.open(compression_algorithm=algorithm)
                self.client.async_stream_infer("repeat", repeat(3, size=100_000))
                for want in range(3):
                    result = self.answer()
                    self.assertEqual(result.as_numpy("payload").tobytes(), bytes([want]) * 100_000)

    def test_large_responses(self):
        self.client.async_stream_infer("repeat", repeat(16, size=4 << 20))
        for want in range(16):
            payload = self.answer().as_numpy("payload")
            self.assertEqual((len(payload), payload.min(), payload.max()), (4 << 20, want, want))
        self.no_more()

    def cancelled(self):
        """How many callers the model has seen leave."""
        with tritonclient.grpc.InferenceServerClient(self.address) as client:
            answers = queue.Queue()
            client.start_stream(lambda result, error: answers.put((result, error)))
            client.async_stream_infer("repeat", repeat(1))
            result, error = answers.get(timeout=20)
            self.assertIsNone(error)
            return result.as_numpy("cancelled").item()

    def until_cancelled(self, count):
        deadline = time.monotonic() + 10
        while (seen := self.cancelled()) < count:
            self.assertLess(time.monotonic(), deadline, f"the model saw {seen} callers leave, not {count}")

    def test_cancel(self):
        before = self.cancelled()
        for _ in range(3):
            self.client.async_stream_infer("repeat", repeat(1000, delay=0.02))
        for _ in range(9):
            self.answer()
        self.client.stop_stream(cancel_requests=True)
        self.until_cancelled(before + 3)

    def test_deadline(self):
        before = self.cancelled()
        self.client.stop_stream()
        self.open(stream_timeout=0.3)
        self.client.async_stream_infer("repeat", repeat(1000, delay=0.02))
        error = None
        while error is None or error.status() is None:  # the request may fail before its stream does
            _, error = self.answers.get(timeout=20)
        self.assertEqual(error.status(), "StatusCode.DEADLINE_EXCEEDED")
        self.until_cancelled(before + 1)

    def test_half_close_with_requests_outstanding(self):
        """Whoever has said all gets all the answers, and then OK."""
        with grpc.insecure_channel(self.address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            call = stub.ModelStreamInfer(iter([request(5, delay=0.05, id=str(number)) for number in range(3)]), timeout=30)
            got = {}
            for answer in call:
                self.assertEqual(answer.error_message, "")
                got.setdefault(answer.infer_response.id, []).append(int.from_bytes(answer.infer_response.raw_output_contents[0], "little"))
            self.assertEqual(got, {str(number): list(range(5)) for number in range(3)})
            self.assertEqual(call.code(), grpc.StatusCode.OK)

    def test_a_stream_without_requests(self):
        with grpc.insecure_channel(self.address) as channel:
            call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(iter([]), timeout=30)
            self.assertEqual(list(call), [])
            self.assertEqual(call.code(), grpc.StatusCode.OK)

    def test_many_streams(self):
        with grpc.insecure_channel(self.address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            calls = [stub.ModelStreamInfer(iter([request(5, delay=0.01, id=str(number))]), timeout=30) for number in range(50)]
            for number, call in enumerate(calls):
                answers = list(call)
                self.assertEqual([answer.infer_response.id for answer in answers], [str(number)] * 5)


@both
class TestOrdinary(Stream):
    """Models that answer each request once, over a stream."""

    def test_in_the_order_of_their_requests(self):
        for number in range(100):
            self.client.async_stream_infer("identity", [tensor("IN_INT32", numpy.array([[number]], numpy.int32), "INT32")], request_id=str(number))
        for number in range(100):
            result = self.answer()
            self.assertEqual((result.get_response().id, result.as_numpy("OUT_INT32").tolist()), (str(number), [[number]]))
        self.no_more()

    def test_the_only_answer_is_the_final_one(self):
        self.client.async_stream_infer("identity", [tensor("IN_INT32", numpy.array([[1]], numpy.int32), "INT32")], enable_empty_final_response=True)
        result = self.answer()
        self.assertEqual((final(result), result.as_numpy("OUT_INT32").tolist()), (True, [[1]]))
        self.no_more()

    def test_errors_leave_the_stream_open(self):
        for name, words, model, inputs in (
            ("unknown model", ["nowhere"], "nowhere", [tensor("X", numpy.ones((1, 1), numpy.float32), "FP32")]),
            ("dims", ["X"], "picky", [tensor("X", numpy.ones((1, 2), numpy.float32), "FP32")]),
            ("a model that raises", ["a row is negative"], "picky", [tensor("X", -numpy.ones((1, 1), numpy.float32), "FP32")]),
        ):
            with self.subTest(name=name):
                self.client.async_stream_infer(model, inputs)
                error = self.error()
                for word in words:
                    self.assertIn(word, error.message())
        self.client.async_stream_infer("picky", [tensor("X", numpy.ones((1, 1), numpy.float32), "FP32")])
        self.assertEqual(self.answer().as_numpy("Y").tolist(), [[2]])
        self.no_more()

    def test_sequences(self):
        """Two sequences on one stream, their requests mixed."""
        for step in range(20):
            for sequence in (100, 200):
                self.client.async_stream_infer("accumulate", [tensor("value", numpy.array([[sequence]], numpy.int32), "INT32")], request_id=str(sequence),
                                               sequence_id=sequence, sequence_start=step == 0, sequence_end=step == 19)
        got = {"100": [], "200": []}
        for _ in range(40):
            result = self.answer()
            got[result.get_response().id].append(result.as_numpy("sum").item())
        self.assertEqual(got, {id: [int(id) * step for step in range(1, 21)] for id in got})
        self.no_more()


@both
class TestAio:
    async def asyncSetUp(self):
        asyncio.get_running_loop().slow_callback_duration = 60  # a busy machine is no finding
        self.client = tritonclient.grpc.aio.InferenceServerClient(getattr(servers, self.front).grpc)

    async def asyncTearDown(self):
        await self.client.close()

    async def requests(self, *counts):
        for number, count in enumerate(counts):
            yield {"model_name": "repeat", "inputs": repeat(count), "request_id": str(number)}

    async def test_stream(self):
        got = {}
        async for result, error in self.client.stream_infer(self.requests(3, 0, 5)):
            self.assertIsNone(error)
            got.setdefault(result.get_response().id, []).append(index(result))
        self.assertEqual(got, {"0": [0, 1, 2], "2": [0, 1, 2, 3, 4]})

    async def test_leave(self):
        async def requests():
            yield {"model_name": "repeat", "inputs": repeat(1000, delay=0.01)}
            await asyncio.Event().wait()

        stream = self.client.stream_infer(requests())
        async for result, error in stream:
            self.assertIsNone(error)
            break
        stream.cancel()
        async for result, error in self.client.stream_infer(self.requests(1)):
            self.assertIsNone(error)


class TestBackPressure(unittest.TestCase):
    """What Sluice adds: nothing is taken from Triton that its client does not read."""

    def memory(self):
        """Bytes that the process of Sluice has in memory."""
        status = pathlib.Path(f"/proc/{servers.sluice.process.pid}/status").read_text()
        return 1024 * int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[1])

    def test_a_client_that_does_not_read(self):
        count, size, streams = 64, 1 << 20, 4
        with contextlib.ExitStack() as stack:
            before, calls = self.memory(), []
            for _ in range(streams):
                channel = stack.enter_context(grpc.insecure_channel(servers.sluice.grpc, (("grpc.use_local_subchannel_pool", 1),)))
                calls.append(service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(iter([request(count, size=size)]), timeout=60))
                next(calls[-1])
            # As much as they have time to send if nothing holds them.
            client = stack.enter_context(tritonclient.grpc.InferenceServerClient(servers.sluice.grpc))
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                begun = time.monotonic()
                client.infer("identity", [tensor("IN_INT32", numpy.array([[1]], numpy.int32), "INT32")])
                self.assertLess(time.monotonic() - begun, 1, "a call beside them waits")
                self.assertLess(self.memory() - before, 48 << 20)
                time.sleep(0.05)
            for call in calls:
                self.assertEqual([len(answer.infer_response.raw_output_contents[1]) for answer in call], [size] * (count - 1))


if __name__ == "__main__":
    unittest.main()
