"""Every client protocol to every kind of server: what comes back is what was sent, or is refused as docs/guides/transcoding.md says.

The tables there are written here, by SLUICE_REWRITE=1 with the same command, and
must be equal to what was seen. Whatever they say, nothing else may come back than
what was sent: a cell is exact, or one of the refusals below.
"""

import os
import pathlib
import re
import tempfile
import unittest

import clients
import onnxmodels
import rows
import sluice
import table
import triton
import v2

HERE = pathlib.Path(__file__).resolve().parent
REWRITE = bool(os.environ.get("SLUICE_REWRITE"))

# What is refused for good reasons: the statuses, over HTTP and gRPC, and what is said, in which ... stands for anything.
REFUSALS = {
}


class Server:
    """A Sluice in front of a kind of server, and the names of the models there."""

    def __init__(self, gateway, models=str):
        self.v2 = v2.Client(gateway.http, gateway.grpc)
        unittest.addModuleCleanup(self.v2.close)
        self.gateway, self.model = gateway, models


servers = {}


def setUpModule():
    folder = tempfile.TemporaryDirectory(prefix="pairs-")
    unittest.addModuleCleanup(folder.cleanup)
    onnxmodels.write(folder.name)
    real = triton.Triton("identity", "cube", "asked", "named_bytes", repositories=(triton.MODELS, HERE / "models"))
    unittest.addModuleCleanup(real.close)
    onnx = started(folder.name)
    servers["onnx"] = Server(onnx)
    servers["triton"] = Server(started("--backend", f"triton={real.grpc}"), tritons)
    servers["kserve gRPC"] = Server(started("--backend", f"kserve={onnx.grpc}"))


def started(*arguments):
    repositories = [argument for argument in arguments if "--" not in arguments[0]]
    gateway = sluice.Sluice(*repositories, arguments=() if repositories else arguments)
    unittest.addModuleCleanup(gateway.stop)
    return gateway


def tritons(model):
    """The Triton's model for one of ours. One with optional inputs stands for most."""
    return "identity" if model.startswith("identity") or model in ("several", "scalar") else model


class TestPairs(unittest.TestCase):
    def test_the_table(self):
        head, lines = ["what is sent", *clients.CLIENTS], []
        for row in rows.rows():
            line = [row.name]
            for name, client in clients.CLIENTS.items():
                outcomes = {}
                for server, behind in servers.items():
                    with self.subTest(client=name, server=server, row=row.name):
                        outcomes[server] = self.judged(row, client, client.send(behind, row, behind.model(row.model)))
                line.append(table.cell(outcomes) if outcomes else "")
            lines.append(line)
        self.check("pairs", table.table(head, lines))

    def judged(self, row, client, outcome):
        """What the cell says: exact, or which refusal it was."""
        if outcome.outputs is not None:
            self.assertEqual(shortened(client.expected(row)), shortened(outcome.outputs))
            self.assertEqual(client.expected(row), outcome.outputs)
            if row.wanted:
                self.assertEqual(list(outcome.outputs), list(client.expected(row)))
            return "exact"
        for label, (statuses, said) in REFUSALS.items():
            if str(outcome.status) in statuses and re.fullmatch(re.escape(said).replace(r"\.\.\.", ".*"), outcome.text):
                return f"{outcome.status} `{label}`"
        self.fail(f"refused: {outcome}")

    def check(self, part, text):
        page = table.PAGE.read_text()
        if REWRITE:
            table.PAGE.write_text(table.rewritten(page, part, text))
        else:
            self.assertEqual(text, table.written(page, part))


def shortened(outputs):
    """Outputs as an error can show them."""
    return {name: (dtype, shape, data[:64]) for name, (dtype, shape, data) in outputs.items()}


if __name__ == "__main__":
    unittest.main()
