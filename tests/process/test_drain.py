"""A real Triton's decoupled model that has more to say: to streams that a drain ends, and to readers who leave."""

import http.client
import json
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import grpc
import numpy
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

import sluice
import triton

GRACE = 3
BODY = json.dumps({"count": 10**6, "delay": 0.02})


def request():
    made = pb.ModelInferRequest(model_name="repeat", id="endless")
    for name, dtype, value in (("count", "INT32", numpy.int32(10**6)), ("delay", "FP32", numpy.float32(0.02))):
        made.inputs.add(name=name, datatype=dtype, shape=[1])
        made.raw_input_contents.append(value.tobytes())
    return made


class EndlessStreams(unittest.TestCase):
    def test_they_are_told(self):
        server = triton.Triton("repeat")
        self.addCleanup(server.close)
        with tempfile.TemporaryDirectory(prefix="sluice-drain-") as folder:
            file = pathlib.Path(folder) / "sluice.yaml"
            file.write_text(f"""\
version: 1
pools: [{{name: far, kind: triton, discover: true, endpoints: [{{address: "{server.grpc}"}}]}}]
drain: {{delay: 0s, grace: {GRACE}s}}
""")
            gateway = sluice.Sluice(arguments=["-c", str(file)])
        self.addCleanup(gateway.kill)

        events = http.client.HTTPConnection(gateway.http, timeout=20)
        self.addCleanup(events.close)
        events.request("POST", "/v2/models/repeat/generate_stream", BODY)
        over_http1 = events.getresponse()
        over_http1.readline()
        over_http2 = subprocess.Popen(
            ["curl", "-sN", "--http2-prior-knowledge", "-d", BODY, f"http://{gateway.http}/v2/models/repeat/generate_stream"],
            stdout=subprocess.PIPE)
        self.addCleanup(over_http2.stdout.close)
        over_http2.stdout.readline()
        channel = grpc.insecure_channel(gateway.grpc)
        self.addCleanup(channel.close)
        done = threading.Event()

        def ask():
            yield request()
            done.wait(30)

        stream = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(ask())
        next(stream)

        begun = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        last = {"HTTP/1.1": over_http1.read(), "HTTP/2": over_http2.stdout.read()}
        self.assertEqual(over_http2.wait(10), 0)
        for transport, text in last.items():
            with self.subTest(transport):
                *before, end, nothing = text.decode().split("\n\n")
                self.assertEqual((json.loads(end.removeprefix("data: ")), nothing), ({"error": "the server is shutting down"}, ""))
                self.assertGreater(len(before), 20)
                self.assertNotIn("error", "".join(before))
        with self.subTest("gRPC"), self.assertRaises(grpc.RpcError) as ended:
            for _ in stream:
                pass
        self.assertEqual((ended.exception.code(), ended.exception.details()), (grpc.StatusCode.UNAVAILABLE, "the server is shutting down"))
        done.set()
        self.assertEqual(gateway.process.wait(10), 0, gateway.log())
        took = time.monotonic() - begun
        self.assertGreater(took, GRACE * 0.8)
        self.assertLess(took, GRACE + 1)
        alive = http.client.HTTPConnection(server.http, timeout=10)
        self.addCleanup(alive.close)
        alive.request("GET", "/v2/health/live")
        self.assertEqual(alive.getresponse().status, 200)


class SlowReaders(unittest.TestCase):
    """Readers of large events who leave all at once: the server must not be told while it writes."""

    def test_they_leave(self):
        server = triton.Triton("repeat")
        self.addCleanup(server.close)
        gateway = sluice.Sluice(arguments=["--backend", f"triton={server.grpc}"])
        self.addCleanup(gateway.kill)
        body = json.dumps({"count": 1000, "size": 1 << 16})
        host, port = gateway.http.split(":")
        for _ in range(2):
            readers = []
            for _ in range(60):
                reader = socket.socket()
                self.addCleanup(reader.close)
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
                reader.settimeout(20)
                reader.connect((host, int(port)))
                reader.sendall(f"POST /v2/models/repeat/generate_stream HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
                readers.append(reader)
            for reader in readers:
                self.assertIn(b"200 OK", reader.recv(1000))
            for reader in readers:
                reader.close()
            time.sleep(1.5)  # it is told now, if it is
            self.assertIsNone(server.process.poll(), "the server has ended")


if __name__ == "__main__":
    unittest.main()
