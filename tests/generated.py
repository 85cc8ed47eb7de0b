"""Requests of the inference protocol, good and bad, made from a seed; the label of each says what was done to it."""

from faults import FAULTS, document, http, message, parameters, tensors  # noqa: F401 - whose faults are registered so
from made import MODELS, good
from v2 import FORMS


def places(name, models=None, forms=None):
    """The forms and models in which a fault can be had, of some of each."""
    of_fault, at, _ = FAULTS[name]
    return [(form, model) for form in forms or FORMS for model in models or MODELS if form in of_fault and (at is None or model in at)]


def broken(random, name, form, model=None):
    """A request with a fault, in one of the forms and at one of the models that the fault is for."""
    _, models, function = FAULTS[name]
    case = good(random, form, model or random.choice([model for model in models or MODELS if model in MODELS]))
    case.label = name
    function(random, case)
    return case


def each(random, models=None, forms=None, times=1):
    """Each fault a number of times in each of some forms at each of some models, and good requests between them."""
    for name in FAULTS:
        for form, model in places(name, models, forms):
            yield from (broken(random, name, form, model) for _ in range(times))
        yield good(random, random.choice(forms or FORMS), random.choice(models or MODELS))


def generate(random, count, models=None, forms=None):
    """count cases, or more: each fault in each of its forms at each of its models, then as chance has it."""
    every = list(each(random, models, forms))
    yield from every
    names = [name for name in FAULTS if places(name, models, forms)]
    for _ in range(count - len(every)):
        if random.random() < 0.25:
            yield good(random, random.choice(forms or FORMS), random.choice(models or MODELS))
        else:
            name = random.choice(names)
            yield broken(random, name, *random.choice(places(name, models, forms)))
