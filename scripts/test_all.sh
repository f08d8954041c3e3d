#!/usr/bin/env bash
# Runs the suite with the locked versions on several interpreters: scripts/test_all.sh "3.11 3.12" [pytest options]
set -euo pipefail
cd "$(dirname "$0")/.."

# A pyenv shim may exist for a version that is not active, so this asks the interpreter for its version.
find_python() {
    local candidate
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        if [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$1" ]; then
            echo "$candidate"
            return
        fi
    done
}

failed=() tested=()
for version in $1; do
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        echo "Python $version: skipped, not found on this machine"
        continue
    fi
    folder=build/py$version
    [ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
    if ! "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: \
        --require-hashes -r requirements/dev.txt 2>"$folder/install.log"; then
        echo "Python $version: skipped, no wheels of the locked versions ($folder/install.log)"
        continue
    fi
    echo "Python $version: testing"
    tested+=("$version")
    "$folder/bin/python" -m pytest --numprocesses=auto --dist=loadfile "${@:2}" || failed+=("$version")
done
if [ -z "${tested[*]}" ]; then
    echo "no interpreter was tested"
    exit 1
fi
echo "tested: ${tested[*]}; failed: ${failed[*]:-none}"
[ -z "${failed[*]}" ]
