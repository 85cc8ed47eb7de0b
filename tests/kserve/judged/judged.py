"""Models of MLServer with the inputs and outputs of two models of tests/triton, to send them the same requests."""

import numpy
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Judged(MLModel):
    async def predict(self, payload):
        given = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        outputs = [NumpyCodec.encode_output(name, values) for name, values in self.answer(given).items()]
        return InferenceResponse(id=payload.id, model_name=self.name, model_version=self.version, outputs=outputs)


class Digits(Judged):
    """Takes an image, and is as good as the version it is."""

    def answer(self, given):
        image = given["image"].reshape(-1, 64)
        scores = image[:, :10] + numpy.float32(self.version)
        return {"label": scores.argmax(axis=1).reshape(-1, 1), "probabilities": scores}


class Picky(Judged):
    """Doubles, but raises over a row that is negative."""

    def answer(self, given):
        if (given["X"] < 0).any():
            raise ValueError("a row is negative")
        return {"Y": given["X"] * numpy.float32(2)}
