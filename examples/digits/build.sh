#!/bin/sh
# Rebuild the digits models, their held-out images and the sample request.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${SLUICE_MODELS_VENV:-$here/../../.cache/venv/models}
if ! "$venv/bin/python" -c 'import sklearn, skl2onnx, onnx, onnxruntime' 2>/dev/null; then
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet -r "$here/requirements.txt"
fi
exec "$venv/bin/python" "$here/train.py"
