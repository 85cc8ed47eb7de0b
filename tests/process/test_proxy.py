"""Sluice behind a real HAProxy that passes bytes on and says whose they are."""

import json
import pathlib
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.request

import numpy
import tritonclient.grpc

import sluice

HAPROXY = sluice.CACHE / "proxies" / "bin" / "haproxy"
BODY = (sluice.DIGITS / "sample.json").read_bytes()

SLUICE = """\
version: 1
listen:
  http: {{address: "{http}", proxy_protocol: true}}
  grpc: {{address: "{grpc}", proxy_protocol: true}}
pools:
  - {{name: local, kind: onnx, repository: {models}, discover: true}}
telemetry: {{access_log: {{sample: 100%}}}}
"""

BALANCER = """\
global
  no strict-limits
  nbthread 1
defaults
  mode tcp
  timeout client 30s
  timeout server 30s
  timeout connect 5s
listen one
  bind {one}
  server sluice {http} send-proxy check check-send-proxy inter 100ms
listen two
  bind {two}
  server sluice {grpc} send-proxy-v2 proxy-v2-options unique-id,crc32c check check-send-proxy inter 100ms
  unique-id-format %[uuid()]
"""


def free():
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % port.getsockname()[1]


@unittest.skipUnless(HAPROXY.exists(), "HAProxy is not there: bench/parts/proxies.sh fetches it")
class BehindHAProxy(unittest.TestCase):
    def test_clients_are_known(self):
        folder = tempfile.TemporaryDirectory(prefix="sluice-proxy-")
        self.addCleanup(folder.cleanup)
        ports = {name: free() for name in ("http", "grpc", "one", "two")}
        file = pathlib.Path(folder.name)
        (file / "sluice.yaml").write_text(SLUICE.format(**ports, models=sluice.DIGITS / "models"))
        (file / "haproxy.cfg").write_text(BALANCER.format(**ports))
        server = sluice.Sluice(arguments=["-c", str(file / "sluice.yaml")], listeners=("metrics", "admin"))
        self.addCleanup(server.kill)
        balancer = subprocess.Popen([HAPROXY, "-db", "-f", file / "haproxy.cfg"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(balancer.wait)
        self.addCleanup(balancer.kill)

        clients = [self.over_http(ports["one"]), self.over_http(ports["two"]), self.over_grpc(ports["two"])]
        remotes = [json.loads(line).get("remote") for line in server.log().splitlines() if '"remote"' in line]
        for client in clients:
            self.assertIn(client, remotes)
        time.sleep(0.5)  # for some checks of the balancer's, which say that they are for itself
        with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as response:
            metrics = response.read().decode()
        self.assertNotIn("proxy", metrics, "a header was refused")

    def over_http(self, address):
        """Ask once over HTTP/1.1; the address that the balancer saw."""
        host, port = address.split(":")
        deadline = time.monotonic() + 20
        while True:
            try:
                with socket.create_connection((host, int(port)), timeout=10) as connection:
                    connection.sendall(b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                                       b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY))
                    answer = b"".join(iter(lambda: connection.recv(65536), b""))
                    if answer.startswith(b"HTTP/1.1 200 "):
                        return "%s:%d" % connection.getsockname()
            except OSError:
                answer = b"no connection"
            self.assertLess(time.monotonic(), deadline, answer)
            time.sleep(0.05)

    def over_grpc(self, address):
        """Ask over gRPC, through a pipe of ours that says from which port it asks."""
        with Pipe(address) as pipe, tritonclient.grpc.InferenceServerClient(pipe.address) as client:
            image = tritonclient.grpc.InferInput("image", [1, 64], "FP32")
            image.set_data_from_numpy(numpy.zeros((1, 64), numpy.float32))
            self.assertEqual(client.infer("digits", [image]).as_numpy("label").shape, (1,))
            return pipe.source


class Pipe:
    """Passes one connection on, and knows its own address there."""

    def __init__(self, target):
        self.target, self.source = target, None

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(20)
        self.listener.close()

    def run(self):
        client, _ = self.listener.accept()
        host, port = self.target.split(":")
        server = socket.create_connection((host, int(port)))
        self.source = "%s:%d" % server.getsockname()

        def copy(source, target):
            try:
                while data := source.recv(65536):
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        back = threading.Thread(target=copy, args=(server, client))
        back.start()
        copy(client, server)
        server.close()
        back.join()
        client.close()


if __name__ == "__main__":
    unittest.main()
