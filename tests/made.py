"""Good requests of the inference protocol, made from a seed."""

import numpy

from v2 import DTYPES, NUMPY, Case, Tensor

MODELS = ("identity", "digits", "optional", "picky", "accumulate")


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
    if random.random() < 0.5:
        case.id = f"r-{random.randrange(1000)}"
    return case
