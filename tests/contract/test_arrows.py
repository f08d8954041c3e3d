"""The allowed imports between packages, as a table of layers."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICE = sorted((ROOT / "service").rglob("*.py"))
EXPORT = sorted((ROOT / "export").rglob("*.py"))

TRAINING_LIBRARIES = {"tensorflow", "keras", "tf2onnx", "onnx", "export", "matplotlib"}
SERVING_LIBRARIES = {"fastapi", "starlette", "uvicorn", "prometheus_client", "service"}

# The packages of the service and of export, lowest first. A package imports only those listed before it.
LAYERS = {
    "service": (
        "errors",
        "system",
        "config",
        "telemetry",
        "client_budget",
        "security",
        "repository",
        "process_pool",
        "imaging",
        "engine",
        "batching",
        "inference",
        "lifecycle",
        "explain",
        "http",
        "protocols.shared",
        "protocols.native",
        "protocols.open_inference",
        "protocols.tensorflow_serving",
        "protocols.torchserve",
        "protocols.operations",
        "protocols.grpc",
        "ui",
        "asgi",
        "server",
        "http_client",
        "bulk",
        "loadgen",
        "cli",
        "__main__",
    ),
    "export": (
        "errors",
        "repository",
        "imaging",
        "datasets",
        "networks",
        "graph",
        "evaluation",
        "training",
        "inspection",
        "report",
        "importing",
        "pipelines",
        "cli",
        "__main__",
    ),
}

# The dialects import no other dialect. gRPC is the Open Inference Protocol over another transport.
DIALECTS = ("native", "open_inference", "tensorflow_serving", "torchserve", "operations", "grpc")
ALLOWED_SIBLINGS = {"grpc": {"open_inference"}}

# Libraries that only these modules may import.
ONLY_IMPORTERS = {
    "onnxruntime": {"engine.cuda_graphs", "engine.inspect_session", "engine.session"},
    "PIL": {
        "explain.rendering.pictures",
        "imaging.decoder",
        "imaging.flatten",
        "imaging.formats.plugins",
        "imaging.ink.glyph",
        "imaging.ink.levels",
        "imaging.libtiff",
        "imaging.plain_png",
        "imaging.resize",
        "loadgen.workload.images",
    },
    "uvicorn": {"http.connection_pool", "http.protocol", "server.server"},
    "grpc": {
        "protocols.grpc.auth_interceptor",
        "protocols.grpc.call_acceptors",
        "protocols.grpc.credentials",
        "protocols.grpc.handlers",
        "protocols.grpc.limits.calls",
        "protocols.grpc.log_interceptor",
        "protocols.grpc.server",
    },
    "opentelemetry": {"telemetry.request_log", "telemetry.tracing"},
    "pyarrow": {"bulk.outputs.parquet_rows"},
    "grpc_health": {"protocols.grpc.health"},
    "grpc_reflection": {"protocols.grpc.reflection"},
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Yield the absolute name of each imported module; `from . import name` yields `package.name`."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1])
            yield from [f"{base}.{node.module}"] if node.module else [f"{base}.{a.name}" for a in node.names]


def top_packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def layer(module: str) -> int | None:
    """Return the position of a module's package in the table; None for the top package itself."""
    top, _, inner = module.partition(".")
    for position, package in enumerate(LAYERS[top]):
        if inner == package or inner.startswith(package + "."):
            return position
    return None


@pytest.mark.parametrize("path", SERVICE, ids=module_name)
def test_service_imports_no_training_library(path: Path) -> None:
    assert not top_packages(path) & TRAINING_LIBRARIES


@pytest.mark.parametrize("path", EXPORT, ids=module_name)
def test_export_imports_no_serving_library(path: Path) -> None:
    assert not top_packages(path) & SERVING_LIBRARIES


@pytest.mark.parametrize("path", SERVICE + EXPORT, ids=module_name)
def test_module_imports_only_lower_layers(path: Path) -> None:
    own = layer(module_name(path))
    if own is None:
        assert path.name == "__init__.py", f"{path} is in no package of the table"
        return
    top = path.relative_to(ROOT).parts[0]
    used = {name: layer(name) for name in imports(path) if name.startswith(f"{top}.")}
    upward = {name for name, position in used.items() if position is not None and position > own}
    assert not upward


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialect_imports_no_other_dialect(dialect: str) -> None:
    base = ROOT / "service" / "protocols"
    paths = [base / f"{dialect}.py"] if (base / f"{dialect}.py").exists() else (base / dialect).rglob("*.py")
    used = {name.removeprefix("service.protocols.").split(".")[0] for path in paths for name in imports(path)}
    assert used & set(DIALECTS) - {dialect} <= ALLOWED_SIBLINGS.get(dialect, set())


def test_table_lists_existing_packages() -> None:
    found = {(module_name(path).partition(".")[0], layer(module_name(path))) for path in SERVICE + EXPORT}
    assert found >= {(top, position) for top, names in LAYERS.items() for position in range(len(names))}


@pytest.mark.parametrize("top", LAYERS)
def test_wheel_configuration_lists_every_package(top: str) -> None:
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {f"convserve.{module_name(path)}" for path in (ROOT / top).rglob("__init__.py")}
    assert {name for name in configured if name.startswith(f"convserve.{top}")} == found


@pytest.mark.parametrize(("library", "importers"), ONLY_IMPORTERS.items())
def test_runtime_library_is_imported_only_where_allowed(library: str, importers: set[str]) -> None:
    assert {module_name(path) for path in SERVICE if library in top_packages(path)} == {
        f"service.{name}" for name in importers
    }


@pytest.mark.parametrize("package", ["batching", "engine", "explain", "imaging", "inference", "repository"])
def test_data_plane_imports_no_protocol_library(package: str) -> None:
    for path in (ROOT / "service" / package).rglob("*.py"):
        assert not top_packages(path) & {"fastapi", "grpc", "starlette", "uvicorn"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("service", ["fastapi", "grpc", "onnxruntime", "PIL", "numpy", "pydantic"]),
        ("service.asgi.app", ["tensorflow", "keras", "onnx", "matplotlib"]),
        ("service.server.server", ["grpc", "google.protobuf", "opentelemetry.sdk"]),
        ("service.server.supervisor", ["fastapi", "grpc", "onnxruntime", "PIL"]),
        ("service.cli.main", ["fastapi", "grpc", "onnxruntime", "PIL", "numpy"]),
        ("export.repository.publish", ["tensorflow", "keras"]),
    ],
)
def test_import_loads_no_heavy_library(module: str, absent: list[str]) -> None:
    code = f"import sys, {module}; print([name for name in {absent} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
