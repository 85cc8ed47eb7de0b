"""Keeps a sum for each sequence."""

import numpy
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        self.sums = {}

    def execute(self, requests):
        responses = []
        for request in requests:
            start, sequence, value = (triton.get_input_tensor_by_name(request, name).as_numpy().item() for name in ("START", "CORRID", "value"))
            self.sums[sequence] = value + (0 if start else self.sums[sequence])
            responses.append(triton.InferenceResponse([triton.Tensor("sum", numpy.array([[self.sums[sequence]]], numpy.int32))]))
        return responses
