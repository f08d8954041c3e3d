"""Breaks published versions on disk in several ways."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from tests.support.models.file_records import record_files


def change_the_graph(version: Path) -> None:
    """Flips one bit, so that the digest does not match."""
    graph = bytearray((version / "model.onnx").read_bytes())
    graph[-1] ^= 1
    (version / "model.onnx").write_bytes(graph)


def write_an_invalid_graph(version: Path) -> None:
    """Writes a file that is not ONNX, with the right digest."""
    (version / "model.onnx").write_bytes(b"weights of another kind")
    record_files(version)


def change_the_golden_outputs(version: Path) -> None:
    with np.load(version / "golden.npz") as arrays:
        inputs, outputs = arrays["inputs"], arrays["outputs"]
    np.savez(version / "golden.npz", inputs=inputs, outputs=np.roll(outputs, 1, axis=1))
    record_files(version)


def change_the_golden_data(version: Path) -> None:
    """Replaces the golden data by other valid data, so that the digest does not match."""
    with np.load(version / "golden.npz") as arrays:
        np.savez(version / "golden.npz", inputs=arrays["inputs"][:2], outputs=arrays["outputs"][:2])


def change_the_example(version: Path) -> None:
    """Replaces the example image."""
    (version / "example.png").write_bytes(b"another image")


def remove_the_manifest(version: Path) -> None:
    (version / "manifest.json").unlink()


def misspell_the_manifest(version: Path) -> None:
    text = (version / "manifest.json").read_text()
    (version / "manifest.json").write_text(text.replace('"labels"', '"lables"'))


def damage_the_golden_data(version: Path) -> None:
    """Damages the archive's contents, but not its directory."""
    content = bytearray((version / "golden.npz").read_bytes())
    content[100:140] = bytes(byte ^ 0x5A for byte in content[100:140])
    (version / "golden.npz").write_bytes(content)
    record_files(version)


def write_one_array_as_golden_data(version: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3, np.float32))
    (version / "golden.npz").write_bytes(buffer.getvalue())
    record_files(version)


def write_scalars_as_golden_data(version: Path) -> None:
    """Writes arrays without axes."""
    np.savez(version / "golden.npz", inputs=np.uint8(0), outputs=np.float32(0))
    record_files(version)


# The function that breaks a version, and a part of the reason that the server must give.
BREAKAGES = {
    "changed": (change_the_graph, "SHA-256"),
    "changed-golden": (change_the_golden_data, "golden.npz is not the file that was published"),
    "changed-example": (change_the_example, "example.png is not the file that was published"),
    "no-onnx": (write_an_invalid_graph, "ONNX graph"),
    "wrong-golden-outputs": (change_the_golden_outputs, "golden outputs"),
    "no-manifest": (remove_the_manifest, "manifest.json"),
    "misspelt-manifest": (misspell_the_manifest, "labels"),
    # numpy raises errors of other types for these.
    "torn-golden": (damage_the_golden_data, "golden.npz"),
    "bare-golden": (write_one_array_as_golden_data, "golden.npz"),
    "flat-golden": (write_scalars_as_golden_data, "golden.npz"),
}
