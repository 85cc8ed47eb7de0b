"""Answers each request any number of times, from a thread of its own."""

import threading
import time

import numpy
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        self.lock, self.cancelled, self.threads = threading.Lock(), 0, []

    def execute(self, requests):
        self.threads = [thread for thread in self.threads if thread.is_alive()]
        for request in requests:
            asked = {tensor.name(): tensor.as_numpy()[0] for tensor in request.inputs()}
            self.threads.append(threading.Thread(target=self.answer, args=(request.get_response_sender(), asked)))
            self.threads[-1].start()

    def answer(self, sender, asked):
        for index in range(asked["count"]):
            if self.left(sender, asked.get("delay", 0)):
                break
            if index == asked.get("fail_at", -1):
                sender.send(triton.InferenceResponse(error=triton.TritonError("fails as asked", triton.TritonError.INVALID_ARG)))
                break
            sender.send(triton.InferenceResponse([
                triton.Tensor("index", numpy.array([index], numpy.int32)),
                triton.Tensor("payload", numpy.full(asked.get("size", 0), index % 251, numpy.uint8)),
                triton.Tensor("cancelled", numpy.array([self.cancelled], numpy.int32)),
            ]))
        sender.send(flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def left(self, sender, delay):
        """Waits for the delay; tells whether the caller has left meanwhile, and counts it."""
        end = time.monotonic() + delay
        while not sender.is_cancelled():
            remaining = end - time.monotonic()
            if remaining <= 0:
                return False
            time.sleep(min(remaining, 0.005))
        with self.lock:
            self.cancelled += 1
        return True

    def finalize(self):
        for thread in self.threads:
            thread.join()
