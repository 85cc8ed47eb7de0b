"""Gives back what it is given."""

import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        return [triton.InferenceResponse([renamed(tensor) for tensor in request.inputs()]) for request in requests]


def renamed(tensor):
    name = tensor.name().replace("IN_", "OUT_")
    if name == "OUT_BF16":  # numpy knows no such type
        return triton.Tensor.from_dlpack(name, tensor.to_dlpack())
    return triton.Tensor(name, tensor.as_numpy())
