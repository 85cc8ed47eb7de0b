"""A model server of KServe's SDK with two models that double, of which one tells what it takes: sdk.py HTTP-PORT GRPC-PORT."""

import sys

import numpy
from kserve import InferOutput, InferResponse, Model, ModelServer


class Double(Model):
    def __init__(self):
        super().__init__("double")
        self.ready = True

    async def get_input_types(self):
        return [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]

    async def get_output_types(self):
        return [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}]

    async def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, dict):  # v1
            return {"predictions": [[2 * value for value in row] for row in payload["instances"]]}
        data = payload.inputs[0].as_numpy()
        output = InferOutput("y", list(data.shape), "FP32")
        output.set_data_from_numpy(data * numpy.float32(2), binary_data=False)
        return InferResponse(payload.id, self.name, [output])


class Plain(Model):
    """As predictors were written for v1."""

    def __init__(self):
        super().__init__("plain")
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        return {"predictions": [[2 * value for value in row] for row in payload["instances"]]}


ModelServer(http_port=int(sys.argv[1]), grpc_port=int(sys.argv[2]), workers=1).start([Double(), Plain()])
