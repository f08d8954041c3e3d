#!/bin/sh
# Fails with a message if an interpreter is missing or too old: scripts/check_python.sh python3
python=$1
if ! version=$("$python" --version 2>/dev/null); then
    echo "$python cannot be run; set PYTHON to a Python of 3.11 or newer, for example PYTHON=python3.12" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Python 3.11 or newer is needed, and $python is $version; set PYTHON, for example PYTHON=python3.12" >&2
    exit 1
fi
