"""SavedModels to test with, as TensorFlow writes them."""

import math
import pathlib
import sys

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

# The data types of the v2 protocol, by its names.
DTYPES = {
    "BOOL": tf.bool, "UINT8": tf.uint8, "UINT16": tf.uint16, "UINT32": tf.uint32, "UINT64": tf.uint64,
    "INT8": tf.int8, "INT16": tf.int16, "INT32": tf.int32, "INT64": tf.int64,
    "FP16": tf.float16, "BF16": tf.bfloat16, "FP32": tf.float32, "FP64": tf.float64, "BYTES": tf.string,
}


def export(folder, name, version, signatures, methods=None):
    """Write a version of a model. signatures are functions of tensors to a dict of tensors, with the specs of what
    they take; methods are those signatures that are not for Predict."""
    module = tf.Module()
    concrete = {}
    for signature, (function, specs) in signatures.items():
        traced = tf.function(function)
        setattr(module, f"of_{signature}", traced)
        concrete[signature] = traced.get_concrete_function(
            **{key: tf.TensorSpec(shape, dtype, name=key) for key, (shape, dtype) in specs.items()})
    path = pathlib.Path(folder) / name / f".{version}"
    tf.saved_model.save(module, str(path), signatures=concrete)
    if methods:
        file = path / "saved_model.pb"
        model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        for signature, method in methods.items():
            model.meta_graphs[0].signature_def[signature].method_name = f"tensorflow/serving/{method}"
        file.write_bytes(model.SerializeToString())
    path.rename(path.with_name(str(version)))  # whole at once, for who watches


def identity(specs, suffix=""):
    """A signature that gives back what it takes: IN_x as OUT_x."""
    return lambda **tensors: {f"OUT{key[2:]}{suffix}": tf.identity(t) for key, t in tensors.items()}, specs


def identities(folder):
    """Models that give back what they take: the same as those of tests/pairs for other servers."""
    matrix = [None, None]
    for name, dtype in DTYPES.items():
        export(folder, f"identity_{name}", 1, {"serving_default": identity({f"IN_{name}": (matrix, dtype)})})
    export(folder, "named_bytes", 1, {"serving_default": identity({"IN_BYTES": (matrix, tf.string)}, suffix="_bytes")})
    some = ("INT32", "FP32", "BYTES", "BOOL", "FP64")
    export(folder, "several", 1, {"serving_default": identity({f"IN_{name}": (matrix, DTYPES[name]) for name in some})})
    scalars = ("FP32", "INT64", "BOOL", "BYTES")
    export(folder, "scalar", 1, {"serving_default": identity({f"IN_{name}": ([], DTYPES[name]) for name in scalars})})
    export(folder, "cube", 1, {"serving_default": identity({"IN_FP32": ([None, None, None], tf.float32)})})


def half_plus(folder, version, plus):
    """TensorFlow Serving's own example, with the signatures that take Examples as its documentation has them."""
    def predict(x):
        return {"y": x / 2 + plus}

    def of(inputs):
        x = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]
        return x / 2 + plus

    def regress(inputs):
        return {"outputs": of(inputs)}

    def classify(inputs):
        y = of(inputs)
        scores = tf.concat([y, -y], axis=1)
        return {"classes": tf.tile(tf.constant([["up", "down"]]), [tf.shape(y)[0], 1]), "scores": scores}

    examples = {"inputs": ([None], tf.string)}
    export(folder, "half_plus_two", version, {
        "serving_default": (predict, {"x": ([None], tf.float32)}),
        "regress_x_to_y": (regress, examples), "classify_x_to_y": (classify, examples),
    }, methods={"regress_x_to_y": "regress", "classify_x_to_y": "classify"})


def mixed(folder):
    """Several signatures with inputs in common, of numbers and strings, and one that fails for what it is given."""
    def default(x, words):
        return {"sum": tf.reduce_sum(x, axis=1), "text": tf.strings.join([words, tf.strings.as_string(tf.shape(x)[1])], "/")}

    def product(x):
        return {"product": tf.reduce_prod(x, axis=1)}

    def checked(x):
        with tf.control_dependencies([tf.debugging.assert_all_finite(x, "x is not finite")]):
            return {"sum": tf.reduce_sum(x, axis=1)}

    x = ([None, None], tf.float32)
    export(folder, "mixed", 1, {
        "serving_default": (default, {"x": x, "words": ([None], tf.string)}),
        "product": (product, {"x": x}), "checked": (checked, {"x": x}),
    })


def slow(folder):
    """A row costs next to nothing and a run much, so that what runs at once shows."""
    def run(x):
        weights = tf.fill([600, 600], math.pi / 600)
        work = tf.foldl(lambda a, _: tf.matmul(a, weights), tf.range(8), weights)
        return {"y": x + 0 * tf.reduce_sum(work)}

    export(folder, "slow", 1, {"serving_default": (run, {"x": ([None, 4], tf.float32)})})


def build(folder):
    """Write all of them."""
    identities(folder)
    half_plus(folder, 1, 2)
    half_plus(folder, 2, 3)
    mixed(folder)
    slow(folder)


if __name__ == "__main__":
    build(sys.argv[1])
