"""Ways in which a published version can be broken on disk."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np


def change_the_graph(version: Path) -> None:
    """One bit of it, which the digest tells."""
    graph = bytearray((version / "model.onnx").read_bytes())
    graph[-1] ^= 1
    (version / "model.onnx").write_bytes(graph)


def put_no_graph(version: Path) -> None:
    """Something that is no ONNX, with its right digest."""
    content = b"weights of another kind"
    (version / "model.onnx").write_bytes(content)
    manifest = json.loads((version / "manifest.json").read_text())
    manifest["onnx"]["sha256"] = hashlib.sha256(content).hexdigest()
    (version / "manifest.json").write_text(json.dumps(manifest))


def expect_other_answers(version: Path) -> None:
    with np.load(version / "golden.npz") as arrays:
        inputs, outputs = arrays["inputs"], arrays["outputs"]
    np.savez(version / "golden.npz", inputs=inputs, outputs=np.roll(outputs, 1, axis=1))


def remove_the_manifest(version: Path) -> None:
    (version / "manifest.json").unlink()


def misspell_the_manifest(version: Path) -> None:
    text = (version / "manifest.json").read_text()
    (version / "manifest.json").write_text(text.replace('"labels"', '"lables"'))


def tear_the_golden_answers(version: Path) -> None:
    """The archive's directory stays whole, what is packed in it does not."""
    content = bytearray((version / "golden.npz").read_bytes())
    content[100:140] = bytes(byte ^ 0x5A for byte in content[100:140])
    (version / "golden.npz").write_bytes(content)


def put_a_bare_array_for_golden_answers(version: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3, np.float32))
    (version / "golden.npz").write_bytes(buffer.getvalue())


def put_numbers_for_golden_answers(version: Path) -> None:
    """Arrays without any axis."""
    np.savez(version / "golden.npz", inputs=np.uint8(0), outputs=np.float32(0))


# How, and a word of the reason that is to be given.
BREAKAGES = {
    "changed": (change_the_graph, "SHA-256"),
    "no-onnx": (put_no_graph, "ONNX Runtime"),
    "wrong-answers": (expect_other_answers, "golden outputs"),
    "no-manifest": (remove_the_manifest, "manifest.json"),
    "misspelt-manifest": (misspell_the_manifest, "labels"),
    # Here numpy fails in ways of its own.
    "torn-golden": (tear_the_golden_answers, "golden.npz"),
    "bare-golden": (put_a_bare_array_for_golden_answers, "golden.npz"),
    "flat-golden": (put_numbers_for_golden_answers, "golden.npz"),
}
