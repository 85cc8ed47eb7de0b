"""Plain gRPC and plain HTTP/2: a grpcio channel, generated messages and curl, on both data ports, with and without TLS."""

import http.client
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest
import urllib.request

import grpc
import numpy
import tritonclient.grpc as triton
import tritonclient.http
from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

import repository
import sluice

SAMPLE = json.loads((sluice.DIGITS / "sample.json").read_text())["inputs"][0]["data"]
SERVING, NOT_SERVING = 1, 2
server = None


def setUpModule():
    global server
    server = repository.serve()


def fields(message):
    """The fields of a message whose type is not at hand, by number."""
    found = {}
    for field in UnknownFieldSet(Empty.FromString(message)):
        found.setdefault(field.field_number, []).append(field.data)
    return found


def digit(**typed):
    """A request for the label of the sample image."""
    request = pb.ModelInferRequest(model_name="digits", id="plain", outputs=[{"name": "label"}])
    tensor = request.inputs.add(name="image", datatype="FP32", shape=[1, 64])
    if typed:
        tensor.contents.CopyFrom(pb.InferTensorContents(**typed))
    else:
        request.raw_input_contents.append(numpy.array(SAMPLE, numpy.float32).tobytes())
    return request


class Channel(unittest.TestCase):
    def setUp(self):
        self.channel = grpc.insecure_channel(server.grpc)
        self.addCleanup(self.channel.close)
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)

    def unary(self, path, message=b""):
        """What a method answers, as bytes: for services without stubs here."""
        return self.channel.unary_unary(path)(message, timeout=30)

    def refusal(self, call):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        return caught.exception


class TestMessages(Channel):
    def test_raw_contents(self):
        answer = self.stub.ModelInfer(digit())
        self.assertEqual((answer.model_name, answer.model_version, answer.id), ("digits", "2", "plain"))
        self.assertEqual([(o.name, o.datatype, list(o.shape)) for o in answer.outputs], [("label", "INT64", [1])])
        self.assertEqual(numpy.frombuffer(answer.raw_output_contents[0], numpy.int64).tolist(), [0])

    def test_typed_contents(self):
        self.assertEqual(self.stub.ModelInfer(digit(fp32_contents=SAMPLE)).raw_output_contents, self.stub.ModelInfer(digit()).raw_output_contents)

    def test_typed_contents_of_every_type(self):
        request = pb.ModelInferRequest(model_name="types")
        cells = {
            "BOOL": ("bool_contents", [True, False]), "FP32": ("fp32_contents", [0.5, -1]), "FP64": ("fp64_contents", [0.1, 5e-324]),
            "BYTES": ("bytes_contents", [b"one", b"\xff"]),
            "INT8": ("int_contents", [-128, 127]), "INT16": ("int_contents", [-32768, 32767]), "INT32": ("int_contents", [-2**31, 2**31 - 1]),
            "INT64": ("int64_contents", [-2**63, 2**63 - 1]), "UINT8": ("uint_contents", [0, 255]), "UINT16": ("uint_contents", [0, 65535]),
            "UINT32": ("uint_contents", [0, 2**32 - 1]), "UINT64": ("uint64_contents", [0, 2**64 - 1]),
        }
        for dtype in repository.DTYPES:
            tensor = request.inputs.add(name="IN_" + dtype, datatype=dtype, shape=[1, 2])
            if dtype in cells:
                field, values = cells[dtype]
                getattr(tensor.contents, field).extend(values)
        # FP16 and BF16 have no field for contents, and contents of both kinds do not mix.
        error = self.refusal(lambda: self.stub.ModelInfer(request))
        self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("IN_FP16", error.details())

    def test_headers_of_an_answer(self):
        answer, call = self.stub.ModelInfer.with_call(digit(), metadata=(("x-request-id", "order-17"),))
        head = dict(call.initial_metadata())
        self.assertEqual((head["x-request-id"], head["sluice-version"]), ("order-17", answer.model_version))
        self.assertRegex(head["server-timing"], r"^queue;dur=[\d.]+, compute;dur=[\d.]+, gateway;dur=[\d.]+$")
        self.assertEqual(call.code(), grpc.StatusCode.OK)

    def test_details_of_a_refusal(self):
        for name, request, code, reason, retry in (
            ("unknown model", pb.ModelInferRequest(model_name="nowhere"), grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL", False),
            ("unknown version", pb.ModelInferRequest(model_name="digits", model_version="9"), grpc.StatusCode.NOT_FOUND, "UNKNOWN_VERSION", False),
            ("no input", pb.ModelInferRequest(model_name="digits"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID", False),
            ("not ready", pb.ModelInferRequest(model_name="broken"), grpc.StatusCode.UNAVAILABLE, "NOT_READY", True),
        ):
            with self.subTest(name=name):
                error = self.refusal(lambda: self.stub.ModelInfer(request, metadata=(("x-request-id", "order-18"),)))
                self.assertEqual(error.code(), code)
                trailers = {k: v for k, v in (*error.initial_metadata(), *error.trailing_metadata())}
                self.assertEqual(trailers["x-request-id"], "order-18")
                status = fields(trailers["grpc-status-details-bin"])
                self.assertEqual((status[1], status[2]), ([code.value[0]], [error.details().encode()]))
                details = {fields(a)[1][0].decode().rsplit("/", 1)[1]: fields(fields(a)[2][0]) for a in status[3]}
                self.assertEqual(details["google.rpc.ErrorInfo"], {1: [reason.encode()], 2: [b"sluice"]})
                self.assertEqual("google.rpc.RetryInfo" in details, retry)

    def test_unknown_methods(self):
        for path in ("/inference.GRPCInferenceService/Nothing", "/nothing.Service/Method", "/nothing"):
            with self.subTest(path=path):
                self.assertEqual(self.refusal(lambda: self.unary(path)).code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_limits(self):
        for name, call, words in (
            ("message", lambda: self.stub.ModelInfer(pb.ModelInferRequest(model_name="text", raw_input_contents=[bytes(65 << 20)])), "the message is larger"),
            ("metadata", lambda: self.stub.ModelInfer(digit(), metadata=(("x-long", "x" * 20_000),)), "the metadata is too large"),
        ):
            with self.subTest(name=name):
                error = self.refusal(call)
                self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
                self.assertIn(words, error.details())
                self.assertEqual(self.stub.ModelInfer(digit()).model_version, "2")

    def test_not_one_message(self):
        for count in (0, 2):
            with self.subTest(count=count):
                send = self.channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
                error = self.refusal(lambda: send(iter([digit().SerializeToString()] * count), timeout=30))
                self.assertIn("message", error.details())

    def test_nonsense(self):
        for method in ("ModelInfer", "ModelMetadata", "ServerReady"):
            with self.subTest(method=method):
                error = self.refusal(lambda: self.unary(f"/inference.GRPCInferenceService/{method}", b"\xff\xff\xff"))
                self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)

    def test_health(self):
        def check(name):
            return fields(self.unary("/grpc.health.v1.Health/Check", bytes([0x0A, len(name)]) + name.encode()))

        self.assertEqual(fields(self.unary("/grpc.health.v1.Health/Check")), {1: [SERVING]})
        for name, want in (("", SERVING), ("inference.GRPCInferenceService", SERVING), ("digits", SERVING), ("broken", NOT_SERVING)):
            with self.subTest(name=name):
                self.assertEqual(check(name), {1: [want]})
        self.assertEqual(self.refusal(lambda: check("nowhere")).code(), grpc.StatusCode.NOT_FOUND)

    def test_a_client_with_many_channels(self):
        options = (("grpc.use_local_subchannel_pool", 1),)
        channels = [grpc.insecure_channel(server.grpc, options) for _ in range(20)]
        waiting = [service_pb2_grpc.GRPCInferenceServiceStub(c).ModelInfer.future(digit()) for c in channels for _ in range(5)]
        self.assertEqual({w.result(timeout=30).model_version for w in waiting}, {"2"})
        for channel in channels:
            channel.close()


class Curl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        tool = shutil.which("curl")
        if tool is None or "HTTP2" not in subprocess.run([tool, "--version"], capture_output=True, text=True).stdout:
            raise unittest.SkipTest("this curl has no HTTP/2")

    def curl(self, *arguments):
        """The status line, the headers and the body of an answer."""
        done = subprocess.run(["curl", "--silent", "--show-error", "--include", "--max-time", "30", *map(str, arguments)],
                              capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        return status.strip(), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body


class TestHTTP2(Curl):
    def test_inference(self):
        for port in (server.http, server.grpc):
            with self.subTest(port=port):
                status, head, body = self.curl("--http2-prior-knowledge", f"http://{port}/v2/models/digits/infer",
                                               "--header", "x-request-id: order-17", "--data", f"@{sluice.DIGITS / 'sample.json'}")
                self.assertEqual((status, head["x-request-id"], head["sluice-version"]), ("HTTP/2 200", "order-17", "2"))
                self.assertEqual(head["content-type"], "application/json")
                self.assertEqual(json.loads(body)["outputs"][0]["data"], [0])

    def test_binary(self):
        made = tritonclient.http.InferInput("image", [64, 64], "FP32")
        made.set_data_from_numpy(numpy.tile(numpy.array(SAMPLE, numpy.float32), (64, 1)))
        request, length = tritonclient.http.InferenceServerClient.generate_request_body([made])
        with tempfile.NamedTemporaryFile() as file:
            file.write(request)
            file.flush()
            status, head, body = self.curl(
                "--http2-prior-knowledge", f"http://{server.http}/v2/models/digits/versions/2/infer", "--data-binary", f"@{file.name}",
                "--header", f"inference-header-content-length: {length}", "--header", "content-type: application/octet-stream")
        self.assertEqual(status, "HTTP/2 200")
        rest = body[int(head["inference-header-content-length"]):]
        self.assertEqual(numpy.frombuffer(rest[:64 * 8], numpy.int64).tolist(), [0] * 64)

    def test_a_body_larger_than_the_windows(self):
        text = "x" * (4 << 20)
        with tempfile.NamedTemporaryFile("w") as file:
            json.dump({"inputs": [{"name": "INPUT0", "datatype": "BYTES", "shape": [1, 1], "data": [text]}]}, file)
            file.flush()
            status, _, body = self.curl("--http2-prior-knowledge", f"http://{server.http}/v2/models/text/infer", "--data-binary", f"@{file.name}")
        self.assertEqual((status, json.loads(body)["outputs"][0]["data"]), ("HTTP/2 200", [text]))

    def test_health_and_refusals(self):
        for method, path, want in (
            ("GET", "/v2/health/ready", 200), ("GET", "/v2/models/digits", 200), ("GET", "/v2/models/nowhere", 404),
            ("GET", "/v2/models/digits/infer", 405), ("GET", "/nothing", 404), ("POST", "/v2/models/digits/infer", 400),
        ):
            with self.subTest(path=path):
                status, _, body = self.curl("--http2-prior-knowledge", "--request", method, f"http://{server.http}{path}")
                self.assertEqual(status, f"HTTP/2 {want}")
                if want >= 400:
                    self.assertIn("code", json.loads(body))

    def test_compression(self):
        image = {"name": "image", "datatype": "FP32", "shape": [20, 64], "data": SAMPLE * 20}
        with tempfile.NamedTemporaryFile("w") as file:
            json.dump({"inputs": [image]}, file)
            file.flush()
            packed = subprocess.run(["gzip", "--stdout", file.name], check=True, capture_output=True).stdout
        with tempfile.NamedTemporaryFile() as file:
            file.write(packed)
            file.flush()
            status, head, body = self.curl("--http2-prior-knowledge", "--compressed", f"http://{server.http}/v2/models/digits/infer",
                                           "--header", "content-encoding: gzip", "--data-binary", f"@{file.name}")
        self.assertEqual((status, head.get("content-encoding")), ("HTTP/2 200", "gzip"))
        self.assertEqual(json.loads(body)["outputs"][0]["data"], [0] * 20)


class TestBothPorts(unittest.TestCase):
    def test_each_speaks_all(self):
        for port in (server.http, server.grpc):
            with self.subTest(port=port):
                with triton.InferenceServerClient(port) as client:
                    self.assertTrue(client.is_model_ready("digits"))
                with tritonclient.http.InferenceServerClient(port) as client:
                    self.assertTrue(client.is_model_ready("digits"))

    def test_one_port_where_one_is_asked_for(self):
        for name in ("http", "grpc"):
            with self.subTest(name=name):
                one = sluice.Sluice(sluice.DIGITS / "models", listeners=(name, "metrics", "admin"))
                self.addCleanup(one.kill)
                port = getattr(one, name)
                self.assertIsNone(one.grpc if name == "http" else one.http)
                with triton.InferenceServerClient(port) as client:
                    self.assertTrue(client.is_server_ready())
                with tritonclient.http.InferenceServerClient(port) as client:
                    self.assertTrue(client.is_server_ready())
                one.stop()

    def test_metrics_tell_the_protocols_apart(self):
        def requests():
            with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as response:
                lines = re.findall(r'^sluice_requests_total\{.*protocol="(\w+)".*\} (\d+)$', response.read().decode(), re.MULTILINE)
            return {p: sum(int(n) for q, n in lines if q == p) for p in ("http", "grpc")}

        before = requests()
        with grpc.insecure_channel(server.grpc) as channel:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(digit())
        after = requests()
        self.assertEqual((after["grpc"] - before["grpc"], after["http"] - before["http"]), (1, 0))


class TestTLS(Curl):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory(prefix="sluice-tls-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", cls.folder / "key.pem", "-out", cls.folder / "cert.pem"], check=True, capture_output=True)
        tls = "tls: {cert: cert.pem, key: key.pem}"
        (cls.folder / "sluice.yaml").write_text(f"""\
version: 1
listen:
  http: {{address: "127.0.0.1:0", {tls}}}
  grpc: {{address: "127.0.0.1:0", {tls}}}
pools:
  - {{name: local, kind: onnx, repository: "{sluice.DIGITS / "models"}", discover: true}}
""")
        cls.server = sluice.Sluice(arguments=["-c", str(cls.folder / "sluice.yaml")], listeners=("metrics", "admin"))
        cls.addClassCleanup(cls.server.stop)

    def test_alpn_chooses_the_protocol(self):
        for flag, want in (("--http2", "HTTP/2 200"), ("--http1.1", "HTTP/1.1 200 OK")):
            for port in (self.server.http, self.server.grpc):
                with self.subTest(flag=flag, port=port):
                    status, _, body = self.curl(flag, "--cacert", self.folder / "cert.pem", f"https://{port}/v2/models/digits/infer",
                                                "--data", f"@{sluice.DIGITS / 'sample.json'}")
                    self.assertEqual((status, json.loads(body)["outputs"][0]["data"]), (want, [0]))

    def test_many_at_once_on_one_connection(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(["curl", "--silent", "--show-error", "--fail", "--http2", "--cacert", self.folder / "cert.pem", "--parallel",
                                   "--parallel-max", "50", "--max-time", "30", "--data", f"@{sluice.DIGITS / 'sample.json'}",
                                   "--output", f"{folder}/#1", f"https://{self.server.http}/v2/models/digits/infer?[1-200]"],
                                  capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            answers = [json.loads(file.read_bytes())["outputs"][0]["data"] for file in pathlib.Path(folder).iterdir()]
        self.assertEqual(answers, [[0]] * 200)

    def test_grpc(self):
        for port in (self.server.http, self.server.grpc):
            with self.subTest(port=port), triton.InferenceServerClient(
                    port, ssl=True, root_certificates=str(self.folder / "cert.pem")) as client:
                made = triton.InferInput("image", [1, 64], "FP32")
                made.set_data_from_numpy(numpy.array([SAMPLE], numpy.float32))
                self.assertEqual(client.infer("digits", [made]).as_numpy("label").tolist(), [0])

    def test_plain_text_is_refused(self):
        host, port = self.server.grpc.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        self.addCleanup(connection.close)
        connection.request("GET", "/v2/health/live")
        answer = connection.getresponse()
        self.assertEqual(answer.status, 400)
        self.assertIn("plain HTTP was sent to a port that speaks TLS", json.loads(answer.read())["error"])
        self.assertEqual(answer.getheader("connection"), "close")


if __name__ == "__main__":
    unittest.main()
