"""Write the small models that Go tests of backends/onnx use: python testdata.py OUT"""

import pathlib
import sys

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h

from cases import F, I, N, Case, node
from corpus import build


def cases():
    rows = [("x", F, [N, 4])], [("y", F, [N, 4])]
    yield Case("relu", [node("Relu", "x", "y")], *rows)
    yield Case("cumsum", [node("CumSum", "x a", "y")], *rows, {"a": np.array(0)})
    yield Case("text", [node("Identity", "x", "y")], [("x", T.STRING, [N])], [("y", T.STRING, [N])])
    yield Case("flags", [node("Identity", "x", "y"), node("Cast", "x", "n", to=T.UINT8)], [("x", T.BOOL, [N])], [("y", T.BOOL, [N]), ("n", T.UINT8, [N])])
    yield Case("lookup", [node("Gather", "t i", "y")], [("i", I, [N])], [("y", F, [N])], {"t": np.arange(4, dtype=np.float32)})
    # A table of one: made-up ids are out of its range, so only real requests, of 0 and -1, prove it.
    yield Case("shy", [node("Gather", "t i", "g"), node("Cast", "i", "f", to=F), node("Add", "f g", "y")],
               [("i", I, [N])], [("y", F, [N])], {"t": np.ones(1, dtype=np.float32)})
    yield Case("shy_cumsum", [node("Gather", "t i", "g"), node("Cast", "i", "f", to=F), node("CumSum", "f a", "s"), node("Add", "s g", "y")],
               [("i", I, [N])], [("y", F, [N])], {"t": np.ones(1, dtype=np.float32), "a": np.array(0)})
    body = h.make_graph([node("MatMul", "a a", "b"), node("Identity", "c", "d")], "body",
                        [h.make_tensor_value_info("i", I, []), h.make_tensor_value_info("c", T.BOOL, []), h.make_tensor_value_info("a", F, [8, 8])],
                        [h.make_tensor_value_info("d", T.BOOL, []), h.make_tensor_value_info("b", F, [8, 8])])
    yield Case("slow", [h.make_node("Loop", ["n", "", "x"], ["y"], body=body)], [("n", I, []), ("x", F, [8, 8])], [("y", F, [8, 8])])


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for case in cases():
        (out / f"{case.name}.onnx").write_bytes(build(case).SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
