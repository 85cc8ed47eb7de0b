"""The models that these tests serve, made with onnx's helper API."""

import pathlib
import shutil

import onnx
from onnx import TensorProto, helper

import sluice

ELEMENTS = {
    "BOOL": TensorProto.BOOL, "INT8": TensorProto.INT8, "INT16": TensorProto.INT16, "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64, "UINT8": TensorProto.UINT8, "UINT16": TensorProto.UINT16, "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64, "FP16": TensorProto.FLOAT16, "BF16": TensorProto.BFLOAT16, "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE, "BYTES": TensorProto.STRING,
}


def build(folder, generated):
    """Write digits, those of TensorFlow Serving's documentation, and generated ones: name -> [(dtype, dims)]."""
    folder = pathlib.Path(folder)
    shutil.copytree(sluice.DIGITS / "models" / "digits", folder / "digits")
    for name, plus in (("half_plus_two", 2.0), ("half_plus_three", 3.0)):
        constants = [helper.make_tensor(key, TensorProto.FLOAT, [], [value]) for key, value in (("half", 0.5), ("plus", plus))]
        save(folder, name, [("x", "FP32", ["rows"])], [("y", "FP32", ["rows"])],
             [helper.make_node("Mul", ["x", "half"], ["z"]), helper.make_node("Add", ["z", "plus"], ["y"])], constants)
    for name, tensors in generated.items():
        inputs = [(f"in{i}", dtype, dims) for i, (dtype, dims) in enumerate(tensors)]
        outputs = [(f"out{i}", dtype, dims) for i, (dtype, dims) in enumerate(tensors)]
        save(folder, name, inputs, outputs, [helper.make_node("Identity", [a[0]], [b[0]]) for a, b in zip(inputs, outputs, strict=True)])
    return folder


def save(folder, name, inputs, outputs, nodes, constants=()):
    ports = [[helper.make_tensor_value_info(port, ELEMENTS[dtype], dims) for port, dtype, dims in side] for side in (inputs, outputs)]
    model = helper.make_model(helper.make_graph(nodes, name, *ports, list(constants)), opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    path = folder / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(model, path)
