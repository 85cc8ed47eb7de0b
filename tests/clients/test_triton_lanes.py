"""What Sluice adds to a real Triton: requests that come together reach it as one."""

import asyncio
import collections
import itertools
import unittest

import numpy
import tritonclient.grpc
import tritonclient.grpc.aio
from tritonclient.utils import InferenceServerException

import triton

servers = None


def setUpModule():
    global servers
    servers = triton.Servers("digits", "picky", "optional", "identity")


def images(count):
    """Images whose answers tell them apart."""
    return numpy.random.default_rng(count).uniform(0, 16, (count, 64)).astype(numpy.float32)


class TestLanes(unittest.IsolatedAsyncioTestCase):

    async def asyncSetUp(self):
        asyncio.get_running_loop().slow_callback_duration = 60
        self.direct, self.client = (tritonclient.grpc.aio.InferenceServerClient(server.grpc) for server in (servers.triton, servers.sluice))

    async def asyncTearDown(self):
        await self.direct.close()
        await self.client.close()

    async def executions(self, model, version="1"):
        """How often Triton has run the model with how many rows, by its own statistics."""
        (found,) = (await self.direct.get_inference_statistics(model, version)).model_stats
        return collections.Counter({batch.batch_size: batch.compute_infer.count for batch in found.batch_stats})

    async def infer(self, model, client=None, **tensors):
        inputs = []
        for name, values in tensors.items():
            inputs.append(tritonclient.grpc.InferInput(name, list(values.shape), "FP32"))
            inputs[-1].set_data_from_numpy(values)
        return await (client or self.client).infer(model, inputs, model_version="1")

    async def test_single_rows_of_many_clients(self):
        rows = images(64 * 20)
        alone = (await asyncio.gather(*(self.infer("digits", self.direct, image=rows[i:i + 64]) for i in range(0, len(rows), 64))))
        want = numpy.concatenate([result.as_numpy("probabilities") for result in alone])
        before = await self.executions("digits")

        async def client(number):
            async with tritonclient.grpc.aio.InferenceServerClient(servers.sluice.grpc) as own:
                for i in range(number, len(rows), 64):
                    result = await self.infer("digits", own, image=rows[i:i + 1])
                    numpy.testing.assert_allclose(result.as_numpy("probabilities"), want[i:i + 1], atol=1e-5)

        await asyncio.gather(*(client(number) for number in range(64)))
        ran = await self.executions("digits") - before
        self.assertEqual(sum(size * count for size, count in ran.items()), len(rows), "rows are lost or sent twice")
        self.assertLess(sum(ran.values()), len(rows) / 2, ran)
        self.assertLessEqual(max(ran), 64)

    async def test_one_bad_row_fails_no_other(self):
        values = [-1.0 if i % 16 == 5 else float(i) for i in range(128)]
        outcomes = await asyncio.gather(*(self.infer("picky", X=numpy.array([[value]], numpy.float32)) for value in values), return_exceptions=True)
        for value, outcome in zip(values, outcomes):
            if value < 0:
                self.assertIsInstance(outcome, InferenceServerException)
                self.assertEqual(outcome.status(), "StatusCode.INTERNAL")
                self.assertIn("a row is negative", outcome.message())
            else:
                self.assertEqual(outcome.as_numpy("Y").tolist(), [[2 * value]])

    async def test_requests_that_differ_in_their_inputs(self):
        a, b = numpy.array([[1, 2]], numpy.float32), numpy.array([[10, 20]], numpy.float32)
        results = await asyncio.gather(*(self.infer("optional", **({"A": a * i, "B": b} if i % 2 else {"A": a * i})) for i in range(128)))
        for i, result in enumerate(results):
            self.assertEqual(result.as_numpy("Y").tolist(), (a * i + (b if i % 2 else 0)).tolist())

    async def test_requests_of_several_rows(self):
        rows, begin, parts = images(300), 0, []
        for count in itertools.cycle((1, 7, 64, 20)):
            if begin >= len(rows):
                break
            parts.append(rows[begin:begin + count])
            begin += count
        want = [(await self.infer("digits", self.direct, image=part)).as_numpy("probabilities") for part in parts]
        for result, one in zip(await asyncio.gather(*(self.infer("digits", image=part) for part in parts)), want):
            numpy.testing.assert_allclose(result.as_numpy("probabilities"), one, atol=1e-5)

    async def test_what_does_not_batch_goes_one_by_one(self):
        before = await self.executions("identity")
        values = [numpy.full((1, 3), i, numpy.float32) for i in range(64)]
        for value, result in zip(values, await asyncio.gather(*(self.infer("identity", IN_FP32=value) for value in values))):
            self.assertEqual(result.as_numpy("OUT_FP32").tolist(), value.tolist())
        self.assertEqual(sum((await self.executions("identity") - before).values()), 64)


if __name__ == "__main__":
    unittest.main()
