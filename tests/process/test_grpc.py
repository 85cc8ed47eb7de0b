"""Reloads and signals under a load of gRPC calls that share connections."""

import json
import pathlib
import signal
import threading
import unittest

import grpc
import numpy
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

import sluice
from test_process import DELAY, GRACE, configuration, metric, until
import test_process


def request():
    image = json.loads((sluice.DIGITS / "sample.json").read_text())["inputs"][0]["data"]
    made = pb.ModelInferRequest(model_name="digits", raw_input_contents=[numpy.array(image, numpy.float32).tobytes()])
    made.inputs.add(name="image", datatype="FP32", shape=[1, 64])
    return made


class Load:
    """Callers that send one request after the other, several on a connection,
    until nobody listens any more or they are told to stop."""

    def __init__(self, address, callers=8, connections=2):
        self.answered, self.failures, self.gone = 0, [], 0
        self._lock, self._stop, self._request = threading.Lock(), threading.Event(), request()
        # Without a pool of its own each channel would share the connection of the others.
        self._channels = [grpc.insecure_channel(address, (("grpc.use_local_subchannel_pool", 1),)) for _ in range(connections)]
        self._threads = [threading.Thread(target=self._call, args=(self._channels[i % connections],), daemon=True) for i in range(callers)]
        for thread in self._threads:
            thread.start()

    def _call(self, channel):
        infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        while not self._stop.is_set():
            try:
                answer = infer(self._request, timeout=30)
            except grpc.RpcError as error:
                # A call that found nobody to connect to was never sent.
                gone = error.code() == grpc.StatusCode.UNAVAILABLE and "failed to connect to all addresses" in error.details()
                with self._lock:
                    if gone:
                        self.gone += 1
                    else:
                        self.failures.append(f"{error.code()} {error.details()!r} after {self.answered} answers")
                if gone:
                    return
                continue
            if numpy.frombuffer(answer.raw_output_contents[0], numpy.int64).tolist() != [0]:
                with self._lock:
                    self.failures.append(f"another answer: {answer}")
            with self._lock:
                self.answered += 1

    def pause(self):
        """Let the callers end and keep their connections."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def stop(self):
        self.pause()
        for channel in self._channels:
            channel.close()


class TestGRPC(test_process.Case):
    def load(self, server, **options):
        load = Load(server.grpc, **options)
        self.addCleanup(load.stop)
        until(lambda: load.answered > 200 or load.failures, "no load")
        return load

    def test_reload_under_load_fails_no_call(self):
        server = self.start({"1": 1, "2": 1})
        load = self.load(server)
        for round in range(20):
            before = load.answered
            self.file.write_text(configuration({"1": round + 1, "2": 20 - round}))
            server.process.send_signal(signal.SIGHUP)
            until(lambda: load.answered > before + 50 or load.failures, "no answers between reloads")
        load.stop()
        self.assertEqual((load.failures, load.gone), ([], 0))
        self.assertEqual(metric(server, "sluice_in_flight_requests"), 0)
        self.assertEqual(metric(server, "sluice_requests_total"), load.answered)
        self.assertEqual(metric(server, "sluice_inflight_bytes"), 0)
        server.stop()

    def test_a_port_that_moves_takes_its_calls_along(self):
        """The old listener drains: calls on its connections are answered, and clients come back to the new one."""
        folder = pathlib.Path(self.file.parent)
        self.file.write_text(self.at(folder / "one.sock"))
        server = sluice.Sluice(arguments=["-c", str(self.file)], listeners=("metrics", "admin"))
        self.addCleanup(server.kill)
        old = Load(f"unix:{folder / 'one.sock'}")
        self.addCleanup(old.stop)
        until(lambda: old.answered > 200 or old.failures, "no load")
        self.file.write_text(self.at(folder / "two.sock"))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: (folder / "two.sock").exists(), "the new port does not open")
        new = Load(f"unix:{folder / 'two.sock'}")
        self.addCleanup(new.stop)
        until(lambda: new.answered > 200 or new.failures, "no load on the new port")
        until(lambda: old.gone == 8 or old.failures, "the old port does not end")
        new.stop()
        old.stop()
        self.assertEqual((old.failures, new.failures, new.gone), ([], [], 0))
        server.stop()

    def at(self, socket):
        return configuration({"1": 1, "2": 1}, f'listen: {{grpc: {{address: "unix:{socket}"}}}}\n')

    def test_sigterm_under_load_answers_what_it_accepted(self):
        server = self.start({"1": 1, "2": 1})
        load = self.load(server)
        server.process.send_signal(signal.SIGTERM)
        status = server.process.wait(DELAY + GRACE + 1)
        until(lambda: load.gone == 8 or load.failures, "the callers do not see that it has gone")
        self.assertEqual((status, load.failures), (0, []))

    def test_sigterm_with_idle_connections_ends_after_the_delay(self):
        server = self.start({"1": 1, "2": 1})
        load = self.load(server)
        load.pause()
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.wait(DELAY + 2), 0)
        load.stop()
        self.assertEqual(load.failures, [])

    def test_sigterm_fails_readiness_for_the_delay(self):
        server = self.start({"1": 1, "2": 1})
        with grpc.insecure_channel(server.grpc) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            self.assertTrue(stub.ServerReady(pb.ServerReadyRequest()).ready)
            self.assertEqual(check(b""), b"\x08\x01")
            server.process.send_signal(signal.SIGTERM)
            until(lambda: not stub.ServerReady(pb.ServerReadyRequest()).ready, "readiness does not fail", patience=DELAY)
            self.assertEqual(check(b""), b"\x08\x02")
            self.assertTrue(stub.ServerLive(pb.ServerLiveRequest()).live)
            self.assertTrue(stub.ModelInfer(request()).raw_output_contents)
        self.assertEqual(server.process.wait(DELAY + 2), 0)


if __name__ == "__main__":
    unittest.main()
