#!/usr/bin/env bash
# Generate the Go code of the .proto files in the pb folders beside this script. What it needs lands in
# .cache/: protoc from the grpcio-tools wheel, and the two plugins.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cache=$root/.cache
protoc=1.85.1         # grpcio-tools; brings libprotoc 35.1
messages=v1.36.12     # google.golang.org/protobuf/cmd/protoc-gen-go
services=v1.6.2       # google.golang.org/grpc/cmd/protoc-gen-go-grpc
venv=$cache/venv/proto
tools=$cache/proto-$messages-$services

if [ "$(cat "$venv/stamp" 2>/dev/null)" != "$protoc" ]; then
	rm -rf "$venv"
	"${PYTHON:-python3}" -m venv "$venv"
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "grpcio-tools==$protoc"
	echo "$protoc" >"$venv/stamp"
fi
if [ ! -x "$tools/protoc-gen-go-grpc" ]; then
	GOBIN=$tools go install "google.golang.org/protobuf/cmd/protoc-gen-go@$messages"
	GOBIN=$tools go install "google.golang.org/grpc/cmd/protoc-gen-go-grpc@$services"
fi

cd "$root"
PATH=$tools:$PATH "$venv/bin/python" -m grpc_tools.protoc -I . \
	--go_out=. --go_opt=paths=source_relative \
	--go-grpc_out=. --go-grpc_opt=paths=source_relative \
	protocol/*/pb/*.proto
