"""What the documents tell a reader to type is typed here, against the real binary.

In README.md, CONTRIBUTING.md and everything under docs/:

- links to files of this repository lead somewhere;
- `make TARGET` names a target;
- `sluice COMMAND --flag` names a command and flags that its --help knows;
- a YAML block that starts with `version:` passes `sluice config check`;
- in README.md and in what `make run` prints, curl lines and Python blocks are
  run against a server with the digits models.
"""

import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

import sluice

PAGES = [sluice.ROOT / "README.md", sluice.ROOT / "CONTRIBUTING.md", *sorted((sluice.ROOT / "docs").rglob("*.md"))]
README = PAGES[0]
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SHELL = {"sh", "bash", "shell", "console"}


def blocks(page):
    """The fenced blocks of a page, as (language, text)."""
    return [(m[1], m[2]) for m in BLOCK.finditer(page.read_text())]


def commands(page):
    """The command lines of a page: of its shell blocks and its indented ones."""
    text = BLOCK.sub("", page.read_text())
    lines = [line for line in text.splitlines() if line.startswith("    ")]
    for language, block in blocks(page):
        if language in SHELL:
            lines += block.replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if line.strip()]


def words(line):
    """The words of a command line without its comment; none where it is no command line."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return []


def run(*command, **options):
    return subprocess.run([str(c) for c in command], cwd=sluice.ROOT, text=True, capture_output=True, timeout=120, **options)


class TestPages(unittest.TestCase):
    def test_links_lead_somewhere(self):
        for page in PAGES:
            for target in LINK.findall(BLOCK.sub("", page.read_text())):
                if "://" in target or target.startswith(("#", "mailto:")):
                    continue
                with self.subTest(page=page.name, link=target):
                    self.assertTrue((page.parent / target.split("#")[0]).exists())

    def test_make_targets(self):
        known = set(re.findall(r"^([a-z][a-z-]*):", (sluice.ROOT / "Makefile").read_text(), re.MULTILINE))
        self.assertIn("run", known)
        for page in PAGES:
            for line in commands(page):
                command = words(line)
                for target in command[1:] if command[:1] == ["make"] else []:
                    if "=" not in target and not target.startswith("-"):
                        with self.subTest(page=page.name, line=line):
                            self.assertIn(target, known)

    def test_sluice_commands(self):
        for page in PAGES:
            for line in commands(page):
                command = words(line)
                if command[:1] not in (["sluice"], ["bin/sluice"]):
                    continue
                with self.subTest(page=page.name, line=line):
                    names = []
                    for word in command[1:]:
                        if not re.fullmatch(r"[a-z][a-z-]*", word) or len(names) == 2:
                            break
                        names.append(word)
                    help = run(sluice.BINARY, *names, "--help")
                    self.assertEqual(help.returncode, 0, help.stderr)
                    for flag in re.findall(r"(?<=\s)--[a-z-]+", " ".join(command)):
                        self.assertIn(flag, help.stdout + help.stderr)

    def test_configurations(self):
        for page in PAGES:
            for language, block in blocks(page):
                if language == "yaml" and block.startswith("version:"):
                    with self.subTest(page=page.name, block=block[:60]), tempfile.TemporaryDirectory() as folder:
                        file = pathlib.Path(folder) / "sluice.yaml"
                        file.write_text(block)
                        (pathlib.Path(folder) / "models").mkdir()
                        check = run(sluice.BINARY, "config", "check", file)
                        self.assertEqual(check.returncode, 0, check.stderr)


class TestFirstSteps(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = sluice.Sluice(sluice.DIGITS / "models")
        cls.addClassCleanup(cls.server.stop)

    def here(self, text):
        """The text with the addresses of this server for the default ones."""
        for port, address in (("8000", self.server.http), ("8001", self.server.grpc), ("8002", self.server.metrics), ("9901", self.server.admin)):
            text = re.sub(rf"(localhost|127\.0\.0\.1):{port}", address, text)
        return text

    def curl(self, line):
        done = run("bash", "-c", self.here(line.replace("curl ", "curl --silent --show-error --fail --max-time 30 ", 1)))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_curl_lines(self):
        lines = [line for line in commands(README) if line.startswith("curl ")]
        self.assertTrue(lines, "README.md shows no curl")
        for line in lines:
            with self.subTest(line=line):
                self.curl(line)

    def test_what_make_run_prints(self):
        printed = run("make", "--dry-run", "run", "BUILDVCS=false").stdout
        lines = re.findall(r'^echo "\s*(curl [^"]*)"', printed, re.MULTILINE)
        self.assertEqual(len(lines), 1, printed)
        self.assertIn('"digits"', self.curl(lines[0]))

    def test_python_blocks(self):
        scripts = [block for language, block in blocks(README) if language in ("python", "py")]
        self.assertTrue(scripts, "README.md shows no Python client")
        for script in scripts:
            with self.subTest(script=script):
                done = run(sys.executable, "-c", self.here(script))
                self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
