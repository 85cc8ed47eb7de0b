"""A model of MLServer that gives back what it is given, as the server has read it."""

from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput


class Echo(MLModel):
    async def predict(self, payload):
        names = [output.name for output in self.settings.outputs]
        outputs = [
            ResponseOutput(name=name, shape=tensor.shape, datatype=tensor.datatype, data=tensor.data)
            for name, tensor in zip(names, sorted(payload.inputs, key=lambda tensor: [one.name for one in self.settings.inputs].index(tensor.name)))
        ]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
