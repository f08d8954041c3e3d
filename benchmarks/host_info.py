"""Collects the host, the software versions and the commit of a measurement."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from service.system.cpu_quota import available_cores

LIBRARIES = ("fastapi", "httptools", "numpy", "onnxruntime", "pillow", "starlette", "uvicorn", "uvloop")
# Instruction sets by which ONNX Runtime selects its kernels, best first.
VECTORS = {"avx512_vnni": "AVX-512 VNNI", "avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}
# A higher load average distorts the measurements.
MAX_QUIET_LOAD = 0.5


@dataclass(frozen=True, slots=True)
class HostInfo:
    """The host, the software versions and the commit of a measurement.

    Attributes:
        kind: the number of cores, the architecture and the vector instructions.
        commit: the commit of the code, with a `+` if tracked files differ from it.
        load: the load average of the minute before the measurements.
    """

    kind: str
    cores: int
    memory_gigabytes: float
    system: str
    python: str
    libraries: dict[str, str]
    commit: str
    load: float
    date: str

    @classmethod
    def collect(cls) -> Self:
        cores = available_cores()
        return cls(
            kind=f"{cores} cores, {platform.machine().replace('_', '-')}{_vectors()}",
            cores=cores,
            memory_gigabytes=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            system=platform.system(),
            python=platform.python_version(),
            libraries={name: _version(name) for name in LIBRARIES},
            commit=_commit(),
            load=round(os.getloadavg()[0], 2),
            date=datetime.now(UTC).strftime("%Y-%m-%d"),
        )

    @property
    def is_quiet(self) -> bool:
        return self.load <= MAX_QUIET_LOAD

    def __str__(self) -> str:
        libraries = ", ".join(f"{name} {number}" for name, number in self.libraries.items())
        return (
            f"{self.kind}, {self.memory_gigabytes:g} GB, {self.system}, Python {self.python}, {libraries}; "
            f"commit {self.commit}, {self.date}, load average {self.load:g} before the run"
        )


def _version(library: str) -> str:
    """Return the installed version; onnxruntime-gpu replaces the files of onnxruntime."""
    if library == "onnxruntime":
        with suppress(PackageNotFoundError):
            return version("onnxruntime-gpu")
    return version(library)


def _vectors() -> str:
    try:
        listed = re.search(r"^(?:flags|Features)\s*:(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return ""
    flags = set(listed[1].split()) if listed else set[str]()
    return next((f", {name}" for flag, name in VECTORS.items() if flag in flags), "")


def _commit() -> str:
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        result = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
        return result.stdout.strip() if result.returncode == 0 else ""

    commit = git("rev-parse", "--short=10", "HEAD") or "unknown"
    return commit + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
