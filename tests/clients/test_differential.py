"""Requests, good and bad, to a Triton itself and through Sluice: both must mean the same by what they answer.

Where they differ, docs/guides/differences.md says so, and says how; a difference
that it does not have fails the test, and so does one that it has and nobody sees.
What ends a Triton goes through Sluice only, unless a long run is asked for with
SLUICE_DIFFERENTIAL, the number of requests: then it is sent to the Triton as well,
to see that it is true, and the Triton started again.
"""

import os
import random
import time
import unittest

import numpy

import differences
import generated
import sluice
import triton
import v2

COUNT = int(os.environ.get("SLUICE_DIFFERENTIAL", 0))
SEED = int(os.environ.get("SLUICE_SEED", 1))

# Of these a server cannot read as much as it takes to name what is wrong; Triton reads something else, and names that.
UNREAD = ("broken-gzip", "broken-json", "header-length-no-number")


class TestDifferential(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.triton = triton.Triton()
        cls.addClassCleanup(cls.triton.close)
        cls.sluice = sluice.Sluice(arguments=("--backend", f"triton={cls.triton.grpc}"))
        cls.addClassCleanup(cls.sluice.stop)
        cls.onnx = sluice.Sluice(sluice.DIGITS / "models")
        cls.addClassCleanup(cls.onnx.stop)

    def connect(self):
        self.direct = v2.Client(self.triton.http, self.triton.grpc)
        self.addCleanup(self.direct.close)

    def setUp(self):
        self.connect()
        self.through = v2.Client(self.sluice.http, self.sluice.grpc)
        self.addCleanup(self.through.close)
        self.inside = v2.Client(self.onnx.http, self.onnx.grpc)
        self.addCleanup(self.inside.close)

    def test_the_same_is_meant(self):
        differ, ends = differences.tables("differences.md")
        count = COUNT or 1000
        for number, case in enumerate(generated.generate(random.Random(SEED), count)):
            with self.subTest(number=number, label=case.label, form=case.form, model=case.model):
                through = self.through.send(case)
                if case.model == "digits" and case.label != "no-rows":  # which Triton leaves to the model's luck
                    self.check_inside(through, self.inside.send(case))
                if case.label in ends:
                    self.check_end(case, through, ends[case.label])
                    continue
                direct = self.direct.send(case)
                if self.triton.process.poll() is not None:
                    self.restart()
                    self.fail("it ended the Triton")
                if self.same(case, direct, through):
                    continue
                row = next((row for row in differ[case.label] if row.covers(direct, through)), None)
                self.assertIsNotNone(row, f"\ndirect:  {direct}\nthrough: {through}")
                row.seen = True
        if COUNT:
            for label, row in ends.items():
                differ[label].append(row)
        for label, rows in differ.items():
            for row in rows:
                with self.subTest(label=label, row=row):
                    self.assertTrue(row.seen, "the page tells of a difference that no request showed")
        for form in v2.FORMS:  # it is alive, and so is all of it
            for model in ("identity", "digits", "optional", "picky", "accumulate"):
                with self.subTest(form=form, model=model):
                    case = generated.good(random.Random(form + model), form, model)
                    self.assertTrue(self.direct.send(case).ok)
                    self.assertTrue(self.through.send(case).ok)

    def same(self, case, direct, through):
        """Whether two answers mean the same. A refusal names what Triton's names."""
        if direct.status != through.status:
            return False
        if direct.ok:
            return (direct.id, direct.model) == (through.id, through.model) and differences.same_outputs(direct, through)
        if case.label in UNREAD:
            return bool(through.error)
        for names in ([case.model], [one.name for one in case.inputs], [name for name, _ in case.outputs or ()]):
            # Of several that are wrong, either server may name the one that it sees first.
            if any(f"'{name}'" in direct.error for name in names):
                self.assertTrue(any(name in through.error for name in names), f"{through.error!r} lacks a name that Triton's text has: {direct.error!r}")
        return bool(through.error) or not direct.error

    def check_inside(self, through, inside):
        """Whoever runs the model, ONNX Runtime in Sluice's process or Triton behind it, the answer is the same. Triton's
        has an axis more around labels, and no names for classes."""
        self.assertEqual((inside.status, inside.error, inside.id, inside.model), (through.status, through.error, through.id, through.model))
        self.assertEqual([output[:2] for output in inside.outputs], [output[:2] for output in through.outputs])
        for (name, datatype, shape, values), (_, _, other_shape, other) in zip(inside.outputs, through.outputs, strict=True):
            self.assertEqual([*shape, 1] if name == "label" and datatype == "INT64" else shape, other_shape)
            if datatype == "BYTES":
                self.assertTrue(differences.equal([value.rsplit(":", 1)[0] for value in values], other), (values, other))
            else:
                numpy.testing.assert_allclose(values, other, rtol=1e-5, atol=1e-7)

    def check_end(self, case, through, row):
        self.assertIn(str(through.status), row.sluice, through)
        self.assertTrue(self.triton.ready(), "it was sent on")
        if not COUNT or row.times == 3:
            return
        row.times += 1
        for _ in range(100):  # memory that is written over does harm sooner or later
            answer = self.direct.send(case)
            if answer.status in ("UNAVAILABLE", "closed") or "Stub process" in answer.error:
                row.seen = True
                break
        self.restart()

    def restart(self):
        self.triton.kill()
        self.triton.start()
        self.direct.close()
        self.connect()
        good, deadline = generated.good(random.Random(1), "raw", "picky"), time.monotonic() + 20
        while not self.through.send(good).ok:
            self.assertLess(time.monotonic(), deadline, "Sluice has not found the Triton again")
            time.sleep(0.05)


if __name__ == "__main__":
    unittest.main()
