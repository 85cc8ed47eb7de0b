"""A drain while a real Triton's decoupled model goes on for ever: streams are told why they end."""

import http.client
import json
import pathlib
import signal
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


if __name__ == "__main__":
    unittest.main()
