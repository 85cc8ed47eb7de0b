"""Every client protocol to every kind of server: what comes back is what was sent, or is refused as docs/guides/transcoding.md says.

The tables there are written here, by SLUICE_REWRITE=1 with the same command, and
must be equal to what was seen.
"""

import json
import pathlib
import tempfile
import unittest

import numpy

import sluice
import triton
import v2
from pairs import clients, echoes, matrix, onnxechoes

HERE = pathlib.Path(__file__).resolve().parent

servers = {}


def setUpModule():
    folder = tempfile.TemporaryDirectory(prefix="pairs-")
    unittest.addModuleCleanup(folder.cleanup)
    onnxechoes.write(folder.name)
    real = triton.Triton("identity", "cube", "asked", "named_bytes", repositories=(triton.MODELS, HERE / "models"))
    unittest.addModuleCleanup(real.close)
    onnx = started(folder.name)
    for name, gateway, models in (
        ("onnx", onnx, str),
        ("triton", started(arguments=("--backend", f"triton={real.grpc}")), tritons),
        ("kserve gRPC", started(arguments=("--backend", f"kserve={onnx.grpc}")), str),
        ("kserve REST", configured(folder.name, onnx.http, kind="kserve", protocol="rest"), str),
        ("tfserving", configured(folder.name, onnx.grpc, kind="tfserving", models=[model.name for model in echoes.MODELS]), str),
    ):
        servers[name] = matrix.Server(gateway, models)
        unittest.addModuleCleanup(servers[name].close)


def configured(folder, address, **pool):
    """A Sluice with a pool of one server."""
    file = pathlib.Path(folder) / f"{'-'.join(str(word) for word in pool.values() if isinstance(word, str))}.json"
    file.write_text(json.dumps({"version": 1, "pools": [{"name": "other", "discover": True, "endpoints": [{"address": address}], **pool}]}))
    return started(arguments=("-c", file))


def started(*repositories, **options):
    gateway = sluice.Sluice(*repositories, **options)
    unittest.addModuleCleanup(gateway.stop)
    return gateway


def tritons(model):
    """The Triton's model for one of ours. One with optional inputs stands for most."""
    return "identity" if model.startswith("identity") or model in ("several", "scalar") else model


class TestPairs(matrix.Matrix, unittest.TestCase):
    def test_the_table(self):
        self.list("refusals", matrix.REFUSALS, self.see("pairs", servers))

    def test_what_goes_around_tensors(self):
        sent = {"id": "r-7", "parameters": {"flag": True, "count": -(1 << 62), "share": 0.5, "word": "ö"}}
        one = numpy.ones((1, 1), numpy.float32)
        speakers = {name: client for name, client in clients.CLIENTS.items() if isinstance(client, clients.V2)}
        for name, client in speakers.items():
            with self.subTest(client=name):
                answer = servers["triton"].v2.send(v2.Case(client.form, "asked", [client.tensor("FP32", one, client.form)], **sent))
                self.assertEqual((answer.ok, answer.id), (True, sent["id"]), answer)
                self.assertEqual(json.loads(answer.outputs[0][3][0]), sent)
            for server, behind in servers.items():
                with self.subTest(client=name, server=server):
                    case = v2.Case(client.form, behind.model("identity_FP32"), [client.tensor("FP32", one, client.form)], **sent)
                    answer = behind.v2.send(case)
                    self.assertEqual((answer.ok, answer.id, answer.model), (True, sent["id"], (case.model, "1")), answer)


if __name__ == "__main__":
    unittest.main()
