#!/usr/bin/env bash
# Make the virtual environment .cache/venv/NAME from NAME.txt beside this file,
# unless the one there was made from the same lines. It is built aside and moved
# into place by its last step, the stamp: an interrupted run starts over. What
# NAME-bare.txt lists is installed without what it says that it needs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=${1:?usage: venv.sh NAME}
python=${PYTHON:-python3}
requirements=$here/$name.txt
bare=$here/$name-bare.txt
[ -e "$bare" ] || bare=
venv=$here/../../.cache/venv/$name
wanted="$("$python" -c 'import sys; print(sys.version)') $(cat "$requirements" ${bare:+"$bare"} | sha256sum)"

if [ "$(cat "$venv/stamp" 2>/dev/null)" = "$wanted" ]; then
	exit 0
fi
echo "installing $name.txt into .cache/venv/$name" >&2
mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
flock 9
if [ "$(cat "$venv/stamp" 2>/dev/null)" = "$wanted" ]; then
	exit 0 # another run made it while this one waited
fi
rm -rf "$venv"
if ! "$python" -m venv "$venv"; then
	echo "$python cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2
	exit 1
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
if [ -n "$bare" ]; then
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$bare"
fi
echo "$wanted" >"$venv/stamp"
