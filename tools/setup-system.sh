#!/usr/bin/env bash
# Checks what this project needs of the system, and on Debian or Ubuntu installs what is missing.
# Does nothing at all, and needs no rights, where nothing is missing.
set -euo pipefail

PYTHON=${PYTHON:-python3}
wanted=${1:-everything} # or "python", which is all a server needs
missing=()

need() { # need PACKAGE COMMAND...: the package is missing unless the command succeeds
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

elements() { # elements NAME...: GStreamer has all of these
    local element
    for element in "$@"; do
        gst-inspect-1.0 --exists "$element" || return 1
    done
}

if command -v "$PYTHON" >/dev/null; then
    if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "This project needs Python 3.11 or newer; $PYTHON is $("$PYTHON" -V 2>&1)." \
            "Install one and name it: make PYTHON=python3.11" >&2
        exit 1
    fi
    need python3-venv "$PYTHON" -c 'import ensurepip, venv'
else
    missing+=(python3 python3-venv)
fi
if [ "$wanted" = everything ] && .venv/bin/python -c 'import gstreamer_cli' 2>/dev/null; then
    : # macOS: the wheels of gstreamer-bundle hold all of GStreamer
elif [ "$wanted" = everything ]; then
    need gstreamer1.0-tools command -v gst-launch-1.0
    need gstreamer1.0-plugins-base elements decodebin audioconvert audioresample opusenc opusdec
    need gstreamer1.0-plugins-good elements rtpopuspay rtpstreampay rtpjitterbuffer wavenc mpg123audiodec
    if [ "$(uname)" = Linux ]; then # the lab is made of Linux network namespaces
        need iproute2 command -v ip
        need nftables env PATH="$PATH:/usr/sbin:/sbin" sh -c 'command -v nft'
    fi
fi

if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "Please install what these Debian packages hold, then run this again: ${missing[*]}" >&2
    echo "(With Homebrew: brew install python gstreamer)" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "Please run as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "Installing missing system packages: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
