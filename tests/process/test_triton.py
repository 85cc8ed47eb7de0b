"""Tritons that die, freeze and come back, under a load of calls through Sluice."""

import collections
import pathlib
import re
import signal
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
from test_grpc import request
from test_process import metric, until

CONFIGURATION = """\
version: 1
pools:
  - name: tritons
    kind: triton
    endpoints:
{endpoints}
    health: {{interval: 100ms, timeout: 300ms, healthy_after: 1, unhealthy_after: 2}}
    discover: true
drain: {{delay: 0s, grace: 5s}}
"""


def repeat(count, delay=0.0):
    """A request of a stream for so many answers."""
    made = pb.ModelInferRequest(model_name="repeat")
    for name, dtype, kind, value in (("count", "INT32", numpy.int32, count), ("delay", "FP32", numpy.float32, delay)):
        made.inputs.add(name=name, datatype=dtype, shape=[1])
        made.raw_input_contents.append(numpy.array([value], kind).tobytes())
    return made


class Load:
    """Callers that send one request after the other, until they are told to stop."""

    def __init__(self, address, callers, timeout=20.0):
        self._lock, self._stop, self._timeout = threading.Lock(), threading.Event(), timeout
        self._counts = collections.Counter()
        self.others, self.slowest = [], 0.0
        self._channels = [grpc.insecure_channel(address, (("grpc.use_local_subchannel_pool", 1),)) for _ in range(2)]
        self._threads = [threading.Thread(target=self._call, args=(self._channels[i % 2],), daemon=True) for i in range(callers)]
        for thread in self._threads:
            thread.start()

    def _call(self, channel):
        infer, asked = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer, request()
        while not self._stop.is_set():
            begun, other = time.monotonic(), None
            try:
                answer = infer(asked, timeout=self._timeout)
                code = "OK"
                if answer.raw_output_contents[0] != bytes(8):
                    other = f"another answer: {answer}"
            except grpc.RpcError as error:
                code = error.code().name
                if code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                    other = f"{code} {error.details()!r}"
            with self._lock:
                self._counts[code] += 1
                self.slowest = max(self.slowest, time.monotonic() - begun)
                if other:
                    self.others.append(other)
            if code != "OK":
                time.sleep(0.01)  # as a client does that means to come back

    def counts(self):
        """How many calls ended with which code."""
        with self._lock:
            return self._counts.copy()

    def since(self, before):
        return self.counts() - before

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        for channel in self._channels:
            channel.close()


class Case(unittest.TestCase):
    CALLERS = 8

    def serve(self, *models, tritons=1, extra=""):
        """So many Tritons with these models, and a Sluice in front."""
        self.tritons = [triton.Triton(*models) for _ in range(tritons)]
        for one in self.tritons:
            self.addCleanup(one.close)
        folder = tempfile.TemporaryDirectory(prefix="sluice-config-")
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "sluice.yaml"
        self.configure(self.tritons, extra)
        self.server = sluice.Sluice(arguments=("-c", str(self.file)))
        self.addCleanup(self.server.kill)

    def configure(self, tritons, extra=""):
        endpoints = "\n".join(f'      - {{address: "{one.grpc}"}}' for one in tritons)
        self.file.write_text(CONFIGURATION.format(endpoints=endpoints) + extra)

    def start(self, tritons=1, **options):
        """The same with digits, and load on it."""
        self.serve("digits", tritons=tritons)
        self.load = Load(self.server.grpc, self.CALLERS, **options)
        self.addCleanup(self.load.stop)
        self.serves(self.load.counts(), 200)

    def serves(self, before, count, patience=15):
        until(lambda: self.load.since(before)["OK"] >= count, f"not {count} answers more than {before}", patience)

    def serves_without_failure(self):
        """From some moment on no call fails."""
        def clean():
            before = self.load.counts()
            self.serves(before, 300)
            return set(self.load.since(before)) == {"OK"}

        until(clean, "calls go on failing", patience=20)

    def settled(self):
        """Each call was answered or failed, as often as Sluice counts, and nothing of it is left."""
        self.load.stop()
        counts = self.load.counts()
        self.assertEqual(self.load.others, [])
        until(lambda: metric(self.server, "sluice_in_flight_requests") == 0, "calls are still in flight")
        self.assertEqual(metric(self.server, "sluice_requests_total"), sum(counts.values()))
        self.assertEqual(metric(self.server, "sluice_inflight_bytes"), 0)
        self.server.stop()
        return counts


class TestDeath(Case):
    def test_the_only_one_dies_and_comes_back(self):
        self.start()
        for _ in range(2):
            before = self.load.counts()
            self.tritons[0].kill()
            until(lambda: self.load.since(before)["UNAVAILABLE"] > 2 * self.CALLERS, "nobody notices")
            self.tritons[0].start()
            self.serves_without_failure()
        self.assertEqual(set(self.settled()), {"OK", "UNAVAILABLE"})
        self.assertLess(self.load.slowest, 5, "a call waited for a Triton that had died")

    def test_one_of_two_dies_and_comes_back(self):
        """Only those calls fail that were with it."""
        self.start(tritons=2)
        for one in self.tritons:
            before = self.load.counts()
            one.kill()
            self.serves(self.load.counts(), 500)
            self.assertLessEqual(self.load.since(before)["UNAVAILABLE"], self.CALLERS)
            one.start()
            before = self.load.counts()
            self.serves(before, 500)
            self.assertEqual(set(self.load.since(before)), {"OK"})
            until(lambda: metric(self.server, "sluice_endpoint_healthy") == 2, "it is not taken back")
        self.assertEqual(set(self.settled()) - {"UNAVAILABLE"}, {"OK"})


    def test_streams_end_with_it(self):
        """No stream of a Triton that died goes on waiting, and the same client is served when it is back."""
        self.serve("repeat")
        with grpc.insecure_channel(self.server.grpc) as channel:
            infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer
            calls = [infer(iter([repeat(1000, delay=0.01)]), timeout=30) for _ in range(20)]
            for call in calls:
                self.assertEqual(next(call).error_message, "")
            begun = time.monotonic()
            self.tritons[0].kill()
            for call in calls:
                answers = list(call)
                self.assertTrue(answers[-1].error_message, "a stream ended as if all had been said")
                self.assertEqual([answer.error_message for answer in answers[:-1]], [""] * (len(answers) - 1))
                self.assertEqual(call.code(), grpc.StatusCode.OK)
            self.assertLess(time.monotonic() - begun, 5)
            self.tritons[0].start()
            until(lambda: [answer.error_message for answer in infer(iter([repeat(3)]), timeout=5)] == [""] * 3, "streams are not served again")
        until(lambda: metric(self.server, "sluice_in_flight_requests") == 0, "requests are still in flight")
        self.assertEqual(metric(self.server, "sluice_inflight_bytes"), 0)
        self.server.stop()


class TestStop(Case):
    def test_one_of_two_is_stopped_and_comes_back(self):
        """What it turns away on its way out goes to the other: no call fails."""
        self.start(tritons=2)
        for one in self.tritons:
            one.process.send_signal(signal.SIGTERM)
            one.process.wait(20)
            self.serves(self.load.counts(), 500)
            one.start()
            until(lambda: metric(self.server, "sluice_endpoint_healthy") == 2, "it is not taken back")
            self.serves(self.load.counts(), 500)
        self.assertEqual(set(self.settled()), {"OK"})


class TestFreeze(Case):
    def test_the_only_one_freezes_and_wakes(self):
        self.start(timeout=1.0)
        before = self.load.counts()
        self.tritons[0].freeze()
        until(lambda: self.load.since(before).total() - self.load.since(before)["OK"] > 2 * self.CALLERS, "nobody notices")
        self.tritons[0].wake()
        self.serves_without_failure()
        self.settled()
        self.assertLess(self.load.slowest, 2.5, "a deadline was not kept")

    def test_one_of_two_freezes_and_wakes(self):
        self.start(tritons=2, timeout=2.0)
        self.tritons[0].freeze()
        self.serves_without_failure()
        self.tritons[0].wake()
        until(lambda: metric(self.server, "sluice_endpoint_healthy") == 2, "it is not taken back")
        self.serves_without_failure()
        self.settled()


    def test_what_a_frozen_one_does_not_take_stays_within_the_budget(self):
        size, budget = 4 << 20, 64 << 20
        self.serve("identity", extra="limits: {in_flight: 64MiB}\n")
        asked = pb.ModelInferRequest(model_name="identity", raw_input_contents=[bytes(size)])
        asked.inputs.add(name="IN_UINT8", datatype="UINT8", shape=[1, size])
        channels = [grpc.insecure_channel(self.server.grpc, (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)))
                    for _ in range(8)]
        for channel in channels:
            self.addCleanup(channel.close)
        stubs = [service_pb2_grpc.GRPCInferenceServiceStub(channel) for channel in channels]
        for stub in stubs:
            stub.ModelInfer(asked, timeout=30)
        before = self.memory()
        self.tritons[0].freeze()
        calls = [stub.ModelInfer.future(asked, timeout=4) for stub in stubs for _ in range(8)]
        while not all(call.done() for call in calls):
            self.assertLessEqual(metric(self.server, "sluice_inflight_bytes"), budget + size)
            self.assertLess(self.memory() - before, 2 * budget)
            time.sleep(0.05)
        codes = {call.code() for call in calls}
        self.assertIn(grpc.StatusCode.RESOURCE_EXHAUSTED, codes)
        self.assertLessEqual(codes, {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE})
        self.tritons[0].wake()

        def served():
            try:
                return stubs[0].ModelInfer(asked, timeout=5).raw_output_contents[0] == bytes(size)
            except grpc.RpcError:
                return False

        until(served, "it is not served again")
        until(lambda: metric(self.server, "sluice_inflight_bytes") == 0, "bytes are still in flight")
        self.server.stop()

    def memory(self):
        """Bytes that the process of Sluice has in memory."""
        status = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text()
        return 1024 * int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[1])


class TestReload(Case):
    def test_endpoints_come_and_go_under_load(self):
        self.start(tritons=2)
        for names in ([0], [1], [0, 1], [1], [0]):
            before = self.load.counts()
            self.configure([self.tritons[i] for i in names])
            self.server.process.send_signal(signal.SIGHUP)
            until(lambda: metric(self.server, "sluice_endpoint_healthy") == len(names), "the endpoints do not change")
            self.serves(before, 300)
        self.assertEqual(set(self.settled()), {"OK"})


class TestBegin(unittest.TestCase):
    def test_a_triton_that_comes_later(self):
        """Sluice waits for no Triton; its models are served as soon as it is there."""
        late = triton.Triton("digits")
        self.addCleanup(late.close)
        late.kill()
        server = sluice.Sluice(arguments=("--backend", f"triton={late.grpc}"))
        self.addCleanup(server.kill)
        with grpc.insecure_channel(server.grpc) as channel:
            infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
            with self.assertRaises(grpc.RpcError) as caught:
                infer(request(), timeout=5)
            self.assertIn(caught.exception.code(), (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND))
            late.start()

            def served():
                try:
                    return infer(request(), timeout=5).raw_output_contents[0] == bytes(8)
                except grpc.RpcError:
                    return False

            until(served, "the models are not served")
        server.stop()


if __name__ == "__main__":
    unittest.main()
