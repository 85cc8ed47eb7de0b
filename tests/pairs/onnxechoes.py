"""The models of the pairs for ONNX Runtime."""

import pathlib

import onnx
from onnx import TensorProto as T
from onnx import helper as h

from pairs import echoes

ELEMENTS = {
    "BOOL": T.BOOL, "INT8": T.INT8, "INT16": T.INT16, "INT32": T.INT32, "INT64": T.INT64, "UINT8": T.UINT8, "UINT16": T.UINT16,
    "UINT32": T.UINT32, "UINT64": T.UINT64, "FP16": T.FLOAT16, "BF16": T.BFLOAT16, "FP32": T.FLOAT, "FP64": T.DOUBLE, "BYTES": T.STRING,
}


def write(folder):
    """Write them as a repository into a folder."""
    for model in echoes.MODELS:
        path = pathlib.Path(folder) / model.name / "1" / "model.onnx"
        path.parent.mkdir(parents=True)
        onnx.save(made(model), path)


def made(model):
    inputs, outputs = ([h.make_tensor_value_info(name, ELEMENTS[dtype], [f"{dtype}_{axis}" if n < 0 else n for axis, n in enumerate(dims)])
                        for name, dtype, dims in ports] for ports in (model.inputs(), model.outputs()))
    nodes = [h.make_node("Identity", [a.name], [b.name]) for a, b in zip(inputs, outputs, strict=True)]
    return h.make_model(h.make_graph(nodes, model.name, inputs, outputs), opset_imports=[h.make_opsetid("", 18)], ir_version=9)
