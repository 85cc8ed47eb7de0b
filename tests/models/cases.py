"""The models of the corpus."""

import dataclasses
import typing

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h

ELEMS = [
    ("bool", T.BOOL), ("int8", T.INT8), ("int16", T.INT16), ("int32", T.INT32), ("int64", T.INT64),
    ("uint8", T.UINT8), ("uint16", T.UINT16), ("uint32", T.UINT32), ("uint64", T.UINT64),
    ("fp16", T.FLOAT16), ("bf16", T.BFLOAT16), ("fp32", T.FLOAT), ("fp64", T.DOUBLE), ("string", T.STRING),
]
N = "batch"
F = T.FLOAT
I = T.INT64


@dataclasses.dataclass
class Case:
    name: str
    nodes: list
    inputs: list  # (name, elem type or TypeProto, dims); a str is a free axis, None no shape at all
    outputs: list
    inits: dict = dataclasses.field(default_factory=dict)
    merge: str = ""
    requests: typing.Any = None  # feeds; None: made up
    ir: int = 9
    axis: int = 0  # of the rows, for requests made up
    free: int = 4  # length of other free axes, for requests made up
    opset: int = 18
    random: bool = False
    unavailable: bool = False
    raw: typing.Any = None
    config: str = ""
    files: dict = dataclasses.field(default_factory=dict)  # beside the model


def node(op, ins, outs, domain="", **attributes):
    return h.make_node(op, ins.split(), outs.split(), domain=domain, **attributes)


def all_cases():
    groups = [
        identities, casts, pairwise, unary, reductions, mixing, neural, shapes, data_dependent, strings,
        optional, control, axes, integers, classic, halves, configured, external, refused, broken, mixed,
    ]
    for group in groups:
        yield from group()


def identities():
    for name, elem in ELEMS:
        y = [node("Identity", "x", "y")]
        yield Case(f"identity_{name}_n", y, [("x", elem, [N])], [("y", elem, [N])], merge="proven")
        yield Case(f"identity_{name}_n3", y, [("x", elem, [N, 3])], [("y", elem, [N, 3])], merge="proven")
        yield Case(f"identity_{name}_scalar", y, [("x", elem, [])], [("y", elem, [])], merge="never")
        yield Case(f"identity_{name}_fixed", y, [("x", elem, [2, 3])], [("y", elem, [2, 3])], merge="never")
        yield Case(f"identity_{name}_unranked", y, [("x", elem, None)], [("y", elem, None)], merge="pending",
                   requests=[{"x": value(elem, s)} for s in ([1, 3], [1, 3], [2, 3])])
    for name, elem in ELEMS:
        yield Case(f"empty_{name}", [node("Identity", "x", "y")], [("x", elem, ["a", "b"])], [("y", elem, ["a", "b"])],
                   requests=[{"x": value(elem, s)} for s in ([0, 3], [2, 0], [0, 0], [2, 3])], merge="proven")


def value(elem, shape, seed=1):
    from corpus import make_value

    return make_value(np.random.default_rng(seed + sum(shape)), elem, shape)


def casts():
    for name, elem in ELEMS:
        if elem in (T.FLOAT, T.STRING):
            continue
        yield Case(f"cast_{name}_fp32", [node("Cast", "x", "y", to=F)], [("x", elem, [N, 4])], [("y", F, [N, 4])], merge="proven")
        yield Case(f"cast_fp32_{name}", [node("Cast", "x", "y", to=elem)], [("x", F, [N, 4])], [("y", elem, [N, 4])], merge="proven")
    yield Case("cast_int64_string", [node("Cast", "x", "y", to=T.STRING)], [("x", I, [N, 2])], [("y", T.STRING, [N, 2])], merge="proven")
    yield Case("cast_string_fp32", [node("Cast", "x", "y", to=F)], [("x", T.STRING, [N])], [("y", F, [N])], merge="pending",
               requests=[{"x": np.array([s], dtype=object)} for s in ("1.5", "-2", "inf", "word")])


def pairwise():
    for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"):
        for name, elem in (("fp32", F), ("fp64", T.DOUBLE), ("int32", T.INT32), ("int64", I)):
            # Integers divide by one more than what is asked, never by zero.
            if op == "Div" and name.startswith("int"):
                nodes = [node("Add", "b one", "c"), node("Div", "a c", "y")]
                inits = {"one": np.array(1, dtype=np.int32 if name == "int32" else np.int64)}
            else:
                nodes, inits = [node(op, "a b", "y")], {}
            yield Case(f"{op.lower()}_{name}", nodes, [("a", elem, [N, 3]), ("b", elem, [N, 3])], [("y", elem, [N, 3])], inits, merge="proven")
    yield Case("compare_many", [node("Greater", "a b", "g"), node("Equal", "a b", "e"), node("Less", "a b", "l")],
               [("a", F, [N, 3]), ("b", F, [N, 3])], [(o, T.BOOL, [N, 3]) for o in "gel"], merge="proven")
    yield Case("logic", [node("And", "a b", "x"), node("Or", "a b", "y"), node("Xor", "a b", "z"), node("Not", "a", "n")],
               [("a", T.BOOL, [N, 2]), ("b", T.BOOL, [N, 2])], [(o, T.BOOL, [N, 2]) for o in "xyzn"], merge="proven")
    yield Case("broadcast_first_axis", [node("Add", "a b", "y")], [("a", F, [N, 3]), ("b", F, ["m", 3])], [("y", F, ["o", 3])])


def unary():
    for op in ("Relu", "Sigmoid", "Tanh", "Exp", "Sqrt", "Abs", "Neg", "Ceil", "Floor", "Round", "Erf", "Sin", "Cos", "Atan",
               "Sign", "Reciprocal", "Softplus", "Softsign", "Elu", "Selu", "LeakyRelu", "HardSigmoid", "Mish", "Log"):
        yield Case(f"unary_{op.lower()}", [node(op, "x", "y")], [("x", F, [N, 5])], [("y", F, [N, 5])], merge="proven")
    yield Case("unary_isnan", [node("Log", "x", "l"), node("IsNaN", "l", "y")], [("x", F, [N, 5])], [("y", T.BOOL, [N, 5])], merge="proven")
    yield Case("nan_and_inf", [node("Div", "x zero", "y")], [("x", F, [N, 2])], [("y", F, [N, 2])], {"zero": np.zeros(1, np.float32)},
               requests=[{"x": np.array([[a, b]], np.float32)} for a, b in ((1, 0), (-1, 0), (0, 0), (1, -1))], merge="proven")


REDUCE = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSumExp")


def reductions():
    for op in REDUCE:
        name = op.lower()
        yield Case(f"{name}_last", [node(op, "x axes", "y", keepdims=0)], [("x", F, [N, 4])], [("y", F, [N])],
                   {"axes": np.array([1])}, merge="proven")
        yield Case(f"{name}_rows", [node(op, "x axes", "y", keepdims=1)], [("x", F, [N, 4])], [("y", F, [1, 4])],
                   {"axes": np.array([0])}, merge="never")
        yield Case(f"{name}_all", [node(op, "x", "y", keepdims=0)], [("x", F, [N, 4])], [("y", F, [])], merge="never")


def mixing():
    """Models that look batched and mix their rows: never to be merged."""
    x, y = [("x", F, [N, 4])], [("y", F, [N, 4])]
    for op in REDUCE:
        yield Case(f"minus_{op.lower()}", [node(op, "x axes", "m", keepdims=1), node("Sub", "x m", "y")], x, y, {"axes": np.array([0])}, merge="never")
    rows = {"axes": np.array([0]), "zero": np.array([0]), "one": np.array([1]), "minus": np.array([-1]),
            "end": np.array([-(2**62)]), "axis": np.array(0), "big": np.array([2**62])}
    yield Case("cumsum_rows", [node("CumSum", "x axis", "y")], x, y, rows, merge="never")
    yield Case("cumsum_rows_reverse", [node("CumSum", "x axis", "y", reverse=1)], x, y, rows, merge="never")
    yield Case("softmax_rows", [node("Softmax", "x", "y", axis=0)], x, y, merge="never")
    yield Case("logsoftmax_rows", [node("LogSoftmax", "x", "y", axis=0)], x, y, merge="never")
    yield Case("reverse_rows", [node("Slice", "x minus end axes minus", "y")], x, y, rows, merge="never")
    yield Case("sort_rows", [node("Shape", "x", "s", start=0, end=1), node("TopK", "x s", "y i", axis=0)], x, y, merge="never")
    yield Case("sort_rows_up_index", [node("Shape", "x", "s", start=0, end=1), node("TopK", "x s", "v y", axis=0, largest=0)], x, [("y", I, [N, 4])], merge="never")
    yield Case("times_rows", [node("Shape", "x", "s", start=0, end=1), node("Cast", "s", "f", to=F), node("Mul", "x f", "y")], x, y, merge="never")
    yield Case("first_row", [node("Slice", "x zero one axes", "r"), node("Add", "x r", "y")], x, y, rows, merge="never")
    yield Case("last_row", [node("Slice", "x minus big axes", "r"), node("Sub", "x r", "y")], x, y, rows, merge="never")
    yield Case("row_number", [node("Shape", "x", "s"), node("ConstantOfShape", "s", "o", value=h.make_tensor("v", F, [1], [1.0])),
                              node("CumSum", "o axis", "c"), node("Add", "x c", "y")], x, y, rows, merge="never")
    yield Case("gram", [node("Transpose", "x", "t"), node("MatMul", "x t", "y")], x, [("y", F, [N, "n"])], merge="never")
    yield Case("gram_weighted", [node("Transpose", "x", "t"), node("MatMul", "x t", "g"), node("MatMul", "g x", "y")], x, y, merge="never")
    yield Case("neighbour", [node("Concat", "x x", "d", axis=0), node("Shape", "x", "s", start=0, end=1), node("Add", "s one", "e"),
                             node("Slice", "d one e axes", "n"), node("Sub", "x n", "y")], x, y, rows, merge="never")
    yield Case("batch_norm_train", [node("ReduceMean", "x axes", "m", keepdims=1), node("Sub", "x m", "c"), node("Mul", "c c", "q"),
                                    node("ReduceMean", "q axes", "v", keepdims=1), node("Add", "v tiny", "w"), node("Sqrt", "w", "d"),
                                    node("Div", "c d", "y")], x, y, {**rows, "tiny": np.array([1e-3], np.float32)}, merge="never")
    yield Case("attention_over_rows", [node("Transpose", "x", "t"), node("MatMul", "x t", "g"), node("Softmax", "g", "p", axis=1),
                                       node("MatMul", "p x", "y")], x, y, merge="never")
    yield Case("rank_of_ids", [node("Shape", "x", "s", start=0, end=1), node("TopK", "x s", "v y", axis=0)], [("x", I, [N])], [("y", I, [N])], merge="never")
    yield Case("max_id", [node("ReduceMax", "x axes", "m", keepdims=1), node("Sub", "m x", "y")], [("x", I, [N])], [("y", I, [N])], rows, merge="never")
    yield Case("any_true", [node("Cast", "x", "i", to=T.INT32), node("ReduceMax", "i axes", "m", keepdims=1), node("Cast", "m", "b", to=T.BOOL),
                            node("Or", "x b", "y")], [("x", T.BOOL, [N, 3])], [("y", T.BOOL, [N, 3])], rows, merge="never")
    yield Case("second_output_mixes", [node("Relu", "x", "y"), node("ReduceMean", "x axes", "m", keepdims=1), node("Sub", "x m", "z")],
               x, y + [("z", F, [N, 4])], rows, merge="never")
    yield Case("random_rows", [node("RandomNormalLike", "x", "y")], x, y, merge="never", random=True)
    yield Case("bernoulli", [node("Sigmoid", "x", "p"), node("Bernoulli", "p", "y")], x, y, merge="never", random=True)
    yield Case("padded_conv_over_rows", [node("Unsqueeze", "x z", "u"), node("Transpose", "u", "t", perm=[0, 2, 1]),
                                         node("Conv", "t w", "c", pads=[1, 1]), node("Transpose", "c", "d", perm=[0, 2, 1]), node("Squeeze", "d z", "y")],
               x, [("y", F, [N, 2])], {"z": np.array([0]), "w": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 4, 3)}, merge="never")


def weights(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def neural():
    x = [("x", F, [N, 8])]
    yield Case("gemm", [node("Gemm", "x w b", "y")], x, [("y", F, [N, 3])], {"w": weights(8, 3), "b": weights(3)}, merge="proven")
    yield Case("matmul", [node("MatMul", "x w", "y")], x, [("y", F, [N, 3])], {"w": weights(8, 3)}, merge="proven")
    yield Case("mlp", [node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("MatMul", "r v", "s"), node("Softmax", "s", "y")], x, [("y", F, [N, 5])],
               {"w": weights(8, 16), "v": weights(16, 5)}, merge="proven")
    for activation in ("Gelu", "FastGelu"):
        yield Case(f"microsoft_{activation.lower()}", [node(activation, "x", "y", domain="com.microsoft")], x, [("y", F, [N, 8])], merge="proven")
    image = [("x", F, [N, 3, "h", "w"])]
    yield Case("conv", [node("Conv", "x k", "y", pads=[1, 1, 1, 1])], image, [("y", F, [N, 4, "h", "w"])], {"k": weights(4, 3, 3, 3)}, merge="proven")
    yield Case("conv_strided", [node("Conv", "x k", "y", strides=[2, 2])], image, [("y", F, [N, 4, "p", "q"])], {"k": weights(4, 3, 3, 3)}, merge="proven")
    yield Case("conv_of_multiples_of_64", [node("Reshape", "x s", "r"), node("ReduceMean", "r a", "y", keepdims=0)],
               [("x", F, [N, "t"])], [("y", F, [N, 64])], {"s": np.array([0, -1, 64]), "a": np.array([1])}, merge="proven", free=64)
    yield Case("maxpool", [node("MaxPool", "x", "y", kernel_shape=[2, 2])], image, [("y", F, [N, 3, "p", "q"])], merge="proven")
    yield Case("avgpool", [node("AveragePool", "x", "y", kernel_shape=[2, 2])], image, [("y", F, [N, 3, "p", "q"])], merge="proven")
    yield Case("global_pool", [node("GlobalAveragePool", "x", "y")], image, [("y", F, [N, 3, 1, 1])], merge="proven")
    yield Case("resize", [node("Resize", "x  scales", "y", mode="nearest")] if False else
               [h.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")], image, [("y", F, [N, 3, "p", "q"])],
               {"scales": np.array([1, 1, 2, 2], np.float32)}, merge="proven")
    yield Case("batchnorm", [node("BatchNormalization", "x s b m v", "y")], image, [("y", F, [N, 3, "h", "w"])],
               {"s": weights(3), "b": weights(3), "m": weights(3), "v": np.ones(3, np.float32)}, merge="proven")
    yield Case("instancenorm", [node("InstanceNormalization", "x s b", "y")], image, [("y", F, [N, 3, "h", "w"])], {"s": weights(3), "b": weights(3)}, merge="proven")
    yield Case("layernorm", [node("LayerNormalization", "x s b", "y")], x, [("y", F, [N, 8])], {"s": weights(8), "b": weights(8)}, merge="proven")
    yield Case("embedding", [node("Gather", "table ids", "y")], [("ids", I, [N, 6])], [("y", F, [N, 6, 4])], {"table": weights(10, 4)}, merge="proven")
    yield Case("embedding_of_two", [node("Gather", "table ids", "y")], [("ids", I, [N, 6])], [("y", F, [N, 6, 4])], {"table": weights(2, 4)}, merge="proven",
               requests=[{"ids": np.array([[i, 1, 0, 0, 1, 1]])} for i in (0, 1, 1, 7)])
    yield Case("embedding_of_one", [node("Gather", "table ids", "y")], [("ids", I, [N, 2])], [("y", F, [N, 2, 4])], {"table": weights(1, 4)}, merge="pending",
               requests=[{"ids": np.array([[a, b]])} for a, b in ((0, 0), (0, -1), (-1, 0), (5, 0))])
    yield Case("embedding_wide_ids", [node("Gather", "table ids", "y")], [("ids", T.INT32, [N, "t"])], [("y", F, [N, "t", 4])], {"table": weights(10, 4)}, merge="proven")
    yield Case("onehot", [node("OneHot", "x depth values", "y")], [("x", I, [N])], [("y", F, [N, 10])],
               {"depth": np.array(10), "values": np.array([0, 1], np.float32)}, merge="proven")
    yield Case("lstm", [node("LSTM", "x w r", "y h c", hidden_size=4)], [("x", F, ["t", N, 3])], [("y", F, ["t", 1, N, 4]), ("h", F, [1, N, 4]), ("c", F, [1, N, 4])],
               {"w": weights(1, 16, 3), "r": weights(1, 16, 4)}, axis=1, merge="never")
    yield Case("gru_batch_first", [node("Transpose", "x", "t", perm=[1, 0, 2]), node("GRU", "t w r", "s h", hidden_size=4), node("Squeeze", "h z", "y")],
               [("x", F, [N, 5, 3])], [("y", F, [N, 4])], {"w": weights(1, 12, 3), "r": weights(1, 12, 4), "z": np.array([0])}, merge="proven")
    yield Case("rnn", [node("RNN", "x w r", "y", hidden_size=4)], [("x", F, [2, N, 3])], [("y", F, [2, 1, N, 4])], {"w": weights(1, 4, 3), "r": weights(1, 4, 4)}, axis=1, merge="never")
    yield Case("attention", [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "g"), node("Softmax", "g", "p"), node("MatMul", "p x", "y")],
               [("x", F, [N, "t", 4])], [("y", F, [N, "t", 4])], merge="proven")
    yield Case("einsum", [node("Einsum", "x w", "y", equation="bij,jk->bik")], [("x", F, [N, 2, 4])], [("y", F, [N, 2, 3])], {"w": weights(4, 3)}, merge="proven")
    yield Case("einsum_over_rows", [node("Einsum", "x x", "y", equation="bi,ci->bc")], x, [("y", F, [N, "n"])], merge="never")


def shapes():
    yield Case("shape_of", [node("Shape", "x", "y")], [("x", F, [N, 3])], [("y", I, [2])], merge="never")
    yield Case("size_of", [node("Size", "x", "y")], [("x", F, [N, 3])], [("y", I, [])], merge="never")
    yield Case("constant_output", [node("Relu", "x", "y"), h.make_node("Constant", [], ["c"], value=h.make_tensor("v", F, [3], [1, 2, 3]))],
               [("x", F, [N, 3])], [("y", F, [N, 3]), ("c", F, [3])], merge="never")
    yield Case("constant_hidden_dim", [node("Relu", "x", "y"), h.make_node("Constant", [], ["c"], value=h.make_tensor("v", F, [3], [1, 2, 3]))],
               [("x", F, [N, 3])], [("y", F, [N, 3]), ("c", F, ["k"])], merge="never")
    yield Case("no_input", [h.make_node("Constant", [], ["y"], value=h.make_tensor("v", F, [3], [1, 2, 3]))], [], [("y", F, [3])], merge="never", requests=[{}])
    yield Case("flatten", [node("Flatten", "x", "y")], [("x", F, [N, 2, 3])], [("y", F, [N, 6])], merge="proven")
    yield Case("flatten_all", [node("Reshape", "x s", "y")], [("x", F, [N, 3])], [("y", F, ["m"])], {"s": np.array([-1])}, merge="never")
    yield Case("unsqueeze_front", [node("Unsqueeze", "x a", "y")], [("x", F, [N, 3])], [("y", F, [1, N, 3])], {"a": np.array([0])}, merge="never")
    yield Case("transpose", [node("Transpose", "x", "y")], [("x", F, ["a", "b"])], [("y", F, ["b", "a"])], merge="never")
    yield Case("concat_rows", [node("Concat", "x x", "y", axis=0)], [("x", F, [N, 3])], [("y", F, ["m", 3])], merge="never")
    yield Case("concat_columns", [node("Concat", "a b", "y", axis=1)], [("a", F, [N, 3]), ("b", F, [N, "k"])], [("y", F, [N, "m"])], merge="proven")
    yield Case("split", [node("Split", "x", "a b", axis=1, num_outputs=2)], [("x", F, [N, 4])], [("a", F, [N, 2]), ("b", F, [N, 2])], merge="proven")
    yield Case("many_ranks", [node("Relu", "a", "p"), node("Sigmoid", "b", "q"), node("Neg", "c", "r"), node("Identity", "d", "s")],
               [("a", F, [N]), ("b", F, [N, 2]), ("c", I, [N, 2, 3]), ("d", T.STRING, [N, 1])],
               [("p", F, [N]), ("q", F, [N, 2]), ("r", I, [N, 2, 3]), ("s", T.STRING, [N, 1])], merge="proven")
    yield Case("twelve_inputs", [h.make_node("Sum", [f"x{i}" for i in range(12)], ["y"])], [(f"x{i}", F, [N, 2]) for i in range(12)], [("y", F, [N, 2])], merge="proven")
    yield Case("twelve_outputs", [node("Add", f"x c{i}", f"y{i}") for i in range(12)], [("x", F, [N, 2])], [(f"y{i}", F, [N, 2]) for i in range(12)],
               {f"c{i}": np.array([i], np.float32) for i in range(12)}, merge="proven")
    yield Case("odd_names", [h.make_node("Relu", ["in put/0:é"], ["out put/0:é"])], [("in put/0:é", F, [N, 2])], [("out put/0:é", F, [N, 2])], merge="proven")
    yield Case("long_name", [h.make_node("Relu", ["x" * 3000], ["y" * 3000])], [("x" * 3000, F, [N, 2])], [("y" * 3000, F, [N, 2])], merge="proven")
    yield Case("rank_8", [node("Relu", "x", "y")], [("x", F, [N, 1, 2, 1, 2, 1, 2, 1])], [("y", F, [N, 1, 2, 1, 2, 1, 2, 1])], merge="proven")
    yield Case("input_is_output", [node("Relu", "x", "y")], [("x", F, [N, 2])], [("x", F, [N, 2]), ("y", F, [N, 2])], merge="proven")
    yield Case("unused_input", [node("Relu", "x", "y")], [("x", F, [N, 2]), ("z", I, [N])], [("y", F, [N, 2])], merge="proven")


def data_dependent():
    x = [("x", F, [N, 4])]
    yield Case("nonzero", [node("Relu", "x", "r"), node("NonZero", "r", "y")], x, [("y", I, [2, "k"])], merge="never")
    yield Case("nonzero_rows", [node("Relu", "x", "r"), node("NonZero", "r", "n"), node("Transpose", "n", "y")], x, [("y", I, ["k", 2])], merge="never")
    yield Case("unique", [node("Round", "x", "r"), node("Unique", "r", "y")], x, [("y", F, ["k"])], merge="never")
    yield Case("unique_all", [node("Round", "x", "r"), node("Unique", "r", "y i v c", sorted=0)], x, [(o, F if o == "y" else I, ["k" + o]) for o in "yivc"], merge="never")
    yield Case("unique_rows", [node("Unique", "x", "y", axis=0)], x, [("y", F, ["k", 4])], merge="never")
    yield Case("compress", [node("Greater", "x zero", "g"), node("Compress", "x g", "y")], [("x", F, ["n"])], [("y", F, ["k"])], {"zero": np.array(0, np.float32)}, merge="never",
               requests=[{"x": np.array(v, np.float32)} for v in ([1, -1, 2], [-1], [3, 4], [])])
    yield Case("compress_half", [node("Cast", "x", "f", to=F), node("Greater", "f zero", "g"), node("Compress", "x g", "y")], [("x", T.FLOAT16, ["n"])], [("y", T.FLOAT16, ["k"])],
               {"zero": np.array(0, np.float32)}, merge="never", requests=[{"x": np.array(v, np.float16)} for v in ([1, -1, 2], [-1], [3, 4])])
    yield Case("compress_strings", [node("Compress", "x g", "y")], [("x", T.STRING, ["n"]), ("g", T.BOOL, ["n"])], [("y", T.STRING, ["k"])], merge="never",
               requests=[{"x": np.array(["a", "bb", ""], dtype=object), "g": np.array(g)} for g in ([True, False, True], [False, False, False])])
    yield Case("range", [node("Range", "a b c", "y")], [(n, I, []) for n in "abc"], [("y", I, ["k"])], merge="never",
               requests=[{"a": np.array(0), "b": np.array(n), "c": np.array(s)} for n, s in ((5, 1), (0, 1), (10, 3))])
    yield Case("constant_of_shape", [node("ConstantOfShape", "s", "y")], [("s", I, ["r"])], [("y", F, None)], merge="never",
               requests=[{"s": np.array(s, np.int64)} for s in ([2, 3], [4], [0, 2], [])])
    yield Case("expand", [node("Expand", "x s", "y")], [("x", F, [1, 3]), ("s", I, [2])], [("y", F, ["a", "b"])], merge="never",
               requests=[{"x": np.ones((1, 3), np.float32), "s": np.array(s)} for s in ([2, 3], [1, 1], [0, 3])])
    yield Case("reshape_by_input", [node("Reshape", "x s", "y")], [("x", F, ["a", "b"]), ("s", I, ["r"])], [("y", F, None)], merge="pending",
               requests=[{"x": np.arange(6, dtype=np.float32).reshape(2, 3), "s": np.array(s, np.int64)} for s in ([6], [3, 2], [1, -1], [7])])
    yield Case("tile", [node("Tile", "x r", "y")], [("x", F, [2]), ("r", I, [1])], [("y", F, ["k"])], merge="never",
               requests=[{"x": np.ones(2, np.float32), "r": np.array([n])} for n in (1, 3, 0)])
    yield Case("pad", [node("Pad", "x p", "y")], [("x", F, [N, 2]), ("p", I, [4])], [("y", F, ["a", "b"])], merge="never",
               requests=[{"x": np.ones((2, 2), np.float32), "p": np.array(p)} for p in ([0, 0, 0, 0], [1, 1, 0, 2])])
    yield Case("slice_by_input", [node("Slice", "x a b", "y")], [("x", F, [N, 4]), ("a", I, [1]), ("b", I, [1])], [("y", F, ["k", 4])], merge="never",
               requests=[{"x": np.ones((3, 4), np.float32), "a": np.array([a]), "b": np.array([b])} for a, b in ((0, 2), (1, 3), (2, 2))])
    yield Case("nms", [node("NonMaxSuppression", "boxes scores most", "y")], [("boxes", F, [1, "n", 4]), ("scores", F, [1, 1, "n"])], [("y", I, ["k", 3])],
               {"most": np.array([3])}, merge="never", axis=1)
    yield Case("gather_out_of_range", [node("Gather", "t i", "y")], [("i", I, [N])], [("y", F, [N])], {"t": weights(4)}, merge="proven",
               requests=[{"i": np.array([i])} for i in (0, 3, 9, 2)])
    yield Case("scatter", [node("ScatterND", "z i u", "y")], [("i", I, ["n", 1]), ("u", F, ["n"])], [("y", F, [10])], {"z": np.zeros(10, np.float32)}, merge="never")
    yield Case("topk_by_input", [node("TopK", "x k", "v i")], [("x", F, [N, 4]), ("k", I, [1])], [("v", F, [N, "k"]), ("i", I, [N, "k"])], merge="never",
               requests=[{"x": weights(1, 4), "k": np.array([k])} for k in (1, 4, 9)])
    yield Case("where_value", [node("Greater", "x z", "g"), node("Where", "g x z", "y")], x, [("y", F, [N, 4])], {"z": np.zeros(1, np.float32)}, merge="proven")


def strings():
    s = T.STRING
    yield Case("string_upper", [h.make_node("StringNormalizer", ["x"], ["y"], case_change_action="UPPER", locale="C")], [("x", s, ["n"])], [("y", s, ["n"])], merge="proven")
    yield Case("string_stopwords", [h.make_node("StringNormalizer", ["x"], ["y"], case_change_action="LOWER", stopwords=["a"], locale="C")], [("x", s, ["n"])], [("y", s, ["k"])],
               requests=[{"x": np.array(v, dtype=object)} for v in (["A", "b"], ["c"], ["d", "e", "a"])])
    yield Case("string_concat", [node("StringConcat", "a b", "y")], [("a", s, [N, 2]), ("b", s, [N, 2])], [("y", s, [N, 2])], opset=20, merge="proven")
    yield Case("string_split", [node("StringSplit", "x", "y n")], [("x", s, [N])], [("y", s, [N, "k"]), ("n", I, [N])], opset=20,
               requests=[{"x": np.array([v], dtype=object)} for v in ("a b", "c", "", "d e f")])
    yield Case("string_equal", [node("Equal", "a b", "y")], [("a", s, [N]), ("b", s, [N])], [("y", T.BOOL, [N])], opset=19, merge="proven")
    yield Case("string_gather", [node("Gather", "x i", "y", axis=1)], [("x", s, [N, 4])], [("y", s, [N, 2])], {"i": np.array([3, 0])}, merge="proven")
    yield Case("string_labels", [h.make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_strings=["a", "b"], values_int64s=[1, 2], default_int64=-1)],
               [("x", s, [N])], [("y", I, [N])], merge="proven")
    yield Case("labels_to_string", [h.make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_int64s=[1, 2], values_strings=["one", "two"], default_string="other")],
               [("x", I, [N])], [("y", s, [N])], merge="proven")
    yield Case("string_tfidf", [h.make_node("TfIdfVectorizer", ["x"], ["y"], max_gram_length=1, min_gram_length=1, max_skip_count=0, mode="TF", ngram_counts=[0], ngram_indexes=[0, 1], pool_strings=["a", "b"])],
               [("x", s, [N, 3])], [("y", F, [N, 2])], merge="proven")
    yield Case("string_long", [node("Identity", "x", "y")], [("x", s, [N])], [("y", s, [N])], merge="proven",
               requests=[{"x": np.array(["x" * n], dtype=object)} for n in (0, 1, 15, 16, 100_000)])
    yield Case("string_unicode", [node("Identity", "x", "y")], [("x", s, [N])], [("y", s, [N])], merge="proven",
               requests=[{"x": np.array([v], dtype=object)} for v in ("日本", "😀", "é", " ")])
    yield Case("string_constant", [node("Shape", "x", "s", start=0, end=1), h.make_node("Constant", [], ["w"], value=h.make_tensor("v", s, [1], [b"word"])), node("Expand", "w s", "y")],
               [("x", F, [N])], [("y", s, [N])])


def optional():
    x = [("x", F, [N, 2])]
    yield Case("overridable", [node("Mul", "x k", "y")], x + [("k", F, [1])], [("y", F, [N, 2])], {"k": np.array([3], np.float32)}, merge="proven",
               requests=[{"x": weights(1, 2)}, {"x": weights(1, 2)}, {"x": weights(1, 2), "k": np.array([7], np.float32)}])
    yield Case("overridable_rows", [node("Add", "x k", "y")], x + [("k", F, [1, 2])], [("y", F, [N, 2])], {"k": np.ones((1, 2), np.float32)}, merge="proven",
               requests=[{"x": weights(1, 2)}, {"x": weights(1, 2), "k": weights(1, 2)}])
    yield Case("initializer_as_input_of_old", [node("Mul", "x k", "y")], x + [("k", F, [1])], [("y", F, [N, 2])], {"k": np.array([3], np.float32)}, ir=3, opset=8, merge="proven")
    yield Case("overridable_only", [node("Relu", "k", "y")], [("k", F, [2])], [("y", F, [2])], {"k": np.ones(2, np.float32)}, merge="never",
               requests=[{}, {"k": np.array([-1, 5], np.float32)}])
    maybe = h.make_optional_type_proto(h.make_tensor_type_proto(F, [N, 2]))
    yield Case("optional_input", [node("OptionalGetElement", "x", "y")], [("x", maybe, None)], [("y", F, [N, 2])], requests=[{"x": weights(1, 2)}, {"x": weights(3, 2)}])
    yield Case("optional_has", [node("OptionalHasElement", "x", "y")], [("x", maybe, None)], [("y", T.BOOL, [])], requests=[{"x": weights(1, 2)}])


def control():
    x, y = [("x", F, [N, 2])], [("y", F, [N, 2])]
    then = h.make_graph([node("Relu", "x", "t")], "then", [], [h.make_tensor_value_info("t", F, None)])
    other = h.make_graph([node("Neg", "x", "e")], "else", [], [h.make_tensor_value_info("e", F, None)])
    yield Case("if_input", [h.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)], x + [("c", T.BOOL, [])], y, merge="never")
    yield Case("if_sum", [node("ReduceSum", "x", "s", keepdims=0), node("Greater", "s z", "c"), h.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)],
               x, y, {"z": np.array(0, np.float32)}, merge="never")
    short = h.make_graph([h.make_node("Constant", [], ["t"], value=h.make_tensor("v", F, [1], [1]))], "then", [], [h.make_tensor_value_info("t", F, None)])
    flat = h.make_graph([h.make_node("Constant", [], ["e"], value=h.make_tensor("v", F, [], [2]))], "else", [], [h.make_tensor_value_info("e", F, None)])
    yield Case("if_of_ranks", [h.make_node("If", ["c"], ["y"], then_branch=short, else_branch=flat)], [("c", T.BOOL, [])], [("y", F, None)], merge="never",
               requests=[{"c": np.array(True)}, {"c": np.array(False)}])
    body = h.make_graph([node("Add", "a one", "b"), node("Identity", "c", "d")], "body",
                        [h.make_tensor_value_info("i", I, []), h.make_tensor_value_info("c", T.BOOL, []), h.make_tensor_value_info("a", F, None)],
                        [h.make_tensor_value_info("d", T.BOOL, []), h.make_tensor_value_info("b", F, None)])
    yield Case("loop", [h.make_node("Loop", ["n", "", "x"], ["y"], body=body)], x, y, {"n": np.array(5), "one": np.array(1, np.float32)}, merge="proven")
    yield Case("loop_by_input", [h.make_node("Loop", ["n", "", "x"], ["y"], body=body)], x + [("n", I, [])], y, {"one": np.array(1, np.float32)}, merge="never")
    scan = h.make_graph([node("Add", "s r", "t"), node("Identity", "t", "o")], "scan",
                        [h.make_tensor_value_info("s", F, [2]), h.make_tensor_value_info("r", F, [2])],
                        [h.make_tensor_value_info("t", F, [2]), h.make_tensor_value_info("o", F, [2])])
    yield Case("scan_rows", [h.make_node("Scan", ["z", "x"], ["l", "y"], body=scan, num_scan_inputs=1)], x, y, {"z": np.zeros(2, np.float32)}, merge="never")
    yield Case("sequence_inside", [h.make_node("SplitToSequence", ["x"], ["q"], axis=1), h.make_node("ConcatFromSequence", ["q"], ["y"], axis=1)], x, y, merge="proven")


def axes():
    yield Case("batch_second", [node("Relu", "x", "y")], [("x", F, [3, N])], [("y", F, [3, N])], axis=1, merge="never")
    yield Case("batch_not_on_every_input", [node("MatMul", "x w", "y")], [("x", F, [N, 4]), ("w", F, [4, 3])], [("y", F, [N, 3])], merge="never")
    yield Case("batch_not_on_every_output", [node("Relu", "x", "y"), node("ReduceSum", "x", "s", keepdims=0)], [("x", F, [N, 4])], [("y", F, [N, 4]), ("s", F, [])], merge="never")
    yield Case("free_first_axis_of_weights", [node("MatMul", "x w", "y")], [("x", F, [N, 4]), ("w", F, ["k", 3])], [("y", F, [N, 3])],
               requests=[{"x": weights(1, 4), "w": weights(4, 3)}, {"x": weights(2, 4), "w": weights(4, 3)}])
    yield Case("all_free", [node("Relu", "x", "y")], [("x", F, ["a", "b", "c"])], [("y", F, ["a", "b", "c"])], merge="proven")
    yield Case("square_only", [node("MatMul", "x x", "y")], [("x", F, ["a", "b"])], [("y", F, ["a", "b"])],
               requests=[{"x": weights(n, n)} for n in (1, 2, 3)])
    yield Case("output_dims_wrong", [node("Relu", "x", "y")], [("x", F, [N, 4])], [("y", F, ["other", "names"])], merge="proven")
    yield Case("no_output_shape", [node("Relu", "x", "y")], [("x", F, [N, 4])], [("y", F, None)], merge="proven")
    yield Case("two_row_inputs_crossed", [node("Transpose", "b", "t"), node("MatMul", "a t", "y")], [("a", F, [N, 3]), ("b", F, [N, 3])], [("y", F, [N, "n"])], merge="never")


def integers():
    yield Case("quantize", [node("QuantizeLinear", "x s z", "y")], [("x", F, [N, 4])], [("y", T.UINT8, [N, 4])], {"s": np.array(0.1, np.float32), "z": np.array(128, np.uint8)}, merge="proven")
    yield Case("dequantize", [node("DequantizeLinear", "x s z", "y")], [("x", T.INT8, [N, 4])], [("y", F, [N, 4])], {"s": np.array(0.1, np.float32), "z": np.array(0, np.int8)}, merge="proven")
    yield Case("dynamic_quantize", [node("DynamicQuantizeLinear", "x", "y s z")], [("x", F, [N, 4])], [("y", T.UINT8, [N, 4]), ("s", F, []), ("z", T.UINT8, [])], merge="never")
    yield Case("dynamic_quantize_hidden", [node("DynamicQuantizeLinear", "x", "q s z"), node("DequantizeLinear", "q s z", "y")], [("x", F, [N, 4])], [("y", F, [N, 4])], merge="pending")
    yield Case("matmul_integer", [node("MatMulInteger", "x w", "y")], [("x", T.UINT8, [N, 4])], [("y", T.INT32, [N, 3])], {"w": np.arange(12, dtype=np.int8).reshape(4, 3)}, merge="proven")
    yield Case("bitshift", [node("BitShift", "x one", "y", direction="LEFT")], [("x", T.UINT32, [N, 4])], [("y", T.UINT32, [N, 4])], {"one": np.array([1], np.uint32)}, merge="proven")
    yield Case("argmax", [node("ArgMax", "x", "y", axis=1, keepdims=0)], [("x", F, [N, 7])], [("y", I, [N])], merge="proven")
    yield Case("argmax_rows", [node("ArgMax", "x", "y", axis=0, keepdims=1)], [("x", F, [N, 7])], [("y", I, [1, 7])], merge="never")
    yield Case("topk", [node("TopK", "x k", "v i")], [("x", F, [N, 7])], [("v", F, [N, 3]), ("i", I, [N, 3])], {"k": np.array([3])}, merge="proven")
    yield Case("cumsum_columns", [node("CumSum", "x a", "y")], [("x", F, [N, 7])], [("y", F, [N, 7])], {"a": np.array(1)}, merge="proven")
    yield Case("mod", [node("Mod", "x k", "y")], [("x", I, [N, 7])], [("y", I, [N, 7])], {"k": np.array([3])}, merge="proven")
    yield Case("extremes", [node("Identity", "x", "y")], [("x", I, [N])], [("y", I, [N])], merge="proven", requests=[{"x": np.array([v])} for v in (-(2**63), 2**63 - 1, 0)])
    yield Case("extremes_unsigned", [node("Identity", "x", "y")], [("x", T.UINT64, [N])], [("y", T.UINT64, [N])], merge="proven", requests=[{"x": np.array([v], np.uint64)} for v in (0, 2**64 - 1)])


def classic():
    ml = "ai.onnx.ml"
    x = [("x", F, [N, 2])]
    yield Case("linear_classifier", [h.make_node("LinearClassifier", ["x"], ["l", "p"], domain=ml, classlabels_ints=[0, 1, 2], coefficients=[1.0, 0, 0, 1, -1, -1], intercepts=[0.0, 0, 0], post_transform="SOFTMAX")],
               x, [("l", I, [N]), ("p", F, [N, 3])], merge="proven")
    yield Case("linear_classifier_strings", [h.make_node("LinearClassifier", ["x"], ["l", "p"], domain=ml, classlabels_strings=["cat", "dog"], coefficients=[1.0, 0, 0, 1], intercepts=[0.0, 0])],
               x, [("l", T.STRING, [N]), ("p", F, [N, 2])], merge="proven")
    yield Case("linear_regressor", [h.make_node("LinearRegressor", ["x"], ["y"], domain=ml, coefficients=[1.0, 2.0], intercepts=[0.5])], x, [("y", F, [N, 1])], merge="proven")
    yield Case("scaler", [h.make_node("Scaler", ["x"], ["y"], domain=ml, offset=[1.0, 2.0], scale=[0.5, 2.0])], x, [("y", F, [N, 2])], merge="proven")
    yield Case("normalizer", [h.make_node("Normalizer", ["x"], ["y"], domain=ml, norm="L2")], x, [("y", F, [N, 2])], merge="proven")
    yield Case("binarizer", [h.make_node("Binarizer", ["x"], ["y"], domain=ml, threshold=0.0)], x, [("y", F, [N, 2])], merge="proven")
    yield Case("imputer", [h.make_node("Imputer", ["x"], ["y"], domain=ml, imputed_value_floats=[1.0], replaced_value_float=0.0)], x, [("y", F, [N, 2])], merge="proven")
    yield Case("tree", [h.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain=ml, n_targets=1, nodes_featureids=[0, 0, 0], nodes_falsenodeids=[2, 0, 0], nodes_truenodeids=[1, 0, 0],
                                    nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_nodeids=[0, 1, 2], nodes_treeids=[0, 0, 0], nodes_values=[0.0, 0, 0],
                                    target_ids=[0, 0], target_nodeids=[1, 2], target_treeids=[0, 0], target_weights=[-1.0, 1.0])], x, [("y", F, [N, 1])], merge="proven")


def halves():
    h16 = T.FLOAT16
    yield Case("half_matmul", [node("MatMul", "x w", "y")], [("x", h16, [N, 8])], [("y", h16, [N, 3])], {"w": weights(8, 3).astype(np.float16)})
    yield Case("half_relu", [node("Relu", "x", "y")], [("x", h16, [N, 8])], [("y", h16, [N, 8])], merge="proven")
    yield Case("half_softmax", [node("Cast", "x", "f", to=F), node("Softmax", "f", "s"), node("Cast", "s", "y", to=h16)], [("x", h16, [N, 8])], [("y", h16, [N, 8])], merge="proven")
    yield Case("half_mixes", [node("Cast", "x", "f", to=F), node("ReduceMean", "f a", "m", keepdims=1), node("Sub", "f m", "d"), node("Cast", "d", "y", to=h16)],
               [("x", h16, [N, 8])], [("y", h16, [N, 8])], {"a": np.array([0])}, merge="never")
    yield Case("bfloat_mixes", [node("Cast", "x", "f", to=F), node("ReduceMean", "f a", "m", keepdims=1), node("Sub", "f m", "d"), node("Cast", "d", "y", to=T.BFLOAT16)],
               [("x", T.BFLOAT16, [N, 8])], [("y", T.BFLOAT16, [N, 8])], {"a": np.array([0])}, merge="never")
    yield Case("bfloat_gather_scalar", [node("Gather", "x i", "y")], [("x", T.BFLOAT16, [4]), ("i", I, [])], [("y", T.BFLOAT16, [])], merge="never",
               requests=[{"x": value(T.BFLOAT16, [4]), "i": np.array(i)} for i in (0, 3)])
    yield Case("half_unknown_output", [node("Reshape", "x s", "y")], [("x", h16, [6]), ("s", I, ["r"])], [("y", h16, None)], merge="never",
               requests=[{"x": value(h16, [6]), "s": np.array(s, np.int64)} for s in ([2, 3], [6], [1, 1, 6])])


def configured():
    x, y = [("x", F, [N, 4])], [("y", F, [N, 4])]
    yield Case("config_batch", [node("Relu", "x", "y")], x, y, merge="proven", config="max_batch_size: 8\n")
    yield Case("config_no_batch", [node("Relu", "x", "y")], x, y, merge="never", config="max_batch_size: 0\n")
    yield Case("config_batch_but_mixes", [node("CumSum", "x a", "y")], x, y, {"a": np.array(0)}, merge="never", config="max_batch_size: 8\n")
    yield Case("config_dims", [node("Relu", "x", "y")], [("x", F, [N, "k"])], [("y", F, [N, "k"])], merge="proven",
               config='max_batch_size: 8 input [{name: "x" data_type: TYPE_FP32 dims: [4]}]\n')
    yield Case("config_wrong_type", [node("Relu", "x", "y")], x, y, unavailable=True, config='input [{name: "x" data_type: TYPE_INT64 dims: [4]}]\n')
    yield Case("config_wrong_name", [node("Relu", "x", "y")], x, y, unavailable=True, config='input [{name: "z" data_type: TYPE_FP32 dims: [4]}]\n')
    yield Case("config_broken", [node("Relu", "x", "y")], x, y, unavailable=True, config="max_batch_size: {\n")


def external():
    """Weights in a file beside the model."""
    model = h.make_model(h.make_graph([node("Add", "x w", "y")], "g", [h.make_tensor_value_info("x", F, [N, 2])], [h.make_tensor_value_info("y", F, [N, 2])]),
                         opset_imports=[h.make_opsetid("", 18)], ir_version=9)
    tensor = model.graph.initializer.add(name="w", data_type=F, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    yield Case("external_data", [], [("x", F, [N, 2])], [("y", F, [N, 2])], raw=model.SerializeToString(),
               files={"weights.bin": np.array([1, 2], np.float32).tobytes()}, merge="proven")


def refused():
    """Models that onnxruntime loads and no v2 tensor can carry."""
    seq = h.make_sequence_type_proto(h.make_tensor_type_proto(F, None))
    yield Case("sequence_output", [h.make_node("SplitToSequence", ["x"], ["y"], axis=0)], [("x", F, [N, 2])], [("y", seq, None)], unavailable=True)
    yield Case("sequence_input", [h.make_node("ConcatFromSequence", ["x"], ["y"], axis=0)], [("x", seq, None)], [("y", F, None)], unavailable=True)
    maps = h.make_sequence_type_proto(h.make_map_type_proto(T.INT64, h.make_tensor_type_proto(F, [])))
    yield Case("zipmap", [h.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])], [("x", F, [N, 2])], [("y", maps, None)], unavailable=True)
    yield Case("float8_output", [node("Cast", "x", "y", to=T.FLOAT8E4M3FN)], [("x", F, [N, 2])], [("y", T.FLOAT8E4M3FN, [N, 2])], opset=19, unavailable=True)
    yield Case("int4_output", [node("Cast", "x", "y", to=T.INT4)], [("x", F, [N, 2])], [("y", T.INT4, [N, 2])], opset=21, unavailable=True)


def broken():
    good = h.make_model(h.make_graph([node("Relu", "x", "y")], "g", [h.make_tensor_value_info("x", F, [N])], [h.make_tensor_value_info("y", F, [N])]),
                        opset_imports=[h.make_opsetid("", 18)], ir_version=9).SerializeToString()
    nothing = dict(nodes=[], inputs=[], outputs=[], unavailable=True)
    yield Case("broken_empty", raw=b"", **nothing)
    yield Case("broken_text", raw=b"this is no model\n" * 10, **nothing)
    yield Case("broken_zeros", raw=bytes(4096), **nothing)
    for cut in (1, len(good) // 2, len(good) - 1):
        yield Case(f"broken_cut_{cut}", raw=good[:cut], **nothing)
    future = onnx.load_from_string(good)
    future.opset_import[0].version = 10_000
    yield Case("broken_opset", raw=future.SerializeToString(), **nothing)
    unknown = onnx.load_from_string(good)
    unknown.graph.node[0].op_type = "NoSuchOperator"
    yield Case("broken_operator", raw=unknown.SerializeToString(), **nothing)
    dangling = onnx.load_from_string(good)
    dangling.graph.node[0].input[0] = "nowhere"
    yield Case("broken_edge", raw=dangling.SerializeToString(), **nothing)
    external = onnx.load_from_string(good)
    external.graph.node[0].op_type = "Add"
    external.graph.node[0].input.append("w")
    tensor = external.graph.initializer.add(name="w", data_type=F, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../../../../../../../etc/passwd")
    yield Case("broken_external_data", raw=external.SerializeToString(), **nothing)
    huge = onnx.load_from_string(good)
    huge.graph.node[0].op_type = "Add"
    huge.graph.node[0].input.append("w")
    huge.graph.initializer.add(name="w", data_type=F, dims=[2**40, 2**40])
    yield Case("broken_huge_initializer", raw=huge.SerializeToString(), **nothing)


def mixed():
    """Inputs of many types, of which one may be left out, and outputs of as many."""
    yield Case("mixed", [h.make_node("StringNormalizer", ["words"], ["upper"], case_change_action="UPPER", locale="C"), node("Not", "flags", "others"),
                         node("Identity", "ids", "same"), node("Neg", "small", "negative"), node("Mul", "wide scale", "scaled")],
               [("words", T.STRING, ["w"]), ("flags", T.BOOL, [N, 2]), ("ids", T.UINT64, [N]), ("small", T.INT8, [3]), ("wide", T.DOUBLE, [N, 2]), ("scale", T.DOUBLE, [1])],
               [("upper", T.STRING, ["w"]), ("others", T.BOOL, [N, 2]), ("same", T.UINT64, [N]), ("negative", T.INT8, [3]), ("scaled", T.DOUBLE, [N, 2])],
               {"scale": np.array([2.0])}, merge="never")
