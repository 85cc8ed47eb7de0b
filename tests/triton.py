"""Start a real Triton on free ports with the models of tests/triton/models, and Sluice in front of it.

A class of tests under @both runs twice: against Triton itself, which says what
is right, and against Sluice, where the same must hold.
"""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
import uuid

import sluice

PROGRAM = sluice.CACHE / "triton" / "tritonserver"
MODELS = sluice.ROOT / "tests" / "triton" / "models"


class Triton:
    """One tritonserver, ready when the constructor returns.

    Attributes grpc and http are its addresses, as host:port. They stay its own
    over kill() and start(), as they would for a server that comes back.
    """

    def __init__(self, *models, repositories=(MODELS,), patience=60):
        self._models, self._repositories, self._patience = models, repositories, patience
        self._folder = tempfile.TemporaryDirectory(prefix="triton-")
        self._log = open(pathlib.Path(self._folder.name) / "log", "w+b")
        # Sockets that never listen keep the ports from everybody but a server
        # that says, as we make it say, that it shares them.
        self._ports = [reserve(), reserve()]
        self.grpc, self.http = ("127.0.0.1:%d" % port.getsockname()[1] for port in self._ports)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self):
        """Start it, the first time or again, and wait until its models are ready."""
        self._shared_memory = f"triton_test_{uuid.uuid4().hex}"
        # The kernel ends it if this process ends first, however that is. Its models,
        # a process each, mostly notice by themselves that it has gone.
        command = [
            "setpriv", "--pdeathsig", "KILL", PROGRAM, "--allow-metrics=false", *(f"--model-repository={folder}" for folder in self._repositories),
            "--disable-auto-complete-config",
            "--grpc-address=127.0.0.1", f"--grpc-port={self.grpc.split(':')[1]}", "--reuse-grpc-port=true",
            "--http-address=127.0.0.1", f"--http-port={self.http.split(':')[1]}", "--reuse-http-port=true",
            f"--backend-config=python,shm-region-prefix-name={self._shared_memory}",
        ]
        if self._models:
            command += ["--model-control-mode=explicit", *(f"--load-model={model}" for model in self._models)]
        self.process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + self._patience
        while not self.ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"tritonserver ended with {self.process.returncode} before it was ready:\n{self.log()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"tritonserver was not ready within {self._patience} s:\n{self.log()}")
            time.sleep(0.02)

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.http}/v2/health/ready", timeout=5) as response:
                return response.status == 200
        except (OSError, urllib.error.HTTPError):
            return False

    def freeze(self):
        """Stop it where it stands: its connections stay, and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def wake(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        """End it and its models at once, as a crash does."""
        self.process.kill()
        self.process.wait()
        for place in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it is ending by itself
                if self._shared_memory.encode() in (place / "cmdline").read_bytes():
                    os.kill(int(place.name), signal.SIGKILL)
        for left in pathlib.Path("/dev/shm").glob(self._shared_memory + "*"):
            left.unlink(missing_ok=True)

    def close(self):
        """End it for good; how a Triton ends is not what we test, so it is not asked."""
        if hasattr(self, "process"):
            self.kill()
        for port in self._ports:
            port.close()
        self._log.close()
        self._folder.cleanup()

    def log(self):
        self._log.flush()
        return pathlib.Path(self._log.name).read_text(errors="replace")


def reserve():
    """A socket that is bound to a free port which a sharing server can listen on."""
    port = socket.socket()
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    port.bind(("127.0.0.1", 0))
    return port


class Servers:
    """A Triton and a Sluice that serves what the Triton has, for the tests of a module."""

    def __init__(self, *models):
        self.triton = Triton(*models)
        unittest.addModuleCleanup(self.triton.close)
        self.sluice = sluice.Sluice(arguments=("--backend", f"triton={self.triton.grpc}"))
        unittest.addModuleCleanup(self.sluice.stop)


def both(case):
    """A class decorator: the methods of case become two classes of tests, whose
    attribute front is "triton" or "sluice"."""
    module = sys.modules[case.__module__]
    for front in ("triton", "sluice"):
        name = f"{case.__name__}{front.title()}"
        base = unittest.IsolatedAsyncioTestCase if hasattr(case, "asyncSetUp") else unittest.TestCase
        setattr(module, name, type(name, (case, base), {"front": front, "__module__": case.__module__}))
    return case
