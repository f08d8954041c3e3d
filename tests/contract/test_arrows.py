"""The house's arrows: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICE = sorted((ROOT / "service").rglob("*.py"))
EXPORT = sorted((ROOT / "export").rglob("*.py"))

WORKSHOP = {"tensorflow", "keras", "tf2onnx", "onnx", "export", "matplotlib"}
SERVER = {"fastapi", "starlette", "uvicorn", "prometheus_client", "service"}

# What each part of the service may import of it, from the leaves up. Nobody imports upwards.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "settings": set(),
    "flags": {"errors", "settings"},
    "manifest": set(),
    "cores": set(),
    "watched": set(),
    "mapped": set(),
    "rates": {"mapped"},
    "keys": {"errors", "watched"},
    "refusals": set(),
    "open_files": set(),
    "gate": {"errors", "keys", "rates", "refusals"},
    "refused": {"refusals"},
    "tls": {"errors", "settings", "watched"},
    "tls_grpc": {"tls", "watched"},
    "limits": {"open_files", "settings"},
    "departure": set(),
    "head": set(),
    "at_once": {"head"},
    "standing": {"head"},
    "parting": set(),
    "direct": {"at_once", "head", "parting", "standing"},
    "haste": set(),
    "connection": {"departure", "direct", "limits", "refusals", "refused"},
    "sheet": {"mapped"},
    "ledger": {"sheet"},
    "telemetry": {"ledger"},
    "statistics": {"mapped"},
    "account": set(),
    "logs": {"account"},
    "traces": {"account", "__version__"},
    "exposition": set(),
    "admission": {"errors"},
    "listener": {"errors"},
    "waiter": {"errors"},
    "company": set(),
    "deadlines": {"waiter"},
    "batcher": {"company", "deadlines", "errors", "waiter"},
    "runtime": set(),
    "cuda": {"runtime"},
    "engine": {"cuda", "errors", "runtime"},
    "bombs": {"errors"},
    "paper": set(),
    "sizing": {"manifest", "paper"},
    "imaging": {"bombs", "errors", "manifest", "paper", "sizing"},
    "repository": {"errors", "manifest"},
    "batch_metrics": {"admission", "manifest", "ranking", "statistics", "telemetry", "waiter"},
    "loaded_model": {
        "admission",
        "batch_metrics",
        "batcher",
        "engine",
        "errors",
        "imaging",
        "manifest",
        "repository",
        "statistics",
        "telemetry",
        "waiter",
    },
    "registry": {"errors", "loaded_model", "repository"},
    "turns": set(),
    "decoding": {"errors", "imaging", "turns"},
    "ranking": set(),
    "classifier": {"decoding", "errors", "loaded_model", "ranking", "waiter"},
}
ONLY_IMPORTERS = {
    "onnxruntime": {"runtime"},
    "PIL": {"imaging", "sizing"},
    "uvicorn": {"connection", "direct", "parting", "server"},
    "grpc": {"grpc_server", "keys_grpc", "rpc", "tls_grpc"},
    "opentelemetry": {"observation", "traces"},
    "grpc_health": {"health_grpc"},
    "grpc_reflection": {"reflection_grpc"},
}


def imports(path: Path) -> Iterator[str]:
    """Absolute names of what a file imports; relative imports are resolved to service.…"""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1])
            yield from [f"{base}.{node.module}"] if node.module else [f"{base}.{a.name}" for a in node.names]


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", SERVICE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_service_imports_nothing_of_the_workshop(path: Path) -> None:
    assert not tops(path) & WORKSHOP


@pytest.mark.parametrize("path", EXPORT, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_workshop_imports_nothing_of_the_service(path: Path) -> None:
    assert not tops(path) & SERVER


@pytest.mark.parametrize(("part", "allowed"), ALLOWED.items())
def test_arrows_inside_the_service_run_one_way(part: str, allowed: set[str]) -> None:
    own = {
        name.split(".")[1] for name in imports(ROOT / "service" / f"{part}.py") if name.startswith("service.")
    }
    assert own <= allowed


@pytest.mark.parametrize(("library", "importers"), ONLY_IMPORTERS.items())
def test_one_file_owns_each_runtime_library(library: str, importers: set[str]) -> None:
    assert {path.stem for path in SERVICE if library in tops(path)} == importers


@pytest.mark.parametrize("part", ["batcher", "classifier", "registry", "loaded_model"])
def test_the_data_plane_knows_no_protocol(part: str) -> None:
    assert not tops(ROOT / "service" / f"{part}.py") & {"fastapi", "grpc", "starlette", "uvicorn"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("service.app", ["tensorflow", "keras", "onnx", "matplotlib"]),
        ("service.server", ["grpc", "google.protobuf", "opentelemetry.sdk"]),
        ("service.supervisor", ["fastapi", "grpc", "onnxruntime", "PIL"]),
        ("service.cli", ["fastapi", "grpc", "onnxruntime", "PIL", "numpy"]),
        ("export.publish", ["tensorflow", "keras"]),
    ],
)
def test_importing_in_a_clean_interpreter_brings_nothing_heavy(module: str, absent: list[str]) -> None:
    code = f"import sys, {module}; print([name for name in {absent} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
