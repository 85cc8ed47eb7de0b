"""The models of the pairs, each of which gives back what it is given, and them for ONNX Runtime."""

import dataclasses
import pathlib

import onnx
from onnx import TensorProto as T
from onnx import helper as h

ELEMENTS = {
    "BOOL": T.BOOL, "INT8": T.INT8, "INT16": T.INT16, "INT32": T.INT32, "INT64": T.INT64, "UINT8": T.UINT8, "UINT16": T.UINT16,
    "UINT32": T.UINT32, "UINT64": T.UINT64, "FP16": T.FLOAT16, "BF16": T.BFLOAT16, "FP32": T.FLOAT, "FP64": T.DOUBLE, "BYTES": T.STRING,
}


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
    *(Model(f"identity_{dtype}", (dtype,)) for dtype in ELEMENTS),
    Model("several", ("INT32", "FP32", "BYTES", "BOOL", "FP64")),
    Model("scalar", ("FP32", "INT64", "BOOL", "BYTES"), ()),
    Model("cube", ("FP32",), (-1, 2, -1)),
    Model("named_bytes", ("BYTES",), suffix="_bytes"),
)


def write(folder):
    """Write the models as a repository of ONNX models into a folder."""
    for model in MODELS:
        path = pathlib.Path(folder) / model.name / "1" / "model.onnx"
        path.parent.mkdir(parents=True)
        onnx.save(made(model), path)


def made(model):
    inputs, outputs = ([h.make_tensor_value_info(name, ELEMENTS[dtype], [f"{dtype}_{axis}" if n < 0 else n for axis, n in enumerate(dims)])
                        for name, dtype, dims in ports] for ports in (model.inputs(), model.outputs()))
    nodes = [h.make_node("Identity", [a.name], [b.name]) for a, b in zip(inputs, outputs, strict=True)]
    return h.make_model(h.make_graph(nodes, model.name, inputs, outputs), opset_imports=[h.make_opsetid("", 18)], ir_version=9)
