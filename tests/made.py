"""Good requests of the inference protocol, made from a seed."""

import dataclasses

import numpy

from v2 import CONTENTS, DTYPES, FORMS, NUMPY, Case, Tensor

MODELS = ("identity", "digits", "optional", "picky", "accumulate")


@dataclasses.dataclass
class Input:
    name: str
    datatype: str
    dims: list  # an int, or the name of a free axis
    optional: bool = False


@dataclasses.dataclass
class Signature:
    """What a model takes and gives."""

    inputs: list
    outputs: list  # of names
    range: tuple = None  # of whole numbers, where it does not take all

    @property
    def forms(self):
        """Typed contents have no field for halves."""
        return FORMS if all(one.datatype in CONTENTS for one in self.inputs) else FORMS[:-1]


# Of models that a test brings. ONNX stands for any of them.
SIGNATURES = {}
ONNX = "onnx"


def tensor(random, name, datatype, shape):
    count = int(numpy.prod(shape))
    if datatype == "BYTES":
        values = [bytes(random.choice(b"abcxyz 019") for _ in range(random.randrange(8))) for _ in range(count)]
    elif datatype == "BOOL":
        values = [random.random() < 0.5 for _ in range(count)]
    elif datatype in ("FP16", "BF16", "FP32", "FP64"):
        values = [random.randrange(-64, 64) / 4 for _ in range(count)]
    else:
        bounds = numpy.iinfo(NUMPY[datatype])
        values = [random.choice((bounds.min, bounds.max, 0, 1, random.randint(int(bounds.min), int(bounds.max)))) for _ in range(count)]
        values = [int(value) for value in values]
    return Tensor(name, datatype, list(shape), values)


def good(random, form, model=None):
    """A request that every server has to answer."""
    if model == ONNX:
        model = random.choice([name for name, signature in SIGNATURES.items() if form in signature.forms])
    model = model or random.choice(("identity", *MODELS))
    case = Case(form, model, [])
    rows = random.randrange(1, 5)
    match model:
        case "identity":
            takes = [d for d in DTYPES if d not in ("FP16", "BF16") or form in ("binary", "raw")]
            for datatype in random.sample(takes, random.randrange(1, 3)):
                case.inputs.append(tensor(random, "IN_" + datatype, datatype, (rows, random.randrange(1, 4))))
        case "digits":
            case.inputs.append(tensor(random, "image", "FP32", (rows, 64)))
            case.version = random.choice(("", "1", "2"))
        case "optional":
            names = ("A", "B")[:random.randrange(1, 3)]
            case.inputs += [tensor(random, name, "FP32", (rows, 2)) for name in names]
        case "picky":
            case.inputs.append(tensor(random, "X", "FP32", (rows, 1)))
            case.inputs[0].values = [abs(value) for value in case.inputs[0].values]
        case "accumulate":
            case.inputs.append(Tensor("value", "INT32", [1, 1], [random.randrange(1000)]))
            case.parameters = {"sequence_id": random.randrange(1, 1 << 40), "sequence_start": True, "sequence_end": True}
        case "repeat":
            case.inputs.append(Tensor("count", "INT32", [1], [1]))
        case _:
            case.inputs += signed(random, SIGNATURES[model], form)
    if random.random() < 0.5:
        case.id = f"r-{random.randrange(1000)}"
    return case


def signed(random, signature, form):
    """Inputs for a model: axes of one name are of one length."""
    lengths = {}
    for one in signature.inputs:
        if one.optional and random.random() < 0.5:
            continue
        shape = [dim if isinstance(dim, int) else lengths.setdefault(dim, random.randrange(1, 5)) for dim in one.dims]
        made = tensor(random, one.name, one.datatype, shape)
        if signature.range:
            made.values = [random.randrange(*signature.range) for _ in made.values]
        yield made
