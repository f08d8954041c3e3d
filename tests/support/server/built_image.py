"""Builds the image from its Dockerfile, and starts its root file system like a container engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.server.server_process import ROOT, ServerProcess

BUILD_SECONDS = 600
STORAGE = {"STORAGE_DRIVER": "vfs"}
# A user that is neither root nor the user of the image.
UID, GID = 54321, 0

# A read-only root except /tmp, a separate PID namespace, and no way to gain capabilities.
START = f"""
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" &&
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp" && mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" &&
root=$1 && shift &&
exec chroot "$root" /usr/bin/setpriv --reuid {UID} --regid {GID} --clear-groups --no-new-privs \
    --inh-caps=-all --bounding-set=-all "$@"
"""


def reason_not_built() -> str | None:
    """The reason why the image cannot be built here, if any."""
    wanted = ("buildah", "unshare") if os.environ.get("BASE") else ("buildah", "unshare", "debootstrap")
    missing = [name for name in wanted if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    if os.geteuid() != 0:
        return "building a base and changing the root need root"
    return None


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """A built and mounted image.

    Attributes:
        root: its files.
        config: its configuration in Docker's format.
    """

    root: Path
    config: Mapping[str, Any]

    def command(self, *arguments: str) -> list[str]:
        """The command that starts the image's program as process 1 in the image's environment."""
        environment = ["/usr/bin/env", "--ignore-environment", *self.config["Env"]]
        return [
            *(
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                START,
                "sh",
                str(self.root),
            ),
            *(*environment, *self.config["Entrypoint"], *arguments),
        ]

    def server(self, *arguments: str) -> ServerProcess:
        """`convserve serve` with the models that the image ships."""
        return ServerProcess(None, *arguments, command=self.command(), cwd=Path("/"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60)


@contextmanager
def built_image() -> Iterator[BuiltImage]:
    """Builds the image on `$BASE` or on a base from debootstrap, and removes it afterwards."""
    name, base = f"localhost/convserve-test:{os.getpid()}", os.environ.get("BASE")
    images = [name]
    try:
        if not base:
            base = f"localhost/convserve-test-base:{os.getpid()}"
            try:
                _run(str(ROOT / "docker" / "base.sh"), base)
            except AssertionError as error:  # no Debian mirror, or no permission to create devices
                pytest.skip(f"no base for an image can be made here: {error}")
            images.append(base)
        _run(str(ROOT / "docker" / "build.sh"), "Dockerfile", name, BASE=base)
        config = json.loads(_run("buildah", "inspect", "--type", "image", name))["Docker"]["config"]
        container = _run("buildah", "from", "--pull-never", name)
        try:
            yield BuiltImage(Path(_run("buildah", "mount", container)), config)
        finally:
            _run("buildah", "rm", container)
    finally:
        subprocess.run(
            ["buildah", "rmi", "--force", *images], env={**os.environ, **STORAGE}, capture_output=True
        )


def _run(*command: str, **own: str) -> str:
    environment = {**os.environ, **STORAGE, **own, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    return result.stdout.strip()
