"""Two Tritons under load, one of which is killed, frozen or loses a model: who notices, and for how long.

Callers send tagged requests over HTTP, gRPC and streams, merged and not; each
answer must be the caller's own. A round here; SLUICE_TRITONS, a number of rounds,
prints the table of docs/guides/triton.md.
"""

import collections
import dataclasses
import http.client
import json
import os
import pathlib
import queue
import re
import statistics
import struct
import tempfile
import threading
import time
import unittest
import urllib.request

import grpc
import numpy
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

import sluice
import triton
from test_process import metric, until

ROUNDS = int(os.environ.get("SLUICE_TRITONS", 1))

INTERVAL, TIMEOUT, HEALTHY_AFTER, UNHEALTHY_AFTER = 0.2, 0.5, 2, 3
DEADLINE = 1.5  # of each request
REST = 0.003  # of a caller between two requests
# How long so many looks may take. Each may have just begun, and the machine may have others to serve.
SLACK = 1.5
BACK = HEALTHY_AFTER * (1.2 * INTERVAL + TIMEOUT) + SLACK
OUT = UNHEALTHY_AFTER * (1.2 * INTERVAL + TIMEOUT) + SLACK

CONFIGURATION = """\
version: 1
pools:
  - name: tritons
    kind: triton
    endpoints: [{{address: "{0}"}}, {{address: "{1}"}}]
    health: {{interval: 200ms, timeout: 500ms, healthy_after: 2, unhealthy_after: 3}}
    discover: true
drain: {{delay: 0s, grace: 5s}}
"""


def identity(tag):
    """A request that goes by itself: its server answers with what it is given."""
    made = pb.ModelInferRequest(model_name="identity", id=str(tag), raw_input_contents=[struct.pack("<2q", tag, ~tag)])
    made.inputs.add(name="IN_INT64", datatype="INT64", shape=[1, 2])
    made.parameters["timeout"].int64_param = int(DEADLINE * 1e6)
    return made


def check_identity(answer, tag):
    if answer.id != str(tag) or list(answer.raw_output_contents) != [struct.pack("<2q", tag, ~tag)]:
        raise AssertionError(f"not the answer to {tag}: {answer}")


class Caller(threading.Thread):
    """Sends one request after the other; what became of them is in log."""

    def __init__(self, load, number, server):
        super().__init__(daemon=True)
        self.load, self.number, self.count, self.server = load, number, 0, server

    def run(self):
        with self:
            while not self.load.stop.is_set():
                if self.load.paused(self):
                    time.sleep(0.01)
                    continue
                self.count += 1
                tag = self.number << 16 | self.count & 0xffff  # exact as FP32
                begun = time.monotonic()
                try:
                    code = self.call(tag) or "OK"
                except AssertionError as error:
                    code = f"wrong: {error}"
                self.load.took(Call(self.kind, code, begun, time.monotonic()))
                time.sleep(REST)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class OverGRPC(Caller):
    def __enter__(self):
        self.channel = grpc.insecure_channel(self.server.grpc, (("grpc.use_local_subchannel_pool", 1),))
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)
        return self

    def __exit__(self, *_):
        self.channel.close()


class Single(OverGRPC):
    kind = "gRPC"

    def call(self, tag):
        try:
            check_identity(self.stub.ModelInfer(identity(tag), timeout=DEADLINE), tag)
        except grpc.RpcError as error:
            return error.code().name
        return None


class Merged(OverGRPC):
    kind = "gRPC, merged"

    def call(self, tag):
        asked = pb.ModelInferRequest(model_name="optional", raw_input_contents=[struct.pack("<2f", tag, -tag)])
        asked.inputs.add(name="A", datatype="FP32", shape=[1, 2])
        try:
            answer = self.stub.ModelInfer(asked, timeout=DEADLINE)
        except grpc.RpcError as error:
            return error.code().name
        if list(answer.raw_output_contents) != list(asked.raw_input_contents):
            raise AssertionError(f"not the answer to {tag}: {answer}")
        return None


class Streamed(OverGRPC):
    """One stream for all requests, which is opened anew only if it ends."""

    kind = "stream"
    requests = None

    def call(self, tag):
        if self.requests is None:
            self.requests = queue.SimpleQueue()
            self.answers = self.stub.ModelStreamInfer(iter(self.requests.get, None))
        self.requests.put(identity(tag))
        try:
            answer = next(self.answers)
        except grpc.RpcError as error:
            self.requests = None
            return error.code().name
        if answer.error_message:
            return "DEADLINE_EXCEEDED" if "deadline" in answer.error_message.lower() else "UNAVAILABLE"
        check_identity(answer.infer_response, tag)
        return None

    def __exit__(self, *_):
        if self.requests is not None:
            self.requests.put(None)
        super().__exit__()


class Decoupled(OverGRPC):
    """A stream of many answers for each request."""

    kind = "decoupled"

    def call(self, tag):
        count = 5 + tag % 30
        asked = pb.ModelInferRequest(model_name="repeat", id=str(tag))
        for name, dtype, kind, value in (("count", "INT32", numpy.int32, count), ("delay", "FP32", numpy.float32, 0.002)):
            asked.inputs.add(name=name, datatype=dtype, shape=[1])
            asked.raw_input_contents.append(numpy.array([value], kind).tobytes())
        seen = 0
        try:
            for answer in self.stub.ModelStreamInfer(iter([asked]), timeout=2 * DEADLINE):
                if answer.error_message:
                    return "UNAVAILABLE"
                index, = struct.unpack("<i", answer.infer_response.raw_output_contents[0])
                if (answer.infer_response.id, index) != (str(tag), seen):
                    raise AssertionError(f"answer {index} of {answer.infer_response.id} in place of {seen} of {tag}")
                seen += 1
        except grpc.RpcError as error:
            return error.code().name
        if seen != count:
            raise AssertionError(f"{seen} answers in place of {count}, and the end")
        return None


class OverHTTP(Caller):
    kind = "HTTP"

    def __enter__(self):
        self.connection = http.client.HTTPConnection(self.server.http, timeout=20)
        return self

    def __exit__(self, *_):
        self.connection.close()

    def call(self, tag):
        """Odd tags go merged, as JSON; even ones alone, in binary."""
        headers = {"X-Request-Timeout-Ms": str(int(1000 * DEADLINE))}
        if tag % 2:
            path, want = "optional", [float(tag), float(-tag)]
            body = json.dumps({"inputs": [{"name": "A", "datatype": "FP32", "shape": [1, 2], "data": want}]}).encode()
        else:
            path, want = "identity", struct.pack("<2q", tag, ~tag)
            head = json.dumps({"inputs": [{"name": "IN_INT64", "datatype": "INT64", "shape": [1, 2], "parameters": {"binary_data_size": 16}}],
                               "parameters": {"binary_data_output": True}}).encode()
            body, headers["Inference-Header-Content-Length"] = head + want, str(len(head))
        self.connection.request("POST", f"/v2/models/{path}/infer", body, headers)
        response = self.connection.getresponse()
        payload = response.read()
        if response.status != 200:
            return json.loads(payload)["code"]
        got = payload[-16:] if path == "identity" else json.loads(payload)["outputs"][0]["data"]
        if got != want:
            raise AssertionError(f"not the answer to {tag}: {payload}")
        return None


@dataclasses.dataclass
class Call:
    kind: str
    code: str
    begun: float
    ended: float

    @property
    def late(self):
        return self.code in ("DEADLINE_EXCEEDED", "DEADLINE")


class Load:
    """Callers of all kinds."""

    def __init__(self, server):
        self.stop, self._lock, self._log = threading.Event(), threading.Lock(), []
        self.resting, self.busy = set(), collections.Counter()
        kinds = [Single, Single, Merged, Merged, Merged, Streamed, Streamed, Decoupled, Decoupled, OverHTTP, OverHTTP, OverHTTP, OverHTTP]
        self.callers = [kind(self, number + 1, server) for number, kind in enumerate(kinds)]
        for caller in self.callers:
            caller.start()

    def paused(self, caller):
        with self._lock:
            if caller.kind in self.resting:
                self.busy.pop(caller, None)
                return True
            self.busy[caller] = 1
            return False

    def pause(self, kind):
        """Returns when no caller of a kind has a request out."""
        with self._lock:
            self.resting.add(kind)
        until(lambda: not any(caller.kind == kind for caller in list(self.busy)), f"{kind} does not rest")

    def resume(self):
        with self._lock:
            self.resting.clear()

    def took(self, call):
        with self._lock:
            self._log.append(call)

    def since(self, begun):
        """The calls that have ended since."""
        with self._lock:
            return [call for call in self._log if call.ended >= begun]

    def serves(self, count=150):
        """Waits until so many more calls were answered, and every kind of them."""
        begun, kinds = time.monotonic(), {caller.kind for caller in self.callers} - self.resting

        def served():
            good = [call for call in self.since(begun) if call.code == "OK"]
            return len(good) >= count and {call.kind for call in good} == kinds

        until(served, "not enough is answered")

    def end(self):
        self.stop.set()
        for caller in self.callers:
            caller.join(30)


class TestTwoTritons(unittest.TestCase):
    def setUp(self):
        self.tritons = [triton.Triton("identity", "optional", "repeat") for _ in range(2)]
        for one in self.tritons:
            self.addCleanup(one.close)
        folder = tempfile.TemporaryDirectory(prefix="sluice-config-")
        self.addCleanup(folder.cleanup)
        file = pathlib.Path(folder.name) / "sluice.yaml"
        file.write_text(CONFIGURATION.format(*(one.grpc for one in self.tritons)))
        self.server = sluice.Sluice(arguments=("-c", str(file)))
        self.addCleanup(self.server.kill)
        self.load, self.seen = Load(self.server), collections.defaultdict(list)
        self.addCleanup(self.load.end)
        self.load.serves()

    # What Sluice says of a Triton.

    def of(self, one, name, **labels):
        """The sum of the samples of a metric of one endpoint."""
        with urllib.request.urlopen(f"http://{self.server.metrics}/metrics", timeout=10) as response:
            text = response.read().decode()
        total = 0.0
        for found, value in re.findall(rf"^sluice_{name}{{([^}}]*)}} (\S+)$", text, re.MULTILINE):
            have = dict(re.findall(r'(\w+)="([^"]*)"', found))
            if have["endpoint"] == one.grpc and all(have[key] == label for key, label in labels.items()):
                total += float(value)
        return total

    def healthy(self, one):
        return self.of(one, "endpoint_healthy") == 1

    def has(self, one, model):
        """Whether Sluice says that the model is ready there."""
        with urllib.request.urlopen(f"http://{self.server.admin}/v1/pools/tritons", timeout=10) as response:
            view = json.load(response)
        endpoint = next(e for e in view["endpoints"] if e["name"] == one.grpc)
        return [m["state"] for m in endpoint.get("models", ()) if m["name"] == model] == ["ready"]

    def within(self, limit, condition, what):
        """Waits for something and returns how long it took."""
        begun = time.monotonic()
        until(condition, what, limit)
        return time.monotonic() - begun

    def failed(self, begun, codes):
        """The calls that failed since. Nothing else may have gone wrong, nothing may be wrong, and nobody may have waited longer than his deadline."""
        calls = self.load.since(begun)
        bad = [call for call in calls if call.code != "OK"]
        other = collections.Counter((call.kind, call.code) for call in bad if call.code not in codes)
        self.assertEqual(other, {}, f"of {len(calls)} calls; Sluice says:\n{self.server.log()[-5000:]}")
        self.assertEqual([call for call in calls if call.ended - call.begun > 2 * DEADLINE + SLACK], [])
        return bad

    def goes_on(self, after):
        """No call fails that has begun since."""
        bad = [call for call in self.load.since(after) if call.begun >= after and call.code != "OK"]
        self.assertEqual(bad, [], "calls go on failing")

    def tell(self, what, begun, bad, seconds, refused=0):
        self.seen[what].append((len(self.load.since(begun)), bad, seconds, refused))

    def table(self):
        """What was seen, over all rounds."""
        yield "| what happens to one | calls | failed | of kinds | turned away, and answered by the other | seen after, s: median, most |"
        yield "|---|---|---|---|---|---|"
        for what, rounds in self.seen.items():
            calls, bad, seconds, refused = zip(*rounds)
            kinds = collections.Counter(call.kind for one in bad for call in one)
            yield (f"| {what} | {sum(calls)} | {sum(map(len, bad))}, at most {max(map(len, bad))} at once | "
                   f"{', '.join(f'{count} {kind}' for kind, count in kinds.most_common()) or '-'} | {sum(refused):.0f} | "
                   f"{statistics.median(seconds):.1f}, {max(seconds):.1f} |")

    def test_rounds(self):
        for number in range(ROUNDS):
            one = self.tritons[number % 2]
            with self.subTest(round=number):
                self.kill(one)
                self.freeze(one)
                self.unload(one, "identity")
                self.unload(one, "optional")
        self.load.end()
        self.failed(0, ("UNAVAILABLE", "BACKEND_LOST", "DEADLINE", "DEADLINE_EXCEEDED"))
        until(lambda: metric(self.server, "sluice_in_flight_requests") == 0, "calls are still in flight")
        self.assertEqual(metric(self.server, "sluice_inflight_bytes"), 0)
        self.server.stop()
        if ROUNDS > 1:
            print("\n".join(self.table()))

    def kill(self, one):
        begun = time.monotonic()
        one.kill()
        out = self.within(OUT, lambda: not self.healthy(one), "it is not noticed")
        self.load.serves()
        bad = self.failed(begun, ("UNAVAILABLE", "BACKEND_LOST"))
        self.assertLessEqual(len(bad), len(self.load.callers), "more calls failed than were with it")
        after = time.monotonic()
        self.load.serves()
        self.goes_on(after)
        self.tell("killed, SIGKILL", begun, bad, out)
        begun = time.monotonic()
        one.start()
        back = self.within(BACK, lambda: self.healthy(one), "it is not taken back")
        self.uses(one)
        self.tell("started again, from when it is ready", begun, self.failed(begun, ()), back)

    def freeze(self, one):
        self.load.pause("decoupled")  # a Triton 2.51 may end when it finds streams cancelled that it has answers for
        begun = time.monotonic()
        one.freeze()
        out = self.within(OUT, lambda: not self.healthy(one), "it is not noticed")
        until(lambda: self.of(one, "endpoint_in_flight") == 0, "calls stay with it beyond their deadlines", DEADLINE + SLACK)
        after, sent = time.monotonic(), self.of(one, "upstream_requests_total")
        self.load.serves()
        self.assertEqual((self.of(one, "upstream_requests_total"), self.of(one, "endpoint_in_flight")), (sent, 0), "it gets calls")
        self.goes_on(after)
        bad = self.failed(begun, ("DEADLINE", "DEADLINE_EXCEEDED"))
        self.assertEqual([call for call in bad if not DEADLINE - 0.1 < call.ended - call.begun < DEADLINE + SLACK], [], "not at its own deadline")
        self.tell("frozen, SIGSTOP", begun, bad, out)
        begun = time.monotonic()
        one.wake()
        back = self.within(BACK, lambda: self.healthy(one), "it is not taken back")
        self.load.resume()
        self.uses(one)
        self.tell("woken, SIGCONT", begun, self.failed(begun, ()), back)

    def unload(self, one, model):
        with grpc.insecure_channel(one.grpc) as channel:
            control = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            begun, before = time.monotonic(), self.refusals(one, model)
            control.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name=model), timeout=10)
            out = self.within(OUT, lambda: not self.has(one, model), "it is not noticed")
            self.load.serves()
            refused = self.refusals(one, model) - before
            self.assertLessEqual(refused, len(self.load.callers), "it was asked on after it had said no")
            self.assertTrue(self.healthy(one))
            self.tell(f"model {model} unloaded", begun, self.failed(begun, ()), out, refused)
            begun = time.monotonic()
            control.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name=model), timeout=20)
            loaded = time.monotonic()
            self.within(BACK, lambda: self.has(one, model), "it is not taken back")
            back = time.monotonic() - loaded
            self.uses(one, model=model)
            self.tell(f"model {model} loaded, from when it is", begun, self.failed(begun, ()), back)

    def refusals(self, one, model):
        return self.of(one, "upstream_requests_total", model=model) - self.of(one, "upstream_requests_total", model=model, code="OK")

    def uses(self, one, **labels):
        """Waits until calls are answered there again."""
        before = self.of(one, "upstream_requests_total", code="OK", **labels)
        until(lambda: self.of(one, "upstream_requests_total", code="OK", **labels) > before, "nothing is sent there")
        self.load.serves()


if __name__ == "__main__":
    unittest.main()
