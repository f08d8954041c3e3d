"""The quota is read from control-group files, which these tests write to a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.system.cpu_quota import available_cores

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity mask here")


@pytest.fixture(autouse=True)
def _sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_affinity_applies_without_control_groups(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == 16


@pytest.mark.parametrize(
    ("cpu_max", "cores"),
    [("max 100000", 16), ("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1), ("invalid", 16)],
)
def test_quota_of_version_2(tmp_path: Path, cpu_max: str, cores: int) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/\n")
    write(tmp_path / "sys/fs/cgroup/cpu.max", cpu_max)
    assert available_cores(tmp_path) == cores


def test_version_2_takes_the_smallest_quota_of_all_parents(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/kubepods/pod1/container\n")
    write(tmp_path / "sys/fs/cgroup/kubepods/cpu.max", "800000 100000")
    write(tmp_path / "sys/fs/cgroup/kubepods/pod1/cpu.max", "300000 100000")
    write(tmp_path / "sys/fs/cgroup/kubepods/pod1/container/cpu.max", "max 100000")
    assert available_cores(tmp_path) == 3


@pytest.mark.parametrize(("quota", "cores"), [("-1", 16), ("400000", 4)])
def test_quota_of_version_1(tmp_path: Path, quota: str, cores: int) -> None:
    write(tmp_path / "proc/self/cgroup", "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n")
    write(tmp_path / "sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", quota)
    write(tmp_path / "sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000")
    assert available_cores(tmp_path) == cores
