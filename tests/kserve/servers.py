"""Start MLServer and model servers of KServe's SDK on free ports."""

import os
import pathlib
import socket
import subprocess
import tempfile
import time
import unittest

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

import sluice

HERE = pathlib.Path(__file__).resolve().parent
VENVS = sluice.CACHE / "venv"
PATIENCE = 120


class Server:
    """A model server, ready when the constructor returns. Attributes http and grpc are its addresses; it ends with the module's tests."""

    def __init__(self, command, http, port, **environment):
        self.http, self.grpc = f"127.0.0.1:{http}", f"127.0.0.1:{port}"
        self._log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], stdout=self._log, stderr=self._log, env={**os.environ, **environment})
        unittest.addModuleCleanup(self.close)
        with grpc.insecure_channel(self.grpc) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    if stub.ServerReady(pb.ServerReadyRequest(), timeout=1).ready:
                        return
                except grpc.RpcError:
                    pass
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{command[0]} is not ready:\n{self.log()}")
                time.sleep(0.1)

    def log(self):
        self._log.seek(0)
        return self._log.read().decode()

    def close(self):
        self.process.kill()
        self.process.wait()
        self._log.close()


def mlserver(models):
    """An MLServer with the models of a folder."""
    http, port = free(), free()
    # Its own command names the interpreter by the path at which it was installed, from where a checkout may have moved.
    return Server([VENVS / "mlserver/bin/python", "-m", "mlserver.cli.main", "start", models], http, port, PYTHONPATH=str(models),
                  MLSERVER_HTTP_PORT=str(http), MLSERVER_GRPC_PORT=str(port), MLSERVER_GRPC_MAX_MESSAGE_LENGTH="-1")


def sdk(script, *arguments):
    """The SDK's server that a script makes."""
    http, port = free(), free()
    return Server([VENVS / "kserve/bin/python", script, str(http), str(port), *arguments], http, port)


def free():
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        return port.getsockname()[1]
