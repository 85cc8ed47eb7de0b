"""Every client protocol to every kind of server: what comes back is what was sent, or is refused as docs/guides/transcoding.md says.

The tables there are written here, by SLUICE_REWRITE=1 with the same command, and
must be equal to what was seen.
"""

import concurrent.futures
import contextlib
import functools
import json
import pathlib
import re
import tempfile
import unittest
import urllib.request

import numpy

import sluice
import triton
import v2
from pairs import clients, echoes, matrix, onnxechoes, serving
from pairs.rows import Row

HERE = pathlib.Path(__file__).resolve().parent

servers = {}


def setUpModule():
    folder = tempfile.TemporaryDirectory(prefix="pairs-")
    unittest.addModuleCleanup(folder.cleanup)
    onnxechoes.write(folder.name)
    real = triton.Triton("identity", "cube", "asked", "batched", "named_bytes", repositories=(triton.MODELS, HERE / "models"))
    unittest.addModuleCleanup(real.close)
    onnx = started(folder.name)
    for name, gateway, models in (
        ("onnx", onnx, str),
        ("triton", started(arguments=("--backend", f"triton={real.grpc}")), tritons),
        ("kserve gRPC", started(arguments=("--backend", f"kserve={onnx.grpc}")), str),
        ("kserve REST", configured(folder.name, onnx.http, kind="kserve", protocol="rest"), str),
        ("kserve v1", configured(folder.name, onnx.http, kind="kserve", protocol="v1"), str),
        ("tfserving", configured(folder.name, onnx.grpc, kind="tfserving"), str),
    ):
        servers[name] = matrix.Server(gateway, models)
        unittest.addModuleCleanup(servers[name].close)


def configured(folder, address, **pool):
    """A Sluice with a pool of one server that is said to have the models, one of which merges requests where it can."""
    file = pathlib.Path(folder) / f"{'-'.join(pool.values())}.json"
    file.write_text(json.dumps({"version": 1, "pools": [{"name": "other", "endpoints": [{"address": address}], **pool}], "models": [
        {"name": model.name, "targets": [{"version": "1", "pool": "other"}], "batching": {"max_batch_size": 32 if model.name == "batched" else 1}}
        for model in echoes.MODELS]}))
    return started(arguments=("-c", file))


@functools.cache
def chained(protocol, address):
    """A Sluice in front of one in front of the Triton."""
    file = pathlib.Path(unittest.enterModuleContext(tempfile.TemporaryDirectory(prefix="pairs-"))) / "sluice.yaml"
    file.write_text(json.dumps({"version": 1, "pools": [
        {"name": "other", "kind": "kserve", "protocol": protocol, "discover": True, "endpoints": [{"address": address}]}]}))
    server = matrix.Server(started(arguments=("-c", file)))
    unittest.addModuleCleanup(server.close)
    return server


def started(*repositories, **options):
    gateway = sluice.Sluice(*repositories, **options)
    unittest.addModuleCleanup(gateway.stop)
    return gateway


def tritons(model):
    """The Triton's model for one of ours. One with optional inputs stands for most."""
    return "identity" if model.startswith("identity") or model in ("several", "scalar") else model


def batch(number):
    """A row of the table, of one to three rows that tell it from others."""
    rows = number % 3 + 1
    words = [f"{number}:{i}" * (i + 1) for i in range(2 * rows)]
    return Row("", "batched", {"FP32": numpy.full((rows, 3), number / 7, numpy.float32), "BYTES": numpy.array(
        [word.encode() for word in words], object).reshape(rows, 2)}, wanted=(None, None, ("BYTES",))[number // 8 % 3])


def rows_of_batches(server):
    """How many runs of the model batched there were, and how many rows were in them."""
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=30) as response:
        text = response.read().decode()
    return [float(re.search(rf'^sluice_batch_rows_{part}{{model="batched",[^}}]*}} (\S+)', text, re.MULTILINE)[1]) for part in ("count", "sum")]


# What is refused for a server that speaks v1.
BY_ROW = {
    "by-row": (("400", "INVALID_ARGUMENT"), "input '...' of model '...' ..., and the model's server takes tensors only row by row, as JSON",
               "v1 has no form for that"),
    "no-rows-at-all": (("503", "UNAVAILABLE"), 'model "scalar" has no version that is ready: version "1": no server has it ready',
                       "a model whose inputs have no axes is not served over v1"),
}


class TestPairs(matrix.Matrix, unittest.TestCase):
    def test_the_table(self):
        five = {name: server for name, server in servers.items() if name != "kserve v1"}
        self.list("refusals", matrix.REFUSALS, self.see("pairs", five))

    def test_version_1(self):
        self.see("v1", {"kserve v1": servers["kserve v1"]}, BY_ROW)

    def test_requests_of_all_clients_at_once(self):
        """They may run as one; each is answered with what it sent, in its own protocol."""
        asked = [(client, batch(number)) for number, client in enumerate(list(clients.CLIENTS.values()) * 16)]

        def ask(gateway, part):
            own = matrix.Server(gateway)
            with contextlib.closing(own):
                return [client.send(own, row, "batched") for client, row in part]

        for server, behind in servers.items():
            with self.subTest(server=server), concurrent.futures.ThreadPoolExecutor(16) as threads:
                parts = [asked[i::16] for i in range(16)]
                for part, outcomes in zip(parts, threads.map(ask, [behind.gateway] * 16, parts), strict=True):
                    for (client, row), outcome in zip(part, outcomes, strict=True):
                        if outcome is not None:  # over TensorFlow Serving's REST nobody can ask for some outputs
                            self.assertEqual(outcome.outputs, client.expected(row), outcome)
        for server in ("triton", "tfserving"):
            with self.subTest(server=server):
                runs, rows = rows_of_batches(servers[server])
                self.assertEqual(rows, sum(len(row.tensors["FP32"]) for client, row in asked if not (row.wanted and isinstance(client, serving.REST))))
                if server == "triton":  # which takes its time
                    self.assertLess(runs, len(asked) / 2, "they did not run together")

    def test_what_goes_around_tensors(self):
        sent = {"id": "r-7", "parameters": {"flag": True, "count": -(1 << 62), "share": 0.5, "word": "ö"}}
        one = numpy.ones((1, 1), numpy.float32)
        speakers = {name: client for name, client in clients.CLIENTS.items() if isinstance(client, clients.V2)}
        near = servers["triton"]
        for name, client in speakers.items():
            for way, behind in (("triton", near), ("kserve gRPC", chained("grpc", near.grpc)), ("kserve REST", chained("rest", near.http))):
                with self.subTest(client=name, server=way):
                    answer = behind.v2.send(v2.Case(client.form, "asked", [client.tensor("FP32", one, client.form)], **sent))
                    self.assertEqual((answer.ok, answer.id), (True, sent["id"]), answer)
                    self.assertEqual(json.loads(answer.outputs[0][3][0]), sent)
            for server, behind in servers.items():
                with self.subTest(client=name, server=server):
                    case = v2.Case(client.form, behind.model("identity_FP32"), [client.tensor("FP32", one, client.form)], **sent)
                    answer = behind.v2.send(case)
                    self.assertEqual((answer.ok, answer.id, answer.model), (True, sent["id"], (case.model, "1")), answer)


if __name__ == "__main__":
    unittest.main()
