#!/bin/sh
# Builds a base image from Debian's packages with debootstrap.
# It replaces the pinned base image if no registry is reachable, as in CI:
#   docker/base.sh localhost/python:bookworm && BASE=localhost/python:bookworm make image
set -eu
name=${1:?"usage: docker/base.sh NAME [FOLDER]"}
suite=${SUITE:-bookworm}
# The default is the mirror of the host's apt, if it has the suite.
mirror=${MIRROR:-$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 2>/dev/null | sed -n "s/^$suite //p" | head -n 1)}
export STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}" BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"

folder=${2:-$(mktemp --directory)}
if [ ! -x "$folder/usr/bin/python3" ]; then
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$folder" ${mirror:+"$mirror"}
fi
rm -rf "$folder"/var/cache/apt/* "$folder"/var/lib/apt/lists/*

container=$(buildah from scratch)
buildah add --quiet "$container" "$folder" / >/dev/null
buildah config --cmd python3 "$container"
buildah commit --quiet --rm "$container" "$name"
[ -n "${2:-}" ] || rm -rf "$folder"
