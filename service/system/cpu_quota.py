"""Counts the cores this process may use, by CPU affinity and the CPU quotas of its control groups."""

from __future__ import annotations

import os
from pathlib import Path


def available_cores(root: Path = Path("/")) -> int:
    """The minimum of the affinity mask and all CPU quotas of this process, rounded down, at least 1.

    Reads `cpu.max` of control groups v2 and `cpu.cfs_quota_us` of v1 below `root`.
    """
    quotas = [quota for group in _groups(root) for quota in (_quota_v2(group), _quota_v1(group)) if quota]
    return max(1, int(min([float(_affinity()), *quotas])))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _groups(root: Path) -> list[Path]:
    """The folders of this process's control groups and their parents, whose quotas apply as well."""
    mounts = (root / "sys/fs/cgroup", root / "sys/fs/cgroup/cpu")
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    groups = set(mounts)
    for line in lines:
        path = line.rpartition(":")[2].lstrip("/")
        for mount in mounts:
            group = mount / path
            groups.update([group, *(parent for parent in group.parents if mount in parent.parents)])
    return sorted(groups)


def _quota_v2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _quota_v1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        period = int((group / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 else None
