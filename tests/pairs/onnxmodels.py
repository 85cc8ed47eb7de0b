"""The models of the pairs for ONNX Runtime: each gives back what it is given."""

import pathlib

import onnx
from onnx import TensorProto as T
from onnx import helper as h

ELEMENTS = {
    "BOOL": T.BOOL, "INT8": T.INT8, "INT16": T.INT16, "INT32": T.INT32, "INT64": T.INT64, "UINT8": T.UINT8, "UINT16": T.UINT16,
    "UINT32": T.UINT32, "UINT64": T.UINT64, "FP16": T.FLOAT16, "BF16": T.BFLOAT16, "FP32": T.FLOAT, "FP64": T.DOUBLE, "BYTES": T.STRING,
}
FREE = ("rows", "columns")


def write(folder):
    """Write the models as a repository into a folder."""
    for dtype in ELEMENTS:
        save(folder, f"identity_{dtype}", [dtype], FREE)
    save(folder, "several", ["INT32", "FP32", "BYTES", "BOOL", "FP64"], FREE)
    save(folder, "scalar", ["FP32", "INT64", "BOOL", "BYTES"], ())
    save(folder, "cube", ["FP32"], ("rows", 2, "columns"))
    save(folder, "named_bytes", ["BYTES"], FREE, suffix="_bytes")


def save(folder, name, dtypes, dims, suffix=""):
    ports = [[h.make_tensor_value_info(f"{way}_{dtype}{end}", ELEMENTS[dtype], [f"{dtype}_{dim}" if isinstance(dim, str) else dim for dim in dims])
              for dtype in dtypes] for way, end in (("IN", ""), ("OUT", suffix))]
    nodes = [h.make_node("Identity", [a.name], [b.name]) for a, b in zip(*ports, strict=True)]
    model = h.make_model(h.make_graph(nodes, name, *ports), opset_imports=[h.make_opsetid("", 18)], ir_version=9)
    path = pathlib.Path(folder) / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(model, path)
