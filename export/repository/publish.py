"""Publishes model versions atomically.

The files are written and synced in models/.incoming-<random>/, which is then renamed to
models/<name>/<version>/ with the next free version. If another process takes that version first, the next
one is used.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import ManifestError, PublishError
from .manifest import GOLDEN_FILE, GRAPH_FILE, MANIFEST_FILE, MAX_FILES, FileRecord, Manifest

# The server loads no golden data beyond these.
MAX_GOLDEN_CASES: Final = 4096
MAX_GOLDEN_BYTES: Final = 256 << 20


def publish(
    models: Path,
    manifest: Manifest,
    graph: bytes,
    golden_inputs: NDArray[Any],
    golden_outputs: NDArray[Any],
    files: Mapping[str, bytes] = {},
) -> Path:
    """Publish a graph as the next version of `manifest.name`.

    After an error or an interrupt, no files remain.

    Args:
        models: the model repository.
        manifest: the manifest.
        graph: the ONNX file.
        golden_inputs: test inputs in the dtype and shape of the manifest's input, batch first.
        golden_outputs: the expected outputs, float32 [inputs, labels], or maps.
        files: further files by name, such as the example, the plots and the graphs of variants.

    Returns:
        The folder of the new version.

    Raises:
        ManifestError: the arrays or the files contradict the manifest.
        PublishError: the repository cannot be written.
    """
    _check_golden(manifest, golden_inputs, golden_outputs)
    _check_files(manifest, files)
    contents = {
        GRAPH_FILE: graph,
        GOLDEN_FILE: golden_archive(golden_inputs, golden_outputs),
        **files,
    }
    records = [
        FileRecord(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in sorted(contents.items())
    ]
    with _staging(models) as staging:
        for name, content in contents.items():
            _write(staging / name, content)
        return _rename_to_version(staging, models / manifest.name, manifest, records)


def golden_archive(inputs: NDArray[Any], outputs: NDArray[Any]) -> bytes:
    """Return the content of a golden archive, of the model or of a variant."""
    return _npz(inputs=inputs, outputs=outputs.astype(np.float32))


def check_writable(models: Path) -> None:
    """Check that the repository can be written, before a long training.

    Raises:
        PublishError: `models` cannot be written.
    """
    with _staging(models) as staging:
        _write(staging / MANIFEST_FILE, b"")


@contextmanager
def _staging(models: Path) -> Iterator[Path]:
    """Create a folder that the server ignores, and remove it at the end unless it was renamed."""
    staging = models / f".incoming-{secrets.token_hex(8)}"
    try:
        models.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
        yield staging
    except OSError as error:
        raise PublishError(
            f"cannot write the model repository {models}: {error.strerror or error}"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _rename_to_version(
    staging: Path, model_folder: Path, manifest: Manifest, files: Sequence[FileRecord]
) -> Path:
    model_folder.mkdir(exist_ok=True)
    try:
        while True:
            version = _next_version(model_folder)
            document = json.dumps(manifest.document(version, files), indent=2, ensure_ascii=False) + "\n"
            _write(staging / MANIFEST_FILE, document.encode())
            _sync_directory(staging)
            try:
                staging.rename(model_folder / str(version))
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    raise
                continue  # another process published this version first
            _sync_directory(model_folder)
            return model_folder / str(version)
    finally:
        with suppress(OSError):  # removes the folder only if it is empty, after a failed first version
            model_folder.rmdir()


def _next_version(model_folder: Path) -> int:
    taken = [
        int(entry.name) for entry in model_folder.iterdir() if entry.name.isascii() and entry.name.isdigit()
    ]
    return max(taken, default=0) + 1


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    if os.name == "nt":  # Windows cannot open directories
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _npz(**arrays: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _check_golden(manifest: Manifest, inputs: NDArray[Any], outputs: NDArray[Any]) -> None:
    input_shape, output_shape = manifest.input.shape(), manifest.output_shape()
    if inputs.dtype != manifest.input.dtype or not _matches(inputs.shape[1:], input_shape):
        raise ManifestError(
            f"the golden inputs are {inputs.dtype} {list(inputs.shape)}, "
            f"expected {manifest.input.dtype} with the shape {list(input_shape)} after the batch"
        )
    if len(inputs) == 0:
        raise ManifestError("there are no golden inputs; the server needs at least one")
    if manifest.output.kind == "maps":
        height, width = inputs.shape[1:3] if manifest.input.layout == "NHWC" else inputs.shape[2:4]
        output_shape = replace(manifest.input, height=height, width=width).axes(len(manifest.labels))
    if outputs.shape != (len(inputs), *output_shape):
        raise ManifestError(
            f"the golden outputs are {list(outputs.shape)}, "
            f"expected {[len(inputs), *output_shape]} for {len(inputs)} inputs and "
            f"{len(manifest.labels)} labels"
        )

    size = inputs.nbytes + outputs.size * np.dtype(np.float32).itemsize
    if len(inputs) > MAX_GOLDEN_CASES or size > MAX_GOLDEN_BYTES:
        raise ManifestError(
            f"there are {len(inputs):,} golden inputs, with outputs {size:,} bytes; at most "
            f"{MAX_GOLDEN_CASES:,} and {MAX_GOLDEN_BYTES:,} bytes are allowed"
        )


def _matches(shape: tuple[int, ...], axes: tuple[int | None, ...]) -> bool:
    return len(shape) == len(axes) and all(
        axis in (None, size) for axis, size in zip(axes, shape, strict=True)
    )


def _check_files(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    reserved = (GRAPH_FILE, GOLDEN_FILE, MANIFEST_FILE)
    for name in files:
        if not name or name in reserved or name.startswith(".") or Path(name).name != name:
            raise ManifestError(
                f"{name!r} is not a valid file name next to a model: it is reserved, hidden or a path"
            )
    if len(files) + len(reserved) > MAX_FILES:
        raise ManifestError(
            f"there are {len(files):,} files next to the model; at most {MAX_FILES} are allowed"
        )
    for name in manifest.referenced_files():
        if name not in files:
            raise ManifestError(f"the file {name} of the manifest is not among the files")
    example = manifest.example
    if example is not None and example.label not in manifest.labels:
        raise ManifestError(f"the example's label {example.label!r} is not one of the model's labels")
