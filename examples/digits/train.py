"""Train the two digits models from the images that scikit-learn bundles.

Version 1 is a logistic regression that saw few images; version 2 is a small
neural network that saw all of the training half. Both take `image`, FP32
[-1,64] with pixels 0..16, and answer `label`, INT64 [-1], and `probabilities`,
FP32 [-1,10]. Everything is seeded, so that a rebuild gives the same files.
"""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
CONFIG = """name: "digits"
platform: "onnxruntime_onnx"
max_batch_size: 64
input [
  { name: "image" data_type: TYPE_FP32 dims: [ 64 ] }
]
output [
  { name: "probabilities" data_type: TYPE_FP32 dims: [ 10 ] label_filename: "labels.txt" }
]
"""


def convert(model):
    """Write a classifier as ONNX with plain tensors and speaking names."""
    proto = to_onnx(
        model,
        initial_types=[("image", FloatTensorType([None, 64]))],
        options={"zipmap": False},
        target_opset=17,
    )
    names = {"output_label": "label", "label": "label", "probabilities": "probabilities", "output_probability": "probabilities"}
    for node in proto.graph.node:
        node.output[:] = [names.get(o, o) if o in {v.name for v in proto.graph.output} else o for o in node.output]
    for value in proto.graph.output:
        value.name = names[value.name]
    for value in list(proto.graph.input) + list(proto.graph.output):
        value.type.tensor_type.shape.dim[0].ClearField("dim_value")
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    proto.graph.name = "digits"
    proto.producer_name = "sluice examples/digits"
    onnx.checker.check_model(proto)
    return proto


def main():
    data = load_digits()
    images = data.data.astype(np.float32)
    train_x, held_x, train_y, held_y = train_test_split(
        images, data.target, test_size=0.2, random_state=7, stratify=data.target
    )
    weak = make_pipeline(MinMaxScaler(), LogisticRegression(C=0.05, max_iter=500))
    weak.fit(train_x[:300], train_y[:300])
    strong = make_pipeline(
        MinMaxScaler(),
        MLPClassifier(hidden_layer_sizes=(64,), alpha=1e-3, max_iter=600, random_state=7),
    )
    strong.fit(train_x, train_y)
    root = HERE / "models" / "digits"
    accuracy = {}
    for version, model in (("1", weak), ("2", strong)):
        folder = root / version
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "model.onnx"
        path.write_bytes(convert(model).SerializeToString(deterministic=True))
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        labels, _ = session.run(["label", "probabilities"], {"image": held_x})
        accuracy[version] = round(float((labels == held_y).mean()), 6)
    (root / "config.pbtxt").write_text(CONFIG)
    (root / "labels.txt").write_text("".join(f"{name}\n" for name in NAMES))
    rows = ",\n".join(
        "    " + json.dumps({"label": int(y), "image": [int(p) for p in x]}, separators=(",", ":"))
        for x, y in zip(held_x, held_y)
    )
    (HERE / "heldout.json").write_text(
        f'{{\n  "accuracy": {json.dumps(accuracy)},\n  "images": [\n{rows}\n  ]\n}}\n'
    )
    pick = next(i for i, y in enumerate(held_y) if weak.predict(held_x[i : i + 1])[0] == strong.predict(held_x[i : i + 1])[0] == y == 0)
    body = {"inputs": [{"name": "image", "shape": [1, 64], "datatype": "FP32", "data": [int(p) for p in held_x[pick]]}]}
    (HERE / "sample.json").write_text(json.dumps(body, separators=(",", ":")) + "\n")
    print("accuracy", accuracy, "held out", len(held_y), "sample is a", int(held_y[pick]))


if __name__ == "__main__":
    main()
