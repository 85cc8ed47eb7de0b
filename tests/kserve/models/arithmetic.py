"""Models of MLServer that multiply, and give words back."""

import numpy
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceResponse


class Double(MLModel):
    factor = numpy.float32(2)

    async def predict(self, payload):
        outputs = []
        for tensor in payload.inputs:
            if tensor.name == "x":
                outputs.append(NumpyCodec.encode_output("y", NumpyCodec.decode_input(tensor) * self.factor))
            else:
                outputs.append(StringCodec.encode_output(tensor.name, StringCodec.decode_input(tensor)))
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)


class Triple(Double):
    factor = numpy.float32(3)
