"""Every client protocol to MLServer and to the KServe SDK's server, as tests/pairs does with what installs quickly."""

import json
import pathlib
import shutil
import tempfile
import unittest

import servers
import sluice
from pairs import echoes, matrix

HERE = pathlib.Path(__file__).resolve().parent

REFUSALS = {
    "not-loaded": (("503", "UNAVAILABLE"), 'model "identity_BF16" has no version that is ready: version "1": no server has it ready',
                   "MLServer loads no model that has BF16"),
    "only-json": (("501", "400", "UNIMPLEMENTED", "INVALID_ARGUMENT"),
                  "input '...' of model '...' ..., and the model's server takes tensors only as JSON, which has no form for that",
                  "16-bit floats, which servers do not take as JSON, infinities, and bytes that are not UTF-8"),
    "nothing": (("500", "INTERNAL"), "ValidationError : 1 validation error for InferenceResponse outputs.0.data Input should be a valid list ...",
                "the SDK's server cannot answer without elements as JSON"),
    "content-type": (("400", "INVALID_ARGUMENT"), "invalid content type", "the SDK's server knows no BF16"),
}
columns = {}


def setUpModule():
    folder = pathlib.Path(unittest.enterModuleContext(tempfile.TemporaryDirectory(prefix="kserve-")))
    models = [{"name": model.name, "inputs": ports(model.inputs()), "outputs": ports(model.outputs())} for model in echoes.MODELS]
    repository = shutil.copytree(HERE / "echoes", folder / "echoes")
    for model in models:
        (repository / model["name"]).mkdir()
        (repository / model["name"] / "model-settings.json").write_text(json.dumps({"implementation": "echo.Echo", **model}))
    (folder / "models.json").write_text(json.dumps(models))
    mlserver = servers.mlserver(repository)
    sdk = servers.sdk(HERE / "sdkecho.py", folder / "models.json", "--grpc_max_receive_message_length=-1", "--grpc_max_send_message_length=-1")
    for name, address, protocol in (
        ("MLServer gRPC", mlserver.grpc, "grpc"),
        ("MLServer REST", mlserver.http, "rest"),
        ("KServe SDK gRPC", sdk.grpc, "grpc"),
        ("KServe SDK REST", sdk.http, "rest"),
    ):
        config = folder / f"{name}.yaml"
        config.write_text(json.dumps({
            "version": 1, "pools": [{"name": "servers", "kind": "kserve", "protocol": protocol, "endpoints": [{"address": address}]}],
            "models": [{"name": model["name"], "targets": [{"version": "1", "pool": "servers"}]} for model in models],
        }))
        gateway = sluice.Sluice(arguments=("-c", config))
        unittest.addModuleCleanup(gateway.stop)
        columns[name] = matrix.Server(gateway, slow=protocol == "rest")
        unittest.addModuleCleanup(columns[name].close)


def ports(of):
    return [{"name": name, "datatype": dtype, "shape": list(dims)} for name, dtype, dims in of]


class TestPairs(matrix.Matrix, unittest.TestCase):
    def test_the_table(self):
        self.see("kserve", columns, REFUSALS)


if __name__ == "__main__":
    unittest.main()
