#!/bin/sh
# A base image without a registry: Debian's own packages, unpacked by debootstrap.
# Stands in for the pinned base where no registry can be reached, as in CI:
#   docker/base.sh localhost/python:bookworm && BASE=localhost/python:bookworm make image
set -eu
name=${1:?"usage: docker/base.sh NAME [FOLDER]"}
suite=${SUITE:-bookworm}
# The mirror that this machine's own apt takes the suite from, where it does.
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
