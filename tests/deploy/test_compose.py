"""The Compose file follows its schema, confines the services, and has no dangling references."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import yaml

from service.config.settings import Settings
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import ROOT

FILE = ROOT / "docker" / "compose.yaml"
STACK: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))


def test_file_follows_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    check = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert check.returncode == 0, check.stdout + check.stderr


def test_services_are_the_server_and_its_monitoring() -> None:
    assert set(SERVICES) == {"convserve", "prometheus", "grafana"}


@each_service
def test_each_service_is_confined(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


@each_service
def test_each_image_is_built_here_or_pinned(service: dict[str, Any]) -> None:
    name, _, tag = service["image"].partition(":")
    assert "build" in service or (tag and tag != "latest"), name


@each_service
def test_mounted_files_exist(service: dict[str, Any]) -> None:
    for volume in service.get("volumes", ()):
        source = volume.partition(":")[0]
        assert source in STACK["volumes"] or (FILE.parent / source).is_dir()


def test_dependencies_wait_for_health() -> None:
    for service in SERVICES.values():
        for name, wanted in service.get("depends_on", {}).items():
            assert wanted["condition"] == "service_healthy"
            # The server's health check is defined in its image.
            assert "healthcheck" in SERVICES[name] or "build" in SERVICES[name]


def test_server_is_built_here_and_configured_by_its_settings() -> None:
    server = SERVICES["convserve"]
    assert (FILE.parent / server["build"]["context"] / server["build"]["dockerfile"]).is_file()
    names = {f"CONVSERVE_{name.upper()}" for name in Settings.model_fields}
    assert set(server["environment"]) <= names
    Settings(
        **{name.removeprefix("CONVSERVE_").lower(): value for name, value in server["environment"].items()}
    )


def test_grace_period_exceeds_the_shutdown_time() -> None:
    server = SERVICES["convserve"]
    drain = float(server["environment"]["CONVSERVE_DRAIN_DELAY_S"])
    grace_period = float(server["stop_grace_period"].removesuffix("s"))
    assert grace_period > drain + Settings().shutdown_timeout_s
