"""What can be wrong with a request, or odd: all of it, by labels.

Each fault takes (random, case), and changes the case; its name is the label.
"""

from made import SIGNATURES
from v2 import FORMS

FAULTS = {}  # of label, to the forms and models that it is for, and the function


def fault(*forms, models=None):
    """A decorator: the function is a fault of requests in some forms to some models; without, to any."""
    def add(function):
        FAULTS[function.__name__.replace("_", "-")] = (forms or FORMS, models, function)
        return function
    return add


def any_input(random, case):
    return random.choice(case.inputs)


def output_of(random, case):
    """The name of an output that a request's model makes."""
    if case.model in SIGNATURES:
        return random.choice(SIGNATURES[case.model].outputs)
    return random.choice({
        "identity": [one.name.replace("IN_", "OUT_") for one in case.inputs], "digits": ["label", "probabilities"], "optional": ["Y"], "picky": ["Y"],
        "accumulate": ["sum"],
    }[case.model])
