#!/bin/sh
# Ends with a sentence if an interpreter is missing or too old: scripts/check_python.sh python3
python=$1
if ! command -v "$python" >/dev/null; then
    echo "$python was not found; name a Python of 3.11 or newer, for example PYTHON=python3.12" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Python 3.11 or newer is needed, and $python is $("$python" --version 2>&1); set PYTHON, for example" \
        "PYTHON=python3.12" >&2
    exit 1
fi
