"""Writes a model version into the model repository: whole, or not at all.

models/.incoming-<random>/    everything is written and synced here, then renamed to
models/<name>/<version>/      the next free number; whoever loses a race takes the number after it
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ManifestError, PublishError
from .manifest import GOLDEN_FILE, GRAPH_FILE, MANIFEST_FILE, Manifest


def publish(
    models: Path,
    manifest: Manifest,
    graph: bytes,
    golden_inputs: NDArray[Any],
    golden_outputs: NDArray[Any],
    files: Mapping[str, bytes] = {},
) -> Path:
    """Publish a graph as the next version of `manifest.name` and return the version's directory.

    `golden_inputs` have the shape and dtype of the manifest's input, `golden_outputs` are float32 of
    [inputs, labels], or the maps of the inputs; `files` are further files by name, such as the example and
    the plots.

    Raises:
        ManifestError: these contradict the manifest.
        PublishError: the repository cannot be written. After either, as after Ctrl-C, nothing is left behind.
    """
    _check_golden(manifest, golden_inputs, golden_outputs)
    _check_files(manifest, files)
    contents = {
        GRAPH_FILE: graph,
        GOLDEN_FILE: _npz(inputs=golden_inputs, outputs=golden_outputs.astype(np.float32)),
        **files,
    }
    with _staging(models) as staging:
        for name, content in contents.items():
            _write(staging / name, content)
        return _place(staging, models / manifest.name, manifest, hashlib.sha256(graph).hexdigest())


def check_writable(models: Path) -> None:
    """Find out now, rather than after an hour of training.

    Raises:
        PublishError: `models` cannot be written.
    """
    with _staging(models) as staging:
        _write(staging / MANIFEST_FILE, b"")


@contextmanager
def _staging(models: Path) -> Iterator[Path]:
    """A new folder the server does not look at; gone at the end unless it was renamed."""
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


def _place(staging: Path, home: Path, manifest: Manifest, sha256: str) -> Path:
    home.mkdir(exist_ok=True)
    try:
        while True:
            version = _next_version(home)
            document = json.dumps(manifest.document(version, sha256), indent=2, ensure_ascii=False) + "\n"
            _write(staging / MANIFEST_FILE, document.encode())
            _sync_directory(staging)
            try:
                staging.rename(home / str(version))
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    raise
                continue  # another publisher was faster
            _sync_directory(home)
            return home / str(version)
    finally:
        with suppress(OSError):  # only an empty folder can be removed: a first version that came to nothing
            home.rmdir()


def _next_version(home: Path) -> int:
    taken = [int(entry.name) for entry in home.iterdir() if entry.name.isascii() and entry.name.isdigit()]
    return max(taken, default=0) + 1


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    if os.name == "nt":  # Windows opens no directories, and keeps their entries by itself
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
    picture, answer = manifest.input.shape(), manifest.output_shape()
    if inputs.dtype != manifest.input.dtype or not _fits(inputs.shape[1:], picture):
        raise ManifestError(
            f"the golden inputs are {inputs.dtype} {list(inputs.shape)}, "
            f"but the graph takes {manifest.input.dtype} pictures of {list(picture)}"
        )
    if len(inputs) == 0:
        raise ManifestError("there are no golden inputs: the server has nothing to check the graph by")
    if manifest.output.kind == "maps":
        height, width = inputs.shape[1:3] if manifest.input.layout == "NHWC" else inputs.shape[2:4]
        answer = replace(manifest.input, height=height, width=width).axes(len(manifest.labels))
    if outputs.shape != (len(inputs), *answer):
        raise ManifestError(
            f"the golden outputs are {list(outputs.shape)}, "
            f"but {len(inputs)} inputs and {len(manifest.labels)} labels need {[len(inputs), *answer]}"
        )


def _fits(shape: tuple[int, ...], axes: tuple[int | None, ...]) -> bool:
    return len(shape) == len(axes) and all(
        axis in (None, size) for axis, size in zip(axes, shape, strict=True)
    )


def _check_files(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    taken = (GRAPH_FILE, GOLDEN_FILE, MANIFEST_FILE)
    for name in files:
        if not name or name in taken or name.startswith(".") or Path(name).name != name:
            raise ManifestError(f"{name!r} cannot stand beside a model: it is taken, hidden or no plain name")
    example = manifest.example
    if example is not None and example.file not in files:
        raise ManifestError(f"the manifest names the example {example.file}, which is not among the files")
    if example is not None and example.label not in manifest.labels:
        raise ManifestError(f"the example's label {example.label!r} is not one of the model's labels")
