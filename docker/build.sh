#!/bin/sh
# Build docker/$1 under the name $2: with docker where its daemon runs, else with buildah. One file for both.
# BASE in the environment names another base image. How this machine reaches its package index (PIP_CONFIG_FILE,
# PIP_INDEX_URL or /etc/pip.conf, and PIP_CERT) is lent to the build as secrets and stays out of the image.
set -eu
file=${1:?"usage: docker/build.sh DOCKERFILE NAME"}
name=${2:?"usage: docker/build.sh DOCKERFILE NAME"}
cd "$(dirname "$0")/.."
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' service/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

set -- --file "docker/$file" --tag "$name" --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
[ -z "${BASE:-}" ] || set -- "$@" --build-arg "BASE=$BASE"
lent=$(mktemp -d)
trap 'rm -rf "$lent"' EXIT
if [ -n "${PIP_INDEX_URL:-}" ]; then
    printf '[global]\nindex-url = %s\n' "$PIP_INDEX_URL" >"$lent/pip.conf"
elif [ -r "${PIP_CONFIG_FILE:-/etc/pip.conf}" ]; then
    cp "${PIP_CONFIG_FILE:-/etc/pip.conf}" "$lent/pip.conf"
fi
[ ! -e "$lent/pip.conf" ] || set -- "$@" --secret "id=pip.conf,src=$lent/pip.conf"
[ -z "${PIP_CERT:-}" ] || set -- "$@" --secret "id=ca.crt,src=$PIP_CERT"

if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    DOCKER_BUILDKIT=1 docker build "$@" .
    exit
fi
if ! command -v buildah >/dev/null; then
    echo "make image needs a running docker daemon, or buildah (apt-get install buildah)" >&2
    exit 1
fi
# The image format of docker, because OCI's own has no HEALTHCHECK.
export STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}"
buildah build --isolation "${BUILDAH_ISOLATION:-chroot}" --format docker "$@" .
