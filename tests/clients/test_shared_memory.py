"""Tensors in system shared memory: a real Triton on this machine, asked directly and through Sluice."""

import http.client
import json
import pathlib
import tempfile
import unittest
import uuid

import numpy
import tritonclient.grpc
import tritonclient.http
import tritonclient.utils
import tritonclient.utils.shared_memory as shared_memory

import sluice
import triton

MODELS = ("identity", "digits", "repeat")


def setUpModule():
    global TRITON, SLUICE, REFUSES
    TRITON = triton.Triton(*MODELS)
    unittest.addModuleCleanup(TRITON.close)
    folder = tempfile.TemporaryDirectory(prefix="sluice-shared-")
    unittest.addModuleCleanup(folder.cleanup)
    file = pathlib.Path(folder.name) / "sluice.yaml"
    file.write_text(f"""\
version: 1
pools:
  - {{name: near, kind: triton, discover: true, shared_memory: pass, endpoints: [{{address: "{TRITON.grpc}"}}]}}
""")
    SLUICE = sluice.Sluice(arguments=["-c", str(file)])
    unittest.addModuleCleanup(SLUICE.stop)


class Region:
    """A region that is registered at a server while it is used."""

    def __init__(self, client, size, register=True):
        self.client, self.size, self.name, self.key = client, size, uuid.uuid4().hex, "/test_" + uuid.uuid4().hex
        self.handle = shared_memory.create_shared_memory_region(self.name, self.key, size)
        if register:
            client.register_system_shared_memory(self.name, self.key, size)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.unregister_system_shared_memory(self.name)
        shared_memory.destroy_shared_memory_region(self.handle)


@triton.both
class SharedMemory:
    def clients(self):
        """A client of each protocol, with its module."""
        server = TRITON if self.front == "triton" else SLUICE
        for module, address in ((tritonclient.http, server.http), (tritonclient.grpc, server.grpc)):
            client = module.InferenceServerClient(address)
            self.addCleanup(client.close)
            yield module, client

    def test_in_and_out(self):
        data = numpy.arange(20, dtype=numpy.float32).reshape(4, 5)
        for module, client in self.clients():
            with self.subTest(module.__name__), Region(client, 1024) as region:
                shared_memory.set_shared_memory_region(region.handle, [data])
                x = module.InferInput("IN_FP32", data.shape, "FP32")
                x.set_shared_memory(region.name, data.nbytes)
                y = module.InferRequestedOutput("OUT_FP32")
                y.set_shared_memory(region.name, data.nbytes, offset=512)
                result = client.infer("identity", [x], outputs=[y])
                got = shared_memory.get_contents_as_numpy(region.handle, numpy.float32, (4, 5), offset=512)
                numpy.testing.assert_array_equal(got, data)
                output = result.get_output("OUT_FP32")
                if module is tritonclient.http:
                    self.assertEqual(output, {"name": "OUT_FP32", "datatype": "FP32", "shape": [4, 5]})
                else:
                    self.assertEqual((output.name, list(output.shape), dict(output.parameters)), ("OUT_FP32", [4, 5], {}))

    def test_mixed(self):
        """One input of two, and one output of two, in a region."""
        a, b = numpy.array([[1.5, 2.5]], numpy.float32), numpy.array([[3, 4, 5]], numpy.int64)
        for module, client in self.clients():
            with self.subTest(module.__name__), Region(client, 64) as region:
                shared_memory.set_shared_memory_region(region.handle, [a])
                x = module.InferInput("IN_FP32", a.shape, "FP32")
                x.set_shared_memory(region.name, a.nbytes)
                plain = module.InferInput("IN_INT64", b.shape, "INT64")
                plain.set_data_from_numpy(b)
                y = module.InferRequestedOutput("OUT_INT64")
                y.set_shared_memory(region.name, b.nbytes, offset=32)
                for inputs in ([x, plain], [plain, x]):
                    result = client.infer("identity", inputs, outputs=[module.InferRequestedOutput("OUT_FP32"), y])
                    numpy.testing.assert_array_equal(result.as_numpy("OUT_FP32"), a)
                    got = shared_memory.get_contents_as_numpy(region.handle, numpy.int64, (1, 3), offset=32)
                    numpy.testing.assert_array_equal(got, b)

    def test_strings(self):
        data = numpy.array([["one", "", "drei"]], numpy.object_)
        packed = tritonclient.utils.serialize_byte_tensor(data)
        size = len(packed.item())
        for module, client in self.clients():
            with self.subTest(module.__name__), Region(client, 256) as region:
                shared_memory.set_shared_memory_region(region.handle, [packed])
                x = module.InferInput("IN_BYTES", data.shape, "BYTES")
                x.set_shared_memory(region.name, size)
                result = client.infer("identity", [x])
                self.assertEqual([b.decode() for b in result.as_numpy("OUT_BYTES").ravel()], ["one", "", "drei"])

    def test_rows_that_would_merge(self):
        image = numpy.zeros((2, 64), numpy.float32)
        for module, client in self.clients():
            with self.subTest(module.__name__), Region(client, image.nbytes) as region:
                shared_memory.set_shared_memory_region(region.handle, [image])
                x = module.InferInput("image", image.shape, "FP32")
                x.set_shared_memory(region.name, image.nbytes)
                plain = module.InferInput("image", image.shape, "FP32")
                plain.set_data_from_numpy(image)
                numpy.testing.assert_array_equal(
                    client.infer("digits", [x]).as_numpy("probabilities"), client.infer("digits", [plain]).as_numpy("probabilities"))

    def test_in_a_stream(self):
        server = TRITON if self.front == "triton" else SLUICE
        client = tritonclient.grpc.InferenceServerClient(server.grpc)
        self.addCleanup(client.close)
        answers = []
        with Region(client, 64) as region:
            shared_memory.set_shared_memory_region(region.handle, [numpy.array([3], numpy.int32)])
            x = tritonclient.grpc.InferInput("count", [1], "INT32")
            x.set_shared_memory(region.name, 4)
            client.start_stream(lambda result, error: answers.append((result, error)))
            client.async_stream_infer("repeat", [x])
            client.stop_stream()
        self.assertEqual([error for _, error in answers], [None] * 3)
        self.assertEqual([result.as_numpy("index")[0] for result, _ in answers], [0, 1, 2])

    def test_status(self):
        for module, client in self.clients():
            with self.subTest(module.__name__), Region(client, 128) as region:
                form = {"as_json": True} if module is tritonclient.grpc else {}
                one = client.get_system_shared_memory_status(region.name, **form)
                known = one["regions"][region.name] if form else one[0]
                self.assertEqual((known["name"], known["key"], int(known["byte_size"])), (region.name, region.key, 128))
                every = client.get_system_shared_memory_status(**form)
                self.assertIn(region.name, every["regions"] if form else [r["name"] for r in every])
                client.unregister_system_shared_memory(region.name)
                with self.assertRaises(tritonclient.utils.InferenceServerException):
                    client.get_system_shared_memory_status(region.name)
                self.assertIn(client.get_cuda_shared_memory_status(**form), ([], {}, {"regions": {}}))
                client.unregister_cuda_shared_memory()

    def test_what_is_refused(self):
        data = numpy.zeros((1, 4), numpy.float32)
        for module, client in self.clients():
            with Region(client, 64) as region:
                for name, where in {
                    "another region": ("nobody", 16, 0), "too small": (region.name, 8, 0), "too large": (region.name, 32, 0),
                    "beyond its end": (region.name, 16, 60), "far beyond its end": (region.name, 16, 2**63 - 20),
                }.items():
                    with self.subTest(module.__name__, name=name):
                        x = module.InferInput("IN_FP32", data.shape, "FP32")
                        x.set_shared_memory(where[0], where[1], where[2])
                        with self.assertRaises(tritonclient.utils.InferenceServerException):
                            client.infer("identity", [x])
                with self.subTest(module.__name__, name="no such object"), self.assertRaises(tritonclient.utils.InferenceServerException):
                    client.register_system_shared_memory("none", "/there_is_none_" + region.name, 64)
                self.assertTrue(client.is_server_live())


class UnknownRegionTest(unittest.TestCase):
    """A region that nobody registered is no unknown model, and is no reason to keep others away from the server."""

    def test_code(self):
        body = {"inputs": [{"name": "IN_FP32", "datatype": "FP32", "shape": [1, 4],
                            "parameters": {"shared_memory_region": "nobody", "shared_memory_byte_size": 16}}]}
        at = {}
        for name, server in (("triton", TRITON), ("sluice", SLUICE)):
            connection = http.client.HTTPConnection(server.http, timeout=10)
            self.addCleanup(connection.close)
            connection.request("POST", "/v2/models/identity/infer", json.dumps(body))
            answer = connection.getresponse()
            at[name] = answer.status, json.loads(answer.read())
        self.assertEqual(at["sluice"][0], at["triton"][0])
        self.assertEqual(at["sluice"][1]["code"], "UNKNOWN_REGION")
        self.assertEqual(at["sluice"][1]["error"], at["triton"][1]["error"])


class ShieldTest(unittest.TestCase):
    """What never reaches the server: sizes that cannot be, and memory that is the server's own."""

    def test_keys_of_the_server(self):
        for module, address in ((tritonclient.http, SLUICE.http), (tritonclient.grpc, SLUICE.grpc)):
            with module.InferenceServerClient(address) as client:
                for key in ("triton_python_backend_shm_region_1", "/triton_python_backend_shm_region_1", "/a/b", "/../x", ""):
                    with self.subTest(module.__name__, key=key), self.assertRaises(tritonclient.utils.InferenceServerException) as refused:
                        client.register_system_shared_memory("mine", key, 64)
                    self.assertRegex(refused.exception.message(), "key")

    def test_what_sizes_say(self):
        """The data cannot be looked at; that the size is that of the shape can be."""
        data = numpy.zeros((1, 4), numpy.float32)
        with tritonclient.http.InferenceServerClient(SLUICE.http) as client:
            for size, offset in ((15, 0), (17, 0), (16, 2**63 - 1)):
                x = tritonclient.http.InferInput("IN_FP32", data.shape, "FP32")
                x.set_shared_memory("nobody", size, offset)
                with self.assertRaises(tritonclient.utils.InferenceServerException) as refused:
                    client.infer("identity", [x])
                self.assertRegex(refused.exception.message(), "expected 16 bytes|63 bits")


if __name__ == "__main__":
    unittest.main()
