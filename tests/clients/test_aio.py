"""tritonclient.http.aio, unmodified."""

import asyncio
import unittest

import numpy
import tritonclient.http as triton
import tritonclient.http.aio as aio
from tritonclient.utils import InferenceServerException

import asking
import repository

server = None


def setUpModule():
    global server
    server = repository.serve()


def tensor(name, array, dtype):
    return asking.tensor(triton, name, array, dtype)


class TestAio(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        asyncio.get_running_loop().slow_callback_duration = 60  # a busy machine is no finding
        self.client = aio.InferenceServerClient(server.http)

    async def asyncTearDown(self):
        await self.client.close()

    async def test_health_and_metadata(self):
        self.assertTrue(await self.client.is_server_live())
        self.assertTrue(await self.client.is_server_ready())
        self.assertTrue(await self.client.is_model_ready("simple"))
        self.assertFalse(await self.client.is_model_ready("nowhere"))
        self.assertEqual((await self.client.get_model_metadata("digits"))["versions"], ["1", "2"])
        self.assertEqual((await self.client.get_model_config("simple"))["max_batch_size"], 8)
        self.assertIn("simple", [m["name"] for m in await self.client.get_model_repository_index()])
        self.assertEqual((await self.client.get_inference_statistics("simple"))["model_stats"][0]["name"], "simple")

    async def one(self, number, **options):
        a = numpy.full((1, 16), number, numpy.int32)
        b = numpy.arange(16, dtype=numpy.int32).reshape(1, 16)
        result = await self.client.infer("simple", [tensor("INPUT0", a, "INT32"), tensor("INPUT1", b, "INT32")],
                                         request_id=f"call-{number}", **options)
        self.assertEqual(result.get_response()["id"], f"call-{number}")
        self.assertEqual(result.as_numpy("OUTPUT0").tolist(), (a + b).tolist())
        self.assertEqual(result.as_numpy("OUTPUT1").tolist(), (a - b).tolist())

    async def test_many_at_once(self):
        await asyncio.gather(*(self.one(n) for n in range(200)))

    async def test_compression(self):
        for sent in (None, "gzip", "deflate"):
            for wanted in (None, "gzip", "deflate"):
                with self.subTest(sent=sent, wanted=wanted):
                    await self.one(7, request_compression_algorithm=sent, response_compression_algorithm=wanted)

    async def test_bytes(self):
        cells = numpy.array([[b"one", b"", b"\xff\x00"]], numpy.object_)
        result = await self.client.infer("text", [tensor("INPUT0", cells, "BYTES")])
        self.assertEqual(result.as_numpy("OUTPUT0").tolist(), cells.tolist())

    async def test_refusals(self):
        with self.assertRaises(InferenceServerException) as caught:
            await self.client.infer("nowhere", [tensor("X", numpy.zeros((1, 1), numpy.float32), "FP32")])
        self.assertEqual(caught.exception.status(), "404")
        with self.assertRaises(InferenceServerException) as caught:
            await self.client.register_system_shared_memory("r", "/r", 64)
        self.assertEqual(caught.exception.status(), "501")
        self.assertIn("shares no memory", caught.exception.message())

    async def test_callers_that_leave_harm_nobody(self):
        leaving = [asyncio.create_task(self.one(n)) for n in range(50)]
        await asyncio.sleep(0)
        for task in leaving[::2]:
            task.cancel()
        for outcome in await asyncio.gather(*leaving[1::2], return_exceptions=True):
            self.assertIsNone(outcome)
        await asyncio.gather(*leaving[::2], return_exceptions=True)
        await self.one(99)


if __name__ == "__main__":
    unittest.main()
