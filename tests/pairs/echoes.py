"""The models of the pairs, each of which gives back what it is given."""

import dataclasses

from v2 import DTYPES


@dataclasses.dataclass
class Model:
    """A model with an input IN_<dtype> and an output OUT_<dtype><suffix> for each dtype; -1 stands for a free axis."""

    name: str
    dtypes: tuple
    dims: tuple = (-1, -1)
    suffix: str = ""

    def inputs(self):
        return [(f"IN_{dtype}", dtype, self.dims) for dtype in self.dtypes]

    def outputs(self):
        return [(f"OUT_{dtype}{self.suffix}", dtype, self.dims) for dtype in self.dtypes]


MODELS = (
    *(Model(f"identity_{dtype}", (dtype,)) for dtype in DTYPES),
    Model("several", ("INT32", "FP32", "BYTES", "BOOL", "FP64")),
    Model("batched", ("FP32", "BYTES")),
    Model("scalar", ("FP32", "INT64", "BOOL", "BYTES"), ()),
    Model("cube", ("FP32",), (-1, 2, -1)),
    Model("named_bytes", ("BYTES",), suffix="_bytes"),
)
