#!/bin/sh
# Builds docker/$1 as the image $2, with docker if its daemon runs, otherwise with buildah.
# The variable BASE selects another base image. The host's package index (PIP_CONFIG_FILE, PIP_INDEX_URL or
# /etc/pip.conf, and PIP_CERT) is passed to the build as secrets, which do not become part of the image.
set -eu
file=${1:?"usage: docker/build.sh DOCKERFILE NAME"}
name=${2:?"usage: docker/build.sh DOCKERFILE NAME"}
cd "$(dirname "$0")/.."
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' service/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

set -- --file "docker/$file" --tag "$name" --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
[ -z "${BASE:-}" ] || set -- "$@" --build-arg "BASE=$BASE"
secrets=$(mktemp -d)
trap 'rm -rf "$secrets"' EXIT
if [ -n "${PIP_INDEX_URL:-}" ]; then
    printf '[global]\nindex-url = %s\n' "$PIP_INDEX_URL" >"$secrets/pip.conf"
elif [ -r "${PIP_CONFIG_FILE:-/etc/pip.conf}" ]; then
    cp "${PIP_CONFIG_FILE:-/etc/pip.conf}" "$secrets/pip.conf"
fi
[ ! -e "$secrets/pip.conf" ] || set -- "$@" --secret "id=pip.conf,src=$secrets/pip.conf"
[ -z "${PIP_CERT:-}" ] || set -- "$@" --secret "id=ca.crt,src=$PIP_CERT"

if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    DOCKER_BUILDKIT=1 docker build "$@" .
    exit
fi
if ! command -v buildah >/dev/null; then
    echo "make image needs a running docker daemon, or buildah (apt-get install buildah)" >&2
    exit 1
fi
# Docker's image format, because OCI's format has no HEALTHCHECK.
export STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}"
buildah build --isolation "${BUILDAH_ISOLATION:-chroot}" --format docker "$@" .
