"""Answers late, and knows when its caller has left."""

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
            seconds = triton.get_input_tensor_by_name(request, "seconds").as_numpy()
            self.threads.append(threading.Thread(target=self.answer, args=(request.get_response_sender(), seconds)))
            self.threads[-1].start()

    def answer(self, sender, seconds):
        end = time.monotonic() + seconds.item()
        while (remaining := end - time.monotonic()) > 0 and not sender.is_cancelled():
            time.sleep(min(remaining, 0.005))
        if remaining > 0:
            with self.lock:
                self.cancelled += 1
            response = triton.InferenceResponse(error=triton.TritonError("the caller has left", triton.TritonError.CANCELLED))
        else:
            response = triton.InferenceResponse([
                triton.Tensor("seconds", seconds),
                triton.Tensor("cancelled", numpy.array([self.cancelled], numpy.int32)),
            ])
        sender.send(response, triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def finalize(self):
        for thread in self.threads:
            thread.join()
