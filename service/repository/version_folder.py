"""Finds the versions of a model repository on disk, and reads and verifies their files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ..errors import ConfigurationError, InvalidModel
from .manifest import Manifest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# The version of a model whose folder cannot be read.
UNKNOWN = "?"
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class VersionFolder:
    """`<repository>/<name>/<version>/`."""

    name: str
    version: str
    path: Path

    def manifest(self) -> Manifest:
        """Read and check `manifest.json`.

        Raises:
            InvalidModel: the file is missing, invalid, or names another model or version.
        """
        try:
            manifest = Manifest.model_validate_json((self.path / "manifest.json").read_bytes())
        except OSError as error:
            raise InvalidModel(f"manifest.json cannot be read: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the whole file"
            raise InvalidModel(f"manifest.json is not valid: {where}: {first['msg']}") from error
        if (manifest.name, manifest.version) != (self.name, self.version):
            raise InvalidModel(
                f"manifest.json names {manifest.name} version {manifest.version}, "
                f"but is in the folder of {self.name} version {self.version}"
            )
        return manifest

    def graph(self, manifest: Manifest) -> Path:
        """The path of the ONNX file, after its digest was verified.

        Raises:
            InvalidModel: the file is missing, or differs from the published one.
        """
        path = self.path / manifest.onnx.file
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InvalidModel(f"{path.name} cannot be read: {error.strerror}") from error
        if digest != manifest.onnx.sha256:
            raise InvalidModel(
                f"{path.name} is not the file that was published: its SHA-256 is {digest}, "
                f"the manifest says {manifest.onnx.sha256}"
            )
        return path

    def golden(self, manifest: Manifest) -> tuple[NDArray[np.uint8 | np.float32], NDArray[np.float32]]:
        """The golden inputs, `(n, …)`, and the scores or maps expected for them, `(n, …)`.

        Raises:
            InvalidModel: the file is missing or invalid, or does not fit the model's input and output.
        """
        name = manifest.golden.file
        try:
            with np.load(self.path / name, allow_pickle=False) as arrays:
                inputs, outputs = arrays["inputs"], arrays["outputs"]
        except Exception as error:  # zipfile, zlib and numpy each raise their own
            raise InvalidModel(f"{name} cannot be read: {error}") from error
        count = len(inputs) if inputs.ndim else 0
        fits = count > 0 and str(inputs.dtype) == manifest.input.dtype
        fits = fits and agrees(inputs.shape[1:], manifest.input.axes)
        if not fits or not agrees(outputs.shape, (count, *_output_axes(manifest, inputs.shape[1:]))):
            raise InvalidModel(
                f"{name} has inputs {inputs.dtype}{inputs.shape} and outputs {outputs.shape}, which do not "
                f"fit a model of input {manifest.input.dtype}{manifest.input.axes} "
                f"and {len(manifest.labels)} labels"
            )
        return inputs, outputs


def agrees(shape: tuple[int, ...], axes: tuple[int | None, ...]) -> bool:
    """True if the shape fits the axes; an axis of None takes any size."""
    return len(shape) == len(axes) and all(
        axis in (None, size) for axis, size in zip(axes, shape, strict=True)
    )


def _output_axes(manifest: Manifest, image: tuple[int, ...]) -> tuple[int | None, ...]:
    """The axes of the output for an image of this shape."""
    if manifest.classifies:
        return manifest.output_axes
    return manifest.input.with_size_of(image).feature_map_axes(len(manifest.labels))


def find_versions(repository: Path) -> Iterator[VersionFolder]:
    """All version folders, by name and then by version.

    Entries that cannot be a model are skipped: unfinished publications, whose name begins with a dot, and
    others such as a README. A model whose folder cannot be read has one version, UNKNOWN, whose manifest
    cannot be read either.

    Raises:
        ConfigurationError: the repository is not a readable folder.
    """
    try:
        names = sorted(entry for entry in repository.iterdir() if _NAME.fullmatch(entry.name))
    except OSError as error:
        raise ConfigurationError(
            f"the model repository {repository} cannot be read: {error.strerror}"
        ) from error
    for model in names:
        try:
            entries = list(model.iterdir()) if model.is_dir() else []
        except OSError:
            yield VersionFolder(model.name, UNKNOWN, model)
            continue
        versions = [entry for entry in entries if _VERSION.fullmatch(entry.name)]
        for path in sorted(versions, key=lambda entry: int(entry.name)):
            yield VersionFolder(model.name, path.name, path)
