"""The model repository on disk: which versions there are, what each says, and whether it is whole."""

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
# A model whose folder cannot be read may have any version.
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
            InvalidModel: missing, not JSON, not of the format, or naming another model or version.
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
                f"manifest.json is of {manifest.name} version {manifest.version}, "
                f"but lies in the folder of {self.name} version {self.version}"
            )
        return manifest

    def graph(self, manifest: Manifest) -> Path:
        """The path of the ONNX file, once its digest has been checked.

        Raises:
            InvalidModel: missing, or not the file that was published.
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
            InvalidModel: missing, unreadable, or not of the model's input and output.
        """
        name = manifest.golden.file
        try:
            with np.load(self.path / name, allow_pickle=False) as arrays:
                inputs, outputs = arrays["inputs"], arrays["outputs"]
        except Exception as error:  # zipfile, zlib and numpy each raise their own on a damaged archive
            raise InvalidModel(f"{name} cannot be read: {error}") from error
        count = len(inputs) if inputs.ndim else 0
        fits = count > 0 and str(inputs.dtype) == manifest.input.dtype
        fits = fits and agrees(inputs.shape[1:], manifest.input.axes)
        if not fits or not agrees(outputs.shape, (count, *_answer(manifest, inputs.shape[1:]))):
            raise InvalidModel(
                f"{name} holds inputs {inputs.dtype}{inputs.shape} and outputs {outputs.shape}, which do not "
                f"fit a model of input {manifest.input.dtype}{manifest.input.axes} "
                f"and {len(manifest.labels)} labels"
            )
        return inputs, outputs


def agrees(shape: tuple[int, ...], axes: tuple[int | None, ...]) -> bool:
    """Whether a tensor of this shape has these axes, of which those that are None may be any."""
    return len(shape) == len(axes) and all(
        axis in (None, size) for axis, size in zip(axes, shape, strict=True)
    )


def _answer(manifest: Manifest, picture: tuple[int, ...]) -> tuple[int | None, ...]:
    """The axes of the answer to a picture of this shape."""
    if manifest.classifies:
        return manifest.output_axes
    return manifest.input.sized_as(picture).maps(len(manifest.labels))


def find_versions(repository: Path) -> Iterator[VersionFolder]:
    """Every version folder, by name and then by version.

    Entries whose name begins with a dot are unfinished publications and are passed over, and so is what
    cannot be a model (a README, a folder of another form). A model whose folder cannot be read has one
    version, UNKNOWN, whose manifest cannot be read either.

    Raises:
        ConfigurationError: the repository is not a folder that can be read.
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
