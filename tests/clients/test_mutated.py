"""A real Triton behind Sluice stays alive and well whatever is sent: requests mutated in bytes and fields.

A few seconds of them here, from a seed that is always the same. SLUICE_MUTATED, a
number of seconds, makes it a long run, and SLUICE_SEED another one. Every answer
must be a status that the protocol has, well formed and in time. Some do not wait
for theirs: a Triton can end of requests that are given up while it answers them.
"""

import collections
import contextlib
import http.client
import json
import os
import random
import re
import select
import socket
import threading
import time
import unittest

import grpc
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

import generated
import mutated
import sluice
import triton
import v2

SECONDS = float(os.environ.get("SLUICE_MUTATED", 8))
SEED = int(os.environ.get("SLUICE_SEED", 1))
SENDERS = 8
DEADLINE = 2.0  # of each request
PATIENCE = 15.0  # with an answer, which is more than its deadline
MODELS = ("identity", "digits", "optional", "picky", "accumulate", "repeat")

# What no answer may say: a fault of the gateway's own, or of a model's process that has ended.
FAULTS = re.compile(r"internal error|BUG|panic|Stub process|stub process", re.IGNORECASE)


class Wrong(Exception):
    """An answer that is none."""


class Sender:
    """Sends requests one after the other, and remembers the last ones."""

    def __init__(self, server, seed):
        self.requests, self.chance = mutated.requests(random.Random(seed)), random.Random(~seed)
        host, port = server.http.rsplit(":", 1)
        self.address, self.target = (host, int(port)), server.grpc
        self.sock, self.answers = None, collections.Counter()
        self.last, self.failures, self.slowest = collections.deque(maxlen=8), [], (0.0, "")
        self.channel = grpc.insecure_channel(server.grpc, (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)))
        service = "/inference.GRPCInferenceService/"
        self.unary, self.stream = self.channel.unary_unary(service + "ModelInfer"), self.channel.stream_stream(service + "ModelStreamInfer")

    def run(self, stop):
        while not stop.is_set() and not self.failures:
            sent = next(self.requests)
            self.last.append(sent)
            begun = time.monotonic()
            try:
                answer = self.send(sent)
            except Wrong as error:
                self.failures.append(f"{error}: {sent}")
            else:
                if answer in ("504", "DEADLINE_EXCEEDED") and b"timeout" not in sent.body and "accumulate" not in sent.path and b"accumulate" not in sent.body:
                    answer += " of no sequence"
                self.answers[answer] += 1
            self.slowest = max(self.slowest, (time.monotonic() - begun, sent.label))
        self.close()

    def close(self):
        self.disconnect()
        self.channel.close()

    def send(self, sent):
        """Sends a request and returns its status, unless the answer is wrong."""
        if self.chance.random() < 0.05:
            return self.hang_up(sent)
        if sent.call == "ModelInfer":
            return self.infer(sent)
        if sent.call == "ModelStreamInfer":
            return self.infer_stream(sent)
        return self.infer_raw(sent) if sent.raw is not None else self.infer_http(sent)

    def hang_up(self, sent):
        """Sends some at once, and is gone before they are answered, or while they are."""
        pause = self.chance.choice((0, 0.001, 0.003))
        if sent.grpc:
            with grpc.insecure_channel(self.target, (("grpc.use_local_subchannel_pool", 1),)) as channel:
                infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
                with contextlib.suppress(grpc.RpcError):
                    infer(sent.body, timeout=DEADLINE)  # there is a connection now
                calls = [infer.future(sent.body, timeout=DEADLINE) for _ in range(8)]
                time.sleep(pause)
                for call in calls[::2]:
                    call.cancel()
            return "gone"
        self.disconnect()
        self.connect()
        with contextlib.suppress(ConnectionError):
            self.sock.sendall(mutated.head(sent) + sent.body)
        time.sleep(pause)
        self.disconnect()
        return "gone"

    # gRPC.

    def infer(self, sent):
        try:
            answer = pb.ModelInferResponse.FromString(self.unary(sent.body, timeout=DEADLINE))
        except grpc.RpcError as error:
            return self.refused(error)
        except DecodeError as error:
            raise Wrong("no message") from error
        if len(answer.outputs) != len(answer.raw_output_contents):
            raise Wrong(f"{len(answer.outputs)} outputs, and data of {len(answer.raw_output_contents)}")
        return "OK"

    def infer_stream(self, sent):
        """Over a stream a refusal is a message; the status is that of the stream."""
        try:
            answers = [pb.ModelStreamInferResponse.FromString(one) for one in self.stream(iter([sent.body]), timeout=DEADLINE)]
        except grpc.RpcError as error:
            return self.refused(error)
        except DecodeError as error:
            raise Wrong("no message") from error
        for one in answers:
            if FAULTS.search(one.error_message):
                raise Wrong(one.error_message)
        return "stream"

    def refused(self, error):
        name, text = error.code().name, error.details() or ""
        if name == "UNKNOWN" or not text or FAULTS.search(text):
            raise Wrong(f"{name} {text!r}")
        return name

    # HTTP, by hand: a client's library would not let most of this out.

    def connect(self):
        try:
            self.sock = socket.create_connection(self.address, PATIENCE)
        except OSError as error:
            raise Wrong(f"nobody listens: {error}") from None

    def disconnect(self):
        if self.sock:
            self.sock.close()
            self.sock = None

    def infer_http(self, sent):
        """A request whose framing is right has an answer, on a connection that was fresh."""
        sent.headers["X-Request-Timeout-Ms"] = str(int(1000 * DEADLINE))
        for fresh in (False, True):
            if self.sock is None:
                self.connect()
                fresh = True
            try:
                self.sock.sendall(mutated.head(sent) + sent.body)
            except ConnectionError:
                pass  # it may have been answered, and closed, before all of it was there
            try:
                return self.answer(sent.method)
            except ConnectionError:
                self.disconnect()
                if fresh:
                    raise Wrong("no answer") from None
        return None

    def infer_raw(self, sent):
        """Of bytes that need not be a request any more there is an answer, or an end."""
        self.disconnect()
        self.connect()
        try:
            self.sock.sendall(sent.raw)
            if not select.select([self.sock], [], [], 0.1)[0]:
                self.sock.shutdown(socket.SHUT_WR)  # what it waits for does not come
            return "raw " + self.answer("GET" if sent.raw.startswith(b"GET ") else "HEAD" if sent.raw.startswith(b"HEAD ") else "POST")
        except ConnectionError:
            return "closed"
        finally:
            self.disconnect()

    def answer(self, method):
        response = http.client.HTTPResponse(self.sock, method=method)
        try:
            response.begin()
            payload = response.read()
        except TimeoutError:
            self.disconnect()
            raise Wrong("silence") from None
        except http.client.RemoteDisconnected as error:
            raise ConnectionResetError from error
        except http.client.HTTPException as error:
            self.disconnect()
            raise Wrong(f"no answer of HTTP: {error!r}") from error
        if response.will_close:
            self.disconnect()
        self.check(response, payload)
        return str(response.status)

    def check(self, response, payload):
        text = payload.decode("latin-1")
        if response.status not in http.HTTPStatus._value2member_map_ or response.status < 200:
            raise Wrong(f"status {response.status}")
        if response.status >= 400:
            try:
                document = json.loads(payload)
                if document.get("ready") is False:
                    return  # as REST says it of a model
                error = document["error"]
            except (ValueError, KeyError, AttributeError):
                raise Wrong(f"{response.status} without an error: {text!r}") from None
            if not isinstance(error, str) or not error or FAULTS.search(error):
                raise Wrong(f"{response.status} {error!r}")
        elif payload and response.headers.get_content_type() == "application/json":
            try:
                json.loads(payload)
            except ValueError:
                raise Wrong(f"{response.status} that is no JSON: {text!r}") from None


class TestMutated(unittest.TestCase):
    def test_a_triton_survives(self):
        server = triton.Triton(*MODELS)
        self.addCleanup(server.close)
        front = sluice.Sluice(arguments=("--backend", f"triton={server.grpc}"))
        self.addCleanup(front.kill)
        senders = [Sender(front, SEED * 1000 + i) for i in range(SENDERS)]
        stop = threading.Event()
        threads = [threading.Thread(target=sender.run, args=(stop,), daemon=True) for sender in senders]
        for thread in threads:
            thread.start()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and not any(sender.failures for sender in senders):
            if server.process.poll() is not None:
                break
            time.sleep(0.05)
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
        answers = sum((sender.answers for sender in senders), collections.Counter())
        slowest, label = max(sender.slowest for sender in senders)
        self.told = f"{sum(answers.values())} answers, the slowest in {slowest:.2f} s ({label}): {dict(answers.most_common())}"
        if SECONDS > 30:
            print(self.told)
        sent = "\n".join(str(one)[:5000] for sender in senders for one in sender.last)
        self.assertIsNone(server.process.poll(), f"the Triton has ended:\n{server.log()[-3000:]}\nthe last that was sent:\n{sent}")
        self.assertEqual([failure[:5000] for sender in senders for failure in sender.failures], [], self.told)
        self.assertFalse(any(thread.is_alive() for thread in threads), f"a request hangs:\n{sent}")
        self.assertIsNone(front.process.poll(), front.log()[-3000:])
        self.assertNotIn("panic", front.log())
        self.assertTrue(server.ready())
        self.serves(v2.Client(server.http, server.grpc), "the Triton")
        self.serves(v2.Client(front.http, front.grpc), "Sluice")
        # Sequences that are begun and never ended wait for each other. Nothing else does.
        late = sum(count for answer, count in answers.items() if answer.endswith("of no sequence"))
        self.assertLess(late, max(10, sum(answers.values()) / 1000), self.told)
        # Everything comes up, or the run shows nothing.
        self.assertLessEqual({"OK", "200", "400", "INVALID_ARGUMENT", "404", "NOT_FOUND", "stream", "gone"}, set(answers), self.told)
        front.stop()

    def serves(self, client, name):
        self.addCleanup(client.close)
        for form in v2.FORMS:
            for model in ("identity", "digits", "optional", "picky", "accumulate"):
                case = generated.good(random.Random(form + model), form, model)
                answer = client.send(case)
                self.assertTrue(answer.ok, f"{name} does not serve {model} any more: {answer}\n{self.told}")


if __name__ == "__main__":
    unittest.main()
