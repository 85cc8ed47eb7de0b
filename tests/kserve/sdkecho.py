"""A model server of KServe's SDK whose models give back what they are given: sdkecho.py HTTP-PORT GRPC-PORT MODELS.

MODELS is a file of JSON. What comes behind it is read by the SDK."""

import json
import pathlib
import sys

from kserve import InferOutput, InferResponse, Model, ModelServer


class Echo(Model):
    def __init__(self, name, inputs, outputs):
        super().__init__(name)
        self.inputs, self.outputs = inputs, outputs
        self.ready = True

    async def get_input_types(self):
        return self.inputs

    async def get_output_types(self):
        return self.outputs

    async def predict(self, payload, headers=None, response_headers=None):
        given = {tensor.name: tensor for tensor in payload.inputs}
        answer = []
        for take, give in zip(self.inputs, self.outputs, strict=True):
            tensor = given[take["name"]]
            output = InferOutput(give["name"], list(tensor.shape), tensor.datatype)
            output.set_data_from_numpy(tensor.as_numpy(), binary_data=True)
            answer.append(output)
        return InferResponse(payload.id or "none", self.name, answer)


models = json.loads(pathlib.Path(sys.argv[3]).read_text())
ModelServer(http_port=int(sys.argv[1]), grpc_port=int(sys.argv[2]), workers=1).start([Echo(**model) for model in models])
