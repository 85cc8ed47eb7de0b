"""Start TensorFlow behind TensorFlow Serving's own services, on free ports.

It is not the real tensorflow_model_server, which no registry of packages has: see bench/parts/tfserving/server.py.
"""

import pathlib
import shutil
import subprocess
import tempfile
import time

import sluice
import triton

PYTHON = sluice.CACHE / "venv" / "tfserving" / "bin" / "python"
PROGRAM = sluice.ROOT / "bench" / "parts" / "tfserving" / "server.py"


class TFServing:
    """One server, ready when the constructor returns. It may be asked by tests of any environment.

    Attribute grpc is its address, as host:port, which stays its own over kill() and start(). folder has its models as
    MODEL/VERSION/; what comes and goes there does so at the server. labels are {"MODEL:LABEL": VERSION}.
    """

    def __init__(self, labels=None, content=False, patience=180):
        self._labels, self._content, self._patience = labels or {}, content, patience
        self._temporary = tempfile.TemporaryDirectory(prefix="tfserving-")
        home = pathlib.Path(self._temporary.name)
        self.folder, self._aside, self._ready = home / "models", home / "aside", home / "ready"
        self._log = open(home / "log", "w+b")
        self._port = triton.reserve()
        self.grpc = "127.0.0.1:%d" % self._port.getsockname()[1]
        try:
            subprocess.run([PYTHON, PROGRAM.with_name("models.py"), self.folder], check=True, stdout=self._log, stderr=self._log)
            self.start()
        except BaseException as e:
            log = self.log()
            self.close()
            raise RuntimeError(f"TensorFlow did not start: {e}\n{log}") from e

    def start(self):
        """Start it, the first time or again, and wait until its models are loaded."""
        self._ready.unlink(missing_ok=True)
        command = ["setpriv", "--pdeathsig", "KILL", PYTHON, PROGRAM, "--folder", self.folder, "--address", self.grpc, "--ready-file", self._ready]
        command += [f"--label={name}={version}" for name, version in self._labels.items()]
        if self._content:
            command.append("--content")
        self.process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + self._patience
        while not self._ready.exists():
            if self.process.poll() is not None:
                raise RuntimeError(f"it ended with {self.process.returncode}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"it was not ready within {self._patience} s")
            time.sleep(0.02)

    def remove(self, model, version):
        """Take a version away, until restore()."""
        self._aside.mkdir(exist_ok=True)
        shutil.move(self.folder / model / str(version), self._aside / f"{model}-{version}")

    def restore(self, model, version):
        (self._aside / f"{model}-{version}").rename(self.folder / model / str(version))

    def kill(self):
        """End it at once, as a crash does."""
        self.process.kill()
        self.process.wait()

    def close(self):
        if hasattr(self, "process"):
            self.kill()
        self._port.close()
        self._log.close()
        self._temporary.cleanup()

    def log(self):
        self._log.flush()
        return pathlib.Path(self._log.name).read_text(errors="replace")
