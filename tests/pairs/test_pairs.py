"""Every client protocol to every kind of server: what comes back is what was sent, or is refused as docs/guides/transcoding.md says.

The tables there are written here, by SLUICE_REWRITE=1 with the same command, and
must be equal to what was seen. Whatever they say, nothing else may come back than
what was sent: a cell is exact, or one of the refusals below.
"""

import json
import os
import pathlib
import re
import tempfile
import unittest

import numpy

import clients
import onnxmodels
import rows
import sluice
import table
import triton
import v2

HERE = pathlib.Path(__file__).resolve().parent
REWRITE = bool(os.environ.get("SLUICE_REWRITE"))

# What is refused: the statuses, what is said, in which ... stands for anything, and why it is right.
REFUSALS = {
    "not-json": (("400",), "the request cannot be parsed: invalid UTF-8 in a string at byte ...", "JSON is text"),
    "not-text": (("400",), "output '...' of model '...' holds bytes that are not UTF-8: request it as binary data", "JSON is text"),
    "no-field": (("INVALID_ARGUMENT",), "unable to find data for input tensor '...' for model '...' in the request",
                 "`InferTensorContents` has no field for 16-bit floats"),
    "rank": (("400", "INVALID_ARGUMENT"), "unexpected shape for input '...' for model '...'. Expected ..., got []",
             "no model of Triton has an input without axes"),
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
        self.check("refusals", table.table(["refusal", "what is said", "why"], [[f"`{label}`", f"`{said}`", why] for label, (_, said, why) in REFUSALS.items()]))
        for label in REFUSALS:
            with self.subTest(refusal=label):
                self.assertIn(f"`{label}`", "".join("".join(line) for line in lines), "nothing was refused like this")

    def test_what_goes_around_tensors(self):
        sent = {"id": "r-7", "parameters": {"flag": True, "count": -(1 << 62), "share": 0.5, "word": "ö"}}
        one = numpy.ones((1, 1), numpy.float32)
        for name, client in clients.CLIENTS.items():
            with self.subTest(client=name):
                case = v2.Case(client.form, "asked", [client.tensor("FP32", one, client.form)], **sent)
                answer = servers["triton"].v2.send(case)
                self.assertEqual((answer.status in (200, "OK"), answer.id), (True, sent["id"]), answer)
                self.assertEqual(json.loads(answer.outputs[0][3][0]), sent)
            for server, behind in servers.items():
                with self.subTest(client=name, server=server):
                    case = v2.Case(client.form, behind.model("identity_FP32"), [client.tensor("FP32", one, client.form)], **sent)
                    answer = behind.v2.send(case)
                    self.assertEqual((answer.ok, answer.id, answer.model), (True, sent["id"], (case.model, "1")), answer)

    def judged(self, row, client, outcome):
        """What the cell says: exact, or which refusal it was."""
        if outcome.outputs is not None:
            self.assertEqual(shortened(client.expected(row)), shortened(outcome.outputs))
            self.assertEqual(client.expected(row), outcome.outputs)
            return "exact"
        for label, (statuses, said, _) in REFUSALS.items():
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
