"""Loading and unloading on the Tritons behind a Sluice, through the real clients."""

import json
import pathlib
import subprocess
import tempfile
import time
import unittest

import numpy
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

import sluice
import triton

TOKEN = "a-token-of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def setUpModule():
    global FOLDER, TRITONS, SLUICE, PLAIN
    folder = tempfile.TemporaryDirectory(prefix="sluice-control-")
    unittest.addModuleCleanup(folder.cleanup)
    FOLDER = pathlib.Path(folder.name)
    TRITONS = [triton.Triton("picky") for _ in range(2)]
    for one in TRITONS:
        unittest.addModuleCleanup(one.close)
    (FOLDER / "token").write_text(TOKEN + "\n")
    SLUICE, PLAIN = start("true"), start("false")


def start(control):
    endpoints = ", ".join(f"{{address: '{one.grpc}'}}" for one in TRITONS)
    file = FOLDER / f"{control}.yaml"
    file.write_text(
        "version: 1\n"
        "listen: {admin: {address: '127.0.0.1:0', token: token}}\n"
        f"pools: [{{name: tritons, kind: triton, endpoints: [{endpoints}], discover: true, repository_control: {control}}}]\n")
    server = sluice.Sluice(arguments=("-c", file))
    unittest.addModuleCleanup(server.stop)
    return server


class ControlTest(unittest.TestCase):
    def setUp(self):
        self.http = tritonclient.http.InferenceServerClient(SLUICE.http)
        self.addCleanup(self.http.close)
        self.grpc = tritonclient.grpc.InferenceServerClient(SLUICE.grpc)
        self.addCleanup(self.grpc.close)

    def behind(self, model):
        """Which of the Tritons have the model ready."""
        ready = []
        for one in TRITONS:
            client = tritonclient.grpc.InferenceServerClient(one.grpc)
            ready.append(client.is_model_ready(model))
            client.close()
        return ready

    def await_ready(self, client):
        """Waits until a gateway that loads nothing itself has seen that the Tritons have the model again."""
        deadline = time.monotonic() + 20
        while not client.is_model_ready("picky"):
            self.assertLess(time.monotonic(), deadline, "it has not seen the model")
            time.sleep(0.02)

    def infer(self):
        data = tritonclient.http.InferInput("X", [1, 1], "FP32")
        data.set_data_from_numpy(numpy.ones((1, 1), numpy.float32))
        return self.http.infer("picky", [data])

    def refused(self, status, text):
        return self.assertRaisesRegex(InferenceServerException, f"(?s){status}.*{text}")

    def test_all_servers_follow(self):
        grpc = {"authorization": BEARER["Authorization"]}
        for name, load, unload in (
            ("http", lambda: self.http.load_model("picky", headers=BEARER), lambda: self.http.unload_model("picky", headers=BEARER)),
            ("grpc", lambda: self.grpc.load_model("picky", headers=grpc), lambda: self.grpc.unload_model("picky", headers=grpc)),
            ("command", lambda: self.command("load"), lambda: self.command("unload")),
        ):
            with self.subTest(name=name):
                unload()
                self.assertFalse(self.http.is_model_ready("picky"))
                with self.refused("50[13]|404", "picky"):
                    self.infer()
                load()
                self.assertEqual(self.behind("picky"), [True, True])
                self.infer()

    def command(self, verb):
        end = subprocess.run([sluice.BINARY, "models", verb, "picky", "--admin", SLUICE.admin, "--token-file", FOLDER / "token"],
                             capture_output=True, text=True, timeout=30)
        self.assertEqual(end.returncode, 0, end.stderr)

    def test_a_model_that_was_never_loaded(self):
        self.assertFalse(self.http.is_model_ready("identity"))
        self.http.load_model("identity", headers=BEARER)
        self.assertTrue(self.http.is_model_ready("identity"))
        self.assertEqual(self.behind("identity"), [True, True])
        self.http.unload_model("identity", headers=BEARER)
        self.assertFalse(self.http.is_model_ready("identity"))

    def test_what_is_refused(self):
        with self.refused(404, "no model .*nobody"):
            self.http.load_model("nobody", headers=BEARER)
        with self.refused(401, "admin token"):
            self.http.unload_model("picky")
        plain = tritonclient.http.InferenceServerClient(PLAIN.http)
        self.addCleanup(plain.close)
        self.await_ready(plain)
        with self.refused(501, "repository_control"):
            plain.unload_model("picky", headers=BEARER)
        self.assertEqual(self.behind("picky"), [True, True])

    def test_one_server_is_gone(self):
        TRITONS[1].kill()
        try:
            with self.refused(503, "1 of 2 servers did not load the model") as caught:
                self.http.load_model("picky", headers=BEARER)
            self.assertNotIn(TRITONS[1].grpc, str(caught.exception))
            end = subprocess.run(
                ["curl", "-sS", "-X", "POST", "-H", f"Authorization: Bearer {TOKEN}", f"{SLUICE.admin}/v1/models/picky:load"],
                capture_output=True, text=True, timeout=30)
            self.assertIn(TRITONS[1].grpc, json.loads(end.stdout)["error"])
            self.infer()
        finally:
            TRITONS[1].start()


if __name__ == "__main__":
    unittest.main()
