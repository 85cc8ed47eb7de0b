"""A version of the digits example, run by ONNX Runtime."""

import pathlib

import numpy
import onnxruntime
import triton_python_backend_utils as triton

DIGITS = pathlib.Path(__file__).resolve().parents[5] / "examples" / "digits" / "models" / "digits"


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(DIGITS / args["model_version"] / "model.onnx", options)

    def execute(self, requests):
        # One run for all requests that Triton hands over together.
        images = [triton.get_input_tensor_by_name(request, "image").as_numpy() for request in requests]
        labels, probabilities = self.session.run(["label", "probabilities"], {"image": numpy.concatenate(images)})
        responses, end = [], 0
        for image in images:
            begin, end = end, end + len(image)
            responses.append(triton.InferenceResponse([
                triton.Tensor("label", labels[begin:end].reshape(-1, 1)),
                triton.Tensor("probabilities", probabilities[begin:end]),
            ]))
        return responses
