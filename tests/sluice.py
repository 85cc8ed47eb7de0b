"""Start the real binary on free ports, and stop it as an operator would."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache"
BINARY = pathlib.Path(os.environ.get("SLUICE_BINARY", ROOT / "bin" / "sluice"))
DIGITS = ROOT / "examples" / "digits"
LISTENERS = ("http", "grpc", "metrics", "admin")


class Sluice:
    """One `sluice serve`, ready when the constructor returns.

    Attributes http, grpc, metrics and admin are the bound addresses, as
    host:port; that of a listener which is not among listeners is None.
    """

    def __init__(self, *repositories, arguments=(), environment=None, patience=120, listeners=LISTENERS):
        self._folder = tempfile.TemporaryDirectory(prefix="sluice-")
        ready = pathlib.Path(self._folder.name) / "ready.json"
        self._log = open(pathlib.Path(self._folder.name) / "log", "w+b")
        command = [BINARY, "serve", "--ready-file", ready]
        for listener in listeners:
            if f"--{listener}" not in arguments:
                command += [f"--{listener}", "127.0.0.1:0"]
        for repository in repositories:
            command += ["--backend", f"onnx={repository}"]
        self.process = subprocess.Popen([*command, *arguments], stdout=self._log, stderr=self._log, cwd=ROOT,
                                        env={**os.environ, **(environment or {})})
        try:
            addresses = self._wait(ready, patience)
        except BaseException:
            self.kill()
            raise
        self.http, self.grpc, self.metrics, self.admin = (addresses.get(name) for name in LISTENERS)

    def _wait(self, ready, patience):
        deadline = time.monotonic() + patience
        while not ready.exists():
            if self.process.poll() is not None:
                raise RuntimeError(f"sluice ended with {self.process.returncode} before it was ready:\n{self.log()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"sluice was not ready within {patience} s:\n{self.log()}")
            time.sleep(0.01)
        return json.loads(ready.read_text())

    def log(self):
        self._log.flush()
        return pathlib.Path(self._log.name).read_text(errors="replace")

    def stop(self, patience=20):
        """End it with SIGINT, which skips the drain delay, and say how it went."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            log = self.log()
            self.kill()
            raise RuntimeError(f"sluice did not end within {patience} s of SIGINT:\n{log}") from None
        log = self.log()
        self._close()
        if status != 0:
            raise RuntimeError(f"sluice ended with {status}:\n{log}")
        return log

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._close()

    def _close(self):
        self._log.close()
        self._folder.cleanup()
