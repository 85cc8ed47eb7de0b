"""The page about the pairs, docs/guides/transcoding.md, as far as the tests write it."""

import re

import sluice

PAGE = sluice.ROOT / "docs" / "guides" / "transcoding.md"
BEGIN = re.compile(r"^<!-- ([a-z0-9-]+): written by SLUICE_REWRITE=1 .* -->\n", re.MULTILINE)
END = "<!-- end -->\n"


def cell(outcomes):
    """What a client gets from the servers: what most of them give, and those that give something else."""
    given = {}
    for server, outcome in outcomes.items():
        given.setdefault(outcome, []).append(server)
    most = max(given, key=lambda outcome: len(given[outcome]))
    if len(given) == 1 or len(given[most]) > len(outcomes) / 2:
        return "; ".join([most, *(f"{', '.join(servers)}: {outcome}" for outcome, servers in given.items() if outcome != most)])
    return "; ".join(f"{', '.join(servers)}: {outcome}" for outcome, servers in given.items())


def table(head, lines):
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, ["---"] * len(head), *lines])


def written(page, part):
    """What the page has between the marks of a part."""
    start, end = place(page, part)
    return page[start:end]


def rewritten(page, part, text):
    start, end = place(page, part)
    return page[:start] + text + page[end:]


def place(page, part):
    for mark in BEGIN.finditer(page):
        if mark[1] == part:
            return mark.end(), page.index(END, mark.end())
    raise LookupError(f"{PAGE.name} has no part {part}")
