#!/usr/bin/env bash
# Builds the package and sees that its wheel alone gives the command, in an environment that is empty.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
place=$(mktemp -d)
trap 'rm -r "$place"' EXIT

make build DIST="$place/dist"
ls "$place"/dist/p2pquic-*.tar.gz >/dev/null
"$PYTHON" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check "$place"/dist/p2pquic-*.whl

unset PYTHONPATH
cd "$place" # where no source is found by accident
venv/bin/p2pquic --version
venv/bin/p2pquic --help >/dev/null
venv/bin/p2pquic lab list >/dev/null
venv/bin/python -c "import p2pquic.peer.peer, p2pquic.intermediate.server, p2pquic.doctor.network"
