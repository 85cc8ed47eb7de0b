"""Sends every row through pairs of client and server, and holds what was seen against the tables of the page."""

import dataclasses
import os
import re

import numpy

import v2
from pairs import clients, rows, table
from pairs.outcome import one_nan, raw

REWRITE = bool(os.environ.get("SLUICE_REWRITE"))

# What is refused, by a name for it: the statuses, what is said, in which ... stands for anything,
# and why it is right.
REFUSALS = {
    "not-json": (("400",), "the request for model '...' cannot be parsed: invalid UTF-8 in a string at byte ...", "JSON is text"),
    "not-text": (("400",), "output '...' of model '...' holds bytes that are not UTF-8: request it as binary data", "JSON is text"),
    "not-named": (("400",), "output '...' of model '...' holds bytes that are not UTF-8, which only outputs whose names end in _bytes may: request it over gRPC",
                  "TensorFlow Serving sends bytes as `b64` under such names only"),
    "no-field": (("INVALID_ARGUMENT",), "unable to find data for input tensor '...' for model '...' in the request",
                 "`InferTensorContents` has no field for 16-bit floats"),
    "no-lists": (("400",), "unexpected shape for input '...' for model '...'. Expected ..., got [0]",
                 "an empty list does not say what would be in it"),
    "no-rows": (("400",), 'no values in "instances"', "TensorFlow Serving takes none"),
    "rank": (("400", "INVALID_ARGUMENT"), "unexpected shape for input '...' for model '...'. Expected ..., got []",
             "no model of Triton has an input without axes"),
}


class Server:
    """A Sluice in front of a kind of server, the names that the models have there, and whether each number is work for it."""

    def __init__(self, gateway, models=str, slow=False):
        self.gateway, self.http, self.grpc, self.metrics = gateway, gateway.http, gateway.grpc, gateway.metrics
        self.v2 = v2.Client(gateway.http, gateway.grpc)
        self.close = self.v2.close
        self.model, self.slow = models, slow


class Matrix:
    """For a case of tests: whatever the tables say, nothing may come back but what was sent, or one of the refusals."""

    def see(self, part, servers, own=None):
        """Hold a part of the page, and the list of its own refusals, against what happens."""
        refusals = {**REFUSALS, **(own or {})}
        lines = []
        for row in rows.rows():
            line = [row.name]
            for name, client in clients.CLIENTS.items():
                outcomes = {}
                for server, behind in servers.items():
                    with self.subTest(client=name, server=server, row=row.name):
                        outcomes[server] = "wrong"  # if it is not judged
                        sent = dataclasses.replace(row, tensors=row.small) if behind.slow and row.small else row
                        outcomes[server] = self.judged(sent, client, client.send(behind, sent, behind.model(row.model)), refusals)
                line.append(table.cell(outcomes))
            lines.append(line)
        self.check(part, table.table(["what is sent", *clients.CLIENTS], lines))
        if own:
            self.list(f"{part}-refusals", own, lines)
        return lines

    def list(self, part, refusals, lines):
        """Hold a list of refusals, each of which the lines of a table must have, against the page."""
        for label in refusals:
            with self.subTest(refusal=label):
                self.assertIn(f"`{label}`", str(lines), "nothing was refused like this")
        self.check(part, table.table(["refusal", "what is said", "why"], [
            [f"`{label}`", f"`{said}`", why] for label, (_, said, why) in refusals.items()]))

    def judged(self, row, client, outcome, refusals):
        """What the cell says: exact, or which refusal it was."""
        if outcome is None:
            return "-"
        if outcome.outputs is not None:
            if outcome.outputs != client.expected(row) and plain(outcome.outputs) == plain(client.expected(row)):
                return "exact but for the bits of NaN"
            self.assertEqual(shortened(client.expected(row)), shortened(outcome.outputs))
            self.assertEqual(client.expected(row), outcome.outputs)
            return "exact"
        for label, (statuses, said, _) in refusals.items():
            if str(outcome.status) in statuses and re.fullmatch(re.escape(said).replace(r"\.\.\.", ".*"), outcome.text, re.DOTALL):
                return f"{outcome.status} `{label}`"
        self.fail(f"refused: {outcome}")

    def check(self, part, text):
        page = table.PAGE.read_text()
        if REWRITE:
            table.PAGE.write_text(table.rewritten(page, part, text))
        else:
            self.assertEqual(text, table.written(page, part))


def plain(outputs):
    """Outputs with one NaN for all."""
    return {name: (dtype, shape, raw(dtype, one_nan(numpy.frombuffer(data, v2.NUMPY[dtype]))) if "F" in dtype else data)
            for name, (dtype, shape, data) in outputs.items()}


def shortened(outputs):
    """Outputs as an error can show them."""
    return {name: (dtype, shape, data[:64]) for name, (dtype, shape, data) in outputs.items()}
