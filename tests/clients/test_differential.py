"""Requests, good and bad, to a Triton itself and through Sluice: both must mean the same by what they answer.

Where they differ, docs/guides/differences.md says so, and says how; a difference
that it does not have fails the test, and so does one that it has and nobody sees.
What ends a Triton goes through Sluice only, and to a Triton of its own, to see that
it is true.

SLUICE_DIFFERENTIAL has another number of requests sent, and what ends a Triton in
each of its forms; SLUICE_SEED has others made.
"""

import os
import pathlib
import random
import tempfile
import unittest

import differences
import generated
import made
import onnxes
import sluice
import triton
import v2

COUNT = int(os.environ.get("SLUICE_DIFFERENTIAL", 0))
SEED = int(os.environ.get("SLUICE_SEED", 1))

# Of these a server cannot read as much as it takes to name what is wrong; Triton reads something else, and names that.
UNREAD = ("broken-gzip", "broken-json", "cut-gzip", "header-length-no-number", "header-length-and-more", "input-member-doubled", "parameter-doubled")

# Triton ends a stream without a word over the one, and has answers without number for the other.
NO_STREAMS = ("cut-message", "decoupled")

# Of some parameters Triton wants one of several types of number.
TRITONS = ("unsigned-parameters",)
MODELS = (*made.MODELS, made.ONNX)


class Pair:
    """A Triton, and what a Sluice in front of it must do as it does."""

    def __init__(self, test, page, server, gateway):
        self.test, self.page, self.server = test, page, server
        self.direct, self.through = v2.Client(server.http, server.grpc), v2.Client(gateway.http, gateway.grpc)
        test.addCleanup(self.direct.close)
        test.addCleanup(self.through.close)

    def send(self, case):
        """Send a request to both, and return what came through Sluice."""
        through = self.through.send(case)
        if case.label in self.page.ends:
            self.test.assertIn(str(through.status), self.page.ends[case.label].sluice, through)
            self.test.assertTrue(self.server.ready(), "it was sent on")
            return through
        direct = self.direct.send(case)
        self.test.assertIsNone(self.server.process.poll(), "it ended the Triton")
        both = f"\ndirect:  {direct}\nthrough: {through}"
        if direct.ok and through.ok:
            self.test.assertEqual((direct.id, direct.model), (through.id, through.model), both)
            self.test.assertTrue(differences.same_outputs(in_order(direct), in_order(through), differences.near), both)
            same = direct.binary == through.binary and differences.same_outputs(direct, through, differences.equal)
        else:
            same = direct.status == through.status
            if same and case.label not in UNREAD:
                self.check_names(case, direct, through)
        if not same:
            of_halves = "data via JSON is not supported" in direct.error
            self.test.assertTrue(self.page.tells(case.label, direct, through) or of_halves and self.page.tells("half-precision-in-json", direct, through), both)
        if case.form in v2.OVER_GRPC and case.label not in NO_STREAMS:
            self.check_stream(case, direct, through)
        return through

    def check_stream(self, case, direct, through):
        """On a stream each answers as it does to a call."""
        for client, called in ((self.direct, direct), (self.through, through)):
            streamed = client.send_stream(case)
            self.test.assertEqual((streamed.ok, streamed.id, streamed.model), (called.ok, called.id, called.model), f"\ncall: {called}\nstream: {streamed}")
            self.test.assertTrue(differences.same_outputs(streamed, called, differences.near), f"\ncall: {called}\nstream: {streamed}")
            if client is self.through:
                self.test.assertEqual(streamed.error, called.error)

    def check_names(self, case, direct, through):
        """A refusal names what Triton's names."""
        self.test.assertTrue(through.error or not direct.error)
        for names in ([case.model], [one.name for one in case.inputs], [name for name, _ in case.outputs or ()]):
            # Of several that are wrong, either server may name the one that it sees first.
            if any(f"'{name}'" in direct.error for name in names):
                self.test.assertTrue(any(name in through.error for name in names), f"{through.error!r} lacks a name that Triton's text has: {direct.error!r}")


def in_order(answer):
    """An answer with its outputs in the order of their names."""
    return v2.Answer(answer.status, outputs=sorted(answer.outputs, key=lambda output: output[0]))


class TestDifferential(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="onnx-")
        cls.addClassCleanup(folder.cleanup)
        onnxes.write(folder.name)
        cls.triton = triton.Triton(repositories=(triton.MODELS, pathlib.Path(folder.name) / "triton"))
        cls.addClassCleanup(cls.triton.close)
        cls.sluice = sluice.Sluice(arguments=("--backend", f"triton={cls.triton.grpc}"))
        cls.addClassCleanup(cls.sluice.stop)
        cls.onnx = sluice.Sluice(sluice.DIGITS / "models", pathlib.Path(folder.name) / "onnx")
        cls.addClassCleanup(cls.onnx.stop)

    def test_the_same_is_meant(self):
        page = differences.Page("differences.md")
        pair = Pair(self, page, self.triton, self.sluice)
        inside = v2.Client(self.onnx.http, self.onnx.grpc)
        self.addCleanup(inside.close)
        for number, case in enumerate(generated.generate(random.Random(SEED), COUNT or 3000, MODELS)):
            with self.subTest(number=number, label=case.label, form=case.form, model=case.model):
                through = pair.send(case)
                if (case.model == "digits" and case.label != "no-rows" or case.model in made.SIGNATURES) and case.label not in TRITONS:
                    self.check_inside(case, through, inside.send(case))
        for label, row in page.unseen():
            with self.subTest(label=label, row=row):
                for case in differences.more(random.Random(SEED), label, MODELS):
                    pair.send(case)
                    if row.seen:
                        break
                self.assertTrue(row.seen, "the page tells of a difference that no request showed")
        for form in v2.FORMS:  # it is alive, and so is all of it
            for model in (*made.MODELS, *made.SIGNATURES):
                if model in made.MODELS or form in made.SIGNATURES[model].forms:
                    with self.subTest(form=form, model=model):
                        self.assertTrue(pair.send(generated.good(random.Random(form + model), form, model)).ok)

    def check_inside(self, case, through, inside):
        """Whoever runs the model, ONNX Runtime in Sluice's process or Triton behind it, the answer is the same. Of the digits
        Triton's has an axis more around labels, and no names for classes."""
        self.assertEqual((inside.status, inside.error, inside.id, inside.model), (through.status, through.error, through.id, through.model))
        inside, through = in_order(inside), in_order(through)
        self.assertEqual([output[:2] for output in inside.outputs], [output[:2] for output in through.outputs])
        for (name, datatype, shape, values), (_, _, other_shape, other) in zip(inside.outputs, through.outputs, strict=True):
            if case.model == "digits":
                shape = [*shape, 1] if name == "label" and datatype == "INT64" else shape
                values = [":".join(value.split(":")[:2]) for value in values] if datatype == "BYTES" else values
            self.assertEqual(shape, other_shape)
            self.assertTrue(differences.near(values, other), (values, other))


class TestEnds(unittest.TestCase):
    """What the page says that it ends a Triton does so."""

    def test_they_end_it(self):
        chance, server = random.Random(SEED), triton.Triton("identity", "accumulate")
        self.addCleanup(server.close)
        for label in differences.Page("differences.md").ends:
            forms = generated.FAULTS[label][0]
            for form in forms if COUNT else [chance.choice(forms)]:
                with self.subTest(label=label, form=form):
                    self.assertTrue(self.ends(server, (generated.broken(chance, label, form) for _ in range(30))), "it lives")
                    server.kill()
                    server.start()

    def ends(self, server, cases):
        """Whether one of some requests ends a server, or its model: memory that is written over does harm sooner or later."""
        client = v2.Client(server.http, server.grpc, patience=5)
        self.addCleanup(client.close)
        for case in cases:
            client.send(case)
            if not client.send(generated.good(random.Random(1), "raw", case.model)).ok:
                return True
        return False


if __name__ == "__main__":
    unittest.main()
