"""What the guides say of how Sluice's answers differ from those of a server behind it, and how answers are compared."""

import collections
import dataclasses
import itertools
import re

import numpy

import generated
import sluice

MEMBER = re.compile(r"`([a-z0-9-]+)`")


@dataclasses.dataclass
class Difference:
    """A row of a page: how an answer may differ."""

    server: set
    sluice: set
    seen: bool = False

    def covers(self, direct, through):
        return str(direct.status) in self.server and str(through.status) in self.sluice


class Page:
    """The tables of a guide, by the label of a request: what differs, and what ends the server."""

    def __init__(self, name):
        self.differ, self.ends = collections.defaultdict(list), {}
        for line in (sluice.ROOT / "docs" / "guides" / name).read_text().splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not line.startswith("|") or cells[0] == "request" or set(cells[0]) <= {"-"}:
                continue
            for label in MEMBER.findall(cells[0]):
                if label not in generated.FAULTS:
                    continue
                if len(cells) == 3:
                    self.ends[label] = Difference({"ended"}, set(cells[1].split(", ")))
                else:
                    self.differ[label].append(Difference(set(cells[1].split(", ")), set(cells[2].split(", "))))

    def tells(self, label, direct, through):
        """Whether a row has the difference, which then is seen."""
        row = next((row for row in self.differ[label] if row.covers(direct, through)), None)
        if row:
            row.seen = True
        return row is not None

    def unseen(self):
        """The labels and rows that no request has shown, each with more requests that may."""
        for label, rows in self.differ.items():
            for row in rows:
                if not row.seen:
                    yield label, row


def more(random, label, models=None, forms=None):
    """A number of requests with a fault, in all forms and at all models."""
    places = generated.places(label, models, forms)
    return (generated.broken(random, label, form, model) for form, model in itertools.islice(itertools.cycle(places), 300))


def same_outputs(a, b, values):
    """Whether two answers have the same outputs in the same order, of values that are the same by a function."""
    return len(a.outputs) == len(b.outputs) and all(x[:3] == y[:3] and values(x[3], y[3]) for x, y in zip(a.outputs, b.outputs, strict=True))


def equal(a, b):
    """Whether the values of an output are equal, to the bit."""
    return a == b if isinstance(a, list) else a.tobytes() == b.tobytes()


def near(a, b):
    """Whether the values of an output are equal but for the last digits, those of what was classified too."""
    if not isinstance(a, list):
        return equal(a, b) or numpy.allclose(a.astype(float), b.astype(float), rtol=1e-6, atol=1e-7, equal_nan=True)
    return len(a) == len(b) and all(x == y or same_class(x, y) for x, y in zip(a, b, strict=True))


def same_class(a, b):
    """Whether value:index:label is the same but for the digits of the value."""
    (value, *a), (other, *b) = a.split(":"), b.split(":")
    try:
        return a == b and abs(float(value) - float(other)) < 1e-5
    except ValueError:
        return False
