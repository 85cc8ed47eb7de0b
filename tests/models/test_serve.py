"""The corpus and the real models through a whole server: make test runs this."""

import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from serve import check  # noqa: E402


class Serve(unittest.TestCase):
    def through(self, name):
        corpus = ROOT / ".cache" / name
        if not (corpus / "cases.json").exists():
            self.skipTest(f"no .cache/{name}: run make parts")
        sent, wrong = check(str(ROOT / "bin" / "sluice"), corpus)
        self.assertEqual(wrong, [])
        self.assertGreater(sent, 20)

    def test_corpus(self):
        self.through("corpus")

    def test_real(self):
        self.through("real")


if __name__ == "__main__":
    unittest.main()
