"""The model repository that the tests serve, generated with onnx's helper API.

    simple     OUTPUT0 = INPUT0 + INPUT1, OUTPUT1 = INPUT0 - INPUT1, INT32 [-1, 16],
               config.pbtxt with max_batch_size 8
    text       OUTPUT0 = INPUT0, BYTES of any two-dimensional shape
    types      one input and one equal output for each dtype, shape [-1, 2]
    scalar     Y = X * 2, both of rank 0
    mean       Y = X - mean of X over the rows: mixes rows, must never be merged
    slow       Y = X multiplied "turns" times by a matrix: takes as long as it is told
    digits     the two bundled versions
    broken     not a model at all
"""

import pathlib
import shutil
import sys
import tempfile
import unittest

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

import sluice

# v2 dtype -> ONNX element type.
DTYPES = {
    "BOOL": TensorProto.BOOL,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}

SIMPLE_CONFIG = """\
name: "simple"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [
  { name: "INPUT0" data_type: TYPE_INT32 dims: [ 16 ] },
  { name: "INPUT1" data_type: TYPE_INT32 dims: [ 16 ] }
]
output [
  { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ 16 ] },
  { name: "OUTPUT1" data_type: TYPE_INT32 dims: [ 16 ] }
]
"""


def serve():
    """A Sluice that serves the repository until the tests of the calling module are over."""
    folder = tempfile.TemporaryDirectory(prefix="sluice-models-")
    unittest.addModuleCleanup(folder.cleanup)
    server = sluice.Sluice(build(folder.name))
    unittest.addModuleCleanup(server.stop)
    return server


def build(folder):
    """Write the repository under folder, from nothing."""
    folder = pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    for name, graph in (("simple", simple()), ("text", text()), ("types", types()), ("scalar", scalar()), ("mean", mean()),
                        ("slow", slow())):
        version = folder / name / "1"
        version.mkdir(parents=True)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, version / "model.onnx")
    (folder / "simple" / "config.pbtxt").write_text(SIMPLE_CONFIG)
    shutil.copytree(sluice.DIGITS / "models" / "digits", folder / "digits")
    broken = folder / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "model.onnx").write_bytes(b"this is not a model")
    return folder


def simple():
    shape = ["rows", 16]
    return helper.make_graph(
        [helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]), helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"])],
        "simple",
        [info("INPUT0", "INT32", shape), info("INPUT1", "INT32", shape)],
        [info("OUTPUT0", "INT32", shape), info("OUTPUT1", "INT32", shape)])


def text():
    return helper.make_graph(
        [helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])], "text",
        [info("INPUT0", "BYTES", ["rows", "columns"])], [info("OUTPUT0", "BYTES", ["rows", "columns"])])


def types():
    return helper.make_graph(
        [helper.make_node("Identity", ["IN_" + dtype], ["OUT_" + dtype]) for dtype in DTYPES], "types",
        [info("IN_" + dtype, dtype, ["rows", 2]) for dtype in DTYPES],
        [info("OUT_" + dtype, dtype, ["rows", 2]) for dtype in DTYPES])


def scalar():
    return helper.make_graph(
        [helper.make_node("Mul", ["X", "two"], ["Y"])], "scalar", [info("X", "FP32", [])], [info("Y", "FP32", [])],
        [numpy_helper.from_array(numpy.array(2, numpy.float32), "two")])


def mean():
    return helper.make_graph(
        [helper.make_node("ReduceMean", ["X", "axis"], ["M"], keepdims=1), helper.make_node("Sub", ["X", "M"], ["Y"])], "mean",
        [info("X", "FP32", ["rows", 4])], [info("Y", "FP32", ["rows", 4])],
        [numpy_helper.from_array(numpy.array([0], numpy.int64), "axis")])


def slow():
    size = 128
    body = helper.make_graph(
        [helper.make_node("MatMul", ["state", "matrix"], ["next"]), helper.make_node("Identity", ["on"], ["still"])], "turn",
        [info("turn", "INT64", []), info("on", "BOOL", []), info("state", "FP32", [size, size])],
        [info("still", "BOOL", []), info("next", "FP32", [size, size])])
    return helper.make_graph(
        [helper.make_node("Loop", ["turns", "", "X"], ["Y"], body=body)], "slow",
        [info("X", "FP32", [size, size]), info("turns", "INT64", [1])], [info("Y", "FP32", [size, size])],
        [numpy_helper.from_array(numpy.roll(numpy.eye(size, dtype=numpy.float32), 1, axis=1), "matrix")])


def info(name, dtype, shape):
    return helper.make_tensor_value_info(name, DTYPES[dtype], shape)


if __name__ == "__main__":
    build(sys.argv[1])
