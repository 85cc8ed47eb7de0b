"""Requests, good and bad, to an MLServer itself and through Sluice: docs/guides/kserve.md says where the answers differ.

As with Triton, a difference that the page does not have fails the test, and so does
one that it has and nobody sees. MLServer reads no binary data over REST, so nothing
is sent so. SLUICE_DIFFERENTIAL has another number of requests sent; SLUICE_SEED has
others made.
"""

import os
import pathlib
import random
import unittest

import differences
import generated
import servers
import sluice
import v2

COUNT = int(os.environ.get("SLUICE_DIFFERENTIAL", 2000))
SEED = int(os.environ.get("SLUICE_SEED", 1))
HERE = pathlib.Path(__file__).resolve().parent
MODELS = ("digits", "picky")
FORMS = ("json", "raw", "typed")


class TestDifferential(unittest.TestCase):
    def test_the_same_is_meant(self):
        mlserver = servers.mlserver(HERE / "judged")
        gateway = sluice.Sluice(arguments=("--backend", f"kserve={mlserver.grpc}"))
        self.addCleanup(gateway.stop)
        self.direct, self.through = v2.Client(mlserver.http, mlserver.grpc, typed=True), v2.Client(gateway.http, gateway.grpc)
        self.addCleanup(self.direct.close)
        self.addCleanup(self.through.close)
        self.page = differences.Page("kserve.md")
        for number, case in enumerate(generated.generate(random.Random(SEED), COUNT, MODELS, FORMS)):
            with self.subTest(number=number, label=case.label, form=case.form, model=case.model):
                self.send(case)
        for label, row in self.page.unseen():
            with self.subTest(label=label, row=row):
                for case in differences.more(random.Random(SEED), label, MODELS, FORMS):
                    self.send(case)
                    if row.seen:
                        break
                self.assertTrue(row.seen, "the page tells of a difference that no request showed")
        self.assertIsNone(mlserver.process.poll(), "it ended")

    def send(self, case):
        direct, through = self.direct.send(case), self.through.send(case)
        if not self.same(case, direct, through):
            self.assertTrue(self.page.tells(case.label, direct, through), f"\ndirect:  {direct}\nthrough: {through}")

    def same(self, case, direct, through):
        """Whether two answers mean the same. Over REST MLServer makes up an id where the request has none."""
        if direct.status != through.status:
            return False
        if not direct.ok:
            return bool(through.error) or not direct.error
        return direct.model == through.model and differences.same_outputs(direct, through, differences.near) and through.id == case.id and direct.id in (
            (case.id,) if case.id or case.form != "json" else (direct.id,))


if __name__ == "__main__":
    unittest.main()
