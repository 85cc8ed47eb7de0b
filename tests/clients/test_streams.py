"""Streams of tritonclient.grpc, blocking and aio, unmodified."""

import asyncio
import queue
import re
import threading
import time
import unittest
import urllib.request

import grpc
import numpy
import tritonclient.grpc as triton
import tritonclient.grpc.aio as aio
from tritonclient.utils import InferenceServerException

import asking
import repository

server = None


def setUpModule():
    global server
    server = repository.serve()


def tensor(name, array, dtype):
    return asking.tensor(triton, name, array, dtype)


def pair(rows=1, base=0):
    """Inputs of simple, and their sum."""
    a, b, inputs = asking.pair(triton, rows, base)
    return inputs, (a + b).tolist()


def slow(turns):
    return asking.slow(triton, turns)


def counted(model):
    """How many requests of a model have been answered, however, and how many have not."""
    with triton.InferenceServerClient(server.grpc) as client:
        stats = client.get_inference_statistics(model).model_stats
    return sum(s.inference_stats.success.count + s.inference_stats.fail.count for s in stats)


def in_flight(model):
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as response:
        return int(re.search(rf'\nsluice_in_flight_requests{{model="{model}"}} (\d+)\n', response.read().decode())[1])


def until(holds, otherwise):
    deadline = time.monotonic() + 30
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(otherwise)
        time.sleep(0.02)


class Stream:
    """A stream of the blocking client, which gives what comes in order."""

    def __init__(self, client, **options):
        self.client, self.answers = client, queue.Queue()
        client.start_stream(lambda result, error: self.answers.put((result, error)), **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.stop_stream()

    def ask(self, model, inputs, **options):
        self.client.async_stream_infer(model, inputs, **options)

    def next(self):
        return self.answers.get(timeout=30)


class TestStream(unittest.TestCase):
    def setUp(self):
        self.client = triton.InferenceServerClient(server.grpc)
        self.addCleanup(self.client.close)

    def test_a_thousand_requests_in_order(self):
        before, want = counted("simple"), []
        with Stream(self.client) as stream:
            for i in range(1000):
                inputs, total = pair(rows=1 + i % 3, base=100 * i)
                stream.ask("simple", inputs, request_id=str(i))
                want.append(total)
            for i, total in enumerate(want):
                result, error = stream.next()
                self.assertIsNone(error)
                answer = result.get_response()
                self.assertEqual((answer.id, answer.model_name, answer.model_version), (str(i), "simple", "1"))
                self.assertTrue(answer.parameters["triton_final_response"].bool_param)
                self.assertEqual(result.as_numpy("OUTPUT0").tolist(), total)
        self.assertEqual(counted("simple") - before, 1000)

    def test_digits(self):
        images, labels = asking.heldout(200)
        with Stream(self.client) as stream:
            for i in range(200):
                stream.ask("digits", [tensor("image", images[i:i + 1], "FP32")], model_version="2",
                           outputs=[triton.InferRequestedOutput("label")])
            right = sum(int(stream.next()[0].as_numpy("label")[0]) == label for label in labels)
        self.assertGreater(right, 190)

    def test_models_mix_and_keep_the_order(self):
        """A slow request holds back the answers behind it, and nothing overtakes."""
        with Stream(self.client) as stream:
            stream.ask("slow", slow(5000), request_id="slow")
            inputs, total = pair(base=7)
            stream.ask("simple", inputs, request_id="quick")
            first, second = stream.next()[0], stream.next()[0]
        self.assertEqual((first.get_response().id, second.get_response().id), ("slow", "quick"))
        self.assertEqual(second.as_numpy("OUTPUT0").tolist(), total)

    def test_failures_leave_the_stream_open(self):
        inputs, total = pair()
        wrong = [tensor("INPUT0", numpy.zeros((1, 17), numpy.int32), "INT32"), inputs[1]]
        with Stream(self.client) as stream:
            for model, ask in (("simple", inputs), ("nowhere", inputs), ("simple", wrong), ("simple", inputs[:1]), ("simple", inputs)):
                stream.ask(model, ask)
            got = [stream.next() for _ in range(5)]
        self.assertEqual([error is None for _, error in got], [True, False, False, False, True])
        for (result, error), word in zip(got[1:4], ("nowhere", "17", "INPUT1")):
            self.assertIsNone(result)
            self.assertIn(word, error.message())
        self.assertEqual(got[4][0].as_numpy("OUTPUT0").tolist(), total)

    def test_empty_final_response(self):
        """An ordinary model has one answer, which is the final one, whatever is asked."""
        inputs, _ = pair()
        with Stream(self.client) as stream:
            stream.ask("simple", inputs, enable_empty_final_response=True)
            result, error = stream.next()
            self.assertIsNone(error)
            self.assertTrue(result.get_response().parameters["triton_final_response"].bool_param)
        self.assertTrue(stream.answers.empty())

    def test_timeout_of_a_request(self):
        inputs, total = pair()
        with Stream(self.client) as stream:
            stream.ask("slow", slow(100_000), timeout=1000)
            stream.ask("simple", inputs)
            self.assertIn("deadline", stream.next()[1].message())
            self.assertEqual(stream.next()[0].as_numpy("OUTPUT0").tolist(), total)

    def test_timeout_of_the_stream(self):
        with Stream(self.client, stream_timeout=0.2) as stream:
            stream.ask("slow", slow(100_000))
            while True:
                result, error = stream.next()
                self.assertIsNone(result)
                if error.status() is not None:
                    break
                self.assertIn("deadline", error.message())  # the request's own, which may come first
        self.assertEqual(error.status(), "StatusCode.DEADLINE_EXCEEDED")

    def test_timeout_of_an_idle_stream(self):
        with Stream(self.client, stream_timeout=0.1) as stream:
            self.assertEqual(stream.next()[1].status(), "StatusCode.DEADLINE_EXCEEDED")

    def test_cancel(self):
        with triton.InferenceServerClient(server.grpc) as other:
            def succeeded():
                return other.get_inference_statistics("slow").model_stats[0].inference_stats.success.count

            before, stream = succeeded(), Stream(self.client)
            for _ in range(20):
                stream.ask("slow", slow(20_000))
            until(lambda: in_flight("slow") + stream.answers.qsize() == 20, "the requests do not arrive")
            self.client.stop_stream(cancel_requests=True)
            inputs, total = pair()
            self.assertEqual(other.infer("simple", inputs).as_numpy("OUTPUT0").tolist(), total)
            until(lambda: in_flight("slow") == 0, "requests that were cancelled go on")
            self.assertLess(succeeded(), before + 20)
        with Stream(self.client) as again:
            again.ask("simple", inputs)
            self.assertEqual(again.next()[0].as_numpy("OUTPUT0").tolist(), total)

    def test_compression(self):
        for algorithm in ("gzip", "deflate"):
            with self.subTest(algorithm=algorithm), Stream(self.client, compression_algorithm=algorithm) as stream:
                want = []
                for i in range(20):
                    inputs, total = pair(rows=8, base=i)
                    stream.ask("simple", inputs)
                    want.append(total)
                for total in want:
                    result, error = stream.next()
                    self.assertIsNone(error)
                    self.assertEqual(result.as_numpy("OUTPUT0").tolist(), total)

    def test_large(self):
        """8 MiB in and out, some of them, through windows that begin at 64 KiB."""
        random = numpy.random.default_rng(1)
        with Stream(self.client) as stream:
            sent = [numpy.array([[random.bytes(1 << 20) for _ in range(8)]], numpy.object_) for _ in range(3)]
            for cells in sent:
                stream.ask("text", [tensor("INPUT0", cells, "BYTES")])
            for cells in sent:
                result, error = stream.next()
                self.assertIsNone(error)
                self.assertEqual(result.as_numpy("OUTPUT0").tolist(), cells.tolist())

    def test_many_streams(self):
        failures = []

        def run(number):
            with triton.InferenceServerClient(server.grpc) as client, Stream(client) as stream:
                want = []
                for i in range(100):
                    inputs, total = pair(base=10_000 * number + i)
                    stream.ask("simple", inputs)
                    want.append(total)
                for total in want:
                    result, error = stream.next()
                    if error is not None or result.as_numpy("OUTPUT0").tolist() != total:
                        failures.append((number, error))

        threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(failures, [])


class TestAio(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        asyncio.get_running_loop().slow_callback_duration = 60  # a busy machine is no finding
        self.client = aio.InferenceServerClient(server.grpc)

    async def asyncTearDown(self):
        await self.client.close()

    async def test_a_thousand_requests_in_order(self):
        want = []

        async def requests():
            for i in range(1000):
                inputs, total = pair(rows=1 + i % 3, base=100 * i)
                want.append(total)
                yield {"model_name": "simple", "inputs": inputs, "request_id": str(i)}

        number = 0
        async for result, error in self.client.stream_infer(requests()):
            self.assertIsNone(error)
            self.assertEqual(result.get_response().id, str(number))
            self.assertEqual(result.as_numpy("OUTPUT0").tolist(), want[number])
            number += 1
        self.assertEqual(number, 1000)

    async def test_one_after_the_other(self):
        """Each request waits for the answer to the one before."""
        turn = asyncio.Event()
        turn.set()

        async def requests():
            for i in range(50):
                await turn.wait()
                turn.clear()
                yield {"model_name": "simple", "inputs": pair(base=i)[0]}

        number = 0
        async for result, error in self.client.stream_infer(requests()):
            self.assertIsNone(error)
            self.assertEqual(result.as_numpy("OUTPUT0").tolist(), pair(base=number)[1])
            number += 1
            turn.set()
        self.assertEqual(number, 50)

    async def test_failures_leave_the_stream_open(self):
        async def requests():
            for model in ("simple", "nowhere", "simple"):
                yield {"model_name": model, "inputs": pair()[0]}

        got = [(result, error) async for result, error in self.client.stream_infer(requests())]
        self.assertEqual([error is None for _, error in got], [True, False, True])
        self.assertIsInstance(got[1][1], InferenceServerException)
        self.assertIn("nowhere", got[1][1].message())

    async def test_native_errors(self):
        """With this header a failure ends the stream, with its status."""
        async def requests():
            for model in ("simple", "nowhere"):
                yield {"model_name": model, "inputs": pair()[0]}
            await asyncio.Event().wait()

        errors, stream = [], self.client.stream_infer(requests(), headers={"triton_grpc_error": "true"})
        with self.assertRaises(grpc.RpcError) as caught:
            async for _, error in stream:
                errors.append(error)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.assertIn("nowhere", caught.exception.details())
        self.assertLessEqual(len(errors), 1)  # the answer of simple, if it came first

    async def test_cancel(self):
        started = asyncio.Event()

        async def requests():
            for _ in range(10):
                yield {"model_name": "slow", "inputs": slow(10_000)}
            started.set()
            await asyncio.Event().wait()

        stream = self.client.stream_infer(requests())

        async def read():
            async for _ in stream:
                pass

        reader = asyncio.create_task(read())
        await started.wait()
        stream.cancel()
        with self.assertRaises((asyncio.CancelledError, InferenceServerException)):
            await reader
        result = await self.client.infer("simple", pair()[0])
        self.assertEqual(result.as_numpy("OUTPUT0").tolist(), pair()[1])


if __name__ == "__main__":
    unittest.main()
