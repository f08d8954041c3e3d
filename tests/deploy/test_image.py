"""The container image: size, configuration, and serving as any user on a read-only root.

`make image-test` runs these; `make test` does not, because the build takes minutes.
"""

from __future__ import annotations

import io
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from service import __version__
from tests.support.http.client import get, post
from tests.support.server.built_image import GID, UID, BuiltImage, built_image, reason_not_built

pytestmark = [
    pytest.mark.image,
    pytest.mark.skipif(
        reason_not_built() is not None, reason=f"no image is built here: {reason_not_built()}"
    ),
]

LARGEST = 300_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


@pytest.fixture(scope="module")
def image() -> Iterator[BuiltImage]:
    with built_image() as image:
        yield image


def files(image: BuiltImage) -> Iterator[tuple[Path, os.stat_result]]:
    for folder, _, names in os.walk(image.root):
        for name in names:
            path = Path(folder, name)
            yield path.relative_to(image.root), path.lstat()


def test_image_is_small(image: BuiltImage) -> None:
    on_disk = {status.st_ino: status.st_blocks * 512 for _, status in files(image)}
    print(f"{sum(on_disk.values()) / 1e6:.0f} MB unpacked")
    assert sum(on_disk.values()) <= LARGEST


def test_image_has_no_compiler_installer_or_setuid_file(image: BuiltImage) -> None:
    paths = dict(files(image))
    unwanted = {"pip", "ensurepip", "tensorflow", "pytest", "tests", "apt", "perl"}
    assert [path for path in paths if unwanted & set(path.parts) and "doc" not in path.parts] == []
    assert [path for path, status in paths.items() if status.st_mode & (stat.S_ISUID | stat.S_ISGID)] == []
    assert not any("convserve/export" in str(path) for path in paths)


def test_image_configuration_is_complete(image: BuiltImage) -> None:
    config = image.config
    assert config["User"] == "10001:0"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "convserve", "health"]
    assert set(config["ExposedPorts"]) == {"8000/tcp", "8001/tcp"}
    assert (config["Entrypoint"], config["Cmd"]) == (["convserve"], ["serve"])
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert (labels["title"], labels["version"], labels["licenses"]) == (
        "convserve",
        __version__,
        "Apache-2.0",
    )
    assert labels["revision"] != ""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_image_serves_as_any_user_on_a_read_only_root(image: BuiltImage, workers: str) -> None:
    with image.server("--workers", workers, "--grpc-port", "-1") as server:
        example = next((image.root / "models" / "convnet").glob("*/example.png")).read_bytes()
        response = post(f"{server.url}/classify", example)
        assert (response.status, response.json["predictions"][0]["label"]) == (200, "7")
        with grpc.insecure_channel(server.grpc_address) as channel:
            reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        pid = first_process(server.pid)
        assert owner(pid) == (UID, GID)
        os.kill(pid, signal.SIGTERM)
        assert server.wait() == 128 + signal.SIGTERM
        assert server.stderr.text == ""


def test_image_reads_every_format(image: BuiltImage) -> None:
    with image.server("--grpc-port", "0") as server:
        for form in FORMATS:
            drawn = io.BytesIO()
            Image.new("RGB", (32, 32), "navy").save(drawn, form)
            assert post(f"{server.url}/classify", drawn.getvalue(), "application/octet-stream").status == 200


def test_health_check_works(image: BuiltImage) -> None:
    with image.server("--grpc-port", "0") as server:
        port = str(server.address[1])
        assert image.run("health", "--port", port).stdout == "ready\n"
    assert image.run("health", "--port", port).returncode == 1


def test_mounted_repository_is_served(image: BuiltImage, repository: Path) -> None:
    mounted = image.root / "mnt" / "models"
    mounted.mkdir(exist_ok=True)
    for path in sorted(repository.rglob("*")):
        target = mounted / path.relative_to(repository)
        target.mkdir() if path.is_dir() else target.write_bytes(path.read_bytes())
    with image.server("--grpc-port", "0", "--models", "/mnt/models") as server:
        (model,) = get(f"{server.url}/models").json["models"]
        assert model["name"] == "shades"


def first_process(unshare: int) -> int:
    (child,) = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
    return int(child)


def owner(pid: int) -> tuple[int, int]:
    status = Path(f"/proc/{pid}").stat()
    return status.st_uid, status.st_gid
