"""Requests, good and bad, to an MLServer itself and through Sluice: docs/guides/kserve.md says where the answers differ.

As with Triton, a difference that the page does not have fails the test, and so does
one that it has and nobody sees. MLServer reads no binary data over REST, so nothing
is sent so.
"""

import pathlib
import random
import unittest

import differences
import generated
import servers
import sluice
import v2

HERE = pathlib.Path(__file__).resolve().parent
MODELS = ("digits", "picky")
FORMS = ("json", "raw", "typed")


def requests():
    chance = random.Random(1)
    yield from (generated.good(chance, form, model) for form in FORMS for model in MODELS for _ in range(10))
    yield from generated.each_at(chance, MODELS, FORMS, 6)


class TestDifferential(unittest.TestCase):
    def test_the_same_is_meant(self):
        mlserver = servers.mlserver(HERE / "judged")
        gateway = sluice.Sluice(arguments=("--backend", f"kserve={mlserver.grpc}"))
        self.addCleanup(gateway.stop)
        direct, through = v2.Client(mlserver.http, mlserver.grpc, typed=True), v2.Client(gateway.http, gateway.grpc)
        self.addCleanup(direct.close)
        self.addCleanup(through.close)
        differ, _ = differences.tables("kserve.md")
        for number, case in enumerate(requests()):
            with self.subTest(number=number, label=case.label, form=case.form, model=case.model):
                one, other = direct.send(case), through.send(case)
                if self.same(case, one, other):
                    continue
                row = next((row for row in differ[case.label] if row.covers(one, other)), None)
                self.assertIsNotNone(row, f"\ndirect:  {one}\nthrough: {other}")
                row.seen = True
        for label, rows in differ.items():
            for row in rows:
                with self.subTest(label=label, row=row):
                    self.assertTrue(row.seen, "the page tells of a difference that no request showed")
        self.assertIsNone(mlserver.process.poll(), "it ended")

    def same(self, case, direct, through):
        """Whether two answers mean the same. Over REST MLServer makes up an id where the request has none."""
        if direct.status != through.status:
            return False
        if not direct.ok:
            return bool(through.error) or not direct.error
        return direct.model == through.model and differences.same_outputs(direct, through) and through.id == case.id and direct.id in (
            (case.id,) if case.id or case.form != "json" else (direct.id,))


if __name__ == "__main__":
    unittest.main()
