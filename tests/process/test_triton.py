"""Tritons that die, freeze and come back, under a load of calls through Sluice."""

import collections
import pathlib
import tempfile
import threading
import time
import unittest

import grpc
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

    def start(self, tritons=1, **options):
        """So many Tritons, a Sluice in front, and load on it."""
        self.tritons = [triton.Triton("digits") for _ in range(tritons)]
        for one in self.tritons:
            self.addCleanup(one.close)
        folder = tempfile.TemporaryDirectory(prefix="sluice-config-")
        self.addCleanup(folder.cleanup)
        file = pathlib.Path(folder.name) / "sluice.yaml"
        file.write_text(CONFIGURATION.format(endpoints="\n".join(f'      - {{address: "{one.grpc}"}}' for one in self.tritons)))
        self.server = sluice.Sluice(arguments=("-c", str(file)))
        self.addCleanup(self.server.kill)
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
