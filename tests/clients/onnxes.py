"""Models of the corpus, to be run by a Triton and by Sluice: a repository of them for each, and requests for them."""

import pathlib
import shutil
import sys

import sluice

sys.path.insert(0, str(sluice.ROOT / "tests" / "models"))

import cases  # noqa: E402
import corpus  # noqa: E402
import made  # noqa: E402
from faults import fault  # noqa: E402

# Many types and axes of their own; FP16; BF16; strings that become more; an input that may be left out; one whose
# values are bound; four axes of which three are free.
NAMES = ("mixed", "half_matmul", "bfloat_mixes", "string_split", "overridable", "embedding", "conv")
TABLE = 10  # of the embedding


def write(folder):
    """Write the models to folder/onnx, as Sluice serves them, and to folder/triton, for the Python backend of a Triton,
    and have requests made for them."""
    wanted = {case.name: case for case in cases.all_cases() if case.name in NAMES}
    for name in NAMES:
        case = wanted[name]
        signature = made.Signature(
            [made.Input(input, corpus.DTYPES[elem][0], [dim if isinstance(dim, int) else str(dim) for dim in dims], input in case.inits)
             for input, elem, dims in case.inputs],
            [output for output, *_ in case.outputs], (-TABLE, TABLE) if name == "embedding" else None,
        )
        made.SIGNATURES[name] = signature
        for kind in ("onnx", "triton"):
            place = pathlib.Path(folder) / kind / name / "1"
            place.mkdir(parents=True)
            (place / "model.onnx").write_bytes(corpus.build(case).SerializeToString(deterministic=True))
        shutil.copy(sluice.ROOT / "tests" / "triton" / "onnx" / "model.py", place)
        (place.parent / "config.pbtxt").write_text(config(name, case, signature))


def config(name, case, signature):
    """A configuration for Triton, without a batch axis of its own."""
    inputs = ", ".join(field(one.name, one.datatype, one.dims, " optional: true" if one.optional else "") for one in signature.inputs)
    outputs = ", ".join(field(output, corpus.DTYPES[elem][0], dims) for output, elem, dims in case.outputs)
    return f'name: "{name}"\nbackend: "python"\nmax_batch_size: 0\ninput [ {inputs} ]\noutput [ {outputs} ]\ninstance_group [ {{ kind: KIND_CPU count: 1 }} ]\n'


def field(name, datatype, dims, more=""):
    dims = ", ".join(str(dim if isinstance(dim, int) else -1) for dim in dims)
    return f'{{ name: "{name}" data_type: TYPE_{"STRING" if datatype == "BYTES" else datatype} dims: [ {dims} ]{more} }}'


@fault(models=("embedding",))
def beyond_the_table(random, case):
    """What the model finds out only as it runs."""
    case.inputs[0].values[0] = random.choice((TABLE, -TABLE - 1, 1 << 40, -(1 << 63)))
