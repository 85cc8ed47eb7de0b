"""An ONNX model, model.onnx beside this file, run by ONNX Runtime: what a test puts into its own repository."""

import pathlib

import numpy
import onnxruntime
import triton_python_backend_utils as triton
from onnxruntime.capi.onnxruntime_pybind11_state import OrtValue


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(pathlib.Path(__file__).with_name("model.onnx"), options)
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.brain = any("bfloat16" in tensor.type for tensor in (*self.session.get_inputs(), *self.session.get_outputs()))

    def execute(self, requests):
        responses = []
        for request in requests:
            try:
                outputs = self.with_values(request) if self.brain else self.with_arrays(request)
                responses.append(triton.InferenceResponse([output for output in outputs if output.name() in request.requested_output_names()]))
            except Exception as error:
                responses.append(triton.InferenceResponse(error=triton.TritonError(str(error))))
        return responses

    def with_arrays(self, request):
        feeds = {}
        for tensor in request.inputs():
            array = tensor.as_numpy()
            feeds[tensor.name()] = numpy.array([text.decode() for text in array.reshape(-1)], object).reshape(array.shape) if array.dtype == object else array
        for name, array in zip(self.outputs, self.session.run(self.outputs, feeds), strict=True):
            yield triton.Tensor(name, numpy.array([text.encode() for text in array.reshape(-1)], object).reshape(array.shape) if array.dtype == object else array)

    def with_values(self, request):
        """numpy knows no BF16."""
        feeds = {tensor.name(): onnxruntime.OrtValue(OrtValue.from_dlpack(tensor.to_dlpack(), False)) for tensor in request.inputs()}
        for name, value in zip(self.outputs, self.session.run_with_ort_values(self.outputs, feeds), strict=True):
            yield triton.Tensor.from_dlpack(name, value._ortvalue.to_dlpack())
