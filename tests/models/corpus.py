"""Generate a corpus of ONNX models, with requests and the answers that Python's onnxruntime gives.

    python corpus.py OUT

writes OUT/repository/NAME/1/model.onnx and OUT/cases.json, a list of

    {"model": NAME, "merge": "proven" | "pending" | "never" | "", "unavailable": bool, "random": bool,
     "requests": [{"inputs": [TENSOR...], "outputs": [TENSOR...], "fails": bool}]}

where TENSOR is {"name", "dtype", "shape", "data"} with the data as v2 carries it, in base64, and merge says
what a server must find out about requests that share a run ("": either is right). Everything is seeded.
"""

import base64
import json
import pathlib
import shutil
import struct
import sys

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from cases import all_cases

DTYPES = {
    T.BOOL: ("BOOL", np.bool_),
    T.INT8: ("INT8", np.int8),
    T.INT16: ("INT16", np.int16),
    T.INT32: ("INT32", np.int32),
    T.INT64: ("INT64", np.int64),
    T.UINT8: ("UINT8", np.uint8),
    T.UINT16: ("UINT16", np.uint16),
    T.UINT32: ("UINT32", np.uint32),
    T.UINT64: ("UINT64", np.uint64),
    T.FLOAT16: ("FP16", np.float16),
    T.BFLOAT16: ("BF16", ml_dtypes.bfloat16),
    T.FLOAT: ("FP32", np.float32),
    T.DOUBLE: ("FP64", np.float64),
    T.STRING: ("BYTES", np.object_),
}
NAMES = {np.dtype(n): name for name, n in DTYPES.values()}


def make_value(rng, elem, shape):
    """Make up one tensor."""
    name, dtype = DTYPES[elem]
    if name == "BYTES":
        words = ["".join(rng.choice(list("abcdef é")) for _ in range(rng.integers(0, 7))) for _ in range(int(np.prod(shape)))]
        return np.array(words, dtype=object).reshape(shape)
    if name == "BOOL":
        return rng.integers(0, 2, shape).astype(dtype)
    if name in ("FP16", "BF16", "FP32", "FP64"):
        return np.asarray(rng.normal(size=shape)).astype(dtype)
    return rng.integers(0, 10, shape).astype(dtype)


def encode(name, array):
    array = np.asarray(array)
    if array.dtype.kind in "OUS":
        items = [x if isinstance(x, bytes) else str(x).encode() for x in array.reshape(-1)]
        dtype, data = "BYTES", b"".join(struct.pack("<I", len(x)) + x for x in items)
    else:
        dtype, data = NAMES[array.dtype], np.ascontiguousarray(array).tobytes()
    return {"name": name, "dtype": dtype, "shape": list(array.shape), "data": base64.b64encode(data).decode()}


def build(case):
    graph = h.make_graph(
        case.nodes,
        case.name,
        [h.make_tensor_value_info(n, t, d) if not isinstance(t, onnx.TypeProto) else h.make_value_info(n, t) for n, t, d in case.inputs],
        [h.make_tensor_value_info(n, t, d) if not isinstance(t, onnx.TypeProto) else h.make_value_info(n, t) for n, t, d in case.outputs],
        initializer=[nh.from_array(np.asarray(v), k) for k, v in case.inits.items()],
    )
    opsets = [h.make_opsetid("", case.opset), h.make_opsetid("ai.onnx.ml", 3), h.make_opsetid("com.microsoft", 1)]
    return h.make_model(graph, opset_imports=opsets, ir_version=case.ir)


def session_of(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(session, feeds):
    """Run a session, half floats included, and return its outputs as arrays."""
    values = {}
    for name, array in feeds.items():
        if array.dtype == ml_dtypes.bfloat16:
            values[name] = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), T.BFLOAT16)
        else:
            values[name] = ort.OrtValue.ortvalue_from_numpy(array) if array.dtype != object else array
    names = [o.name for o in session.get_outputs()]
    if any(isinstance(v, np.ndarray) for v in values.values()):
        return names, session.run(names, feeds)
    outputs = session.run_with_ort_values(names, values)
    arrays = []
    for o in outputs:
        if o.data_type() == "tensor(bfloat16)":
            arrays.append(bfloat_of(o))
        else:
            arrays.append(o.numpy())
    return names, arrays


def bfloat_of(value):
    """Read a bfloat16 value, which onnxruntime does not turn into an array, by its address."""
    import ctypes

    count = int(np.prod(value.shape()))
    raw = ctypes.string_at(value.data_ptr(), 2 * count) if count else b""
    return np.frombuffer(raw, dtype=np.uint16).view(ml_dtypes.bfloat16).reshape(value.shape())


def auto_requests(rng, case):
    """Three requests of one row and one of two, for whatever axes are free."""
    for rows in (1, 1, 1, 2):
        feeds = {}
        for name, elem, dims in case.inputs:
            if name in case.inits or isinstance(elem, onnx.TypeProto):
                continue
            dims = [] if dims is None else dims
            shape = [d if isinstance(d, int) else (rows if i == case.axis else case.free) for i, d in enumerate(dims)]
            feeds[name] = make_value(rng, elem, shape)
        yield feeds


def main():
    out = pathlib.Path(sys.argv[1])
    repository = out / "repository"
    shutil.rmtree(repository, ignore_errors=True)
    cases, dropped = [], []
    for number, case in enumerate(all_cases()):
        rng = np.random.default_rng(number)
        folder = repository / case.name / "1"
        folder.mkdir(parents=True)
        path = folder / "model.onnx"
        path.write_bytes(case.raw if case.raw is not None else build(case).SerializeToString(deterministic=True))
        for name, data in case.files.items():
            (folder / name).write_bytes(data)
        entry = {"model": case.name, "merge": case.merge, "unavailable": case.unavailable, "random": case.random, "requests": []}
        if case.config:
            (folder.parent / "config.pbtxt").write_text(case.config)
        try:
            session = session_of(path)
        except Exception as e:
            if not case.unavailable:
                dropped.append(f"{case.name}: {str(e).splitlines()[0][:150]}")
                shutil.rmtree(folder.parent)
                continue
        if not case.unavailable:
            for feeds in case.requests if case.requests is not None else auto_requests(rng, case):
                request = {"inputs": [encode(k, v) for k, v in feeds.items()], "outputs": [], "fails": False}
                try:
                    names, arrays = run(session, {k: np.asarray(v) for k, v in feeds.items()})
                    request["outputs"] = [encode(n, a) for n, a in zip(names, arrays)]
                except Exception:
                    request["fails"] = True
                entry["requests"].append(request)
        cases.append(entry)
    (out / "cases.json").write_text(json.dumps(cases, separators=(",", ":")))
    for line in dropped:
        print("dropped", line)
    failing = sum(all(r["fails"] for r in c["requests"]) and bool(c["requests"]) for c in cases)
    print(len(cases), "models,", sum(len(c["requests"]) for c in cases), "requests,", failing, "models that accept none of theirs")
    if len(cases) < 200:
        sys.exit("fewer than 200 models: this onnxruntime cannot run the corpus")


if __name__ == "__main__":
    main()
