"""What the guides say of how Sluice's answers differ from those of a server behind it, and how answers are compared."""

import collections
import dataclasses
import re

import generated
import sluice

MEMBER = re.compile(r"`([a-z0-9-]+)`")


@dataclasses.dataclass
class Difference:
    """A row of a page: how an answer may differ."""

    server: set
    sluice: set
    seen: bool = False
    times: int = 0

    def covers(self, direct, through):
        return str(direct.status) in self.server and str(through.status) in self.sluice


def tables(page):
    """The rows of a guide, by the label of a request: what differs, and what ends the server."""
    differ, ends = collections.defaultdict(list), {}
    for line in (sluice.ROOT / "docs" / "guides" / page).read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or cells[0] == "request" or set(cells[0]) <= {"-"}:
            continue
        for label in MEMBER.findall(cells[0]):
            if label not in generated.FAULTS:
                continue
            if len(cells) == 3:
                ends[label] = Difference({"ended"}, set(cells[1].split(", ")))
            else:
                differ[label].append(Difference(set(cells[1].split(", ")), set(cells[2].split(", "))))
    return differ, ends


def same_outputs(a, b):
    """Whether two answers have the same outputs in the same order, of the same values."""
    return len(a.outputs) == len(b.outputs) and all(x[:3] == y[:3] and equal(x[3], y[3]) for x, y in zip(a.outputs, b.outputs, strict=True))


def equal(a, b):
    """Whether the values of an output are equal: arrays to the bit, strings but for the digits of what was classified."""
    if not isinstance(a, list):
        return a.tobytes() == b.tobytes()
    return len(a) == len(b) and all(x == y or same_class(x, y) for x, y in zip(a, b, strict=True))


def same_class(a, b):
    """Whether value:index:label is the same but for the digits of the value."""
    (value, *a), (other, *b) = a.split(":"), b.split(":")
    try:
        return a == b and abs(float(value) - float(other)) < 1e-5
    except ValueError:
        return False
