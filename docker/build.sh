#!/bin/sh
# Build docker/$1 under the name $2: with docker where its daemon runs, else with buildah. One file for both.
# From the environment, where set: BASE (another base image), PIP_CONFIG_FILE and PIP_CERT (how this machine reaches
# its package index; they are lent to the build as secrets and stay out of the image).
set -eu
file=${1:?"usage: docker/build.sh DOCKERFILE NAME"}
name=${2:?"usage: docker/build.sh DOCKERFILE NAME"}
cd "$(dirname "$0")/.."
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' service/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

set -- --file "docker/$file" --tag "$name" --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
[ -z "${BASE:-}" ] || set -- "$@" --build-arg "BASE=$BASE"
[ -z "${PIP_CONFIG_FILE:-}" ] || set -- "$@" --secret "id=pip.conf,src=$PIP_CONFIG_FILE"
[ -z "${PIP_CERT:-}" ] || set -- "$@" --secret "id=ca.crt,src=$PIP_CERT"

if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    DOCKER_BUILDKIT=1 exec docker build "$@" .
fi
if ! command -v buildah >/dev/null; then
    echo "make image needs a running docker daemon, or buildah (apt-get install buildah)" >&2
    exit 1
fi
# The image format of docker, because OCI's own has no HEALTHCHECK.
export STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}"
exec buildah build --isolation "${BUILDAH_ISOLATION:-chroot}" --format docker "$@" .
