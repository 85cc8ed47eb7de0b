"""The calls that perf_analyzer makes of a server, in its order, over HTTP and gRPC: in front of a Triton, and of models in this process.

It reads what it is told without looking twice, so that a member which is missing
or of another type ends it: those are what is checked here.
"""

import json
import unittest
import urllib.request

import numpy
import tritonclient.grpc
import tritonclient.http
from google.protobuf import json_format

import sluice
import triton

MODEL, VERSION, REQUESTS, ROWS = "digits", "2", 20, 3
PHASES = ("success", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")
servers = {}


def setUpModule():
    behind = triton.Triton(MODEL)
    unittest.addModuleCleanup(behind.close)
    for name, arguments in (("triton", ("--backend", f"triton={behind.grpc}")), ("onnx", ("--backend", f"onnx={sluice.DIGITS / 'models'}"))):
        servers[name] = sluice.Sluice(arguments=arguments)
        unittest.addModuleCleanup(servers[name].stop)


class HTTP:
    """What it asks over HTTP, as JSON."""

    def __init__(self, server):
        self.address = server.http
        self.client = tritonclient.http.InferenceServerClient(server.http)
        self.library = tritonclient.http

    def ask(self, path, method="GET"):
        body = b"" if method == "POST" else None
        with urllib.request.urlopen(urllib.request.Request(f"http://{self.address}/v2{path}", data=body, method=method), timeout=30) as response:
            return json.loads(response.read())

    def metadata(self):
        return self.ask(f"/models/{MODEL}/versions/{VERSION}")

    def config(self):
        return self.ask(f"/models/{MODEL}/versions/{VERSION}/config")

    def server(self):
        return self.ask("")

    def statistics(self):
        return self.ask(f"/models/{MODEL}/stats")["model_stats"]

    def regions(self):
        return [self.ask(f"/{kind}sharedmemory/status") for kind in ("system", "cuda")]


class GRPC:
    """The same over gRPC, told in the same way."""

    def __init__(self, server):
        self.client = tritonclient.grpc.InferenceServerClient(server.grpc)
        self.library = tritonclient.grpc

    def metadata(self):
        return self.client.get_model_metadata(MODEL, VERSION, as_json=True)

    def config(self):
        return self.client.get_model_config(MODEL, VERSION, as_json=True)["config"]

    def server(self):
        return self.client.get_server_metadata(as_json=True)

    def statistics(self):
        message = self.client.get_inference_statistics(MODEL)
        stats = json_format.MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)["model_stats"]
        for one in stats:  # JSON of protobuf has 64 bits as text
            one["inference_count"], one["execution_count"] = int(one["inference_count"]), int(one["execution_count"])
            for phase in PHASES:
                duration = one["inference_stats"].get(phase, {"count": 0, "ns": 0})
                one["inference_stats"][phase] = {"count": int(duration["count"]), "ns": int(duration["ns"])}
        return stats

    def regions(self):
        return [list(status.regions) for status in (self.client.get_system_shared_memory_status(), self.client.get_cuda_shared_memory_status())]


class TestPerfAnalyzer(unittest.TestCase):
    def test_sequence(self):
        for backend, server in servers.items():
            for protocol in (HTTP, GRPC):
                with self.subTest(backend=backend, protocol=protocol.__name__):
                    self.replay(protocol(server))

    def replay(self, asked):
        with asked.client as client:
            self.assertTrue(client.is_server_live())
            self.describe(asked)
            self.assertIn("statistics", asked.server()["extensions"])
            client.unregister_system_shared_memory()
            client.unregister_cuda_shared_memory()
            self.assertEqual(asked.regions(), [[], []])
            before = self.statistics(asked)
            images = asked.library.InferInput("image", [ROWS, 64], "FP32")
            images.set_data_from_numpy(numpy.ones((ROWS, 64), numpy.float32))
            for _ in range(REQUESTS):
                client.infer(MODEL, [images], model_version=VERSION)
            self.compare(before[VERSION], self.statistics(asked)[VERSION])

    def describe(self, asked):
        metadata, config = asked.metadata(), asked.config()
        self.assertEqual(metadata["name"], MODEL)
        self.assertIsInstance(metadata["platform"], str)
        self.assertNotEqual(config.get("platform"), "ensemble")
        for key in ("sequence_batching", "ensemble_scheduling"):  # that they are there decides
            self.assertNotIn(key, config)
        for key, value in config.items():
            self.assertIsNotNone(value, key)
        self.assertFalse(config.get("response_cache", {}).get("enable", False))
        self.assertFalse(config.get("model_transaction_policy", {}).get("decoupled", False))
        self.assertGreater(config["max_batch_size"], 0)
        described = {tensor["name"]: [int(n) for n in tensor["shape"]] for tensor in metadata["inputs"]}
        self.assertEqual(described, {"image": [-1, 64]})  # with the batch axis, as max_batch_size is above 0
        self.assertEqual([(tensor["name"], [int(n) for n in tensor["dims"]]) for tensor in config["input"]], [("image", [64])])

    def statistics(self, asked):
        """The statistics by version, whose members are all there and numbers."""
        found = {}
        for one in asked.statistics():
            self.assertEqual(one["name"], MODEL)
            found[str(int(one["version"]))] = one
            for number in (one["inference_count"], one["execution_count"], *(one["inference_stats"][phase][of] for phase in PHASES for of in ("count", "ns"))):
                self.assertIsInstance(number, int)
                self.assertGreaterEqual(number, 0)
        return found

    def compare(self, before, after):
        def grew(phase, of):
            return after["inference_stats"][phase][of] - before["inference_stats"][phase][of]

        self.assertEqual(after["inference_count"] - before["inference_count"], REQUESTS * ROWS)
        self.assertEqual(after["execution_count"] - before["execution_count"], REQUESTS)  # one after the other, none merges
        for phase in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
            self.assertEqual(grew(phase, "count"), REQUESTS, phase)
        parts = sum(grew(phase, "ns") for phase in ("queue", "compute_input", "compute_infer", "compute_output"))
        self.assertGreater(grew("compute_infer", "ns"), 0)
        self.assertLessEqual(parts, grew("success", "ns"))
        self.assertLess(grew("success", "ns"), REQUESTS * 10 * 10**9)
        for phase in ("cache_hit", "cache_miss"):
            self.assertEqual(grew(phase, "count"), 0)

    def test_what_is_not_there(self):
        for backend, server in servers.items():
            with self.subTest(backend=backend):
                over_http, over_grpc = HTTP(server), GRPC(server)
                with over_http.client, over_grpc.client:
                    for client, unknown, unsupported in ((over_http.client, "404", "501"), (over_grpc.client, "StatusCode.NOT_FOUND", "StatusCode.UNIMPLEMENTED")):
                        client.unregister_system_shared_memory("mine")
                        for status, words, call in (
                            (unknown, "'mine'", lambda c=client: c.get_system_shared_memory_status("mine")),
                            (unknown, "'mine'", lambda c=client: c.get_cuda_shared_memory_status("mine")),
                            (unsupported, "shares no memory", lambda c=client: c.register_system_shared_memory("mine", "/mine", 64)),
                            (unsupported, "shares no memory", lambda c=client: c.register_cuda_shared_memory("mine", b"aGFuZGxl", 0, 64)),
                            (unsupported, "tracing", lambda c=client: c.get_trace_settings()),
                            (unsupported, "tracing", lambda c=client: c.update_trace_settings(settings={"trace_level": "OFF"})),
                        ):
                            with self.assertRaises(tritonclient.http.InferenceServerException) as raised:
                                call()
                            self.assertEqual(raised.exception.status(), status)
                            self.assertIn(words, raised.exception.message())


if __name__ == "__main__":
    unittest.main()
