"""A model repository that changes while it is served: by its files, and on demand.

The clients are the real ones; curl sends what Triton's and Sluice's documentation
show.
"""

import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.request

import numpy
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

import sluice

TOKEN = "a-token-of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATIENCE = 30
DIGITS = sluice.DIGITS / "models" / "digits"


def setUpModule():
    global FOLDER, SLUICE
    folder = tempfile.TemporaryDirectory(prefix="sluice-repository-")
    unittest.addModuleCleanup(folder.cleanup)
    FOLDER = pathlib.Path(folder.name)
    (FOLDER / "models").mkdir()
    for name in ("digits", "spare"):
        copy_model(name)
    (FOLDER / "token").write_text(TOKEN + "\n")
    (FOLDER / "sluice.yaml").write_text(
        "version: 1\n"
        "listen: {admin: {address: '127.0.0.1:0', token: token}}\n"
        "pools: [{name: local, kind: onnx, repository: models, discover: true}]\n")
    SLUICE = sluice.Sluice(arguments=("-c", FOLDER / "sluice.yaml"))
    unittest.addModuleCleanup(SLUICE.stop)


def copy_model(name):
    """The two versions of digits under another name, which its configuration must not contradict."""
    shutil.copytree(DIGITS, FOLDER / "models" / name, ignore=shutil.ignore_patterns("*.pbtxt"))


def await_(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {PATIENCE} s\n{SLUICE.log()}")
        time.sleep(0.02)


class RepositoryTest(unittest.TestCase):
    def setUp(self):
        self.http = tritonclient.http.InferenceServerClient(SLUICE.http, concurrency=4)
        self.addCleanup(self.http.close)
        self.grpc = tritonclient.grpc.InferenceServerClient(SLUICE.grpc)
        self.addCleanup(self.grpc.close)

    def infer(self, model, version="", client=None):
        image = tritonclient.http.InferInput("image", [1, 64], "FP32")
        image.set_data_from_numpy(numpy.zeros((1, 64), numpy.float32))
        return (client or self.http).infer(model, [image], model_version=version)

    @contextlib.contextmanager
    def load(self, each):
        """Three threads that call each with a client of their own, which gevent wants, while the body runs."""
        stop = threading.Event()

        def drive():
            with contextlib.closing(tritonclient.http.InferenceServerClient(SLUICE.http)) as client:
                while not stop.is_set():
                    each(client)

        threads = [threading.Thread(target=drive) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def index(self):
        return {(m["name"], m["version"]): (m["state"], m["reason"]) for m in self.http.get_model_repository_index()}

    def ready(self, model, version=""):
        return self.http.is_model_ready(model, version)

    def refused(self, status, text):
        return self.assertRaisesRegex(InferenceServerException, f"(?s){status}.*{text}")


class FilesTest(RepositoryTest):
    def test_versions_come_and_go_under_load(self):
        models = FOLDER / "models"
        wrong, answered = [], set()

        def each(client):
            try:
                answered.add(self.infer("digits", client=client).get_response()["model_version"])
            except InferenceServerException as error:
                wrong.append(error)

        with self.load(each):
            for version in ("3", "4"):
                shutil.copytree(DIGITS / "2", models / "digits" / version)
                await_(f"version {version} serves", lambda version=version: self.ready("digits", version) and version in answered)
            for version in ("4", "3"):
                shutil.rmtree(models / "digits" / version)
                await_(f"version {version} is gone", lambda version=version: ("digits", version) not in self.index())
            answered.clear()
            await_("version 2 serves again", lambda: "2" in answered)
        self.assertEqual([str(error) for error in wrong], [])

    def test_a_new_model(self):
        copy_model("more")
        await_("the new model serves", lambda: self.ready("more", "1") and self.ready("more", "2"))
        self.assertEqual(self.infer("more").get_response()["model_version"], "2")
        shutil.rmtree(FOLDER / "models" / "more")
        await_("the model is gone", lambda: not self.ready("more"))
        with self.refused(404, "more"):
            self.infer("more")

    def test_a_broken_version_takes_no_good_one_down(self):
        version = FOLDER / "models" / "digits" / "9"
        version.mkdir()
        whole = (DIGITS / "2" / "model.onnx").read_bytes()
        (version / "model.onnx").write_bytes(whole[: len(whole) // 2])
        await_("the half is reported", lambda: "rotobuf" in reason("digits", "9"))
        self.assertTrue(self.http.is_server_ready())
        self.assertEqual(self.infer("digits").get_response()["model_version"], "2")
        with self.refused(503, "digits"):
            self.infer("digits", "9")
        (version / "model.onnx").write_bytes(whole)
        await_("the whole is loaded", lambda: self.ready("digits", "9"))
        shutil.rmtree(version)
        await_("it is gone", lambda: ("digits", "9") not in self.index())

    def test_a_changed_file_is_reported_and_taken_over_on_demand(self):
        file = FOLDER / "models" / "spare" / "1" / "model.onnx"
        shutil.copyfile(DIGITS / "2" / "model.onnx", file.with_suffix(".part"))
        file.with_suffix(".part").rename(file)
        await_("the change is reported", lambda: "have changed" in reason("spare", "1"))
        self.assertTrue(self.ready("spare", "1"))
        self.http.load_model("spare", headers=BEARER)
        self.assertEqual(reason("spare", "1"), "")


def reason(model, version):
    """The reason that operators are shown for a version."""
    for line in json.loads(run("models", "get", model, "--output", "json"))["versions"]:
        if line["version"] == version:
            return line.get("reason", "")
    return ""


def run(*arguments, code=0):
    """Standard output of a command of sluice against the admin API."""
    end = subprocess.run([sluice.BINARY, *arguments, "--admin", SLUICE.admin, "--token-file", FOLDER / "token"],
                         capture_output=True, text=True, timeout=PATIENCE)
    if end.returncode != code:
        raise AssertionError(f"sluice {arguments} ended with {end.returncode}: {end.stdout}{end.stderr}")
    return end.stdout if code == 0 else end.stderr


class PagesTest(RepositoryTest):
    """What clients of other servers read: KServe's lists, and a Triton's metrics."""

    def get(self, address, path):
        with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE) as answer:
            return answer.read().decode()

    def test_kserve(self):
        self.assertEqual(json.loads(self.get(SLUICE.http, "/")), {"status": "alive"})
        self.assertEqual(json.loads(self.get(SLUICE.http, "/v2/models")), {"models": ["digits", "spare"]})

    def test_metrics_of_a_triton(self):
        def counted(name):
            found = re.search(rf'\n{name}{{model="digits",version="2"}} (\d+\.?\d*)\n', self.get(SLUICE.metrics, "/metrics?format=triton"))
            self.assertIsNotNone(found, name)
            return float(found[1])

        names = ["nv_inference_request_success", "nv_inference_count", "nv_inference_exec_count", *(
            f"nv_inference_{part}_duration_us" for part in ("request", "queue", "compute_input", "compute_infer", "compute_output"))]
        before = [counted(name) for name in names]
        for _ in range(50):
            self.infer("digits", "2")
        grown = dict(zip(names, [counted(name) - was for name, was in zip(names, before)]))
        self.assertEqual([grown[name] for name in names[:3]], [50, 50, 50])
        self.assertGreater(grown["nv_inference_request_duration_us"], grown["nv_inference_compute_infer_duration_us"])
        self.assertGreater(grown["nv_inference_compute_infer_duration_us"], 0)
        self.assertEqual(counted("nv_inference_pending_request_count"), 0)


class ControlTest(RepositoryTest):
    def test_without_the_token(self):
        for headers in (None, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            for call in (self.http.load_model, self.http.unload_model):
                with self.refused(401, "takes the admin token"):
                    call("digits", headers=headers)
            for call in (self.grpc.load_model, self.grpc.unload_model):
                with self.refused("UNAUTHENTICATED", "takes the admin token"):
                    call("digits", headers=headers and {"authorization": headers["Authorization"]})
        self.assertTrue(self.ready("digits"))

    def test_http(self):
        self.cycle(lambda: self.http.load_model("spare", headers=BEARER), lambda: self.http.unload_model("spare", headers=BEARER))

    def test_grpc(self):
        headers = {"authorization": BEARER["Authorization"]}
        self.cycle(lambda: self.grpc.load_model("spare", headers=headers), lambda: self.grpc.unload_model("spare", headers=headers))

    def test_curl(self):
        def curl(verb):
            out = subprocess.run(
                ["curl", "-sS", "-X", "POST", "-w", " %{http_code}", "-H", f"Authorization: Bearer {TOKEN}",
                 f"{SLUICE.http}/v2/repository/models/spare/{verb}"], capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(out.stdout, "{} 200", out.stderr)

        self.cycle(lambda: curl("load"), lambda: curl("unload"))

    def test_admin(self):
        def curl(verb):
            out = subprocess.run(
                ["curl", "-sS", "-X", "POST", "-H", f"Authorization: Bearer {TOKEN}", f"{SLUICE.admin}/v1/models/spare:{verb}"],
                capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual({v["state"] for v in json.loads(out.stdout)["versions"]},
                             {"ready" if verb == "load" else "unavailable"}, out.stdout)

        self.cycle(lambda: curl("load"), lambda: curl("unload"))

    def test_command(self):
        self.cycle(lambda: self.assertIn("ready", run("models", "load", "spare")),
                   lambda: self.assertIn("unloaded", run("models", "unload", "spare")))
        self.assertIn("nobody", run("models", "load", "nobody", code=1))

    def cycle(self, load, unload):
        """What unload and load must do, whoever asks for them; each is in force when it returns."""
        unload()
        self.assertFalse(self.ready("spare"))
        self.assertEqual(self.index()["spare", "2"], ("UNAVAILABLE", "unloaded"))
        with self.refused(503, "spare"):
            self.infer("spare")
        self.assertTrue(self.http.is_server_ready())
        load()
        self.assertEqual(self.infer("spare").get_response()["model_version"], "2")
        self.assertEqual(self.index()["spare", "1"], ("READY", ""))
        load()

    def test_a_version_that_cannot_be_loaded(self):
        version = FOLDER / "models" / "spare" / "8"
        version.mkdir()
        self.addCleanup(shutil.rmtree, version)
        (version / "model.onnx").write_text("no model")
        with self.refused(400, "version 8: .*rotobuf") as caught:
            self.http.load_model("spare", headers=BEARER)
        self.assertNotIn(str(FOLDER), str(caught.exception))
        with self.refused("INVALID_ARGUMENT", "version 8: .*rotobuf"):
            self.grpc.load_model("spare", headers={"authorization": BEARER["Authorization"]})
        self.assertEqual(self.infer("spare", "2").get_response()["model_version"], "2")

    def test_what_is_refused(self):
        grpc = {"authorization": BEARER["Authorization"]}
        for name, call, status, text in (
            ("an unknown model", lambda: self.http.load_model("nobody", headers=BEARER), 404, "no model .*nobody"),
            ("a name that is none", lambda: self.http.load_model("..", headers=BEARER), 404, "no model"),
            ("an unknown model", lambda: self.http.unload_model("nobody", headers=BEARER), 404, "no model .*nobody"),
            ("an unknown model", lambda: self.grpc.load_model("nobody", headers=grpc), "NOT_FOUND", "no model .*nobody"),
            ("a configuration", lambda: self.http.load_model("spare", headers=BEARER, config="{}"), 501, "config"),
            ("a configuration", lambda: self.grpc.load_model("spare", headers=grpc, config="{}"), "UNIMPLEMENTED", "config"),
            ("a file", lambda: self.http.load_model("spare", headers=BEARER, config="{}", files={"file:1/model.onnx": b"x"}),
             501, "not supported"),
            ("dependents", lambda: self.http.unload_model("spare", headers=BEARER, unload_dependents=True), 501, "unload_dependents"),
            ("dependents", lambda: self.grpc.unload_model("spare", headers=grpc, unload_dependents=True),
             "UNIMPLEMENTED", "unload_dependents"),
        ):
            with self.subTest(name=name), self.refused(status, text):
                call()
        self.assertTrue(self.ready("spare"))

    def test_unload_lets_requests_end(self):
        """Requests that are on their way when the model is unloaded are all answered."""
        wrong, answered = [], []

        def each(client):
            try:
                self.infer("spare", "1", client=client)
                answered.append(1)
            except InferenceServerException as error:
                if error.status() != "503":  # what comes behind the unload
                    wrong.append(error)

        with self.load(each):
            for _ in range(5):
                before = len(answered)
                await_("it serves", lambda before=before: len(answered) > before)
                self.http.unload_model("spare", headers=BEARER)
                self.http.load_model("spare", headers=BEARER)
        self.assertEqual([str(error) for error in wrong], [])


if __name__ == "__main__":
    unittest.main()
