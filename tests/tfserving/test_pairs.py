"""Every client protocol to TensorFlow, as tests/pairs does with what installs quickly."""

import json
import pathlib
import tempfile
import unittest

import sluice
import tfserving
from pairs import echoes, matrix

servers = {}


def setUpModule():
    server = tfserving.TFServing()
    unittest.addModuleCleanup(server.close)
    config = pathlib.Path(unittest.enterModuleContext(tempfile.TemporaryDirectory(prefix="pairs-"))) / "sluice.yaml"
    config.write_text(json.dumps({"version": 1, "pools": [{
        "name": "tf", "kind": "tfserving", "discover": True, "models": [model.name for model in echoes.MODELS],
        "health": {"timeout": "5s"}, "endpoints": [{"address": server.grpc}],
    }]}))
    gateway = sluice.Sluice(arguments=("-c", config))
    unittest.addModuleCleanup(gateway.stop)
    servers["TensorFlow"] = matrix.Server(gateway)
    unittest.addModuleCleanup(servers["TensorFlow"].close)


class TestPairs(matrix.Matrix, unittest.TestCase):
    def test_the_table(self):
        self.see("tensorflow", servers)


if __name__ == "__main__":
    unittest.main()
